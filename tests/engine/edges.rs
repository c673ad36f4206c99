//! Places where a backup program goes wrong: one test for each, named after what must not happen.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;
use bkm_agent::repository::handle::Repository;
use bkm_agent::repository::layout;

use crate::support::edits::{delete, mtime, set_mtime};
use crate::support::needs::skipped;
use crate::support::profile;
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};

/// Writes other content of the same length and sets the time back, as encrypted containers do.
fn write_in_secret(path: &Path, content: &[u8]) {
    let time = mtime(path);
    fs::write(path, content).unwrap();
    set_mtime(path, time);
}

#[test]
fn a_file_that_was_changed_with_its_time_set_back_and_renamed_is_copied() {
    let (_folder, mut world) = World::fresh();
    world.write("container", "before");
    world.back_up();
    write_in_secret(&world.source.join("container"), b"behind");
    world.rename("container", "renamed");
    world.back_up();
    assert_eq!(fs::read(world.mirror().join("renamed")).unwrap(), b"behind");
    world.check_points();
}

/// What the last run said of `path`.
fn problem(report: &bkm_agent::backup::report::RunReport, path: &str) -> Option<String> {
    let found = report.problems.iter().find(|problem| problem.path.to_key() == path)?;
    Some(found.reason.clone())
}

#[test]
fn what_somebody_put_into_the_mirror_is_a_problem_of_that_file_alone() {
    let (_folder, mut world) = World::fresh();
    world.write("a", "one");
    world.write("edited", "one");
    world.write("removed", "one");
    world.back_up();
    // By hand, on the drive:
    fs::write(world.mirror().join("new"), "of somebody else").unwrap();
    fs::remove_file(world.mirror().join("edited")).unwrap();
    fs::write(world.mirror().join("edited"), "by somebody else").unwrap();
    fs::write(world.mirror().join("folder"), "where a folder goes").unwrap();
    fs::remove_file(world.mirror().join("removed")).unwrap();
    // In the source:
    for path in ["a", "new", "edited", "folder/x", "removed"] {
        world.write(path, "two, and longer");
    }
    let report = world.run(None).unwrap();
    for path in ["new", "edited", "folder", "folder/x"] {
        let said = problem(&report, path).unwrap_or_else(|| "nothing".to_owned());
        assert!(said.starts_with("not backed up: "), "{path}: {said}");
    }
    assert_eq!(report.problems.len(), 4, "{:?}", report.problems);
    assert_eq!((report.changed, report.new), (2, 0), "a, and what was removed on the drive");
    let mirror = world.mirror();
    let on_drive = |path: &str| fs::read_to_string(mirror.join(path)).unwrap();
    assert_eq!(on_drive("a"), "two, and longer");
    assert_eq!(on_drive("removed"), "two, and longer");
    assert_eq!(on_drive("new"), "of somebody else");
    assert_eq!(on_drive("edited"), "by somebody else");
    assert_eq!(fs::read_dir(world.repository().join(".bkm/stage")).unwrap().count(), 0);
    // Moved away, as the message says, the next run puts everything in its place.
    for path in ["new", "edited", "folder"] {
        fs::remove_file(world.mirror().join(path)).unwrap();
    }
    world.back_up();
    for path in ["new", "edited", "folder/x"] {
        assert_eq!(on_drive(path), "two, and longer", "{path}");
    }
}

