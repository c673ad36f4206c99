//! The invariant as a property: whatever happens to a source between runs, no old version changes, the mirror is
//! the source, and every point in time can be restored.

use std::path::Path;

use bkm_agent::source::rules::RawRules;
use proptest::prelude::*;

use super::cases::each_case;
use super::edits::{Edit, Editor, any_edit, keep};
use super::world::World;
use crate::support;

/// Edits before each of the runs.
pub(crate) fn any_history(runs: usize) -> impl Strategy<Value = Vec<Vec<Edit>>> {
    let first = proptest::collection::vec(any_edit(), 20..60);
    let later = proptest::collection::vec(proptest::collection::vec(any_edit(), 0..14), runs);
    (first, later).prop_map(|(first, mut later)| {
        later.insert(0, first);
        later
    })
}

/// Plays `history` with a source below `folder` and a backup on `drive`; run n has the n-th rules, over and over.
pub(crate) fn play(
    folder: &Path,
    drive: &Path,
    links: bool,
    rules: &[RawRules],
    history: &[Vec<Edit>],
) {
    let source = folder.join("source");
    std::fs::create_dir(&source).unwrap();
    // One file that stays and that all rules select: an empty source is refused, as it should be.
    keep(&source, "f1");
    let mut world = World::new(&source, drive, rules[0].clone());
    if !links {
        world = world.without_links();
    }
    let mut editor = Editor::new(&source);
    for (edits, rules) in history.iter().zip(rules.iter().cycle()) {
        for edit in edits {
            editor.edit(edit);
        }
        keep(&source, "f1");
        world.set_rules(rules.clone());
        world.back_up();
    }
    world.check_points();
}

pub(crate) fn check(
    links: bool,
    cases: u32,
    runs: usize,
    rules: &[RawRules],
    folder: Option<&Path>,
) {
    each_case(cases, 150, any_history(runs), |history| {
        let place = support::scratch();
        let drive = match folder {
            Some(folder) => tempfile::tempdir_in(folder).unwrap(),
            None => support::scratch(),
        };
        play(place.path(), drive.path(), links, rules, &history);
    });
}
