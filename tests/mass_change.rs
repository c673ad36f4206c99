//! Where too much of the source vanished or changed at once, the backup stays as it is until somebody
//! says that this is wanted (invariant 12).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says why it was skipped, and plays the person at the files"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;
#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bkm_agent::backup::error::RunError;
use bkm_agent::backup::report::RunReport;
use bkm_agent::config::profile::MassChange;
use bkm_agent::fs::faults::Faults;
use common::home::{Home, tree};
use serde_json::json;
use support::edits::set_mtime;
use support::profile;
use support::snapshot::Snapshot;
use support::world::{World, words};

/// Compares with a snapshot in which what differs from run to run is blanked.
macro_rules! shown {
    ($value:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => common::home::blanks() }, {
            insta::assert_snapshot!($value, @$snapshot)
        })
    };
}

/// A world in a scratch folder; everything is tracked.
fn world() -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let world = World::new(&source, &drive, profile::all_tracked());
    (folder, world)
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn counts(report: &RunReport) -> [u64; 5] {
    [report.new, report.changed, report.touched, report.moved, report.deleted]
}

/// A home whose profile allows two changes, and half of its six files.
fn home_with_limits() -> Home {
    let home = Home::new();
    let limits = json!({ "percent": 50, "files": 2 });
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": "~/there/backup", "mass_change": limits }),
    );
    for name in ["a", "b", "c", "d", "e", "f"] {
        home.write(&format!("work/{name}"), name);
    }
    home.done(&["run"]);
    home
}

