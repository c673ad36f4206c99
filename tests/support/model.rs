//! The invariant as a property: whatever happens to a source between runs, no old version changes, the mirror is
//! the source, and every point in time can be restored.

use std::path::Path;

use bkm_agent::select::rules::RawRules;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::edits::{Edit, Editor, any_edit};
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
    std::fs::write(source.join("f1"), "stays").unwrap();
    let mut world = World::new(&source, drive, rules[0].clone());
    if !links {
        world = world.without_links();
    }
    let mut editor = Editor::new(&source);
    for (edits, rules) in history.iter().zip(rules.iter().cycle()) {
        for edit in edits {
            editor.edit(edit);
        }
        if !source.join("f1").is_file() {
            if source.join("f1").symlink_metadata().is_ok() {
                support::edits::delete(&source.join("f1"));
            }
            std::fs::write(source.join("f1"), "stays").unwrap();
        }
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
    let config = Config {
        cases: support::number("BKM_MODEL_CASES", cases),
        failure_persistence: None,
        max_shrink_iters: 150,
        ..Config::default()
    };
    let played = TestRunner::new(config).run(&any_history(runs), |history| {
        let place = support::scratch();
        let drive = match folder {
            Some(folder) => tempfile::tempdir_in(folder).unwrap(),
            None => support::scratch(),
        };
        let played = std::panic::catch_unwind(|| {
            play(place.path(), drive.path(), links, rules, &history);
        });
        played.map_err(|why| {
            let text = why.downcast_ref::<String>().cloned();
            TestCaseError::fail(text.unwrap_or_else(|| "a check failed".to_owned()))
        })
    });
    if let Err(e) = played {
        panic!("{e}");
    }
}
