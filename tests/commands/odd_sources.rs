//! Who may read a source and its repository, and a repository inside the source.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::home::Home;
use crate::support::{self, process};

#[test]
fn a_repository_in_the_source_is_left_out_with_a_word() {
    let home = Home::with_docs();
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/work/backup" }));
    home.done(&["run"]);
    shown!(home.shown(&["run"]), @r"
    exit 0
    docs → /home/anna/work/backup
      0 new, 0 changed, 0 touched, 0 moved, 0 deleted, 3 unchanged
      0 B copied in [DURATION]; no increment: nothing tracked changed
      1 note:
        backup: the backup itself lies here; left out
    ");
    assert!(!home.at("work/backup/mirror/backup").exists());
}

// ---- who may read it

#[test]
fn what_can_no_longer_be_read_stays_in_the_mirror_and_is_a_problem() {
    let home = Home::with_docs();
    home.write("work/closed/inside/d.txt", "four");
    let Some(user) = home.user() else { return };
    assert!(user.shown(&["run"]).starts_with("exit 0\n"));
    let mode = |path: &str, mode| {
        fs::set_permissions(home.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::write(home.at("work/a.txt"), "one, and changed").unwrap();
    mode("work/a.txt", 0o000);
    mode("work/closed", 0o000);
    fs::remove_file(home.at("work/sub/c.pdf")).unwrap();
    shown!(user.shown(&["run"]), @r"
    exit 3
    docs → /home/anna/there/backup
      0 new, 0 changed, 0 touched, 0 moved, 1 deleted, 2 unchanged
      0 B copied in [DURATION]; backup_[TIME]
      2 problems:
        closed: cannot be read: permission denied
        a.txt: not backed up: cannot be read: Permission denied (os error 13)
    ");
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one");
    assert_eq!(home.read("there/backup/mirror/closed/inside/d.txt"), "four");
    assert!(!home.at("there/backup/mirror/sub/c.pdf").exists(), "what is gone leaves");
    mode("work/a.txt", 0o600);
    mode("work/closed", 0o755);
    assert!(user.shown(&["run"]).starts_with("exit 0\n"));
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one, and changed");
}

#[test]
fn the_repository_is_closed_to_others_unless_the_profile_opens_it() {
    for (private, mode) in [(None, 0o700), (Some(true), 0o700), (Some(false), 0o755)] {
        let home = Home::with_docs();
        let mut profile = json!({ "src": "~/work", "dist": "~/there/backup" });
        if let Some(private) = private {
            profile["private"] = json!(private);
        }
        home.profile("docs", &profile);
        home.done(&["run"]);
        let bits = |path: &str| fs::metadata(home.at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(bits("there/backup"), mode, "private: {private:?}");
        assert_eq!(bits("there/backup/.bkm"), 0o700, "private: {private:?}");
    }
}

#[test]
fn an_open_repository_is_open_whatever_the_umask() {
    // 0077 is that of the service.
    let home = Home::with_docs();
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/there/backup", "private": false }));
    let mode = |path: &str, mode| {
        fs::set_permissions(home.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("work/sub", 0o755);
    mode("work/a.txt", 0o644);
    let mut run = Command::new("sh");
    home.surround(&mut run);
    process::run(run.args(["-c", "umask 077; exec \"$0\" run"]).arg(support::program()));
    let bits = |path: &str| fs::metadata(home.at(path)).unwrap().permissions().mode() & 0o7777;
    let increment = home.json(&["list", "--json"])[0]["name"].as_str().unwrap().to_owned();
    for (path, mode) in [
        ("there/backup".to_owned(), 0o755),
        ("there/backup/mirror".to_owned(), 0o755),
        ("there/backup/mirror/sub".to_owned(), 0o755),
        ("there/backup/mirror/a.txt".to_owned(), 0o644),
        (format!("there/backup/{increment}"), 0o755),
        (format!("there/backup/{increment}/track/sub"), 0o755),
        ("there/backup/.bkm".to_owned(), 0o700),
    ] {
        assert_eq!(format!("{:o}", bits(&path)), format!("{mode:o}"), "{path}");
    }
}
