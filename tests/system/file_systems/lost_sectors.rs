//! A drive without a journal (exFAT) loses single sectors of what was in flight when the plug was pulled: no
//! version that was on it before is hit, and the next run puts everything right.
//!
//! A run is cut off at an operation; its image then, with single sectors as they were at the last sync, is
//! what a pulled plug can leave. `BKM_SECTORS` raises the number of such images per operation.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bkm_agent::fs::faults::Faults;
use bkm_agent::repository::handle::Repository;
use bkm_agent::repository::layout;
use bkm_agent::source::rules::RawRules;

use crate::support;
use crate::support::edits::set_mtime;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;
use crate::support::scene::{first_state, rules, second_state, write};
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};

const SECTOR: usize = 512;

/// Paths in a batch, so that a run has several.
const BATCH: usize = 12;

/// The same where little but the index is looked at.
const LARGE_BATCH: usize = 60;

/// Operations at the end of a run in which the index is appended to for the last time and written anew.
const LAST: u64 = 17;

/// The sectors in which two images differ.
fn differing(one: &[u8], two: &[u8]) -> Vec<usize> {
    let pairs = one.chunks(SECTOR).zip(two.chunks(SECTOR)).enumerate();
    pairs.filter(|(_, (one, two))| one != two).map(|(at, _)| at).collect()
}

/// Copies an image, with holes.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--sparse=always").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "cp failed");
}

/// A run that was cut off: the image at the last sync, and all that was written.
struct CutOff {
    durable: Vec<u8>,
    written: PathBuf,
    dirty: Vec<usize>,
}

/// Cuts off a run on a copy of the drive after `k` operations; `None` if the run came to its end.
fn cut_off(start: &Start, place: &Path, batch: usize, k: u64) -> Option<CutOff> {
    let image = place.join("run.img");
    copy(&start.before, &image);
    let durable = Arc::new(Mutex::new(fs::read(&image).unwrap()));
    let ended = {
        let drive = LoopDrive::of_image(&image, &place.join("run"), "exfat").unwrap();
        let world = start.world.at(drive.point());
        let (kept, from) = (Arc::clone(&durable), image.clone());
        let last = Arc::new(AtomicU64::new(0));
        let faults = Faults::stop_after(k).with_batches_of(batch).after_sync(move || {
            // What the driver wrote and the kernel has is on the "device" after a sync.
            last.fetch_add(1, Ordering::SeqCst);
            *kept.lock().unwrap() = fs::read(&from).unwrap();
        });
        world.run(Some(Arc::new(faults))).is_ok()
    };
    let durable = std::mem::take(&mut *durable.lock().unwrap());
    let dirty = differing(&durable, &fs::read(&image).unwrap());
    (!ended).then_some(CutOff { durable, written: image, dirty })
}

/// An image where the sectors in `lost` never arrived.
fn without(cut: &CutOff, lost: &[usize], to: &Path) {
    copy(&cut.written, to);
    let image = OpenOptions::new().write(true).open(to).unwrap();
    // The first sector says whether the drive was unmounted, which it was not.
    for sector in lost.iter().chain(&[0]) {
        let at = sector * SECTOR;
        image.write_all_at(&cut.durable[at..at + SECTOR], at as u64).unwrap();
    }
}

/// Puts the file system in order.
fn fsck(image: &Path) {
    let fsck = Command::new("fsck.exfat").arg("-y").arg(image).output().unwrap();
    assert!(
        matches!(fsck.status.code(), Some(0 | 1)),
        "fsck.exfat: {}",
        String::from_utf8_lossy(&fsck.stdout)
    );
}

/// Makes an empty drive, or says why it cannot.
fn blank(image: &Path) -> Result<(), String> {
    File::create(image).unwrap().set_len(8 << 20).unwrap();
    match Command::new("mkfs.exfat").arg(image).output() {
        Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
        Err(_) => return Err("mkfs.exfat is missing".to_owned()),
    }
    Ok(())
}

