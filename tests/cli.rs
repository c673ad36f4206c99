//! What a person sees of each command: standard output, standard error, exit code; and what the
//! commands leave on disk. No drive and no root is needed here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says why it was skipped, and plays the person at the files"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::home::{Home, tree};
use serde_json::{Value, json};

/// Compares with a snapshot in which what differs from run to run is blanked.
macro_rules! shown {
    ($value:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => common::home::blanks() }, {
            insta::assert_snapshot!($value, @$snapshot)
        })
    };
}

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    let help = |args: &[&str]| home.shown(args);
    shown!(help(&["--help"]), @r"
    exit 0
    Plug in a drive and the backup starts by itself

    Usage: bkm-agent <COMMAND>

    Commands:
      daemon    Listen for drives and back up to them until stopped
      run       Back up now
      list      List the increments: what each run found new, changed or deleted
      diff      Show what is new, changed, moved or deleted between two backups, or since one
      search    Search the versions of all backups, also of drives that are not here
      versions  Show every version of a file, on all drives, also those that are not here
      restore   Restore files, folders or the whole tree
      verify    Check that every version on the drive is there and is what was backed up
      prune     Remove increments that the profile's retention does not keep
      delete    Remove versions of files from one increment
      repair    Rebuild lost or broken records from the files on the drive
      status    Show the last runs of each profile and drive
      why       Say why the last plug-in did or did not start a backup
      drives    Show the drives that are plugged in and the profiles for them
      pair      Pair a drive with a profile, so that no other drive passes for it
      unpair    Forget that a drive is paired; the backup on it stays
      check     Check the profiles: whether they are valid, and what they select
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
    shown!(help(&["run", "-h"]), @r"
    exit 0
    Back up now

    Usage: bkm-agent run [OPTIONS]

    Options:
          --device <DEV>        Back up to the drive at this device node, e.g. /dev/sdb1
          --profile <NAME>      Only the profile with this name
          --config <FILE>       The profile in this file
          --dry-run             Print what would be done; write nothing
          --accept-mass-change  Go on although so much of the source vanished or changed that a run
                                stops and asks
          --json                Print one JSON object per profile
      -h, --help                Print help (see more with '--help')
    ");
    shown!(help(&["list", "-h"]), @r"
    exit 0
    List the increments: what each run found new, changed or deleted

    Usage: bkm-agent list [OPTIONS]

    Options:
          --repo <DIR>      The repository's folder itself
          --profile <NAME>  The profile with this name
          --device <DEV>    The drive at this device node, e.g. /dev/sdb1
          --config <FILE>   The profile in this file
          --detailed        List the files of each increment, with a bar for how much it brought
          --json            Print a JSON array with one object per increment
      -h, --help            Print help (see more with '--help')
    ");
    shown!(help(&["search", "-h"]), @r"
    exit 0
    Search the versions of all backups, also of drives that are not here

    Usage: bkm-agent search [OPTIONS]

    Options:
          --mask <GLOB>...       A name: `*.jpg`, or a word that is anywhere in it; with a `/`, of the
                                 path. Upper and lower case differ
          --size <SIZE>...       How large: '>100M', '<1G', '10K-100K', or bytes
          --time <TIME>...       When the file was changed last: 2026-01-15, '>2026-01-15', '<…',
                                 '2026-01-01..2026-02-01'
          --path <PATH|GLOB>...  In this folder, or those that a pattern matches; relative to the source
                                 (or absolute, inside it)
          --last-backups <N>     Only in the last N increments of each backup
          --deleted              Only what was deleted: each file's last version
          --full-paths           Show where the plain file of each version lies
          --repo <DIR>           The repository's folder itself
          --profile <NAME>       The profile with this name
          --device <DEV>         The drive at this device node, e.g. /dev/sdb1
          --config <FILE>        The profile in this file
          --json                 Print one JSON object with the array `results`
      -h, --help                 Print help (see more with '--help')
    ");
    shown!(help(&["versions", "-h"]), @r"
    exit 0
    Show every version of a file, on all drives, also those that are not here

    Usage: bkm-agent versions [OPTIONS] <PATH>

    Arguments:
      <PATH>  The file, relative to the source (or absolute, inside it)

    Options:
          --repo <DIR>      The repository's folder itself
          --profile <NAME>  The profile with this name
          --device <DEV>    The drive at this device node, e.g. /dev/sdb1
          --config <FILE>   The profile in this file
          --json            Print a JSON array with one object per version
      -h, --help            Print help (see more with '--help')
    ");
    shown!(help(&["restore", "-h"]), @r"
    exit 0
    Restore files, folders or the whole tree

    Usage: bkm-agent restore [OPTIONS] [PATH]...

    Arguments:
      [PATH]...  Files or folders, relative to the source (or absolute, inside it)

    Options:
          --mask <GLOB>...       What matches this pattern: against the name, or against the path if it
                                 has a `/`
          --to <DIR>             Where to, made if it does not exist; without it to the original place,
                                 after a question
          --at <INCREMENT|TIME>  As of this increment (see `list`) or time: 2026-11-23, '2026-11-23
                                 09:15'
          --missing              Restore only what is missing; leave what exists
          --overwrite            Replace files that exist and differ, and put attributes right
          --keep-both            Restore beside files that exist and differ, as in `report (2026-11-23
                                 09.15).odt`
          --dry-run              Show what would be done; write nothing
      -y, --yes                  Do not ask before restoring to the original place
          --map-owner <FROM:TO>  Give the files of one user to another, by name or number, e.g.
                                 1000:1001; as root
          --map-group <FROM:TO>  Give the files of one group to another, by name or number
          --keep-set-id          Give set-user-ID and set-group-ID bits back as well; else they are left
                                 off, and named
          --script <FILE>        Write a shell script that does it instead, for a computer without this
                                 program
          --repo <DIR>           The repository's folder itself
          --profile <NAME>       The profile with this name
          --device <DEV>         The drive at this device node, e.g. /dev/sdb1
          --config <FILE>        The profile in this file
          --json                 Print one JSON object
      -h, --help                 Print help (see more with '--help')
    ");
    shown!(help(&["verify", "-h"]), @r"
    exit 0
    Check that every version on the drive is there and is what was backed up

    Usage: bkm-agent verify [OPTIONS]

    Options:
          --quick           Compare presence and sizes only; read no content
          --heal            Bring back what is damaged or missing, from another sound copy on the drive
                            or from the source
          --repo <DIR>      The repository's folder itself
          --profile <NAME>  The profile with this name
          --device <DEV>    The drive at this device node, e.g. /dev/sdb1
          --config <FILE>   The profile in this file
          --json            Print one JSON object
      -h, --help            Print help (see more with '--help')
    ");
    shown!(help(&["repair", "-h"]), @r"
    exit 0
    Rebuild lost or broken records from the files on the drive

    Usage: bkm-agent repair [OPTIONS]

    Options:
          --repo <DIR>      The repository's folder itself
          --profile <NAME>  The profile with this name
          --device <DEV>    The drive at this device node, e.g. /dev/sdb1
          --config <FILE>   The profile in this file
          --json            Print one JSON object
      -h, --help            Print help (see more with '--help')
    ");
    shown!(help(&["status", "-h"]), @r"
    exit 0
    Show the last runs of each profile and drive

    Usage: bkm-agent status [OPTIONS]

    Options:
          --json        Print a JSON array with one object per profile and drive
          --prometheus  Print figures for Prometheus, as its collector of text files reads them
      -h, --help        Print help
    ");
    shown!(help(&["drives", "-h"]), @r"
    exit 0
    Show the drives that are plugged in and the profiles for them

    Usage: bkm-agent drives [OPTIONS]

    Options:
          --json  Print a JSON array with one object per file system
      -h, --help  Print help
    ");
    shown!(help(&["pair", "-h"]), @r"
    exit 0
    Pair a drive with a profile, so that no other drive passes for it

    Usage: bkm-agent pair [OPTIONS] <DEV>

    Arguments:
      <DEV>  The drive's device node, e.g. /dev/sdb1

    Options:
          --profile <NAME>    The profile; one more drive for it if it has some
          --src <DIR>         The folder to back up; a profile is made for it if there is none
          --take-over         Do not ask before a drive is taken over that is paired with another
                              computer
          --store-passphrase  Ask for the passphrase of an encrypted drive that is locked, and keep it
                              in your keyring, so that the drive is unlocked when it is plugged in
          --json              Print one JSON object
      -h, --help              Print help (see more with '--help')
    ");
    shown!(help(&["unpair", "-h"]), @r"
    exit 0
    Forget that a drive is paired; the backup on it stays

    Usage: bkm-agent unpair [OPTIONS] <DEV|LABEL|UUID>

    Arguments:
      <DEV|LABEL|UUID>  The drive: its device node, its label, or the UUID of its file system

    Options:
          --profile <NAME>  Only with this profile
          --json            Print a JSON array with one object per pairing
      -h, --help            Print help
    ");
    shown!(help(&["check", "-h"]), @r"
    exit 0
    Check the profiles: whether they are valid, and what they select

    Usage: bkm-agent check [OPTIONS]

    Options:
          --profile <NAME>  Check only this profile
          --config <FILE>   Check the profile in this file
          --json            Print one JSON object per profile, each on a line
      -h, --help            Print help
    ");
    shown!(help(&["daemon", "-h"]), @r"
    exit 0
    Listen for drives and back up to them until stopped

    Usage: bkm-agent daemon

    Options:
      -h, --help  Print help
    ");
    assert_eq!(home.bkm(&[]).status.code(), Some(2));
    shown!(help(&["rnu"]), @r"
    exit 2
    --- stderr
    error: unrecognized subcommand 'rnu'

    Usage: bkm-agent <COMMAND>

    For more information, try '--help'.
    ");
}

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
fn increments_are_listed_with_their_files() {
    let home = Home::with_docs();
    shown!(home.shown(&["list"]), @r"
    exit 1
    --- stderr
    bkm-agent: there is no backup at /home/anna/there/backup yet; `bkm-agent run` makes one
    ");
    home.done(&["run"]);
    home.write("work/a.txt", "one and a half");
    std::fs::rename(home.at("work/sub/c.pdf"), home.at("work/c.pdf")).unwrap();
    std::fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    home.done(&["run"]);
    shown!(home.shown(&["list"]), @r"
    exit 0
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (14 B), 1 moved or touched, 2 deleted
    ");
    shown!(home.shown(&["list", "--detailed"]), @r"
    exit 0
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
      ###############################
      +       3 B  [TIME]  a.txt
      +       3 B  [TIME]  sub/b.txt
      +       5 B  [TIME]  sub/c.pdf
    backup_[TIME]  [TIME]  1 new or changed (14 B), 1 moved or touched, 2 deleted
      ########################################
      +      14 B  [TIME]  a.txt
      =       5 B  [TIME]  c.pdf (was sub/c.pdf)
      -       3 B  [TIME]  sub/b.txt
      -       5 B  [TIME]  sub/c.pdf
    ");
    shown!(home.shown(&["list", "--repo", "there/backup"]), @r"
    exit 0
    backup_[TIME]  [TIME]  3 new or changed (11 B), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (14 B), 1 moved or touched, 2 deleted
    ");
    shown!(home.shown(&["list", "--repo", "work"]), @r"
    exit 1
    --- stderr
    bkm-agent: work is not a backup repository (it has no .bkm/format.json)
    ");
}

#[test]
fn status_tells_of_the_last_runs() {
    let home = Home::with_docs();
    shown!(home.shown(&["status"]), @r"
    exit 0
    No backup was made or tried on this computer yet.
    ");
    home.done(&["run"]);
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: complete
      last complete  [TIME]
      last seen      [TIME]
      last run       3 new, 0 changed, 0 moved, 0 deleted, 11 B in [DURATION]
    ");
    std::fs::rename(home.at("work"), home.at("away")).unwrap();
    home.bkm(&["run"]);
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: failed: the source /home/anna/work is not there; is its disk mounted?
      last complete  [TIME]
      last seen      [TIME]
      last run       3 new, 0 changed, 0 moved, 0 deleted, 11 B in [DURATION]
    ");
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
fn restore_brings_back_a_file_a_folder_a_mask_or_everything() {
    let home = Home::with_docs();
    let old = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(home.at("work/a.txt"), old).unwrap();
    let then = std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    File::options().write(true).open(home.at("work/a.txt")).unwrap().set_modified(then).unwrap();
    std::os::unix::fs::symlink("a.txt", home.at("work/link")).unwrap();
    home.done(&["run"]);

    shown!(home.shown(&["restore", "a.txt", "--to", "out/file"]), @r"
    exit 0
    restored 1 file (3 B) to out/file
    ");
    assert_eq!(home.read("out/file/a.txt"), "one");
    let meta = std::fs::metadata(home.at("out/file/a.txt")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert_eq!(meta.modified().unwrap(), then);
    assert_eq!(paths(&home, "out/file"), ["a.txt"]);

    home.done(&["restore", "sub", "--to", "out/folder"]);
    assert_eq!(paths(&home, "out/folder"), ["sub", "sub/b.txt", "sub/c.pdf"]);
    home.done(&["restore", "--mask", "*.pdf", "--to", "out/mask"]);
    assert_eq!(paths(&home, "out/mask"), ["sub", "sub/c.pdf"]);
    home.done(&["restore", "--mask", "sub/*.txt", "--to", "out/path-mask"]);
    assert_eq!(paths(&home, "out/path-mask"), ["sub", "sub/b.txt"]);
    shown!(home.shown(&["restore", "--to", "out/all"]), @r"
    exit 0
    restored 4 files (11 B) and 1 folder to out/all
    ");
    assert_eq!(paths(&home, "out/all"), ["a.txt", "link", "sub", "sub/b.txt", "sub/c.pdf"]);
    assert_eq!(std::fs::read_link(home.at("out/all/link")).unwrap(), std::path::Path::new("a.txt"));
    let absolute = home.at("work/sub/b.txt");
    home.done(&["restore", absolute.to_str().unwrap(), "--to", "out/absolute"]);
    assert_eq!(home.read("out/absolute/sub/b.txt"), "two");
    shown!(home.shown(&["restore", "--to", "out/json", "--json"]), @r#"
    exit 0
    {"restored":4,"bytes":11,"folders":1,"already_there":0,"left":0,"beside":{},"others":0,"problems":[]}
    "#);
}

/// The paths below a folder of the home, sorted.
fn paths(home: &Home, folder: &str) -> Vec<String> {
    let folder = home.at(folder);
    walkdir::WalkDir::new(&folder)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let path = entry.unwrap().into_path();
            path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn restore_goes_back_to_an_increment_or_a_time() {
    let home = Home::with_docs();
    let first = home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    let started = home.json(&["list", "--json"])[0]["timestamp"].as_str().unwrap().to_owned();
    // Times have seconds: the second run is to begin in another one.
    let begun: jiff::Timestamp = started.parse().unwrap();
    common::wait_for("the next second", || {
        (jiff::Timestamp::now().as_second() > begun.as_second()).then_some(())
    });
    home.write("work/a.txt", "one and a half");
    std::fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    let second = home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    assert_ne!(first, second);

    home.done(&["restore", "--at", &first, "--to", "by-name"]);
    assert_eq!(home.read("by-name/a.txt"), "one");
    assert_eq!(home.read("by-name/sub/b.txt"), "two");
    home.done(&["restore", "--at", &second, "--to", "second"]);
    assert_eq!(home.read("second/a.txt"), "one and a half");
    assert_eq!(paths(&home, "second"), ["a.txt", "sub", "sub/c.pdf"]);
    home.done(&["restore", "a.txt", "--at", &started, "--to", "by-time"]);
    assert_eq!(home.read("by-time/a.txt"), "one");
    home.done(&["restore", "--to", "now"]);
    assert_eq!(home.read("now/a.txt"), "one and a half");

    shown!(home.shown(&["restore", "--at", "2001-02-03", "--to", "x"]), @r"
    exit 1
    --- stderr
    bkm-agent: nothing was backed up yet at 2001-02-03; the first backup is backup_[TIME]
    ");
    shown!(home.shown(&["restore", "--at", "yesterday", "--to", "x"]), @r"
    exit 1
    --- stderr
    bkm-agent: 'yesterday' is neither an increment (backup_YYYYMMDD_HHMMSS, see `bkm-agent list`) nor a time (2026-11-23, '2026-11-23 09:15' or [TIME])
    ");
    shown!(home.shown(&["restore", "--at", "backup_20010203_040506", "--to", "x"]), @r"
    exit 1
    --- stderr
    bkm-agent: there is no increment backup_[TIME] (see `bkm-agent list`)
    ");
    assert!(!home.at("x").exists(), "nothing is made for nothing");
}

#[test]
fn restore_never_overwrites_unasked_and_says_what_it_cannot_find() {
    let home = Home::with_docs();
    home.done(&["run"]);
    home.write("out/a.txt", "newer work");
    shown!(home.shown(&["restore", "--to", "out"]), @r"
    exit 3
    restored 2 files (8 B) and 1 folder to out
      1 problem:
        a.txt: exists already and is not the same; --overwrite replaces it, --keep-both puts this one beside it
    ");
    assert_eq!(home.read("out/a.txt"), "newer work");
    assert_eq!(home.read("out/sub/b.txt"), "two");
    shown!(home.shown(&["restore", "a.txt", "--to", "out", "--overwrite"]), @r"
    exit 0
    restored 1 file (3 B) to out
    ");
    assert_eq!(home.read("out/a.txt"), "one");

    shown!(home.shown(&["restore", "a.tx", "--to", "none"]), @r"
    exit 1
    --- stderr
    bkm-agent: the backup has nothing at 'a.tx'
    ");
    shown!(home.shown(&["restore", "--mask", "*.jpg", "--to", "none"]), @r"
    exit 1
    --- stderr
    bkm-agent: nothing in the backup matches
    ");
    shown!(home.shown(&["restore", "--mask", "{a", "--to", "none"]), @r"
    exit 2
    --- stderr
    bkm-agent: the mask '{a' is not a pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
    ");
    shown!(home.shown(&["restore", "/etc/passwd", "--to", "none"]), @r"
    exit 2
    --- stderr
    bkm-agent: /etc/passwd is not a path below the source; write it as `bkm-agent list --detailed` shows it
    ");
    shown!(home.shown(&["restore", "../x", "--to", "none"]), @r"
    exit 2
    --- stderr
    bkm-agent: ../x is not a path below the source; write it as `bkm-agent list --detailed` shows it
    ");
    shown!(home.shown(&["restore", "a.txt"]), @r"
    exit 2
    --- stderr
    bkm-agent: this restores to the original place, and nobody can be asked: say --yes, look first with --dry-run, or name another place with --to DIR
    ");
    assert!(!home.at("none").exists(), "nothing is made for nothing");
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
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/folder.json");
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
    if common::find_tool("script").is_none() {
        return println!("skipped: needs script");
    }
    let line = format!("'{}' run", env!("CARGO_BIN_EXE_bkm-agent"));
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
fn ctrl_c_stops_at_a_safe_point_says_what_is_kept_and_the_next_run_goes_on() {
    const SIZE: u64 = 50 << 30;
    let home = Home::with_docs();
    // Its zeros take far longer to hash than a stop may take.
    let big = File::create(home.at("work/z-big")).unwrap();
    big.set_len(SIZE).unwrap();
    let mut child = home
        .command(&["run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(common::Running)
        .unwrap();
    // What else it does before it hashes takes a fraction of this.
    common::wait_for("the file to be on its way", || {
        (common::cpu_time(&child.0) > Duration::from_secs(1)).then_some(())
    });
    let asked = std::time::Instant::now();
    common::signal(&child.0, rustix::process::Signal::INT);
    let status = common::wait_for("the run to stop", || child.0.try_wait().unwrap());
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
    let mut said: Vec<String> =
        BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    shown!(said.remove(0), @"bkm-agent: stopping at the next safe point (once more to stop at once)");
    shown!(said.remove(0), @"bkm-agent: docs: stopped; 3 files of this run are kept on the drive, and the next run goes on from there");
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: stopped; 3 files of this run are kept on the drive, and the next run goes on from there
      last complete  never
      last seen      [TIME]
    ");

    big.set_len(1 << 20).unwrap();
    let report = home.json(&["run", "--json"]);
    assert_eq!((&report["new"], &report["unchanged"]), (&json!(1), &json!(3)));
    assert_eq!(report["recovered"], true);
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one");
    assert_eq!(std::fs::metadata(home.at("there/backup/mirror/z-big")).unwrap().len(), 1 << 20);
}

#[test]
fn the_second_run_at_a_time_is_told_who_holds_the_lock() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let big = File::create(home.at("work/big")).unwrap();
    big.set_len(50 << 30).unwrap();
    let first = home.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let first = common::Running(first.unwrap());
    let pid = first.0.id().to_string();
    common::wait_for("the first run to hold the lock", || {
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
