//! Real ends: the process is killed at any instant, and the drive's image is cloned while a run writes,
//! as if the plug had been pulled then.
//!
//! `BKM_KILLS` and `BKM_CLONES` raise the numbers.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::edits::delete;
use support::loop_drive::LoopDrive;
use support::profile;
use support::snapshot::Snapshot;
use support::world::World;

const SOURCE: &str = "BKM_TEST_CHILD_SOURCE";
const DRIVE: &str = "BKM_TEST_CHILD_DRIVE";

/// Not a test by itself: what the other tests start as a process of its own.
#[test]
fn child() {
    if let (Some(source), Some(drive)) = (std::env::var_os(SOURCE), std::env::var_os(DRIVE)) {
        let world = World::new(Path::new(&source), Path::new(&drive), profile::all_tracked());
        world.run(None).unwrap();
    }
}

/// A run in a process of its own; killed at the end, whatever happens.
struct Run(Child);

impl Run {
    fn start(source: &Path, drive: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--test-threads", "1"])
            .env(SOURCE, source)
            .env(DRIVE, drive)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Pseudo-random numbers below `below`, the same in each run of the tests.
fn spread(number: u32, below: u64) -> u64 {
    let hash = blake3::hash(&number.to_le_bytes());
    let bytes = hash.as_bytes().first_chunk::<8>().unwrap();
    u64::from_le_bytes(*bytes) % below.max(1)
}

/// Makes the source other than before: `round` picks what.
fn change(source: &Path, round: u32) {
    let folder = |n: u32| source.join(format!("d{}", n % 12));
    for n in 0..60 {
        let content = vec![u8::try_from(n).unwrap(); 3000 + (round as usize) % 5];
        fs::create_dir_all(folder(n)).unwrap();
        let path = folder(n).join(format!("f{n}"));
        if path.is_dir() {
            delete(&path);
        }
        fs::write(path, [&content[..], &round.to_le_bytes()].concat()).unwrap();
    }
    let turned = folder(round).join(format!("f{}", round % 12));
    if turned.exists() {
        delete(&turned);
    }
    fs::create_dir_all(turned.join("x")).unwrap();
    fs::write(turned.join("x/y"), round.to_le_bytes()).unwrap();
    let (from, to) = (folder(round + 3), source.join(format!("moved{}", round % 3)));
    if to.exists() {
        delete(&to);
    }
    rustix::fs::rename(from, to).unwrap();
    fs::write(source.join("large"), vec![u8::try_from(round % 251).unwrap(); 6 << 20]).unwrap();
}

/// How long an undisturbed run takes.
fn time_of_a_run(source: &Path, drive: &Path) -> Duration {
    let begun = Instant::now();
    let mut run = Run::start(source, drive);
    assert!(run.0.wait().unwrap().success(), "the child's run failed");
    begun.elapsed()
}

fn folders(place: &Path) -> (PathBuf, PathBuf) {
    let (source, drive) = (place.join("source"), place.join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    (source, drive)
}

#[test]
fn a_run_that_is_killed_at_any_instant_loses_nothing() {
    let kills = support::number("BKM_KILLS", 30);
    let place = support::scratch();
    let (source, drive) = folders(place.path());
    let mut world = World::new(&source, &drive, profile::all_tracked());
    let mut recovered = 0;
    change(&source, 1000);
    world.back_up();
    change(&source, 1001);
    let usual = time_of_a_run(&source, &drive);
    let mut world = {
        let report = world.run(None).unwrap();
        assert_eq!(report.new + report.changed, 0, "the child's run was not complete");
        world.learn_all();
        world
    };
    for round in 0..kills {
        let before = Snapshot::of(&world.mirror());
        change(&source, round);
        let run = Run::start(&source, &drive);
        std::thread::sleep(Duration::from_micros(spread(
            round,
            u64::try_from(usual.as_micros()).unwrap(),
        )));
        drop(run);
        world.check_cut_off(&before);
        let report = world.run(None).unwrap();
        recovered += u32::from(report.recovered);
        world.check_run(&report);
    }
    world.check_points();
    println!("{kills} runs killed, {recovered} had to be recovered");
}

#[test]
fn a_clone_of_the_drive_taken_at_any_instant_of_a_run_is_repaired() {
    let clones = support::number("BKM_CLONES", 10);
    let outer = match LoopDrive::new("btrfs", 1024 + 40 * u64::from(clones)) {
        Ok(outer) => outer,
        Err(why) => return println!("skipped: {why}"),
    };
    let place = outer.point();
    let image = place.join("drive.img");
    fs::File::create(&image).unwrap().set_len((128 + 10 * u64::from(clones)) << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
    if !made.is_ok_and(|made| made.success()) {
        return println!("skipped: mkfs.ext4 is missing");
    }
    let drive = match LoopDrive::of_image(&image, &place.join("mount"), "ext4") {
        Ok(drive) => drive,
        Err(why) => return println!("skipped: {why}"),
    };
    let source = place.join("source");
    fs::create_dir(&source).unwrap();
    let mut world = World::new(&source, drive.point(), profile::all_tracked());
    change(&source, 2000);
    world.back_up();
    change(&source, 2001);
    time_of_a_run(&source, drive.point());
    world.learn_all();
    let mut recovered = 0;
    for number in 0..clones {
        let before = Snapshot::of(&world.mirror());
        change(&source, number);
        let mut run = Run::start(&source, drive.point());
        wait_until_it_works(&mut run, &world.repository().join(".bkm"), number);
        let clone = place.join("clone.img");
        let copied = Command::new("cp").arg("--reflink=always").arg(&image).arg(&clone).status();
        assert!(copied.unwrap().success(), "no clone");
        assert!(run.0.wait().unwrap().success(), "the child's run failed");
        recovered += u32::from(check_clone(&world, &before, &clone, place));
        fs::remove_file(&clone).unwrap();
        world.learn_all();
    }
    println!("{clones} clones checked, {recovered} had to be recovered");
}

/// Waits until the run stages files, or has written a batch to its index; or is over.
fn wait_until_it_works(run: &mut Run, records: &Path, number: u32) {
    let length = || fs::metadata(records.join("index")).map_or(0, |index| index.len());
    let before = length();
    while run.0.try_wait().unwrap().is_none() {
        let works = if number.is_multiple_of(3) {
            fs::read_dir(records.join("stage")).unwrap().next().is_some()
        } else {
            length() != before
        };
        if works {
            return std::thread::sleep(Duration::from_micros(spread(number, 3000)));
        }
    }
}

/// Checks and repairs one clone; says whether there was something to recover.
fn check_clone(world: &World, before: &Snapshot, clone: &Path, place: &Path) -> bool {
    let fsck = Command::new("e2fsck").arg("-fy").arg(clone).output().unwrap();
    assert!(
        matches!(fsck.status.code(), Some(0 | 1)),
        "e2fsck: {}",
        String::from_utf8_lossy(&fsck.stdout)
    );
    let mount = LoopDrive::of_image(clone, &place.join("clone"), "ext4").unwrap();
    let mut world = world.at(mount.point());
    world.check_cut_off(before);
    let report = world.run(None).unwrap();
    world.check_run(&report);
    world.check_points();
    report.recovered
}
