//! Real ends: the process is killed at any instant, and the drive's image is cloned while a run writes,
//! as if the plug had been pulled then.
//!
//! `BKM_KILLS` and `BKM_CLONES` raise the numbers; half of the kills and a third of the clones are of drives
//! without hard links.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what fails here fails the test, and the numbers are of interest"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bkm_agent::fs::faults::Faults;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::repository::index::record::Content;
use support::edits::delete;
use support::loop_drive::LoopDrive;
use support::profile;
use support::snapshot::Snapshot;
use support::world::{World, words};

const SOURCE: &str = "BKM_TEST_CHILD_SOURCE";
const DRIVE: &str = "BKM_TEST_CHILD_DRIVE";
const LINKS: &str = "BKM_TEST_CHILD_LINKS";

/// So many instants have one drive: with each increment the checks take longer.
const SERIES: u32 = 15;

/// Paths in a batch on drives without links, so that a run has several.
const BATCH: usize = 25;

/// Not a test by itself: what the other tests start as a process of its own.
#[test]
fn child() {
    if let (Some(source), Some(drive)) = (std::env::var_os(SOURCE), std::env::var_os(DRIVE)) {
        let world = World::new(Path::new(&source), Path::new(&drive), profile::all_tracked());
        let displaces = std::env::var_os(LINKS).is_none();
        let faults = || Arc::new(Faults::none().without_links().with_batches_of(BATCH));
        world.run(displaces.then(faults)).unwrap();
    }
}

/// A run in a process of its own; killed at the end, whatever happens.
struct Run(Child);

impl Run {
    fn start(source: &Path, drive: &Path, links: bool) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child", "--test-threads", "1"]);
        child.env(SOURCE, source).env(DRIVE, drive);
        if links {
            child.env(LINKS, "yes");
        }
        Self(child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
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
fn time_of_a_run(source: &Path, drive: &Path, links: bool) -> Duration {
    let begun = Instant::now();
    let mut run = Run::start(source, drive, links);
    assert!(run.0.wait().unwrap().success(), "the child's run failed");
    begun.elapsed()
}

fn folders(place: &Path) -> (PathBuf, PathBuf) {
    let (source, drive) = (place.join("source"), place.join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    (source, drive)
}

/// What the instants of a test came to.
#[derive(Default)]
struct Tally {
    instants: u32,
    recovered: u32,
    /// Bytes that the runs which were cut off had committed, and bytes that the next ones copied.
    kept: u64,
    copied: u64,
    /// Versions in flight that a drive without a journal lost.
    lost: usize,
    /// Images that `fsck.exfat` left with files that the driver cannot read.
    unreadable: u32,
}

impl Tally {
    fn print(&self, what: &str) {
        println!(
            "{} {what}, {} had to be recovered; {} bytes were kept, {} copied by the run after it, none \
             twice; {} versions in flight lost, {} images unreadable after a check",
            self.instants, self.recovered, self.kept, self.copied, self.lost, self.unreadable
        );
    }
}

/// Bytes that a run is to copy.
fn to_copy(world: &World) -> u64 {
    world.run_as(|_, options| options.dry_run = true).unwrap().bytes_copied
}

/// What the index has of new content.
struct Committed {
    known: BTreeSet<[u8; 32]>,
    places: BTreeSet<(RelPath, [u8; 32])>,
}

impl Committed {
    fn before(world: &World) -> Self {
        let index = world.index();
        let files = index.records().iter().filter_map(|(path, record)| match record.content {
            Content::File { hash, .. } => Some((path.clone(), hash)),
            _ => None,
        });
        let places: BTreeSet<_> = files.collect();
        Self { known: places.iter().map(|(_, hash)| *hash).collect(), places }
    }

    /// Bytes that were copied since. Without links a file that moved is copied as well.
    fn since(&self, world: &World, links: bool) -> u64 {
        let index = world.index();
        let new = index.records().iter().filter_map(|(path, record)| match record.content {
            Content::File { hash, size, .. } => {
                let known = if links {
                    self.known.contains(&hash)
                } else {
                    self.places.contains(&(path.clone(), hash))
                };
                (!known).then_some(size)
            }
            _ => None,
        });
        new.sum()
    }
}

/// The run after one that was cut off: nothing is copied twice that was committed.
fn run_after(world: &mut World, total: u64, committed: u64, tally: &mut Tally) {
    let report = world.run(None).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(committed + report.bytes_copied, total, "bytes copied, each of them once");
    tally.instants += 1;
    tally.recovered += u32::from(report.recovered);
    tally.kept += committed;
    tally.copied += report.bytes_copied;
    world.check_run(&report);
}

fn check_kills(links: bool) {
    let kills = support::number("BKM_KILLS", 120) / 2;
    let mut tally = Tally::default();
    for first in (0..kills).step_by(SERIES as usize) {
        let place = support::scratch();
        let (source, drive) = folders(place.path());
        let mut world = World::new(&source, &drive, profile::all_tracked());
        if !links {
            world = world.without_links();
        }
        change(&source, first + 1000);
        world.back_up();
        change(&source, first + 1001);
        let usual = time_of_a_run(&source, &drive, links);
        assert_eq!(to_copy(&world), 0, "the child's run was not complete");
        world.learn_all();
        for round in first..kills.min(first + SERIES) {
            let before = Snapshot::of(&world.mirror());
            change(&source, round);
            let (total, index) = (to_copy(&world), Committed::before(&world));
            let mut run = Run::start(&source, &drive, links);
            if round.is_multiple_of(4) {
                let usual = u64::try_from(usual.as_micros()).unwrap();
                std::thread::sleep(Duration::from_micros(spread(round, usual)));
            } else {
                let records = world.repository().join(".bkm");
                wait_until_it_works(&mut run, &records, round, usual / 3);
            }
            drop(run);
            world.check_cut_off(&before);
            let committed = index.since(&world, links);
            run_after(&mut world, total, committed, &mut tally);
        }
        world.check_points();
    }
    tally.print(if links { "runs killed" } else { "runs killed on a drive without hard links" });
}

#[test]
fn a_run_that_is_killed_at_any_instant_loses_nothing() {
    check_kills(true);
}

#[test]
fn a_run_that_is_killed_on_a_drive_without_hard_links_loses_nothing() {
    check_kills(false);
}

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
            Err(why) => return println!("skipped: {why}"),
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

/// Waits until the run stages files, or has written a batch to its index; or is over.
fn wait_until_it_works(run: &mut Run, records: &Path, number: u32, latest: Duration) {
    let places = ["index", "index-a/index", "index-b/index"].map(|place| records.join(place));
    let length = || -> u64 {
        places.iter().map(|place| fs::metadata(place).map_or(0, |index| index.len())).sum()
    };
    let before = length();
    let latest = u64::try_from(latest.as_micros()).unwrap();
    while run.0.try_wait().unwrap().is_none() {
        let works = if number.is_multiple_of(3) {
            fs::read_dir(records.join("stage")).unwrap().next().is_some()
        } else {
            length() != before
        };
        if works {
            return std::thread::sleep(Duration::from_micros(spread(number, latest)));
        }
    }
}
