//! `prune`, `delete` and a profile's retention as a person meets them: what is said before, what is gone after, and
//! when nothing goes.

use std::fs;

use serde_json::{Value, json};

use crate::support::home::{Home, tree};

/// A home with four runs; each changes `a.txt`.
fn home_with_runs(retention: &Value) -> Home {
    let home = Home::new();
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/there/backup" }));
    home.write("work/stays.txt", "stays");
    for run in 1..=4 {
        home.write("work/a.txt", &run.to_string().repeat(run * 100));
        home.done(&["run"]);
    }
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": "~/there/backup", "retention": retention }),
    );
    home
}

fn names(home: &Home) -> Vec<String> {
    let listed = home.json(&["list", "--json"]);
    listed.as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_dry_run_says_what_goes_and_why_and_writes_nothing() {
    let home = home_with_runs(&json!({ "keep_last": 2 }));
    let all = names(&home);
    let before = tree(&home.at("there"));
    let said = home.done(&["prune", "--dry-run"]);
    assert_eq!(tree(&home.at("there")), before);
    for (name, what) in [
        (&all[0], "no rule keeps it"),
        (&all[1], "no rule keeps it"),
        (&all[2], "kept: last 2"),
        (&all[3], "kept: newest, last 2"),
    ] {
        let is_its = |line: &&str| line.trim_start_matches(['-', ' ']).starts_with(name.as_str());
        let line = said.lines().find(is_its).unwrap();
        assert!(line.contains(what), "{said}");
    }
    // The first two versions of a.txt; stays.txt moves.
    assert!(said.contains("2 increments would be removed, which frees 300 B"), "{said}");
    let json = home.json(&["prune", "--dry-run", "--json"]);
    assert_eq!(json["frees"], 300);
    assert_eq!(json["removed"][0]["name"], all[0]);
    assert_eq!(json["kept"][0]["kept_by"], json!(["last 2"]));

    let said = home.done(&["prune"]);
    assert!(said.contains("2 increments removed, 300 B freed"), "{said}");
    assert_eq!(names(&home), &all[2..]);
    home.done(&["restore", "--at", &all[2], "--to", "then"]);
    assert_eq!(home.read("then/stays.txt"), "stays");
    assert_eq!(home.read("then/a.txt"), "3".repeat(300));
    assert!(home.done(&["prune"]).contains("Nothing to remove"));
    // Also with the drive in the cupboard.
    fs::rename(home.at("there"), home.at("cupboard")).unwrap();
    assert_eq!(names(&home), &all[2..]);
    fs::rename(home.at("cupboard"), home.at("there")).unwrap();
    home.done(&["verify"]);
}

#[test]
fn a_run_removes_what_its_profile_does_not_keep() {
    let home = home_with_runs(&json!({ "keep_last": 2 }));
    let all = names(&home);
    home.write("work/a.txt", "five");
    let report = home.json(&["run", "--json"]);
    assert_eq!(report["pruned"], json!(all[..3]));
    assert_eq!(report["freed"], 600);
    assert_eq!(names(&home).len(), 2);
    let quiet = home.json(&["run", "--json"]);
    assert_eq!(quiet["pruned"], json!([]));
    home.done(&["verify"]);
}

#[test]
fn without_a_retention_nothing_goes_and_the_profile_is_shown_how() {
    let home = home_with_runs(&json!({}));
    let output = home.bkm(&["prune"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("docs.json") && said.contains("\"keep_daily\": 14"), "{said}");
    assert_eq!(names(&home).len(), 4);
}

#[test]
fn nothing_old_goes_after_a_mass_change_until_a_later_run_was_as_usual() {
    let home = Home::new();
    let profile = json!({ "src": "~/work", "dist": "~/there/backup",
        "mass_change": { "percent": 50, "files": 2 }, "retention": { "keep_last": 1 } });
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/there/backup" }));
    for name in ["a", "b", "c", "d"] {
        home.write(&format!("work/{name}"), name);
    }
    home.done(&["run"]);
    home.write("work/a", "changed");
    home.done(&["run"]);
    home.profile("docs", &profile);
    for name in ["b", "c", "d"] {
        home.write(&format!("work/{name}"), "encrypted by somebody");
    }
    assert_eq!(home.bkm(&["run"]).status.code(), Some(1));
    let refused = home.bkm(&["prune"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--accept-mass-change"), "{said}");
    assert_eq!(names(&home).len(), 2);
    let accepted = home.json(&["run", "--accept-mass-change", "--json"]);
    assert_eq!(accepted["pruned"], json!([]), "what is old may be all there is");
    assert_eq!(names(&home).len(), 3);
    home.write("work/a", "once more");
    let usual = home.json(&["run", "--json"]);
    assert_eq!(usual["pruned"].as_array().unwrap().len(), 3);
}

#[test]
fn versions_are_deleted_from_one_increment() {
    let home = home_with_runs(&json!({}));
    let all = names(&home);
    let before = tree(&home.at("there"));
    let said = home.done(&["delete", &all[1], "--mask", "a.*", "--dry-run"]);
    assert!(said.contains("1 version dropped, frees 200 B"), "{said}");
    assert_eq!(tree(&home.at("there")), before);
    let said = home.done(&["delete", &all[1], "--mask", "a.*"]);
    assert!(said.contains("200 B freed"), "{said}");
    home.done(&["restore", "--at", &all[1], "--to", "then"]);
    assert!(!home.at("then/a.txt").exists());
    assert_eq!(home.read("then/stays.txt"), "stays");
    home.done(&["restore", "--at", &all[2], "--to", "later"]);
    assert_eq!(home.read("later/a.txt"), "3".repeat(300));

    let said = home.done(&["delete", &all[0], "--mask", "stays.txt"]);
    assert!(said.contains("moved to") && said.contains("0 B freed"), "{said}");

    for (args, code, word) in [
        (["delete", "backup_20200101_000000", "--mask", "x"], 2, "no increment"),
        (["delete", &all[2], "--mask", "nothing.like.it"], 1, "nothing in it matches"),
        (["delete", &all[3], "--mask", "a.txt"], 1, "what the source has"),
    ] {
        let output = home.bkm(&args);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word), "{said}");
    }
    home.done(&["verify"]);
}
