//! Where too much of the source vanished or changed at once: what the person is told, and how they accept it
//! (invariant 12).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::edits::set_mtime;
use crate::support::home::{Home, tree};

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
