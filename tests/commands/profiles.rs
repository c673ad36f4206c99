//! Profiles: what is said of wrong ones, and which of several is meant.

use serde_json::json;

use crate::support;
use crate::support::home::{Home, paths};

#[test]
fn a_wrong_profile_is_said_with_file_line_and_field() {
    let home = Home::new();
    shown!(home.shown(&["run"]), @r#"
    exit 2
    --- stderr
    bkm-agent: there is no profile yet. Write one, e.g. /home/anna/config/bkm-agent/profiles/pictures.json:
    { "drive": { "label": "PHOTOS" }, "src": "~/Pictures" }
    "#);
    home.write(
        "config/bkm-agent/profiles/docs.json",
        "{\n  \"src\": \"~/work\",\n  \"dist\": \"~/there/backup\",\n  \"exlude_dirs\": [\"Cache\"]\n}\n",
    );
    shown!(home.shown(&["run"]), @r#"
    exit 2
    --- stderr
    bkm-agent: /home/anna/config/bkm-agent/profiles/docs.json:4: unknown field "exlude_dirs"; did you mean "exclude_dirs"?
    bkm-agent: no profile is valid; `bkm-agent check` says more
    "#);
    shown!(home.shown(&["run", "--profile", "docs"]), @r#"
    exit 2
    --- stderr
    bkm-agent: /home/anna/config/bkm-agent/profiles/docs.json:4: unknown field "exlude_dirs"; did you mean "exclude_dirs"?
    "#);
    shown!(home.shown(&["run", "--profile", "dosc"]), @r#"
    exit 2
    --- stderr
    bkm-agent: no profile "dosc"; profiles are looked for in /home/anna/config/bkm-agent/profiles and /etc/bkm-agent/profiles
    "#);
    home.write("one.json", "{ \"src\": \"work\", \"dist\": \"~/there/backup\" }");
    shown!(home.shown(&["run", "--config", "one.json"]), @r#"
    exit 2
    --- stderr
    bkm-agent: /home/anna/one.json:1: "src" must be an absolute path, or start with "~/"
    "#);
    shown!(home.shown(&["run", "--config", "none.json"]), @r"
    exit 2
    --- stderr
    bkm-agent: /home/anna/none.json: cannot be read: No such file or directory (os error 2)
    ");
    shown!(home.shown(&["run", "--config", "one.json", "--profile", "docs"]), @r"
    exit 2
    --- stderr
    error: the argument '--config <FILE>' cannot be used with '--profile <NAME>'

    Usage: bkm-agent run --config <FILE>

    For more information, try '--help'.
    ");
    assert_eq!(std::fs::read_dir(home.at("there")).unwrap().count(), 0);
}

#[test]
fn one_broken_profile_does_not_hold_up_the_others() {
    let home = Home::with_docs();
    home.profile("broken", &json!({ "src": 5 }));
    shown!(home.shown(&["run"]), @r#"
    exit 2
    docs → /home/anna/there/backup
      3 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      11 B copied in [DURATION]; backup_[TIME]
    --- stderr
    bkm-agent: /home/anna/config/bkm-agent/profiles/broken.json:1: "src" must be a text in quotes
    "#);
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one");
}

#[test]
fn a_profile_in_a_file_anywhere_can_be_run() {
    let home = Home::new();
    home.write("work/a.txt", "one");
    home.write("my.json", "{ \"src\": \"~/work\", \"dist\": \"~/there/backup\" }");
    shown!(home.shown(&["run", "--config", "my.json"]), @r"
    exit 0
    my → /home/anna/there/backup
      1 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      3 B copied in [DURATION]; backup_[TIME]
    ");
    shown!(home.shown(&["list", "--config", "my.json"]), @r"
    exit 0
    backup_[TIME]  [TIME]  1 new or changed (3 B), 0 deleted
    ");
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one");
}

#[test]
fn several_profiles_are_asked_which() {
    let home = Home::with_docs();
    home.profile("more", &json!({ "src": "~/work/sub", "dist": "~/there/more" }));
    shown!(home.shown(&["run"]), @r"
    exit 0
    docs → /home/anna/there/backup
      3 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      11 B copied in [DURATION]; backup_[TIME]
    more → /home/anna/there/more
      2 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      8 B copied in [DURATION]; backup_[TIME]
    ");
    shown!(home.shown(&["list"]), @r"
    exit 0
    docs → /home/anna/there/backup
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
    more → /home/anna/there/more
    backup_[TIME]  [TIME]  2 new or changed (8 B), 0 deleted
    ");
    shown!(home.shown(&["list", "--profile", "more"]), @r"
    exit 0
    backup_[TIME]  [TIME]  2 new or changed (8 B), 0 deleted
    ");
}

#[test]
fn check_tells_valid_invalid_and_doubtful_profiles() {
    let home = Home::with_docs();
    shown!(home.shown(&["check"]), @r"
    exit 0
    docs
      file:    /home/anna/config/bkm-agent/profiles/docs.json
      source:  /home/anna/work
      to:      /home/anna/there/backup
      selects: 3 files (11 B), 3 of them tracked, in 1 folder
    ");
    home.profile(
        "doubtful",
        &json!({ "src": "~/work", "drive": { "label": "PHOTOS" }, "after": "power-off",
                 "exclude_files": ["*.bak"] }),
    );
    home.write("config/bkm-agent/profiles/wrong.json", "{\n  \"src\": \"~/work\"\n}\n");
    shown!(home.shown(&["check"]), @r#"
    exit 2
    docs
      file:    /home/anna/config/bkm-agent/profiles/docs.json
      source:  /home/anna/work
      to:      /home/anna/there/backup
      selects: 3 files (11 B), 3 of them tracked, in 1 folder
    doubtful
      file:    /home/anna/config/bkm-agent/profiles/doubtful.json
      source:  /home/anna/work
      to:      Backups/[USER]@[HOST]/doubtful on the drive with label "PHOTOS"
      selects: 3 files (11 B), 3 of them tracked, in 1 folder
      matches nothing: exclude_files "*.bak"
    invalid: /home/anna/config/bkm-agent/profiles/wrong.json: "dist" is missing: the folder to back up to; or name a drive, as in "drive": { "label": "PHOTOS" }
    "#);
    shown!(home.shown(&["check", "--profile", "docs"]), @r"
    exit 0
    docs
      file:    /home/anna/config/bkm-agent/profiles/docs.json
      source:  /home/anna/work
      to:      /home/anna/there/backup
      selects: 3 files (11 B), 3 of them tracked, in 1 folder
    ");
    shown!(home.shown(&["check", "--profile", "docs", "--json"]), @r#"
    exit 0
    {"bytes":11,"dist":"/home/anna/there/backup","drive":null,"file":"/home/anna/config/bkm-agent/profiles/docs.json","files":3,"folders":1,"notes":[],"problems":[],"profile":"docs","source":"/home/anna/work","tracked":3,"unmatched":[],"valid":true,"warnings":[]}
    "#);
    shown!(home.shown(&["check", "--config", "config/bkm-agent/profiles/wrong.json", "--json"]), @r#"
    exit 2
    {"error":"/home/anna/config/bkm-agent/profiles/wrong.json: \"dist\" is missing: the folder to back up to; or name a drive, as in \"drive\": { \"label\": \"PHOTOS\" }","valid":false}
    "#);
    std::fs::rename(home.at("work"), home.at("away")).unwrap();
    shown!(home.shown(&["check", "--profile", "docs"]), @r"
    exit 3
    docs
      problem: the source /home/anna/work is not there; is its disk mounted?
    ");
}

#[test]
fn the_sample_profile_works_as_it_stands() {
    let home = Home::new();
    let sample = support::project_file("config/folder.json");
    let sample = sample.to_str().unwrap();
    for file in [
        "Projects/plan.txt",
        "Projects/Temp/x.txt",
        "Projects/build.log",
        "Notes/n.txt",
        "Notes/Cache/y.txt",
        "todo.txt",
        "readme.md",
        "other.txt",
        "Letters/z.txt",
    ] {
        home.write(&format!("Documents/{file}"), file);
    }
    let run = home.shown(&["run", "--config", sample]);
    assert!(run.starts_with("exit 0\n"), "{run}");
    let files = |folder: &str| -> Vec<String> {
        let is_file = |path: &String| home.at(folder).join(path).is_file();
        paths(&home, folder).into_iter().filter(is_file).collect()
    };
    assert_eq!(
        files("Backups/mirror"),
        ["Notes/n.txt", "Projects/plan.txt", "readme.md", "todo.txt"]
    );
    let listed = home.json(&["list", "--config", sample, "--json"]);
    let increment = listed[0]["name"].as_str().unwrap();
    assert_eq!(files(&format!("Backups/{increment}/track")), ["Projects/plan.txt", "todo.txt"]);
}