/// What stands in the way in the mirror and has nothing that would be lost, as an unclean end can leave it long
/// after: the next run takes it away by itself, in both ways of keeping versions.
#[test]
fn what_holds_nothing_is_in_the_way_of_nothing() {
    for links in [true, false] {
        let (_folder, world) = World::fresh();
        let mut world = if links { world } else { world.without_links() };
        for path in ["changed", "gone", "to-folder", "full"] {
            world.write(path, "one");
        }
        world.write("in/it", "one");
        world.back_up();
        let mirror = world.mirror();
        // What was cut off, and what no record knows.
        for path in ["changed", "gone"] {
            fs::remove_file(mirror.join(path)).unwrap();
            fs::write(mirror.join(path), "").unwrap();
        }
        for (path, content) in
            [("new", ""), ("new-whole", "two, and longer"), ("new-half", "two, a"), ("folder", "")]
        {
            fs::write(mirror.join(path), content).unwrap();
        }
        fs::create_dir(mirror.join("new-folder")).unwrap();
        delete(&mirror.join("in"));
        fs::write(mirror.join("in"), "").unwrap();
        fs::remove_file(mirror.join("to-folder")).unwrap();
        fs::write(mirror.join("to-folder"), "").unwrap();
        // What a person put there.
        fs::write(mirror.join("of-somebody"), "two, but other").unwrap();
        fs::create_dir_all(mirror.join("folder-of-somebody/x")).unwrap();
        let changed =
            ["changed", "new", "new-whole", "new-half", "folder/x", "new-folder", "in/it"];
        let kept = ["folder-of-somebody", "of-somebody"];
        for path in changed.into_iter().chain(kept).chain(["full"]) {
            world.write(path, "two, and longer");
        }
        delete(&world.source.join("gone"));
        delete(&world.source.join("to-folder"));
        world.write("to-folder/x", "two, and longer");
        let report = world.run(None).unwrap();
        let problems: Vec<_> = report.problems.iter().map(|p| p.path.to_key()).collect();
        assert_eq!(problems, kept.map(str::to_owned), "{:?}", report.problems);
        let noted = |path: &str| {
            let mut notes = report.notes.iter().filter(|note| note.reason.ends_with("set aside"));
            notes.any(|note| note.path.to_key() == path)
        };
        for path in ["changed", "gone", "new", "new-whole", "new-half", "new-folder"] {
            assert!(noted(path), "{path}: {:?}", report.notes);
        }
        for path in changed.into_iter().chain(["full", "to-folder/x"]) {
            let there = fs::read_to_string(mirror.join(path)).unwrap();
            assert_eq!(there, "two, and longer", "{path}");
        }
        assert!(!mirror.join("gone").exists());
        assert_eq!(fs::read_to_string(mirror.join("of-somebody")).unwrap(), "two, but other");
        assert!(mirror.join("folder-of-somebody/x").is_dir());
        world.check_stage_empty();
        // Without a journal nothing is unlinked before the file system was checked.
        let aside = world.repository().join(layout::unchecked(1));
        let set_aside = || fs::read_dir(&aside).map_or(0, Iterator::count);
        assert_eq!(set_aside(), if links { 0 } else { 9 });
        for path in kept {
            delete(&mirror.join(path));
        }
        let report = world.run_checked(None, true).unwrap();
        assert_eq!((report.problems.len(), report.warnings.len()), (0, 0), "{report:?}");
        world.check_mirror();
        assert_eq!(set_aside(), 0);
    }
}

/// A world on a drive without links with `a`, and what an unclean end set aside: a whole copy of it.
fn with_a_copy_set_aside(path: &str) -> (tempfile::TempDir, World) {
    let (folder, world) = World::fresh();
    let mut world = world.without_links();
    world.write(path, "one");
    world.write("other", "other");
    world.back_up();
    let aside = world.repository().join(layout::unchecked(1));
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("aside-1"), "one").unwrap();
    (folder, world)
}

