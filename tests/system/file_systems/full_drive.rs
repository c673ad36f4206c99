//! Drives that are too full, or become full under a run: nothing is begun that cannot fit, what is committed
//! stays, and what has to be finished is finished from the reserve.
//!
//! On small file systems of their own, with hard links and without. `BKM_FULL_STEP` fills the drive before
//! every n-th operation only (1: all of them).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bkm_agent::backup::error::RunError;
use bkm_agent::backup::report::RunReport;
use bkm_agent::fs::faults::Faults;
use bkm_agent::repository::index::record::Content;
use rustix::fs::{FallocateFlags, fallocate};

use crate::support::edits::delete;
use crate::support::files::sync;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::{skipped, skipped_part};
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};
use crate::support::{self, profile};

const MIB: u64 = 1 << 20;

/// A drive made with these options, and the folder that has its image; or why there is none.
fn drive(
    fs: &str,
    megabytes: u64,
    mkfs: &[&str],
) -> Result<(tempfile::TempDir, LoopDrive), String> {
    let folder = support::scratch();
    let image = folder.path().join("image");
    File::create(&image).unwrap().set_len(megabytes * MIB).unwrap();
    let made = Command::new(format!("mkfs.{fs}")).args(mkfs).arg(&image).output();
    let made = made.map_err(|e| format!("mkfs.{fs}: {e}"))?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let drive = LoopDrive::of_image(&image, &folder.path().join("mount"), fs)?;
    Ok((folder, drive))
}

/// Nothing is written by the file system itself later on, and root has no more room than others.
const EXT4: [&str; 5] = ["-q", "-F", "-m0", "-E", "lazy_itable_init=0,lazy_journal_init=0"];

