//! Removing increments and versions: whatever goes, each point in time that stays can be restored as before, also
//! when the plug is pulled at any operation.
//!
//! `BKM_MODEL_CASES` raises the number of random histories, `BKM_FAULTS_STEP` sweeps every n-th operation only.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bkm_agent::fs::faults::Faults;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::prune::error::PruneError;
use bkm_agent::prune::removal::Wish;
use bkm_agent::repository::status::Status;
use proptest::prelude::*;

use crate::support::cases::each_case;
use crate::support::edits::{Edit, Editor, any_edit, keep};
use crate::support::world::World;
use crate::support::{self, profile};

/// Edits before each run, and which of the increments so far go after it (by bit).
type History = Vec<(Vec<Edit>, u16)>;

fn any_history() -> impl Strategy<Value = History> {
    let first = proptest::collection::vec(any_edit(), 15..40);
    let edits = proptest::collection::vec(any_edit(), 0..12);
    let later = proptest::collection::vec((edits, prop_oneof![Just(0), any::<u16>()]), 4..9);
    (first, later).prop_map(|(first, mut later)| {
        later.insert(0, (first, 0));
        later
    })
}

/// The increments of `mask` that can go.
fn going(world: &World, mask: u16) -> BTreeSet<u64> {
    let index = world.index();
    let newest = index.increments().iter().rev().find(|i| i.status == Status::Complete);
    let newest = newest.map_or(0, |newest| newest.sequence);
    let picked = index.increments().iter().enumerate().filter(|(n, _)| mask >> (n % 16) & 1 == 1);
    picked.map(|(_, i)| i.sequence).filter(|sequence| *sequence < newest).collect()
}