/// What was set aside gives back a version, but never takes the place of what somebody put there meanwhile; it
/// waits until that is gone.
#[test]
fn a_version_that_comes_back_after_a_check_takes_nobody_elses_place() {
    let place = Path::new("d/a");
    let in_place = |mirror: &Path, kind: &str| {
        delete(&mirror.join(place));
        match kind {
            "file" => fs::write(mirror.join(place), "by somebody else").unwrap(),
            "link" => std::os::unix::fs::symlink("/etc", mirror.join(place)).unwrap(),
            "folder" => fs::create_dir_all(mirror.join(place).join("x")).unwrap(),
            "above" | "link above" => {
                delete(&mirror.join("d"));
                if kind == "above" {
                    fs::write(mirror.join("d"), "by somebody else").unwrap();
                } else {
                    std::os::unix::fs::symlink("/etc", mirror.join("d")).unwrap();
                }
            }
            _ => unreachable!(),
        }
    };
    for kind in ["file", "link", "folder", "above", "link above"] {
        let (_folder, world) = with_a_copy_set_aside("d/a");
        let mirror = world.mirror();
        in_place(&mirror, kind);
        let before = Snapshot::of(&mirror);
        let report =
            world.run_checked(None, true).unwrap_or_else(|e| panic!("{kind}: {}", words(&e)));
        assert_eq!(Snapshot::of(&mirror), before, "{kind}");
        assert_eq!(report.warnings.len(), 1, "{kind}: {report:?}");
        let aside = world.repository().join(layout::unchecked(1));
        assert_eq!(fs::read_to_string(aside.join("aside-1")).unwrap(), "one", "{kind}");
        // Once it is out of the way, the version comes back.
        delete(&mirror.join(if kind.contains("above") { Path::new("d") } else { place }));
        let report = world.run_checked(None, true).unwrap();
        assert_eq!(report.warnings.len(), 0, "{kind}: {report:?}");
        assert_eq!(fs::read_to_string(mirror.join(place)).unwrap(), "one", "{kind}");
        assert!(!aside.exists(), "{kind}");
        world.check_mirror();
    }
}

/// A check that cut a file off left its beginning.
#[test]
fn a_version_that_a_check_cut_off_comes_back_from_what_was_set_aside() {
    for left in ["", "on"] {
        let (_folder, world) = with_a_copy_set_aside("a");
        fs::write(world.mirror().join("a"), left).unwrap();
        let report = world.run_checked(None, true).unwrap();
        assert_eq!((report.problems.len(), report.warnings.len()), (0, 0), "{report:?}");
        world.check_mirror();
        assert!(!world.repository().join(layout::unchecked(1)).exists());
    }
}

