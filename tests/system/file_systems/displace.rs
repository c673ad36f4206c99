//! Drives without hard links: exFAT through FUSE, and what only a real one shows.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use bkm_agent::fs::tree::handle::Tree;
use bkm_agent::source::rules::RawRules;
use rustix::fs::XattrFlags;

use crate::support::bench::Bench;
use crate::support::edits::set_mtime;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::{skipped, skipped_part};
use crate::support::world::words;
use crate::support::{self, displacing, profile};

fn exfat(rules: RawRules) -> Option<Bench> {
    Bench::on("exfat", rules)
}

#[test]
fn a_version_lies_in_the_mirror_until_another_takes_its_place_and_then_where_it_was_brought() {
    displacing::a_version_lies_in_the_mirror_until_another_takes_its_place_and_then_where_it_was_brought(exfat);
}

#[test]
fn no_content_lies_on_the_drive_twice_whatever_happens_to_it() {
    displacing::no_content_lies_on_the_drive_twice_whatever_happens_to_it(exfat);
}

#[test]
fn a_file_that_stops_being_tracked_keeps_the_version_that_an_increment_relies_on() {
    displacing::a_file_that_stops_being_tracked_keeps_the_version_that_an_increment_relies_on(
        exfat,
    );
}

#[test]
fn a_file_that_starts_being_tracked_gets_an_entry_without_being_copied() {
    displacing::a_file_that_starts_being_tracked_gets_an_entry_without_being_copied(exfat);
}

#[test]
fn names_that_change_their_case_alone_and_kinds_that_change_lose_nothing() {
    displacing::names_that_change_their_case_alone_and_kinds_that_change_lose_nothing(exfat);
}

#[test]
fn names_swap_case_with_one_another() {
    displacing::names_swap_case_with_one_another(exfat);
}

#[test]
fn a_moved_file_is_a_deletion_and_a_new_copy() {
    displacing::a_moved_file_is_a_deletion_and_a_new_copy(exfat);
}

#[test]
fn hard_links_of_the_source_are_files_of_their_own_and_come_back_as_links() {
    displacing::hard_links_of_the_source_are_files_of_their_own_and_come_back_as_links(exfat);
}

#[test]
fn a_sparse_file_has_its_full_size_on_the_drive_and_comes_back() {
    displacing::a_sparse_file_has_its_full_size_on_the_drive_and_comes_back(exfat);
}

#[test]
fn a_large_file_goes_on_where_a_stop_left_it() {
    displacing::a_large_file_goes_on_where_a_stop_left_it(exfat);
}