fn play(
    folder: &std::path::Path,
    links: bool,
    rules: &[bkm_agent::source::rules::RawRules],
    history: &History,
) {
    let (source, drive) = (folder.join("source"), folder.join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    keep(&source, "f1");
    let rule = |n: usize| rules.get(n % rules.len()).unwrap().clone();
    let mut world = World::new(&source, &drive, rule(0));
    if !links {
        world = world.without_links();
    }
    let mut editor = Editor::new(&source);
    for (n, (edits, mask)) in history.iter().enumerate() {
        for edit in edits {
            editor.edit(edit);
        }
        keep(&source, "f1");
        world.set_rules(rule(n));
        world.back_up();
        let going = going(&world, *mask);
        if !going.is_empty() {
            world.prune(&Wish::Increments(&going), None).unwrap_or_else(|e| {
                panic!("pruning {going:?} failed: {}", support::world::words(&e))
            });
            assert!(world.index().increments().iter().all(|i| !going.contains(&i.sequence)));
            world.learn_pruned();
        }
    }
    world.check_points();
}

fn check(links: bool, cases: u32, rules: &[bkm_agent::source::rules::RawRules]) {
    each_case(cases, 150, any_history(), |history| {
        let place = support::scratch();
        play(place.path(), links, rules, &history);
    });
}

#[test]
fn whatever_goes_the_points_that_stay_are_what_they_were() {
    check(true, 60, &[profile::all_tracked()]);
}

#[test]
fn the_same_on_a_drive_that_refuses_links() {
    check(false, 60, &[profile::all_tracked()]);
}

#[test]
fn the_same_with_rules_that_change() {
    let rules = [
        profile::all_tracked(),
        profile::mixed(),
        profile::all_mirrored(),
        profile::turned_round(),
    ];
    check(true, 30, &rules);
    check(false, 30, &rules);
}

/// A source in five states, each backed up; the increments 1, 2 and 4 are to go.
fn scene(links: bool) -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir_all(source.join("d/e")).unwrap();
    fs::create_dir(&drive).unwrap();
    let mut world = World::new(&source, &drive, profile::all_tracked()).one_worker();
    if !links {
        world = world.without_links();
    }
    let write = |path: &str, text: &str| {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let back_up = |world: &mut World| {
        let report = world.run(None).unwrap();
        world.check_run(&report);
    };
    for (path, text) in [
        ("stays", "1"),
        ("changes", "1"),
        ("d/goes", "1"),
        ("d/e/twice", "1"),
        ("turns", "1"),
        ("touched", "t"),
    ] {
        write(path, text);
    }
    back_up(&mut world);
    write("changes", "22");
    write("d/new", "2");
    write("short", "here for one run");
    fs::remove_file(source.join("turns")).unwrap();
    write("turns/inside", "2");
    back_up(&mut world);
    write("changes", "333");
    fs::remove_file(source.join("short")).unwrap();
    fs::remove_file(source.join("d/goes")).unwrap();
    write("d/e/twice", "33");
    back_up(&mut world);
    write("changes", "4444");
    write("d/e/twice", "444");
    fs::remove_dir_all(source.join("turns")).unwrap();
    write("turns", "4");
    fs::set_permissions(source.join("touched"), fs::Permissions::from_mode(0o600)).unwrap();
    back_up(&mut world);
    write("changes", "55555");
    fs::rename(source.join("d/new"), source.join("d/moved")).unwrap();
    back_up(&mut world);
    (folder, world)
}

const GOING: [u64; 3] = [1, 2, 4];

#[test]
fn a_removal_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    for links in [true, false] {
        let going = BTreeSet::from(GOING);
        let (_folder, world) = scene(links);
        let faults = Faults::none();
        let plan = world.prune(&Wish::Increments(&going), Some(faults)).unwrap();
        assert_eq!(plan.going.len(), 3);
        let mut k = 0;
        loop {
            let (_folder, mut world) = scene(links);
            let cut = world.prune(&Wish::Increments(&going), Some(Faults::stop_after(k)));
            // A restore from the drive as it was left.
            world.check_listed_points();
            if cut.is_ok() {
                world.learn_pruned();
                break;
            }
            let again = world.run_checked(None, k % 2 == 0);
            let again = again.unwrap_or_else(|e| {
                panic!("links {links}, cut off at {k}: {}", support::world::words(&e))
            });
            assert_eq!(again.problems, [], "links {links}, cut off at {k}");
            let left = world.index().increments().len();
            assert!(left == 2 || left == 5, "links {links}, cut off at {k}: {left} increments");
            world.learn_pruned();
            k += u64::from(support::number("BKM_FAULTS_STEP", 1));
        }
        println!("links {links}: {k} points swept");
        assert!(k >= 40, "only {k} operations");
    }
}

#[test]
fn finishing_a_removal_can_be_cut_off_as_well() {
    for links in [true, false] {
        let going = BTreeSet::from(GOING);
        for k in (8..60).step_by(7) {
            for j in (0..60).step_by(6) {
                let (_folder, mut world) = scene(links);
                let cut = world.prune(&Wish::Increments(&going), Some(Faults::stop_after(k)));
                if cut.is_ok() {
                    continue;
                }
                let faults = Faults::stop_after(j);
                let faults = if links { faults } else { faults.without_links() };
                let _cut = world.run_checked(Some(std::sync::Arc::new(faults)), j % 4 < 2);
                world.check_listed_points();
                let again = world.run_checked(None, j % 4 < 2);
                let again = again.unwrap_or_else(|e| {
                    panic!("links {links}, {k} and {j}: {}", support::world::words(&e))
                });
                assert_eq!(again.problems, [], "links {links}, {k} and {j}");
                world.learn_pruned();
            }
        }
    }
}

#[test]
fn what_goes_frees_what_it_says() {
    let (_folder, world) = scene(true);
    let before = bytes_on_drive(&world);
    let plan = world.prune(&Wish::Increments(&BTreeSet::from(GOING)), None).unwrap();
    let after = bytes_on_drive(&world);
    assert_eq!(before - after, plan.frees, "{:?}", plan.going);
    assert!(plan.frees > 0);
}

