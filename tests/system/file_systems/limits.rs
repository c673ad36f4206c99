//! Limits of a real drive: its room and its number of hard links.

use std::fs;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;

use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;
use crate::support::world::World;
use crate::support::{self, profile};

#[test]
fn holes_and_what_is_staged_already_are_not_asked_for_room() {
    const MIB: u64 = 1 << 20;
    let drive = match LoopDrive::new("ext4", 110) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    let folder = support::scratch();
    let mut world = World::new(folder.path(), drive.point(), profile::all_tracked());
    let content: Vec<u8> = (0..60 * MIB).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    world.write("large", content);
    fs::File::create(world.source.join("sparse")).unwrap().set_len(300 * MIB).unwrap();
    // Cut off when most of the large file is staged: what is free now is less than its size.
    let faults = Arc::new(Faults::stop_after(90));
    assert!(world.run(Some(faults)).is_err());
    let staged = fs::read_dir(world.repository().join(".bkm/stage")).unwrap();
    let staged: u64 = staged.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(staged > 30 * MIB, "{staged} bytes are staged");
    let report = world.back_up();
    assert_eq!(report.new, 2);
}

#[test]
fn a_file_with_more_hard_links_than_the_drive_takes_is_backed_up() {
    let (_folder, mut world) = World::fresh();
    world.write("keep", "keep");
    world.write("file", "one");
    world.back_up();
    let drive = match LoopDrive::new("ext4", 256) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    for number in 0..33_000 {
        let link = world.source.join(format!("link{number}"));
        fs::hard_link(world.source.join("file"), link).unwrap();
    }
    world = world.at(drive.point());
    // Each path gets a name in the mirror and one in the increment: more than ext4's 65,000.
    world.run(None).unwrap();
    world.check_mirror();
}