/// Checks one image. Without a check of the file system nothing may be lost that was there before, though
/// the run may end with an error; after one, the run puts everything right.
fn check(world: &World, image: &Path, place: &Path) -> Checked {
    {
        let unchecked = place.join("unchecked.img");
        copy(image, &unchecked);
        let drive = LoopDrive::of_image(&unchecked, &place.join("unchecked"), "exfat");
        // A driver may refuse it until it is checked.
        if let Ok(drive) = drive {
            let world = world.at(drive.point());
            if let Err(e) = world.run(None) {
                let text = words(&e);
                assert!(text.contains("Input/output error"), "{text}");
            }
        }
    }
    fsck(image);
    let drive = LoopDrive::of_image(image, &place.join("checked"), "exfat").unwrap();
    let mut world = world.at(drive.point());
    let report = match world.run_checked(None, true) {
        Ok(report) => report,
        Err(e) if words(&e).contains("Input/output error") => return Checked::Unreadable,
        Err(e) => panic!("the run after the check failed: {}", words(&e)),
    };
    if report.problems.iter().any(|problem| problem.reason.contains("needs a check")) {
        return Checked::Unreadable;
    }
    for problem in &report.problems {
        assert!(problem.reason.contains("pulled out"), "{problem:?}");
    }
    if report.problems.is_empty() {
        world.check_run(&report);
        world.check_points();
    } else {
        world.check_mirror();
        world.check_stage_empty();
        let again = world.run(None).unwrap();
        assert_eq!((again.new, again.changed, again.problems.len()), (0, 0, 0));
    }
    Checked::Repaired { lost: report.problems.len() }
}

/// What came of an image.
enum Checked {
    Repaired { lost: usize },
    Unreadable,
}

/// A drive with a first run on it, its source changed since.
struct Start {
    world: World,
    before: PathBuf,
}

/// Makes one in `place`; `more` files are mirrored and touched beside the scene's. Says why it cannot.
fn start(place: &Path, more: u32) -> Result<Start, String> {
    let before = place.join("before.img");
    blank(&before)?;
    let source = place.join("source");
    fs::create_dir(&source).unwrap();
    first_state(&source);
    let touch_more = |time: i64| {
        for number in 0..more {
            let path = format!("m/more/{number}");
            write(&source, &path, "");
            set_mtime(&source.join(path), (time, 0));
        }
    };
    touch_more(1_600_000_000);
    let drive = LoopDrive::of_image(&before, &place.join("first"), "exfat")?;
    let mut world = World::new(&source, drive.point(), rules(false)).one_worker();
    let report = world.run(None).unwrap();
    world.check_run(&report);
    second_state(&source);
    touch_more(1_600_000_002);
    world.set_rules(rules(true));
    Ok(Start { world, before })
}

/// What came of all images of a test.
#[derive(Default)]
struct Sum {
    runs: u32,
    sectors: usize,
    images: u32,
    lost: usize,
    unreadable: u32,
}

impl Sum {
    /// Adds an image of the run that was cut off after `k` operations, without the sector `gone`.
    fn add(&mut self, start: &Start, place: &Path, cut: &CutOff, k: u64, gone: usize) {
        let image = place.join("torn.img");
        without(cut, &[gone], &image);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&start.world, &image, place)
        }));
        match checked {
            Ok(Checked::Repaired { lost: more }) => self.lost += more,
            Ok(Checked::Unreadable) => self.unreadable += 1,
            Err(why) => {
                println!("failed at operation {k}, without the sector {gone}");
                std::panic::resume_unwind(why);
            }
        }
        self.images += 1;
    }

    fn print(&self) {
        println!(
            "{} images of {} runs, each without one of {} sectors in flight: {} versions in flight were lost; \
             {} images stayed unreadable after fsck.exfat",
            self.images, self.runs, self.sectors, self.lost, self.unreadable
        );
    }
}

/// Whether the run that was cut off had changed anything since the last sync outside of its records.
fn files_were_in_flight(world: &World, cut: &CutOff, place: &Path) -> bool {
    let files = |image: &Path| {
        let drive = LoopDrive::of_image(image, &place.join("in-flight"), "exfat").unwrap();
        let all = Snapshot::of(&world.at(drive.point()).repository()).0.into_iter();
        let files = all.filter(|(path, _)| !path.starts_with(b".bkm"));
        files.map(|(path, node)| (path, node.hash)).collect::<BTreeMap<_, _>>()
    };
    let durable = place.join("durable.img");
    fs::write(&durable, &cut.durable).unwrap();
    files(&durable) != files(&cut.written)
}