/// Bytes of content, each inode once.
fn bytes_on_drive(world: &World) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut inodes = std::collections::BTreeMap::new();
    let mut folders = vec![world.repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let record = path.extension().is_some_and(|e| e == "json")
                || path.ends_with(".bkm")
                || path.ends_with("browse");
            if meta.is_dir() && !record {
                folders.push(path);
            } else if meta.is_file() && !record {
                inodes.insert(meta.ino(), meta.len());
            }
        }
    }
    inodes.values().sum()
}

#[test]
fn the_newest_complete_increment_cannot_go() {
    let (_folder, world) = scene(true);
    let refused = world.prune(&Wish::Increments(&BTreeSet::from([5])), None).unwrap_err();
    assert!(matches!(refused, PruneError::Newest), "{refused}");
}

#[test]
fn what_somebody_put_into_an_increment_is_not_removed() {
    let (_folder, mut world) = scene(true);
    let index = world.index();
    let name = &index.increments().first().unwrap().name;
    let note = world.repository().join(name).join("track/my own note.txt");
    fs::write(&note, "mine").unwrap();
    let refused = world.prune(&Wish::Increments(&BTreeSet::from(GOING)), None).unwrap_err();
    assert!(refused.to_string().contains("my own note.txt"), "{refused}");
    assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
    fs::remove_file(&note).unwrap();
    world.learn_pruned();
}

#[test]
fn what_stands_in_the_way_of_a_version_that_moves_is_told_before_anything_is_begun() {
    let (_folder, mut world) = scene(true);
    let third = world.index().increments().get(2).unwrap().name.clone();
    let note = world.repository().join(third).join("track/turns");
    fs::write(&note, "mine").unwrap();
    let refused = world.prune(&Wish::Increments(&BTreeSet::from([1, 2])), None).unwrap_err();
    assert!(refused.to_string().contains("track/turns"), "{refused}");
    assert!(!world.index().is_unclosed());
    assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
    fs::remove_file(&note).unwrap();
    world.prune(&Wish::Increments(&BTreeSet::from([1, 2])), None).unwrap();
    world.learn_pruned();
}

#[test]
fn a_version_that_is_deleted_is_gone_at_that_point_alone() {
    for links in [true, false] {
        let (_folder, mut world) = scene(links);
        let index = world.index();
        let names: Vec<String> = index.increments().iter().map(|i| i.name.clone()).collect();
        let [first, second, third, ..] = names.as_slice() else { panic!("{names:?}") };
        let is = |wanted: &'static str| move |path: &RelPath| path.as_bytes() == wanted.as_bytes();

        // The second version is replaced by the third run, so it goes for good.
        let changes = is("changes");
        let plan = world.prune(&Wish::Versions(second, &changes), None).unwrap();
        assert_eq!(plan.frees, 2, "links {links}");
        world.forget(2, "changes");
        world.learn_pruned();

        // What later points show moves on.
        let stays = is("stays");
        let plan = world.prune(&Wish::Versions(first, &stays), None).unwrap();
        assert_eq!(plan.frees, 0, "links {links}");
        world.forget(1, "stays");
        world.learn_pruned();
        let plan = world.prune(&Wish::Versions(second, &stays), None).unwrap();
        assert_eq!((plan.frees, plan.going.len()), (0, 1), "links {links}");
        world.forget(2, "stays");
        world.learn_pruned();

        // The last version of a file that was deleted in the source.
        let goes = is("d/goes");
        for name in [first, second] {
            world.prune(&Wish::Versions(name, &goes), None).unwrap_or_else(|e| panic!("{e}"));
        }
        world.forget(1, "d/goes");
        world.forget(2, "d/goes");
        world.learn_pruned();
        let plan = world.prune(&Wish::Versions(third, &goes), None).unwrap();
        assert_eq!(plan.frees, 1, "links {links}: {:?}", plan.going);
        world.learn_pruned();

        let last = names.last().unwrap();
        let refused = world.prune(&Wish::Versions(last, &changes), None).unwrap_err();
        assert!(refused.to_string().contains("newest"), "{refused}");
    }
}
