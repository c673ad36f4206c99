//! Restoring one point in time over another, as a property: whatever the history, each way of treating what
//! exists keeps its word, on drives with and without hard links.
//!
//! `BKM_MODEL_CASES` raises the number of cases.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bkm_agent::fs::tree::handle::Tree;
use bkm_agent::history::timeline::{self, Versions};
use bkm_agent::restore::options::{Existing, How};
use bkm_agent::restore::report::{Action, Restored};
use bkm_agent::restore::run;
use bkm_agent::restore::selection::Selection;
use proptest::prelude::*;

use crate::support::cases::each_case;
use crate::support::edits::{Edit, Editor, any_edit};
use crate::support::snapshot::{Node, Snapshot, shown};
use crate::support::world::World;
use crate::support::{self, profile};

/// Restores `versions` over what is at `to`. A look before must say what is done then, and write nothing.
fn over(world: &World, versions: &Versions, to: &Path, existing: Existing) -> Restored {
    let (repository, destination) = (world.tree(), Tree::open(to).unwrap());
    let all = Selection::new(Vec::new(), &[]).unwrap();
    let (stop, how) = (AtomicBool::new(false), How { existing, ..How::default() });
    let before = Snapshot::of(to);
    let looked =
        run::preview(&repository, versions, &all, Some(&destination), how.clone(), &stop, &|_| {})
            .unwrap();
    assert_eq!(before.differences(&Snapshot::of(to), true), "", "looking wrote something");
    let done =
        run::restore(&repository, versions, &all, &destination, how, &stop, &|_| {}).unwrap();
    let count = |actions: &[Action]| {
        looked.steps.iter().filter(|step| actions.contains(&step.action)).count() as u64
    };
    // A twin of a file that is replaced is found replaced, or not, when its turn comes.
    let put = count(&[Action::Restore, Action::Replace, Action::Beside]);
    let there = count(&[Action::Same, Action::Attributes]);
    assert_eq!(put + there, done.restored + done.already_there, "{existing:?}");
    assert_eq!((count(&[Action::Leave]), looked.problems), (done.left, done.problems.clone()));
    done
}

/// The same but for inodes and links to others, which depend on what else is there; of folders the time
/// counts only with `times`.
fn same(one: &Node, other: &Node, times: bool) -> bool {
    let plain = |node: &Node| {
        let mtime_ns = if node.kind == "folder" && !times { 0 } else { node.mtime_ns };
        Node { ino: 0, twin_of: None, mtime_ns, ..node.clone() }
    };
    plain(one) == plain(other)
}

fn check(world: &World, then: &Versions, base: &Versions, existing: Existing) {
    let (fresh, to) = (support::scratch(), support::scratch());
    let nothing = |versions: &Versions| versions.is_empty();
    if nothing(then) {
        return;
    }
    world.restore(then, fresh.path());
    if !nothing(base) {
        world.restore(base, to.path());
    }
    let (wanted, before) = (Snapshot::of(fresh.path()), Snapshot::of(to.path()));
    let done = over(world, then, to.path(), existing);
    let after = Snapshot::of(to.path());
    let problems: BTreeSet<&[u8]> = done.problems.iter().map(|p| p.path.as_bytes()).collect();
    let what = |path: &[u8]| format!("{existing:?}: {}", shown(path));
    for (path, node) in &wanted.0 {
        let Some(was) = before.0.get(path) else {
            let there = after.0.get(path).is_some_and(|now| same(node, now, true));
            assert!(there || problems.contains(&path[..]), "missing or other: {}", what(path));
            continue;
        };
        let now = &after.0[path];
        match existing {
            Existing::Replace => {
                assert!(same(node, now, true) || problems.contains(&path[..]), "{}", what(path));
            }
            _ if node.kind == "folder" => {}
            _ => {
                assert!(same(was, now, false), "was changed: {}", what(path));
                let content =
                    node.kind == was.kind && (node.hash, &node.target) == (was.hash, &was.target);
                let beside = done.beside.iter().find(|(from, _)| from.as_bytes() == &path[..]);
                match existing {
                    Existing::Name => {
                        assert_eq!(content, !problems.contains(&path[..]), "{}", what(path));
                    }
                    Existing::KeepBoth => assert_eq!(
                        content,
                        beside.is_none_or(|(_, to)| !same(node, &after.0[to.as_bytes()], true)),
                        "{}",
                        what(path)
                    ),
                    _ => {}
                }
            }
        }
    }
    for (path, was) in before.0.iter().filter(|(path, _)| !wanted.0.contains_key(*path)) {
        // Of what the backup has not then, only an empty folder can go, and what a folder takes the place of.
        let turned = wanted
            .0
            .keys()
            .any(|other| other.starts_with(path) && other.get(path.len()) == Some(&b'/'));
        let kept = after.0.get(path).is_some_and(|now| same(was, now, false));
        assert!(kept || (turned && existing == Existing::Replace), "is gone: {}", what(path));
    }
    // Once more there is nothing left to do.
    let again = over(world, then, to.path(), existing);
    assert_eq!(again.restored, 0, "{existing:?}");
    assert_eq!(again.problems, done.problems);
    let differences = after.differences(&Snapshot::of(to.path()), false);
    assert_eq!(differences, "", "{existing:?} a second time");
}

fn play(links: bool, history: &[Vec<Edit>], picks: &[(prop::sample::Index, prop::sample::Index)]) {
    let (source, drive) = (support::scratch(), support::scratch());
    let mut world = World::new(source.path(), drive.path(), profile::all_tracked());
    if !links {
        world = world.without_links();
    }
    let mut editor = Editor::new(source.path());
    for edits in history {
        for edit in edits {
            editor.edit(edit);
        }
        // An empty source is refused, as it should be.
        let stays = source.path().join("stays");
        if !stays.is_file() {
            if stays.symlink_metadata().is_ok() {
                support::edits::delete(&stays);
            }
            std::fs::write(stays, "stays").unwrap();
        }
        world.back_up();
    }
    let index = world.index();
    let points: Vec<Versions> = index
        .increments()
        .iter()
        .map(|increment| timeline::at(&world.tree(), &index, increment.sequence).unwrap())
        .collect();
    let modes = [Existing::Name, Existing::Leave, Existing::Replace, Existing::KeepBoth];
    for (then, base) in picks {
        for existing in modes {
            check(&world, then.get(&points), base.get(&points), existing);
        }
    }
}

fn cases(links: bool) {
    let first = proptest::collection::vec(any_edit(), 20..50);
    let later = proptest::collection::vec(proptest::collection::vec(any_edit(), 1..14), 1..4);
    let picks =
        proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 2);
    let strategy = (first, later, picks).prop_map(|(first, mut later, picks)| {
        later.insert(0, first);
        (later, picks)
    });
    each_case(16, 150, strategy, |(history, picks)| play(links, &history, &picks));
}

#[test]
fn each_way_of_treating_what_exists_keeps_its_word() {
    cases(true);
}

#[test]
fn each_way_keeps_its_word_with_versions_that_lie_in_the_mirror() {
    cases(false);
}