/// A program that makes a file and writes to it a moment later is not robbed of it in between.
#[test]
fn what_somebody_writes_to_an_empty_file_while_it_is_looked_at_is_not_lost() {
    for links in [true, false] {
        let mut k = 1;
        let mut blocked = 0;
        loop {
            let (_folder, world) = World::fresh();
            let mut world = (if links { world } else { world.without_links() }).one_worker();
            world.write("a", "one");
            world.back_up();
            world.write("new", "two, and longer");
            let at = world.mirror().join("new");
            fs::write(&at, "").unwrap();
            let wrote = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let write = {
                let (wrote, at) = (Arc::clone(&wrote), at.clone());
                move || {
                    let empty = fs::metadata(&at).is_ok_and(|found| found.len() == 0);
                    if empty {
                        fs::write(&at, "of somebody").unwrap();
                        wrote.store(true, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            };
            let faults = Faults::none().before(k, write);
            let faults = Arc::new(if links { faults } else { faults.without_links() });
            let ran = world.run(Some(Arc::clone(&faults)));
            let done = faults.count() < k;
            if wrote.load(std::sync::atomic::Ordering::SeqCst) {
                assert_eq!(fs::read_to_string(&at).unwrap(), "of somebody", "{k}, links: {links}");
                let report = ran.unwrap_or_else(|e| panic!("{k}: {}", words(&e)));
                assert!(problem(&report, "new").is_some(), "{k}: {report:?}");
                blocked += 1;
            }
            if done {
                break;
            }
            k += 1;
        }
        assert!(blocked > 0);
    }
}

/// What may not be taken away is in the way of its own path alone.
#[test]
fn an_empty_file_that_cannot_be_taken_away_stops_only_itself() {
    for links in [true, false] {
        let (_folder, world) = World::fresh();
        let mut world = if links { world } else { world.without_links() };
        world.write("a", "one");
        world.back_up();
        let fixed = world.mirror().join("new");
        fs::write(&fixed, "").unwrap();
        let chattr = |flag: &str| {
            let changed = std::process::Command::new("chattr").arg(flag).arg(&fixed).output();
            changed.is_ok_and(|changed| changed.status.success())
        };
        if !chattr("+i") {
            return skipped("no file can be made immutable here");
        }
        for path in ["new", "more"] {
            world.write(path, "two, and longer");
        }
        let ran = world.run(None);
        assert!(chattr("-i"));
        let report = ran.unwrap_or_else(|e| panic!("{}", words(&e)));
        assert!(problem(&report, "new").is_some(), "{report:?}");
        assert_eq!((report.new, report.problems.len()), (1, 1));
        world.back_up();
    }
}

/// Thousands of them are set aside without looking for a free name from the start each time.
#[test]
fn thousands_of_empty_files_in_the_way_cost_no_more_than_each_of_them() {
    const MANY: u32 = 3000;
    let (_folder, world) = World::fresh();
    let mut world = world.without_links();
    world.write("a", "one");
    world.back_up();
    fs::create_dir(world.mirror().join("d")).unwrap();
    for number in 0..MANY {
        world.write(format!("d/{number}"), "two");
        fs::write(world.mirror().join(format!("d/{number}")), "").unwrap();
    }
    let since = std::time::Instant::now();
    let report = world.run(None).unwrap();
    println!("set aside {MANY} in {:?}", since.elapsed());
    assert_eq!((report.new, report.problems.len()), (u64::from(MANY), 0));
}

/// Between a pulled plug and the next run somebody works on the drive: what they put into the mirror at a path that
/// was in flight is still on the drive after the run that takes the batch back, and after a check.
#[test]
fn what_somebody_put_where_a_batch_was_in_flight_stays_on_the_drive() {
    let text = "of somebody, and not like anything else";
    let is_on_drive = |world: &World| {
        let hash = Some(blake3::hash(text.as_bytes()));
        Snapshot::of(&world.repository()).0.values().any(|node| node.hash == hash)
    };
    for (at, first_checked) in
        ["changed", "new", "d/gone"].into_iter().flat_map(|at| [(at, true), (at, false)])
    {
        let mut found = 0;
        for k in (0..).step_by(3) {
            let (_folder, world) = World::fresh();
            let mut world = world.without_links().one_worker();
            world.write("changed", "one");
            world.write("d/gone", "one");
            world.back_up();
            world.write("changed", "two, and longer");
            world.write("new", "two, and longer");
            delete(&world.source.join("d"));
            if world.run(Some(Arc::new(Faults::stop_after(k).without_links()))).is_ok() {
                break;
            }
            let path = world.mirror().join(at);
            if path.exists() {
                fs::remove_file(&path).unwrap();
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            for checked in [first_checked, true] {
                let report = world.run_checked(None, checked).unwrap();
                assert!(is_on_drive(&world), "{k} {at}, checked: {checked}");
                if fs::read_to_string(&path).is_ok_and(|there| there == text) {
                    continue;
                }
                assert_eq!(report.warnings.len(), 1, "{k} {at}: {report:?}");
                let aside = world.repository().join(layout::unchecked(1)).join("found");
                assert_eq!(fs::read_to_string(aside.join(at)).unwrap(), text, "{k} {at}");
                found += 1;
            }
        }
        assert!(found > 0, "{at}: nothing was set aside");
    }
}

#[test]
fn a_move_to_where_somebody_put_a_file_leaves_the_old_one() {
    let (_folder, mut world) = World::fresh();
    world.write("old", "content");
    world.write("other", "content");
    world.back_up();
    fs::write(world.mirror().join("new"), "of somebody else").unwrap();
    world.rename("old", "new");
    let report = world.run(None).unwrap();
    assert!(problem(&report, "new").is_some());
    assert_eq!(fs::read_to_string(world.mirror().join("old")).unwrap(), "content");
    assert_eq!(fs::read_to_string(world.mirror().join("new")).unwrap(), "of somebody else");
    fs::remove_file(world.mirror().join("new")).unwrap();
    world.back_up();
    assert!(!world.mirror().join("old").exists());
    world.check_points();
}

#[test]
fn files_of_a_renamed_folder_are_moved_without_being_read() {
    let (_folder, mut world) = World::fresh();
    world.write("old/a", "one");
    world.write("old/b", "two");
    set_mtime(&world.source.join("old/a"), (1_700_000_000, 5));
    set_mtime(&world.source.join("old/b"), (1_700_000_000, 6));
    world.back_up();
    world.rename("old", "new");
    let report = world.back_up();
    assert_eq!((report.moved, report.new, report.bytes_copied), (2, 0, 0));
}

#[test]
fn a_file_that_changes_its_hard_links_for_others_is_restored_with_the_right_ones() {
    let (_folder, mut world) = World::fresh();
    let link = |from: &str, to: &str| {
        fs::hard_link(world.source.join(from), world.source.join(to)).unwrap();
    };
    world.write("c", "the same in all of them");
    link("c", "f");
    link("c", "x");
    world.back_up();
    // f leaves the group of c and x, with the same content and time, and gets a link of its own.
    let (path, time) = (world.source.join("f"), mtime(&world.source.join("f")));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "the same in all of them").unwrap();
    set_mtime(&path, time);
    fs::hard_link(&path, world.source.join("d")).unwrap();
    world.back_up();
    world.check_points();
}

#[test]
fn a_file_with_as_many_links_as_the_drive_takes_gets_a_fresh_inode() {
    let (folder, mut world) = World::fresh();
    world.write("file", "content");
    world.write("other", "content of the other");
    world.back_up();
    // As after a thousand runs that changed its attributes.
    for name in ["file", "other"] {
        for number in 0..1000 {
            let link = folder.path().join(format!("{name}{number}"));
            fs::hard_link(world.mirror().join(name), link).unwrap();
        }
    }
    set_mtime(&world.source.join("file"), (1_600_000_000, 1));
    world.rename("other", "moved");
    let report = world.back_up();
    assert_eq!((report.touched, report.moved, report.new), (1, 1, 0));
    world.check_points();
}

#[test]
fn a_repository_in_use_is_left_alone_and_the_user_told_by_whom() {
    let (_folder, mut world) = World::fresh();
    world.write("file", "content");
    world.back_up();
    let lock = fs::File::open(world.repository().join(".bkm/lock")).unwrap();
    lock.try_lock().unwrap();
    world.write("file", "other content");
    let error = world.run(None).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(fs::read(world.mirror().join("file")).unwrap(), b"content");
    drop(lock);
    world.back_up();
}

#[test]
fn damaged_records_stop_the_run_with_a_word_about_repair() {
    for (file, places) in [("index", vec![3, 40, 70, 300]), ("format.json", vec![5])] {
        for place in places {
            let (_folder, mut world) = World::fresh();
            world.write("file", "content");
            world.write("another", "content");
            world.back_up();
            let path = world.repository().join(".bkm").join(file);
            let mut bytes = fs::read(&path).unwrap();
            bytes[place] ^= 0x20;
            fs::write(&path, bytes).unwrap();
            let before = Snapshot::of(&world.mirror());
            world.write("file", "other content");
            let error = words(&world.run(None).unwrap_err());
            assert!(error.contains("repair"), "{file}, byte {place}: {error}");
            assert_eq!(before.differences(&Snapshot::of(&world.mirror()), true), "");
        }
    }
}

#[test]
fn a_stamp_that_is_lost_costs_nothing() {
    for damage in [&b""[..], &[0; 9000], &[0xff; 9000]] {
        let (_folder, mut world) = World::fresh();
        world.write("file", "content");
        world.back_up();
        fs::write(world.repository().join(".bkm/stamp"), damage).unwrap();
        world.write("file", "other content");
        let report = world.back_up();
        assert_eq!((report.changed, report.unchanged), (1, 0));
        world.check_points();
    }
}

#[test]
fn runs_within_one_second_get_names_of_their_own() {
    let (_folder, mut world) = World::fresh();
    for number in 0..8 {
        world.write("file", format!("content {number}"));
        assert!(world.back_up().increment.is_some());
    }
    assert_eq!(world.increment_count(), 8);
    world.check_points();
}

#[test]
fn an_index_that_was_compacted_says_the_same_also_when_it_is_cut_off() {
    compact(true);
}

#[test]
fn an_index_is_compacted_without_a_rename_where_that_could_lose_it() {
    compact(false);
}

/// Compacts the index of a drive with or without hard links, cut off at each operation of that.
fn compact(links: bool) {
    let (_folder, mut world) = World::fresh();
    if !links {
        world = world.without_links();
    }
    let faults = |faults: Faults| Arc::new(if links { faults } else { faults.without_links() });
    world.set_rules(profile::all_mirrored());
    let path = |n: u32| format!("d{}/f{n}", n % 50);
    for n in 0..1500 {
        world.write(path(n), n.to_le_bytes());
    }
    world.run(None).unwrap();
    // The header counts how often the index was written anew.
    let name = |world: &World| {
        let places = layout::INDEX_PLACES.map(|place| world.repository().join(place));
        places.into_iter().find(|place| place.is_file()).unwrap()
    };
    let written = |world: &World| *fs::read(name(world)).unwrap().get(8).unwrap();
    // As much as pays a new base after three times.
    let touch_some = |world: &World, round: i64| {
        for n in 0..300 {
            set_mtime(&world.source.join(path(n)), (1_600_000_000 + round, 0));
        }
    };
    let mut operations = 0;
    for round in 0..2 {
        touch_some(&world, round);
        let counted = faults(Faults::none());
        world.run(Some(Arc::clone(&counted))).unwrap();
        operations = counted.count();
        assert_eq!(written(&world), 2, "the first run compacts, small ones do not");
    }
    let old = fs::read(name(&world)).unwrap();
    // The next run compacts: it is cut off at each of its last operations, which do that.
    touch_some(&world, 100);
    let mut cut_off = 0;
    for k in 0..operations + 30 {
        let cut = faults(Faults::stop_after(k));
        // What an earlier try left on a drive without a journal goes after a check.
        cut_off += u32::from(world.run_checked(Some(cut), k % 2 == 0).is_err());
    }
    assert!(cut_off > 5, "only {cut_off} runs were cut off");
    world.run_checked(None, true).unwrap();
    assert_eq!(written(&world), 3, "it was not compacted");
    if !links {
        // The removal of the old one, or the beginning of a newer one, is on the drive in spite of all.
        let [_, other, current] = layout::INDEX_PLACES.map(|place| world.repository().join(place));
        assert!(current.is_file());
        fs::create_dir(other.parent().unwrap()).unwrap();
        for left in [&old[..], old.get(..20).unwrap(), b""] {
            fs::write(&other, left).unwrap();
            assert_eq!(world.run(None).unwrap().unchanged, 1500);
        }
        // But the old one does not stand in for a new one that was finished and is damaged, or gone.
        let whole = fs::read(&current).unwrap();
        fs::write(&other, &old).unwrap();
        fs::write(&current, b"damaged").unwrap();
        let error = words(&world.run(None).unwrap_err());
        assert!(error.contains("repair"), "{error}");
        fs::remove_file(&current).unwrap();
        let error = words(&world.run(None).unwrap_err());
        assert!(error.contains("index is missing"), "{error}");
        fs::write(&current, whole).unwrap();
    }
    world.set_rules(profile::all_tracked());
    let report = world.run(None).unwrap();
    world.check_run(&report);
    world.check_points();
}

/// Without a journal a new index can look whole and lie where the drive has room for others.
#[test]
fn an_index_that_no_stamp_knows_is_not_gone_on_with_where_that_could_lose_it() {
    let (_folder, world) = World::fresh();
    let mut world = world.without_links();
    world.set_rules(profile::all_mirrored());
    let faults = |faults: Faults| Some(Arc::new(faults.without_links()));
    let touch = |world: &World, files: u32, time: u32| {
        for n in 0..files {
            world.write(format!("f{n}"), n.to_le_bytes());
            set_mtime(&world.source.join(format!("f{n}")), (1_600_000_000 + i64::from(time), 0));
        }
    };
    // Generations in the headers of the indexes that are there.
    let generations = |world: &World| {
        let places = layout::INDEX_PLACES.map(|place| world.repository().join(place));
        let whole = places.into_iter().filter(|place| place.is_file());
        whole.map(|place| (fs::read(&place).unwrap().get(8).copied(), place)).collect::<Vec<_>>()
    };
    touch(&world, 200, 0);
    world.run(faults(Faults::none())).unwrap();
    touch(&world, 200, 1);
    let counted = Arc::new(Faults::none().without_links());
    world.run(Some(Arc::clone(&counted))).unwrap();
    let mut unknown = 0;
    for back in 1..15 {
        touch(&world, 200, 2 * back);
        let cut = faults(Faults::stop_after(counted.count() - u64::from(back)));
        world.run(cut).unwrap_err();
        let known = Repository::read_index(&world.tree()).unwrap().1.generation;
        let newer = generations(&world)
            .into_iter()
            .find(|(generation, _)| generation.is_some_and(|newer| u64::from(newer) > known));
        if let Some((_, newer)) = newer {
            touch(&world, 1, 2 * back + 1);
            assert_eq!(world.run(faults(Faults::none())).unwrap().touched, 1);
            let length = fs::metadata(&newer).unwrap().len();
            fs::write(&newer, vec![0; usize::try_from(length).unwrap()]).unwrap();
            unknown += 1;
        }
        let report = world.run_checked(faults(Faults::none()), true).unwrap();
        assert_eq!((report.unchanged, generations(&world).len()), (200, 1), "{back}");
    }
    assert!(unknown > 3, "{unknown}");
}

/// What stood in the way is gone: the next run puts everything right, and then there is nothing to do.
fn heals(world: &mut World) {
    let report = world.run(None).unwrap();
    assert_eq!(report.problems, []);
    world.check_mirror();
    world.check_stage_empty();
    let again = world.run(None).unwrap();
    assert_eq!((again.new, again.changed, again.deleted, again.recovered), (0, 0, 0, false));
}

/// A world with `keep` and `path` backed up.
fn world_with(path: &str) -> (tempfile::TempDir, World) {
    let (folder, mut world) = World::fresh();
    world.write("keep", "keep");
    world.write(path, "one");
    world.back_up();
    (folder, world)
}

#[test]
fn a_folder_that_became_a_file_and_holds_a_foreign_file_on_the_drive_stops_only_itself() {
    for foreign in ["d/.DS_Store", "d/e/.directory"] {
        let (_folder, mut world) = world_with("d/e/x");
        fs::write(world.mirror().join(foreign), "of a file manager").unwrap();
        delete(&world.source.join("d"));
        world.write("d", "a file now");
        world.write("other", "new");
        let report = world.run(None).unwrap();
        assert!(problem(&report, "d").is_some(), "{report:?}");
        assert!(world.mirror().join("other").exists() && world.mirror().join(foreign).exists());
        delete(&world.mirror().join("d"));
        heals(&mut world);
    }
}

#[test]
fn a_file_that_became_a_folder_and_was_edited_on_the_drive_stops_only_itself() {
    let (_folder, mut world) = world_with("d");
    fs::remove_file(world.mirror().join("d")).unwrap();
    fs::write(world.mirror().join("d"), "by somebody else").unwrap();
    fs::remove_file(world.source.join("d")).unwrap();
    world.write("d/x", "in a folder now");
    world.write("other", "new");
    let report = world.run(None).unwrap();
    assert_eq!(report.problems.len(), 2, "d and d/x: {:?}", report.problems);
    assert!(world.mirror().join("other").exists());
    fs::remove_file(world.mirror().join("d")).unwrap();
    heals(&mut world);
}

#[test]
fn a_file_in_the_place_of_a_folder_on_the_drive_stops_only_what_lies_below() {
    for vanishes in [true, false] {
        let (_folder, mut world) = world_with("d/e/x");
        delete(&world.mirror().join("d"));
        fs::write(world.mirror().join("d"), "by somebody else").unwrap();
        if vanishes {
            delete(&world.source.join("d"));
        } else {
            fs::write(world.source.join("d/e/x"), "other content").unwrap();
        }
        world.write("other", "new");
        let report = world.run(None).unwrap();
        assert_eq!(problem(&report, "d/e/x").is_none(), vanishes, "{report:?}");
        assert!(world.mirror().join("other").exists());
        fs::remove_file(world.mirror().join("d")).unwrap();
        heals(&mut world);
    }
}

#[test]
fn a_folder_that_keeps_a_blocked_file_leaves_with_it() {
    let (_folder, mut world) = world_with("d/x");
    fs::remove_file(world.mirror().join("d/x")).unwrap();
    fs::write(world.mirror().join("d/x"), "by somebody else").unwrap();
    delete(&world.source.join("d"));
    assert!(problem(&world.run(None).unwrap(), "d/x").is_some());
    fs::remove_file(world.mirror().join("d/x")).unwrap();
    heals(&mut world);
}

#[test]
fn a_folder_whose_move_was_blocked_leaves_with_it() {
    let (_folder, mut world) = world_with("old/x");
    fs::write(world.mirror().join("new"), "of somebody else").unwrap();
    world.rename("old", "new");
    assert!(problem(&world.run(None).unwrap(), "new/x").is_some());
    fs::remove_file(world.mirror().join("new")).unwrap();
    heals(&mut world);
}

#[test]
fn a_touched_file_that_was_removed_on_the_drive_comes_back() {
    let (_folder, mut world) = world_with("x");
    fs::remove_file(world.mirror().join("x")).unwrap();
    set_mtime(&world.source.join("x"), (1_600_000_000, 1));
    world.back_up();
    world.check_points();
}

#[test]
fn a_moved_file_that_was_removed_on_the_drive_does_not_stay_at_its_old_path() {
    let (_folder, mut world) = world_with("old");
    fs::remove_file(world.mirror().join("old")).unwrap();
    world.rename("old", "new");
    world.back_up();
    world.check_points();
}

#[test]
fn a_fifo_in_the_place_of_the_part_of_a_large_file_does_not_hold_the_run() {
    let (_folder, mut world) = World::fresh();
    world.write("small", "first");
    world.back_up();
    world.write("large", vec![7; 33 << 20]);
    let stage = world.repository().join(".bkm/stage");
    let part = || {
        let mut names = fs::read_dir(&stage).unwrap().map(|entry| entry.unwrap().path());
        names.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-"))
    };
    // Cut off at one operation after the other until a part is left.
    let part = (1..).find_map(|k| {
        let _cut = world.run(Some(Arc::new(Faults::stop_after(k))));
        part()
    });
    let part = part.unwrap();
    fs::remove_file(&part).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &part, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    world.back_up();
    assert_eq!(fs::metadata(world.mirror().join("large")).unwrap().len(), 33 << 20);
    world.check_points();
}
