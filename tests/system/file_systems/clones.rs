//! The drive's image is cloned while a run writes, as if the plug had been pulled then.
//!
//! `BKM_CLONES` raises the number; a third of the clones are of drives without hard links.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bkm_agent::model::relpath::RelPath;

use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;
use crate::support::real_ends::{
    Committed, Run, SERIES, Tally, change, run_after, time_of_a_run, to_copy, wait_until_it_works,
};
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};
use crate::support::{self, profile};

/// A drive in an image on btrfs, where cloning it is one instant.
struct Cloned {
    world: World,
    drive: LoopDrive,
    fs: &'static str,
    /// How long a run takes.
    usual: Duration,
    outer: LoopDrive,
}

impl Cloned {
    /// A drive with a backup; or why there can be none here.
    fn new(fs: &'static str, first: u32) -> Result<Self, String> {
        let outer = LoopDrive::new("btrfs", 1536)?;
        let place = outer.point();
        let image = place.join("drive.img");
        fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        let mut mkfs = Command::new(format!("mkfs.{fs}"));
        if fs == "ext4" {
            mkfs.args(["-q", "-F"]);
        }
        if !mkfs.arg(&image).output().is_ok_and(|made| made.status.success()) {
            return Err(format!("mkfs.{fs} is missing"));
        }
        let drive = LoopDrive::of_image(&image, &place.join("mount"), fs)?;
        let source = place.join("source");
        fs::create_dir(&source).unwrap();
        let mut world = World::new(&source, drive.point(), profile::all_tracked());
        change(&source, first + 2000);
        world.back_up();
        change(&source, first + 2001);
        let usual = time_of_a_run(&source, drive.point(), fs == "ext4");
        world.learn_all();
        Ok(Self { world, drive, fs, usual, outer })
    }

    /// Clones the drive at an instant of a run; checks the clone and the drive.
    fn instant(&mut self, number: u32, thorough: bool, tally: &mut Tally) {
        let links = self.fs == "ext4";
        let source = self.world.source.clone();
        let before = Snapshot::of(&self.world.mirror());
        change(&source, number);
        let (total, index) = (to_copy(&self.world), Committed::before(&self.world));
        let mut run = Run::start(&source, self.drive.point(), links);
        // With links a run is over soon after its first batch.
        let latest = if links { Duration::from_millis(4) } else { self.usual / 3 * 2 };
        wait_until_it_works(&mut run, &self.world.repository().join(".bkm"), number, latest);
        let clone = self.outer.point().join("clone.img");
        let mut cp = Command::new("cp");
        let copied = cp.arg("--reflink=always").arg(self.drive.image()).arg(&clone).status();
        assert!(copied.unwrap().success(), "no clone");
        assert!(run.0.wait().unwrap().success(), "the child's run failed");
        fsck(self.fs, &clone);
        let mount =
            LoopDrive::of_image(&clone, &self.outer.point().join("clone"), self.fs).unwrap();
        let mut world = self.world.at(mount.point());
        if links {
            world.check_cut_off(&before);
            let committed = index.since(&world, links);
            run_after(&mut world, total, committed, tally);
        } else {
            tally.instants += 1;
            check_torn(&mut world, total, tally);
        }
        if thorough {
            world.check_points();
        }
        drop(mount);
        fs::remove_file(&clone).unwrap();
        self.world.learn_all();
    }
}

fn fsck(fs: &str, clone: &Path) {
    let (program, option) = if fs == "ext4" { ("e2fsck", "-fy") } else { ("fsck.exfat", "-y") };
    let checked = Command::new(program).arg(option).arg(clone).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(matches!(checked.status.code(), Some(0 | 1)), "{program}: {said}");
}

/// The run on a clone of a drive without a journal, after a check. What was in flight may be lost, and is
/// named then; `fsck.exfat` can leave files that the driver refuses to read.
fn check_torn(world: &mut World, total: u64, tally: &mut Tally) {
    let report = match world.run_checked(None, true) {
        Ok(report) => report,
        Err(e) if words(&e).contains("Input/output error") => {
            tally.unreadable += 1;
            return;
        }
        Err(e) => panic!("the run after the check failed: {}", words(&e)),
    };
    tally.recovered += u32::from(report.recovered);
    tally.copied += report.bytes_copied;
    if report.problems.iter().any(|problem| problem.reason.contains("needs a check")) {
        tally.unreadable += 1;
        return;
    }
    for problem in &report.problems {
        assert!(problem.reason.contains("pulled out"), "{problem:?}");
    }
    tally.lost += report.problems.len();
    let lost: BTreeSet<RelPath> = report.problems.iter().map(|p| p.path.clone()).collect();
    if lost.is_empty() {
        assert!(report.bytes_copied <= total, "more was copied than the source has of new content");
        tally.kept += total - report.bytes_copied;
        return world.check_run(&report);
    }
    world.check_mirror();
    world.check_stage_empty();
    world.check_old_but(&lost);
    let again = world.run(None).unwrap();
    assert_eq!((again.new, again.changed, again.problems.len()), (0, 0, 0));
}

fn check_clones(fs: &'static str, clones: u32) {
    let mut tally = Tally::default();
    for first in (0..clones).step_by(SERIES as usize) {
        let mut cloned = match Cloned::new(fs, first) {
            Ok(cloned) => cloned,
            Err(why) => return skipped(&why),
        };
        let last = clones.min(first + SERIES);
        for number in first..last {
            cloned.instant(number, number % 5 == 4, &mut tally);
        }
    }
    tally.print(&format!("clones of an {fs} drive checked"));
    assert!(tally.instants >= 4 * tally.unreadable, "too many images stayed unreadable");
}

#[test]
fn a_clone_of_the_drive_taken_at_any_instant_of_a_run_is_repaired() {
    check_clones("ext4", support::number("BKM_CLONES", 90) * 2 / 3);
}

#[test]
fn a_clone_of_an_exfat_drive_taken_at_any_instant_of_a_run_is_repaired() {
    check_clones("exfat", support::number("BKM_CLONES", 90) / 3);
}