#[test]
fn too_many_deletions_and_changes_are_refused_until_they_are_accepted() {
    let home = home_with_limits();
    let before = tree(&home.at("there"));
    for name in ["a", "b"] {
        fs::remove_file(home.at("work").join(name)).unwrap();
    }
    for name in ["c", "d"] {
        home.write(&format!("work/{name}"), "encrypted");
    }
    home.write("work/new", "of no weight");
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: 4 of the 6 tracked files in the backup vanished from the source /home/anna/work (2) or have other content (2): more than 50 % and more than 2 files. This is what ransomware, a disk that is not mounted or a wiped folder look like, so the backup stays as it is. Look at the source; if it is as you want it: bkm-agent run --profile docs --accept-mass-change
    ");
    assert_eq!(tree(&home.at("there")), before);
    shown!(home.shown(&["run", "--dry-run"]), @r"
    exit 1
    docs → /home/anna/there/backup
      changed  c
      changed  d
      new      new
      deleted  a
      deleted  b
      1 new, 2 changed, 0 touched, 0 moved, 2 deleted, 2 unchanged
      30 B to copy; nothing was written (dry run)
    --- stderr
    bkm-agent: docs: the run itself would be refused: 4 of the 6 tracked files in the backup vanished from the source /home/anna/work (2) or have other content (2): more than 50 % and more than 2 files. This is what ransomware, a disk that is not mounted or a wiped folder look like, so the backup stays as it is. Look at the source; if it is as you want it: bkm-agent run --profile docs --accept-mass-change
    ");
    let plan = home.bkm(&["run", "--dry-run", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert!(plan["refused"].as_str().unwrap().contains("4 of the 6 tracked files"), "{plan}");
    assert_eq!(tree(&home.at("there")), before);
    let status = home.done(&["status"]);
    assert!(status.contains(": failed: 4 of the 6 tracked files"), "{status}");

    let accepted = home.json(&["run", "--dry-run", "--json", "--accept-mass-change"]);
    assert!(accepted["refused"].is_null(), "{accepted}");
    assert_eq!(tree(&home.at("there")), before);
    let accepted = home.json(&["run", "--profile", "docs", "--accept-mass-change", "--json"]);
    assert_eq!((&accepted["deleted"], &accepted["changed"]), (&json!(2), &json!(2)));
    assert!(!home.at("there/backup/mirror/a").exists());
    assert_eq!(home.read("there/backup/mirror/c"), "encrypted");
    home.done(&["run"]);
    home.done(&[
        "restore",
        "--at",
        home.json(&["list", "--json"])[0]["name"].as_str().unwrap(),
        "--to",
        "out",
    ]);
    assert_eq!((home.read("out/a"), home.read("out/c")), ("a".to_owned(), "c".to_owned()));
}

#[test]
fn moves_touches_and_new_files_are_no_mass_change() {
    let home = home_with_limits();
    fs::create_dir(home.at("work/sub")).unwrap();
    for name in ["a", "b", "c"] {
        fs::rename(home.at("work").join(name), home.at("work/sub").join(name)).unwrap();
    }
    for name in ["d", "e", "f"] {
        set_mtime(&home.at("work").join(name), (1_500_000_000, 0));
        fs::set_permissions(home.at("work").join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for number in 0..9 {
        home.write(&format!("work/new{number}"), "new");
    }
    let report = home.json(&["run", "--json"]);
    assert_eq!(
        (&report["moved"], &report["touched"], &report["new"]),
        (&json!(3), &json!(3), &json!(9))
    );
}

#[test]
fn files_that_are_only_mirrored_are_no_mass_change() {
    let (_folder, mut world) = world();
    world.set_rules(profile::all_mirrored());
    for number in 0..9 {
        write(&world.source.join(number.to_string()), "content");
    }
    world.back_up();
    for number in 1..9 {
        write(&world.source.join(number.to_string()), "other content");
    }
    let limits = MassChange { percent: 1, files: 0 };
    let report = world.run_as(|profile, _| profile.mass_change = limits).unwrap();
    assert_eq!(counts(&report), [0, 8, 0, 0, 0]);
}

#[test]
fn a_run_after_a_change_of_rules_says_what_leaves_and_is_not_refused() {
    let home = home_with_limits();
    let limits = json!({ "percent": 50, "files": 2 });
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": "~/there/backup", "mass_change": limits,
            "exclude_files": ["[a-e]"] }),
    );
    let report = home.json(&["run", "--json"]);
    assert_eq!((&report["deleted"], report["notes"].as_array().unwrap().len()), (&json!(5), 5));
}

#[test]
fn by_default_half_of_the_files_and_more_than_a_thousand_are_refused() {
    let (_folder, world) = world();
    let path = |n: u32| world.source.join(format!("d{}/f{n}", n % 40));
    for n in 0..2001 {
        write(&path(n), n.to_le_bytes());
    }
    world.run(None).unwrap();
    let before = Snapshot::of(&world.repository());
    for n in 0..1000 {
        fs::remove_file(path(n)).unwrap();
    }
    write(&path(1000), "changed");
    let error = world.run(None).unwrap_err();
    let expected = RunError::MassChange {
        which: "--config test.json".to_owned(),
        path: world.source.clone(),
        tracked: 2001,
        deleted: 1000,
        changed: 1,
        limits: MassChange::default(),
    };
    assert_eq!(error.to_string(), expected.to_string());
    assert_eq!(before.differences(&Snapshot::of(&world.repository()), true), "");
    // One less is no more than half.
    write(&path(0), 0_u32.to_le_bytes());
    let report = world.run(None).unwrap();
    assert_eq!((report.deleted, report.changed), (999, 1));
}

#[test]
fn a_refused_run_still_ends_what_an_interrupted_one_left() {
    let (_folder, world) = world();
    let world = world.one_worker();
    for name in ["a", "b", "c"] {
        write(&world.source.join(name), name);
    }
    world.run(None).unwrap();
    write(&world.source.join("d"), "interrupted");
    // Cut off when its batch is in the index and not all is in its place.
    let is_cut = |k| {
        world.run(Some(Arc::new(Faults::stop_after(k)))).is_err() && world.index().is_unclosed()
    };
    assert!((0..200).any(is_cut), "no run was cut off within its batch");
    for name in ["a", "b", "c", "d"] {
        write(&world.source.join(name), "encrypted");
    }
    let limits = MassChange { percent: 50, files: 2 };
    let error = world.run_as(|profile, _| profile.mass_change = limits).unwrap_err();
    assert!(matches!(error, RunError::MassChange { .. }), "{}", words(&error));
    assert!(!world.index().is_unclosed());
    assert_eq!(fs::read_to_string(world.mirror().join("d")).unwrap(), "interrupted");
    assert_eq!(fs::read_to_string(world.mirror().join("a")).unwrap(), "a");
}