/// A file system, how many megabytes it gets, and how it is made.
type Kind = (&'static str, u64, &'static [&'static str]);

const XFS: [&str; 2] = ["-q", "-f"];

fn ext4(megabytes: u64) -> Result<(tempfile::TempDir, LoopDrive), String> {
    drive("ext4", megabytes, &EXT4)
}

/// Bytes that were written to the device of a mounted drive so far.
fn written(point: &Path) -> u64 {
    sync(point);
    let dev = fs::metadata(point).unwrap().dev();
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    let stat = format!("/sys/dev/block/{major}:{minor}/stat");
    let stat = fs::read_to_string(stat).unwrap_or_default();
    // Btrfs shows a device number of its own.
    stat.split_whitespace().nth(6).map_or(0, |sectors| sectors.parse::<u64>().unwrap() * 512)
}

/// Takes all room of a drive, or all that is left, as somebody else who writes to it.
fn fill(point: &Path) {
    let file = File::options().create(true).append(true).open(point.join("filler")).unwrap();
    for piece in [4 * MIB, MIB / 4, 4096] {
        loop {
            let end = file.metadata().unwrap().len();
            if fallocate(&file, FallocateFlags::empty(), end, piece).is_err() {
                file.set_len(end).unwrap();
                break;
            }
        }
        // So that what was freed just now can be had as well.
        file.sync_all().unwrap();
    }
}

fn world(drive: &LoopDrive, links: bool) -> (tempfile::TempDir, World) {
    let source = support::scratch();
    let world = World::new(source.path(), drive.point(), profile::all_tracked()).one_worker();
    (source, if links { world } else { world.without_links() })
}

/// What a refused run says.
fn refused(ran: Result<RunReport, RunError>) -> String {
    let Err(error) = ran else { panic!("a run that does not fit was begun") };
    assert!(matches!(error, RunError::Full(_)), "{error:?}");
    words(&error)
}

#[test]
fn what_does_not_fit_is_refused_with_figures_and_nothing_is_written() {
    let xfs = ["-q", "-f"];
    for (fs, megabytes, mkfs) in
        [("ext4", 64, &EXT4[..]), ("xfs", 400, &xfs[..]), ("btrfs", 200, &xfs[..])]
    {
        for links in [true, false] {
            let (_folder, drive) = match drive(fs, megabytes, mkfs) {
                Ok(drive) => drive,
                Err(why) => {
                    skipped_part(format_args!("{fs}: {why}"));
                    continue;
                }
            };
            let (_source, mut world) = world(&drive, links);
            let too_much = vec![1_u8; 1000];
            // On a drive that has no repository yet, and on one that has.
            for first in [true, false] {
                if !first {
                    fs::remove_file(world.source.join("large")).unwrap();
                    world.write("small", "content");
                    world.back_up();
                }
                let large = File::create(world.source.join("large")).unwrap();
                fallocate(&large, FallocateFlags::empty(), 0, (megabytes + 10) * MIB).unwrap();
                world.write("another", &too_much);
                let (before, bytes) = (Snapshot::of(drive.point()), written(drive.point()));
                let said = refused(world.run(None));
                let planned = world.run_as(|_, options| options.dry_run = true).unwrap();
                assert_eq!(written(drive.point()), bytes, "{fs}: bytes written");
                let differences = before.differences(&Snapshot::of(drive.point()), true);
                assert_eq!(differences, "", "{fs}");
                assert!(said.contains("this run needs ") && said.contains("free are "), "{said}");
                assert!(said.contains("or more on the drive"), "{said}");
                assert!(!said.contains("18446744073709551615"), "{said}");
                let refused = planned.refused.unwrap();
                assert!(refused.contains("too full"), "{refused}");
                println!("{fs}: {said}");
            }
        }
    }
}

#[test]
fn a_drive_with_too_few_inodes_refuses_and_says_so() {
    let (_folder, drive) = match drive("ext4", 64, &[&EXT4[..], &["-N", "256"]].concat()) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    let (_source, mut world) = world(&drive, true);
    world.write("small", "content");
    world.back_up();
    // Each in a folder of its own: one inode, and two for its folders in mirror and increment.
    for n in 0..100 {
        world.write(format!("d/{n}/f"), "c");
    }
    let space = rustix::fs::statvfs(drive.point()).unwrap();
    println!("{} inodes free of {}", space.f_favail, space.f_files);
    let bytes = written(drive.point());
    let said = refused(world.run(None));
    assert_eq!(written(drive.point()), bytes);
    assert!(said.contains("or more files from the drive"), "{said}");
    println!("{said}");
    for n in 40..100 {
        delete(&world.source.join(format!("d/{n}")));
    }
    world.back_up();
}

#[test]
fn what_fits_is_not_refused() {
    let (_folder, drive) = match ext4(64) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    let (_source, mut world) = world(&drive, true);
    world.write("small", "content");
    world.back_up();
    // Nine tenths of what is free, in files of all sizes.
    let free = rustix::fs::statvfs(drive.point()).unwrap();
    let mut left = free.f_bavail * free.f_frsize * 9 / 10;
    let mut n = 0;
    while left > 100_000 {
        n += 1;
        let size = (left / 5).min(n * 20_000);
        world.write(format!("d{}/file{n}", n % 7), vec![7; usize::try_from(size).unwrap()]);
        left -= size;
    }
    world.back_up();
    let held = fs::metadata(world.repository().join(".bkm/reserve")).unwrap();
    assert_eq!((held.len(), held.blocks() * 512), (MIB, MIB), "the reserve");
}

#[test]
fn a_large_file_that_fills_the_drive_is_continued_and_takes_nothing_else_with_it() {
    let (_folder, drive) = match ext4(120) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    let (_source, mut world) = world(&drive, true);
    world.write("small", "content");
    world.back_up();
    for n in 0..20 {
        world.write(format!("new{n}"), "more content");
    }
    world.write("z-large", vec![5; 60 * usize::try_from(MIB).unwrap()]);
    // Some 110 operations for the small files; then each megabyte is one.
    let point = drive.point().to_owned();
    let faults = Faults::none().with_batches_of(4).before(140, move || fill(&point));
    let said = words(&world.run(Some(Arc::new(faults))).unwrap_err());
    assert!(said.contains("files of this run are kept") && said.contains("os error 28"), "{said}");
    let stage = world.repository().join(".bkm/stage");
    let parts: Vec<_> = fs::read_dir(&stage).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(parts.len(), 1, "{parts:?}");
    let there = parts[0].metadata().unwrap().len();
    assert!(there > 5 * MIB, "{there} bytes are staged");
    let said = refused(world.run(None));
    println!("{said}");
    assert!(parts[0].path().exists(), "the part is gone");
    // As much room as the rest needs, and not as much as the whole.
    fs::remove_file(drive.point().join("filler")).unwrap();
    let other = File::create(drive.point().join("other")).unwrap();
    let space = rustix::fs::statvfs(drive.point()).unwrap();
    let free = space.f_bavail * space.f_frsize;
    fallocate(&other, FallocateFlags::empty(), 0, free + there - 63 * MIB).unwrap();
    let report = world.back_up();
    assert!(report.new < 21 && report.bytes_copied >= 60 * MIB, "{report:?}");
    world.check_points();
}

/// Many small files, and everything that can happen to them.
fn first_state(world: &World) {
    for n in 0..24 {
        world.write(format!("d{}/file{n}", n % 5), vec![n; 3000 * usize::from(n)]);
    }
    world.write("gone/a/file", "gone");
    world.write("mirror-only", "x");
}

fn second_state(world: &World) {
    for n in 0..12 {
        world.write(format!("d{}/file{n}", n % 5), vec![n + 100; 30_000 * usize::from(n)]);
    }
    for n in 0..12 {
        world.write(format!("new{n}/deeper/file"), vec![n; 60_000]);
    }
    delete(&world.source.join("gone"));
    delete(&world.source.join("d0/file20"));
    rustix::fs::rename(world.source.join("d1"), world.source.join("moved")).unwrap();
}

/// A drive with a first backup, and a source that has changed since.
struct Scene {
    world: World,
    image: PathBuf,
    fs: &'static str,
    before: Snapshot,
    _folders: [tempfile::TempDir; 2],
}

fn scene(kind: &Kind, links: bool) -> Result<Scene, String> {
    let (fs, megabytes, mkfs) = *kind;
    let (folder, drive) = drive(fs, megabytes, mkfs)?;
    let (source, mut world) = world(&drive, links);
    first_state(&world);
    world.back_up();
    second_state(&world);
    let (before, image) = (Snapshot::of(&world.mirror()), drive.image().to_owned());
    drop(drive);
    Ok(Scene { world, image, fs, before, _folders: [folder, source] })
}

impl Scene {
    /// The same on a drive of its own.
    fn copy(&self) -> (tempfile::TempDir, LoopDrive) {
        let folder = support::scratch();
        let image = folder.path().join("image");
        let copied = Command::new("cp").arg("--sparse=always").args([&self.image, &image]).status();
        assert!(copied.unwrap().success());
        let drive = LoopDrive::of_image(&image, &folder.path().join("mount"), self.fs).unwrap();
        (folder, drive)
    }

    /// Bytes of content that the index has and had not before.
    fn committed(&self, world: &World) -> u64 {
        let known: BTreeSet<_> = self
            .before
            .0
            .values()
            .filter_map(|n| n.hash)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|hash| *hash.as_bytes())
            .collect();
        let new = |content: &Content| match content {
            Content::File { hash, size, .. } if !known.contains(hash) => *size,
            _ => 0,
        };
        world.index().records().values().map(|record| new(&record.content)).sum()
    }
}

/// Small batches, on a drive with or without links.
fn faults(links: bool) -> Faults {
    let faults = Faults::none().with_batches_of(6);
    if links { faults } else { faults.without_links() }
}

/// How a run on a drive that became full ended.
#[derive(Debug, Default)]
struct Seen {
    filled_up: u32,
    completed: u32,
    kept_some: u32,
    reserve_used: u32,
    refused: u32,
    filled_again: u32,
    not_ended: u32,
}

/// Runs with a drive that becomes full as `faults` says, again while it is full, and after room was made.
fn fill_and_heal(scene: &Scene, drive: &LoopDrive, faults: Faults, total: u64, seen: &mut Seen) {
    let mut world = scene.world.at(drive.point());
    let ran = world.run(Some(Arc::new(faults)));
    world.check_cut_off(&scene.before);
    assert!(drive.point().join("filler").exists(), "it was never filled");
    match ran {
        Ok(report) => {
            seen.completed += 1;
            world.check_run(&report);
        }
        Err(error) => {
            let said = words(&error);
            assert!(matches!(error, RunError::FilledUp { .. }), "{error:?}");
            for part in ["the drive became full; ", "Free some space", "No space left on device"] {
                assert!(said.contains(part), "{said}");
            }
            seen.filled_up += 1;
            seen.kept_some += u32::from(said.contains("of this run are kept"));
        }
    }
    let held = fs::metadata(world.repository().join(".bkm/reserve"));
    seen.reserve_used += u32::from(held.is_ok_and(|held| held.len() < MIB));
    // Still full: what was begun is ended, and nothing more is tried.
    fill(drive.point());
    let committed = scene.committed(&world);
    match world.run(None) {
        // Little was left to do, and what the reserve had beyond the catalog was enough for that.
        Ok(again) => assert!(again.bytes_copied < MIB),
        Err(RunError::Full(_)) => seen.refused += 1,
        // The same, but it was not.
        Err(RunError::FilledUp { .. }) if scene.fs != "ext4" => {
            seen.filled_again += 1;
            let ran = world.run(None);
            let ended = matches!(ran, Ok(_) | Err(RunError::Full(_)));
            // Btrfs needs new blocks also for what is written in place.
            assert!(ended || scene.fs == "btrfs", "{ran:?}");
        }
        Err(error) => panic!("{}", words(&error)),
    }
    let ended = !world.index().is_unclosed();
    seen.not_ended += u32::from(!ended);
    assert!(ended || scene.fs == "btrfs", "recovery did not come to its end");
    world.check_cut_off(&scene.before);
    assert!(scene.committed(&world) >= committed, "something that was committed is gone");
    let aside = fs::read_dir(world.repository().join(".bkm")).unwrap();
    let aside =
        aside.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("unche"));
    assert_eq!(aside.count(), 0, "a full drive is taken for one that was pulled");
    let committed = scene.committed(&world);
    // Xfs gives the room of a removed file back some time later; btrfs when it is durable that it is gone.
    File::create(drive.point().join("filler")).unwrap();
    fs::remove_file(drive.point().join("filler")).unwrap();
    sync(drive.point());
    let report = world.run(None).unwrap();
    assert_eq!(report.problems, []);
    assert!(
        committed + report.bytes_copied <= total,
        "{committed} bytes were committed and {} of {total} copied again",
        report.bytes_copied
    );
    world.check_run(&report);
    world.check_points();
    assert_eq!(fs::metadata(world.repository().join(".bkm/reserve")).unwrap().len(), MIB);
}