#[test]
fn sectors_that_are_lost_with_the_plug_cost_nothing_that_was_there_before() {
    let per_operation = support::number("BKM_SECTORS", 3);
    let outer = support::scratch();
    let place = outer.path();
    let start = match start(place, 0) {
        Ok(start) => start,
        Err(why) => return skipped(&why),
    };
    let mut sum = Sum::default();
    let mut k = 0;
    while let Some(cut) = cut_off(&start, place, BATCH, k) {
        sum.sectors += cut.dirty.len();
        let all = u64::try_from(cut.dirty.len()).unwrap();
        let first = usize::try_from(support::spread(&k.to_le_bytes(), all.max(1))).unwrap();
        let images = cut.dirty.len().min(per_operation as usize);
        for gone in cut.dirty.iter().cycle().skip(first).take(images) {
            sum.add(&start, place, &cut, k, *gone);
        }
        sum.runs += 1;
        k += 7;
    }
    sum.print();
    assert!(sum.images > 4 * sum.unreadable, "{} of {}", sum.unreadable, sum.images);
}

#[test]
fn sectors_that_are_lost_while_the_index_is_written_anew_or_appended_to_cost_no_index() {
    let per_operation = support::number("BKM_SECTORS", 5);
    let outer = support::scratch();
    let place = outer.path();
    // So many that both runs write it anew.
    let start = match start(place, 120) {
        Ok(start) => start,
        Err(why) => return skipped(&why),
    };
    let (appends, operations) = {
        let image = place.join("whole.img");
        copy(&start.before, &image);
        let drive = LoopDrive::of_image(&image, &place.join("whole"), "exfat").unwrap();
        let world = start.world.at(drive.point());
        let generation = || Repository::read_index(&world.tree()).unwrap().1.generation;
        assert_eq!(generation(), 2, "the first run did not write it anew");
        let [_, index, _] = layout::INDEX_PLACES.map(|place| world.repository().join(place));
        let last = Mutex::new(fs::read(&index).unwrap());
        let appends = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&appends);
        let faults = Arc::new_cyclic(|faults: &Weak<Faults>| {
            let faults = Weak::clone(faults);
            Faults::none().with_batches_of(LARGE_BATCH).after_sync(move || {
                let (mut last, now) = (last.lock().unwrap(), fs::read(&index).unwrap_or_default());
                if *last != now && !now.is_empty() {
                    // Written, and not synced yet.
                    kept.lock().unwrap().push(faults.upgrade().unwrap().count() - 1);
                    *last = now;
                }
            })
        });
        world.run(Some(Arc::clone(&faults))).unwrap();
        assert_eq!(generation(), 3, "the run did not write it anew");
        (std::mem::take(&mut *appends.lock().unwrap()), faults.count())
    };
    assert!(appends.len() > 4, "{appends:?}");
    let (mut sum, mut ended, mut elsewhere) = (Sum::default(), 0, 0);
    let last = operations.saturating_sub(LAST)..operations;
    for k in appends.into_iter().filter(|k| !last.contains(k)).chain(last.clone()) {
        // Two threads share the work of a run: on a busy machine it can take an operation less.
        let Some(cut) = (0..5).find_map(|_| cut_off(&start, place, LARGE_BATCH, k)) else {
            ended += 1;
            continue;
        };
        sum.sectors += cut.dirty.len();
        let before = (sum.lost, sum.unreadable);
        // First come the lists of clusters, the bitmap and the folders; the first sector is never there.
        for gone in cut.dirty.iter().filter(|sector| **sector != 0).take(per_operation as usize) {
            sum.add(&start, place, &cut, k, *gone);
        }
        // For the same reason the k-th operation can be another one, and files can be in flight.
        if (sum.lost, sum.unreadable) != before && files_were_in_flight(&start.world, &cut, place) {
            (sum.lost, sum.unreadable) = before;
            elsewhere += 1;
        }
        sum.runs += 1;
    }
    sum.print();
    assert!(ended < 2, "{ended} runs came to their end");
    assert!(elsewhere < 3, "{elsewhere} runs were cut off elsewhere");
    assert_eq!((sum.lost, sum.unreadable), (0, 0), "nothing but the index was in flight");
}

/// A name in the mirror that fills one entry of its folder, and one that lies there alone.
const TWICE: &str = "there-twice.txt";
const BESIDE: &str = "only-mirrored-1";

/// Bytes of an entry of a folder of exFAT, and of the three that a file with a short name has.
const ENTRY: usize = 32;
const FILE: usize = 3 * ENTRY;

/// Where the files called `name` have their entries.
fn entries(image: &[u8], name: &str) -> Vec<usize> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let is_name = |at: usize| image[at] == 0xc1 && image[at + 2..].starts_with(&name);
    (0..image.len()).step_by(ENTRY).filter(|at| is_name(*at)).map(|at| at + ENTRY - FILE).collect()
}

