//! The product's invariant as a property: whatever happens to a source between runs, no old version
//! changes, the mirror is the source, and every point in time can be restored.
//!
//! `BKM_MODEL_CASES` raises the number of cases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::path::Path;

use bkm_agent::source::rules::RawRules;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use support::edits::{Edit, Editor, any_edit};
use support::loop_drive::LoopDrive;
use support::profile;
use support::world::World;

/// Edits before each of the runs.
fn any_history(runs: usize) -> impl Strategy<Value = Vec<Vec<Edit>>> {
    let first = proptest::collection::vec(any_edit(), 20..60);
    let later = proptest::collection::vec(proptest::collection::vec(any_edit(), 0..14), runs);
    (first, later).prop_map(|(first, mut later)| {
        later.insert(0, first);
        later
    })
}

/// Plays `history` with a source below `folder` and a backup on `drive`; run n has the n-th rules, over and over.
fn play(folder: &Path, drive: &Path, links: bool, rules: &[RawRules], history: &[Vec<Edit>]) {
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

fn check(cases: u32, runs: usize, rules: &[RawRules], folder: Option<&Path>) {
    check_with(true, cases, runs, rules, folder);
}

fn check_with(links: bool, cases: u32, runs: usize, rules: &[RawRules], folder: Option<&Path>) {
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

fn check_on(fs: &str) {
    match LoopDrive::new(fs, if fs == "xfs" { 320 } else { 256 }) {
        Err(why) => println!("skipped: {why}"),
        Ok(drive) => {
            check(8, 5, &[profile::all_tracked()], Some(drive.point()));
            check(4, 5, &[profile::mixed(), profile::turned_round()], Some(drive.point()));
        }
    }
}

#[test]
fn everything_tracked_comes_back_as_of_every_run() {
    check(60, 8, &[profile::all_tracked()], None);
}

#[test]
fn tracked_files_come_back_beside_mirrored_ones() {
    check(40, 8, &[profile::mixed()], None);
}

#[test]
fn a_mirror_without_versions_is_the_source() {
    check(20, 6, &[profile::all_mirrored()], None);
}

#[test]
fn rules_that_change_between_runs_lose_nothing() {
    let rules = [
        profile::all_tracked(),
        profile::mixed(),
        profile::all_mirrored(),
        profile::turned_round(),
        profile::all_tracked(),
    ];
    check(60, 9, &rules, None);
}

#[test]
fn an_ext4_drive_keeps_every_version() {
    check_on("ext4");
}

#[test]
fn an_xfs_drive_keeps_every_version() {
    check_on("xfs");
}

#[test]
fn a_btrfs_drive_keeps_every_version() {
    check_on("btrfs");
}

#[test]
fn an_exfat_drive_keeps_every_version() {
    check_on("exfat");
}

#[test]
fn a_fat_drive_keeps_every_version() {
    match LoopDrive::new("vfat", 64) {
        Ok(drive) if can_append(drive.point()) => check_on("vfat"),
        Ok(_) => println!("skipped: the FAT driver that is here cannot append to a file"),
        Err(why) => println!("skipped: {why}"),
    }
}

/// What every program that keeps a log needs; the FUSE driver `fusefat` answers EPERM.
fn can_append(drive: &Path) -> bool {
    let file = drive.join("file");
    std::fs::write(&file, "one").unwrap();
    let opened = std::fs::OpenOptions::new().append(true).open(&file);
    opened.and_then(|mut file| std::io::Write::write_all(&mut file, b"two")).is_ok()
}

#[test]
fn an_ntfs_drive_keeps_every_version() {
    check_on("ntfs");
}

#[test]
fn a_drive_that_refuses_links_keeps_every_version() {
    check_with(false, 60, 8, &[profile::all_tracked()], None);
}

#[test]
fn a_drive_that_refuses_links_keeps_what_rules_that_change_leave() {
    let rules = [
        profile::all_tracked(),
        profile::mixed(),
        profile::all_mirrored(),
        profile::turned_round(),
        profile::all_tracked(),
    ];
    check_with(false, 60, 9, &rules, None);
}