/// Operations and syncs of the run, and bytes that it copies.
fn measure(scene: &Scene, links: bool) -> (u64, u64, u64) {
    let (_folder, drive) = scene.copy();
    let world = scene.world.at(drive.point());
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    let faults = faults(links).after_sync(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let faults = Arc::new(faults);
    let report = world.run(Some(Arc::clone(&faults))).unwrap();
    (faults.count(), syncs.load(Ordering::SeqCst), report.bytes_copied)
}

/// Fills the drive before every `step`-th operation, and after every `step`-th sync.
fn sweep(kind: &Kind, links: bool, step: usize) -> Result<Seen, String> {
    let scene = scene(kind, links)?;
    let (operations, syncs, total) = measure(&scene, links);
    let mut seen = Seen::default();
    for k in (1..=operations).step_by(step) {
        let (_folder, drive) = scene.copy();
        let point = drive.point().to_owned();
        let faults = faults(links).before(k, move || fill(&point));
        println!("operation {k} of {operations}, {}, links {links}", scene.fs);
        fill_and_heal(&scene, &drive, faults, total, &mut seen);
    }
    for k in (1..=syncs).step_by(step.div_ceil(9)) {
        let (_folder, drive) = scene.copy();
        let point = drive.point().to_owned();
        let count = AtomicU64::new(0);
        let faults = faults(links).after_sync(move || {
            if count.fetch_add(1, Ordering::SeqCst) + 1 == k {
                fill(&point);
            }
        });
        println!("sync {k} of {syncs}, {}, links {links}", scene.fs);
        fill_and_heal(&scene, &drive, faults, total, &mut seen);
    }
    println!("{}, links {links}: {operations} operations, {syncs} syncs: {seen:?}", scene.fs);
    Ok(seen)
}

fn sweep_both_ways(kind: &Kind, step: usize) {
    for links in [true, false] {
        match sweep(kind, links, step) {
            Ok(seen) => {
                let all = [seen.filled_up, seen.kept_some, seen.refused, seen.reserve_used];
                assert!(all.iter().all(|n| *n > 0), "{seen:?}");
            }
            Err(why) => skipped(format_args!("{}: {why}", kind.0)),
        }
    }
}

fn step() -> usize {
    usize::try_from(support::number("BKM_FULL_STEP", 9)).unwrap()
}

#[test]
fn a_drive_that_becomes_full_at_any_moment_keeps_what_is_committed_and_is_continued() {
    sweep_both_ways(&("ext4", 24, &EXT4), step());
}

#[test]
fn the_same_holds_on_xfs() {
    sweep_both_ways(&("xfs", 320, &XFS), 3 * step());
}

/// Where nothing is written in place, recovery may have to wait for room; nothing is lost by that.
#[test]
fn a_full_btrfs_loses_nothing_and_is_continued_when_there_is_room() {
    sweep_both_ways(&("btrfs", 128, &XFS), 3 * step());
}
