//! What a person sees of each command: standard output, standard error, exit code; and what the
//! commands leave on disk. No drive and no root is needed here.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::home::{Home, tree};
use crate::support::needs::{self, skipped};
use crate::support::{self, process};

#[test]
fn a_first_run_a_run_without_changes_and_one_with_all_kinds_of_them() {
    let home = Home::with_docs();
    home.write("work/old-name.txt", "moved along");
    home.write("work/gone.txt", "to be deleted");
    shown!(home.shown(&["run"]), @r"
    exit 0
    docs → /home/anna/there/backup
      5 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      35 B copied in [DURATION]; backup_[TIME]
    ");
    assert_eq!(home.read("there/backup/mirror/sub/b.txt"), "two");
    shown!(home.shown(&["run"]), @r"
    exit 0
    docs → /home/anna/there/backup
      0 new, 0 changed, 0 touched, 0 moved, 0 deleted, 5 unchanged
      0 B copied in [DURATION]; no increment: nothing tracked changed
    ");

    home.write("work/a.txt", "one and a half");
    home.write("work/new.txt", "four");
    std::fs::rename(home.at("work/old-name.txt"), home.at("work/new-name.txt")).unwrap();
    std::fs::remove_file(home.at("work/gone.txt")).unwrap();
    let only_mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.at("work/sub/c.pdf"), only_mode).unwrap();
    let before = tree(home.folder());
    shown!(home.shown(&["run", "--dry-run"]), @r"
    exit 0
    docs → /home/anna/there/backup
      touched  sub/c.pdf
      moved    old-name.txt → new-name.txt
      changed  a.txt
      new      new.txt
      deleted  gone.txt
      1 new, 1 changed, 1 touched, 1 moved, 1 deleted, 1 unchanged
      18 B to copy; nothing was written (dry run)
    ");
    assert_eq!(tree(home.folder()), before, "a dry run writes nothing");
    shown!(home.shown(&["run"]), @r"
    exit 0
    docs → /home/anna/there/backup
      1 new, 1 changed, 1 touched, 1 moved, 1 deleted, 1 unchanged
      18 B copied in [DURATION]; backup_[TIME]
    ");
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one and a half");
    assert_eq!(home.read("there/backup/mirror/new-name.txt"), "moved along");
    assert!(!home.at("there/backup/mirror/gone.txt").exists());
}

#[test]
fn a_dry_run_of_a_first_backup_creates_nothing() {
    let home = Home::with_docs();
    let before = tree(home.folder());
    shown!(home.shown(&["run", "--dry-run"]), @r"
    exit 0
    docs → /home/anna/there/backup
      new      a.txt
      new      sub/b.txt
      new      sub/c.pdf
      3 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      11 B to copy; nothing was written (dry run)
    ");
    assert_eq!(tree(home.folder()), before);
    let plan = home.json(&["run", "--dry-run", "--json"]);
    assert_eq!(plan["new"], 3);
    assert_eq!(plan["plan"][0], json!({ "action": "new", "path": "a.txt" }));
    assert_eq!(tree(home.folder()), before);
}

#[test]
fn json_has_the_promised_keys() {
    let home = Home::with_docs();
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let report = home.json(&["run", "--json"]);
    let promised = [
        "bytes_copied",
        "changed",
        "deleted",
        "device",
        "duration_s",
        "freed",
        "increment",
        "moved",
        "new",
        "notes",
        "problems",
        "profile",
        "pruned",
        "recovered",
        "repository",
        "touched",
        "unchanged",
        "warnings",
    ];
    assert_eq!(keys(&report), promised);
    assert_eq!(report["profile"], "docs");
    assert_eq!(report["device"], Value::Null);
    assert_eq!(report["new"], 3);
    assert_eq!(report["bytes_copied"], 11);
    assert_eq!(report["recovered"], false);
    assert_eq!(report["repository"], home.at("there/backup").to_str().unwrap());
    let increment = report["increment"].as_str().unwrap().to_owned();
    assert!(home.at("there/backup").join(&increment).is_dir());
    assert_eq!(home.json(&["run", "--json"])["increment"], Value::Null);

    let listed = home.json(&["list", "--json"]);
    assert_eq!(listed[0]["name"], increment.as_str());
    assert_eq!(listed[0]["new_or_changed"], 3);
    let detailed = home.json(&["list", "--json", "--detailed"]);
    assert_eq!(detailed[0]["files"][0]["path"], "a.txt");

    let status = home.json(&["status", "--json"]);
    let promised = [
        "drive",
        "last_complete",
        "last_run",
        "last_seen",
        "last_verified",
        "overdue",
        "profile",
        "state",
    ];
    assert_eq!(keys(&status[0]), promised);
    assert_eq!(status[0]["last_run"]["unchanged"], 3);
    assert_eq!(status.as_array().unwrap().len(), 1);

    let figures = home.done(&["status", "--prometheus"]);
    let folder = home.at("there/backup").display().to_string();
    let unchanged = format!(
        "bkm_last_run_files{{profile=\"docs\",drive=\"{folder}\",uuid=\"\",kind=\"unchanged\"}} 3"
    );
    assert!(figures.lines().any(|line| line == unchanged), "{figures}");
    assert_eq!(home.bkm(&["status", "--prometheus", "--json"]).status.code(), Some(2));
}

#[test]
fn special_files_are_notes_and_rules_without_effect_are_told() {
    let home = Home::with_docs();
    let run = Command::new("mkfifo").arg(home.at("work/pipe")).status();
    assert!(run.unwrap().success());
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": "~/there/backup", "exclude_files": ["*.bak"] }),
    );
    shown!(home.shown(&["run"]), @r#"
    exit 0
    docs → /home/anna/there/backup
      3 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      11 B copied in [DURATION]; backup_[TIME]
      warning: the rule exclude_files "*.bak" matches nothing
      1 note:
        pipe: a FIFO; only files, links and folders are backed up
    "#);
}

#[test]
fn what_cannot_be_read_is_named_and_the_exit_code_is_3() {
    let home = Home::with_docs();
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(home.at("work/a.txt"), closed).unwrap();
    let Some(user) = home.user() else { return };
    shown!(user.shown(&["run"]), @r"
    exit 3
    docs → /home/anna/there/backup
      2 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      8 B copied in [DURATION]; backup_[TIME]
      1 problem:
        a.txt: not backed up: cannot be read: Permission denied (os error 13)
    ");
    assert_eq!(home.read("there/backup/mirror/sub/b.txt"), "two");
    assert!(!home.at("there/backup/mirror/a.txt").exists());
    // It counts as complete.
    let status = home.json(&["status", "--json"]);
    assert!(status[0]["last_complete"].is_string());
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: complete with 1 problem
      last complete  [TIME]
      last seen      [TIME]
      last run       2 new, 0 changed, 0 moved, 0 deleted, 8 B in [DURATION]
                     1 problem
    ");
}

#[test]
fn a_device_that_is_none_is_told_as_such() {
    let home = Home::with_docs();
    shown!(home.shown(&["run", "--device", "/dev/none"]), @r"
    exit 1
    --- stderr
    bkm-agent: /dev/none: no such device (is the drive plugged in?)
    ");
    shown!(home.shown(&["run", "--device", "/dev/null"]), @r"
    exit 2
    --- stderr
    bkm-agent: /dev/null: not a block device (a drive's file system is named like /dev/sdb1)
    ");
    shown!(home.shown(&["run", "--profile", "docs", "--device", "/dev/null"]), @r#"
    exit 2
    --- stderr
    bkm-agent: the profile docs has no "drive", so --device does not go with it
    "#);
}

#[test]
fn a_missing_or_empty_source_stops_before_anything_is_touched() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let before = tree(&home.at("there"));
    std::fs::rename(home.at("work"), home.at("away")).unwrap();
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: the source /home/anna/work is not there; is its disk mounted?
    ");
    assert_eq!(tree(&home.at("there")), before);
    std::fs::create_dir(home.at("work")).unwrap();
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: the source /home/anna/work has no file that the profile selects, but the backup holds 3; nothing was changed. Is the source mounted? Do the rules still fit?
    ");
    shown!(home.shown(&["run", "--dry-run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: the source /home/anna/work has no file that the profile selects, but the backup holds 3; nothing was changed. Is the source mounted? Do the rules still fit?
    ");
    assert_eq!(tree(&home.at("there")), before);
}

#[test]
fn without_a_drive_only_the_last_folder_is_made() {
    let home = Home::with_docs();
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/usb/stick/backup" }));
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: /home/anna/usb/stick/backup cannot be made: the folder above it does not exist. Is the drive mounted?
    ");
    assert!(!home.at("usb").exists());
    std::fs::create_dir_all(home.at("usb/stick")).unwrap();
    home.done(&["run"]);
    assert_eq!(home.read("usb/stick/backup/mirror/a.txt"), "one");
}

#[test]
fn a_folder_of_other_things_is_not_taken_for_a_repository() {
    let home = Home::with_docs();
    home.write("there/backup/precious.txt", "mine");
    let before = tree(&home.at("there"));
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: /home/anna/there/backup is not empty and is not a backup repository; choose another `dist`
    ");
    shown!(home.shown(&["list"]), @r"
    exit 1
    --- stderr
    bkm-agent: there is no backup at /home/anna/there/backup yet; `bkm-agent run` makes one
    ");
    assert_eq!(tree(&home.at("there")), before);
}

#[test]
fn a_reader_that_goes_away_early_is_no_error() {
    let home = Home::with_docs();
    for n in 0..2000 {
        home.write(&format!("work/many/{n}-{}", "x".repeat(100)), "");
    }
    home.done(&["run"]);
    let cases: [&[&str]; 5] = [
        &["list", "--detailed"],
        &["list", "--detailed", "--json"],
        &["check"],
        &["status"],
        &["run", "--dry-run", "--json"],
    ];
    for args in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.command(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn a_pipe_gets_no_progress_bar_and_a_terminal_gets_one() {
    let home = Home::with_docs();
    let big = File::create(home.at("work/big")).unwrap();
    big.set_len(3 << 30).unwrap();
    if needs::find_tool("script").is_none() {
        return skipped("needs script");
    }
    let line = format!("'{}' run", support::program().display());
    let mut script = Command::new("script");
    home.surround(&mut script);
    script.env("TERM", "xterm").args(["-qec", &line, "/dev/null"]);
    let output = script.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let parts = ["/4 files", " MB/3.22 GB", "B/s, ", "s left"];
    let is_bar = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(text.split(['\r', '\n']).any(is_bar), "no bar: {text}");

    File::options().write(true).open(home.at("work/big")).unwrap().set_len(2 << 30).unwrap();
    let output = home.bkm(&["run"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&b'\r'));
}

#[test]
fn the_second_run_at_a_time_is_told_who_holds_the_lock() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let big = File::create(home.at("work/big")).unwrap();
    big.set_len(50 << 30).unwrap();
    let first = home.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let first = process::Running(first.unwrap());
    let pid = first.0.id().to_string();
    process::wait_for("the first run to hold the lock", || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let mut fields = locks.split_whitespace();
        fields.any(|field| field == pid).then_some(())
    });
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: another run works on this repository: process [PID] (bkm-agent) holds its lock; wait for it to end
    ");
    // Reading does not wait for it.
    home.done(&["list"]);
}