/// The same in the folder of the mirror; and where it ends.
fn in_mirror(image: &[u8], name: &str) -> (usize, usize) {
    let heap = u32::from_le_bytes(*image[0x58..].first_chunk().unwrap()) as usize * SECTOR;
    let cluster = SECTOR << image[0x6d];
    let folder = |at: usize| (at - heap) / cluster;
    let [beside] = *entries(image, BESIDE) else { panic!("{BESIDE} is not there once") };
    let mut found = entries(image, name).into_iter().filter(|at| folder(*at) == folder(beside));
    let (at, None) = (found.next().unwrap(), found.next()) else { panic!("{name} is there twice") };
    let end = (at..).step_by(ENTRY).find(|at| image[*at] == 0).unwrap();
    assert_eq!(folder(end + FILE), folder(at), "no room for one more");
    (at, end)
}

/// The clean state, the source changed since, and a run that was cut off right after it had put the new version
/// in the place of the old one.
fn replaced(place: &Path) -> Result<(Start, CutOff), String> {
    let before = place.join("before.img");
    let source = place.join("source");
    blank(&before)?;
    write(&source, &format!("d/{TWICE}"), "first");
    write(&source, &format!("d/{BESIDE}"), "beside");
    let drive = LoopDrive::of_image(&before, &place.join("first"), "exfat")?;
    let list = |rules: &[&str]| rules.iter().map(|&r| r.to_owned()).collect();
    let rules = RawRules {
        include_dirs: list(&["d"]),
        track_files: list(&[&format!("d/{TWICE}")]),
        ..RawRules::default()
    };
    let mut world = World::new(&source, drive.point(), rules).one_worker();
    let report = world.run(None).unwrap();
    world.check_run(&report);
    drop(drive);
    write(&source, &format!("d/{TWICE}"), "second, and longer");
    let start = Start { world, before };
    for k in 0.. {
        let cut = cut_off(&start, place, BATCH, k).unwrap();
        let drive = LoopDrive::of_image(&cut.written, &place.join("run"), "exfat")?;
        let there = fs::read(start.world.at(drive.point()).mirror().join("d").join(TWICE));
        if there.is_ok_and(|there| there.starts_with(b"second")) {
            return Ok((start, cut));
        }
    }
    unreachable!()
}

/// One sector of a folder has what left, another one what came: the folder has one name twice. A check of the file
/// system leaves both, and cuts the second off where they share their space.
#[test]
fn a_name_that_a_folder_has_twice_is_neither_lost_nor_in_the_way_for_ever() {
    let outer = support::scratch();
    let place = outer.path();
    let (start, cut) = match replaced(place) {
        Ok(replaced) => replaced,
        Err(why) => return println!("skipped: {why}"),
    };
    let written = fs::read(&cut.written).unwrap();
    let old = in_mirror(&cut.durable, TWICE).0;
    let old = &cut.durable[old..old + FILE];
    let (at, end) = in_mirror(&written, TWICE);
    let new = &written[at..at + FILE];
    assert_ne!(old, new);
    for (first, second) in [(old, new), (new, old)] {
        for checked in [false, true] {
            let torn = place.join("torn.img");
            let mut image = written.clone();
            image[at..at + FILE].copy_from_slice(first);
            image[end..end + FILE].copy_from_slice(second);
            fs::write(&torn, image).unwrap();
            if checked {
                fsck(&torn);
            }
            // The recovery is cut off as well, anywhere.
            for k in (0..).step_by(3) {
                let image = place.join("again.img");
                copy(&torn, &image);
                let drive = LoopDrive::of_image(&image, &place.join("again"), "exfat").unwrap();
                let mut world = start.world.at(drive.point());
                let faults = Arc::new(Faults::stop_after(k));
                let whole = world.run_checked(Some(faults), checked).is_ok();
                let report = world.run_checked(None, checked).unwrap();
                assert_eq!(report.problems, [], "{k}, checked: {checked}");
                if whole {
                    break;
                }
                world.check_run(&report);
                world.check_points();
                drop(drive);
                fsck(&image);
                let drive = LoopDrive::of_image(&image, &place.join("again"), "exfat").unwrap();
                let world = world.at(drive.point());
                let report = world.run_checked(None, true).unwrap();
                assert_eq!((report.warnings.len(), report.problems.len()), (0, 0), "{report:?}");
                world.check_old();
                world.check_mirror();
                world.check_points();
            }
        }
    }
}