#[test]
fn attributes_and_links_that_the_drive_cannot_hold_come_back() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    bench.write("file", "content");
    bench.write("closed/inside", "readable");
    bench.write("secret", "of somebody");
    fs::create_dir_all(bench.source("empty/inner")).unwrap();
    symlink("nowhere/at all", bench.source("dangling")).unwrap();
    symlink("/etc/passwd", bench.source("absolute")).unwrap();
    symlink("closed", bench.source("to-folder")).unwrap();
    let set = |path: &str, mode| {
        fs::set_permissions(bench.source(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("secret", 0o400);
    set("file", 0o751);
    let xattr = rustix::fs::setxattr(
        bench.source("file"),
        "user.colour",
        b"green\0\xff",
        XattrFlags::empty(),
    );
    if xattr.is_err() {
        skipped_part("extended attributes, which the source cannot hold here");
    }
    std::os::unix::fs::chown(bench.source("secret"), Some(1234), Some(4321)).unwrap();
    std::os::unix::fs::lchown(bench.source("dangling"), Some(77), Some(78)).unwrap();
    set_mtime(&bench.source("file"), (1_234_567_891, 123_456_789));
    set_mtime(&bench.source("secret"), (1_234_567_890, 999_999_999));
    set("closed", 0o555);
    set("empty/inner", 0o2750);
    // `back_up` compares what a restore brings back, of now and of then, with all of this.
    bench.back_up();
    assert_eq!(fs::read_to_string(bench.at("mirror/closed/inside")).unwrap(), "readable");
    assert!(bench.at("mirror/empty/inner").is_dir());
    assert!(bench.at("mirror/dangling").symlink_metadata().is_err());

    symlink("elsewhere", bench.source("other")).unwrap();
    bench.delete("dangling");
    symlink("another place", bench.source("dangling")).unwrap();
    bench.delete("absolute");
    fs::set_permissions(bench.source("file"), fs::Permissions::from_mode(0o640)).unwrap();
    bench.delete("to-folder");
    bench.write("to-folder/now", "a folder");
    let report = bench.back_up();
    assert_eq!((report.touched, report.bytes_copied), (1, 8));
    bench.world.check_points();
}

/// Changes a field of `format.json`.
fn edit_format(bench: &Bench, field: &str, value: serde_json::Value) {
    let file = bench.at(".bkm/format.json");
    let mut format: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    *format.get_mut(field).unwrap() = value;
    fs::write(file, format.to_string()).unwrap();
}

fn format_of(bench: &Bench) -> serde_json::Value {
    serde_json::from_slice(&fs::read(bench.at(".bkm/format.json")).unwrap()).unwrap()
}

#[test]
fn a_drive_behind_another_driver_is_probed_again() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    bench.write("what? now", "one");
    bench.back_up();
    let before = format_of(&bench);
    assert_eq!(before["names"], "portable");
    assert_eq!(before["keeps_versions"], "displace");
    edit_format(&bench, "file_system", 4711.into());
    edit_format(&bench, "names", "any".into());
    bench.write("where? there", "two");
    bench.back_up();
    // Replacing format.json could leave none on such a drive.
    assert_eq!(format_of(&bench)["file_system"], 4711);
    let stored = bench.place("where? there");
    assert!(stored.starts_with("where_ there~"), "{stored}");
    bench.world.check_points();
}

#[test]
fn a_repository_of_hard_links_on_a_drive_without_them_is_refused_with_a_word_on_repair() {
    // The kernel gives all FUSE drivers one number, so NTFS is the harder one.
    for from in ["ext4", "ntfs"] {
        let Some(mut bench) = Bench::on(from, profile::all_tracked()) else { return };
        bench.write("file", "content");
        bench.back_up();
        let exfat = match LoopDrive::new("exfat", 64) {
            Ok(exfat) => exfat,
            Err(why) => return skipped(&why),
        };
        copy(&bench.world.repository(), exfat.point());
        let world = bench.world.at(exfat.point());
        bench.write("file", "changed");
        let said = words(&world.run(None).unwrap_err());
        assert!(said.contains("repair") && said.contains("hard links"), "from {from}: {said}");
        assert_eq!(fs::read_to_string(world.mirror().join("file")).unwrap(), "content");
    }
}

/// As a person copies a backup to another drive.
fn copy(repository: &Path, to: &Path) {
    let mut cp = std::process::Command::new("cp");
    let copied = cp.args(["-r", "--preserve=timestamps"]).arg(repository).arg(to).status();
    assert!(copied.unwrap().success());
}

#[test]
fn a_repository_from_a_drive_without_links_goes_on_where_there_are_links() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    bench.write("what?", "one");
    bench.write("File", "one");
    bench.write("file", "one of other case");
    bench.back_up();
    let other = support::scratch();
    copy(&bench.world.repository(), other.path());
    let mut world = bench.world.at(other.path());
    for path in ["what?", "file", "new?", "FILE"] {
        bench.write(path, "two, and longer");
    }
    world.back_up();
    assert_eq!(fs::read_to_string(world.mirror().join("new?")).unwrap(), "two, and longer");
    assert!(world.mirror().join("FILE").exists(), "new names are the true ones there");
    bench.delete("what?");
    bench.delete("file");
    world.back_up();
    world.check_points();
}

#[test]
fn a_file_system_says_which_lengths_it_takes_before_anything_is_written() {
    // ext4 with blocks of 4 KiB ends at 16 TiB; FAT's 4 GiB are found out in the same way.
    let drive = match LoopDrive::new("ext4", 64) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    let tree = Tree::open(drive.point()).unwrap();
    let file = tree.create_file(Path::new("file"), 0o600).unwrap();
    assert!(!file.takes_length(1 << 60));
    assert!(file.takes_length(5 << 30));
    assert_eq!(file.stat().unwrap().size, 0);
}
