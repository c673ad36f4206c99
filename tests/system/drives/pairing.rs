//! Pairing with real drives: which drive gets a backup and which gets not one byte.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::support::drive::Drive;
use crate::support::home::Home;
use crate::support::udevd::{self, Turn};
use crate::support::{self, process};

fn turn() -> Option<Turn> {
    udevd::turn(&["e2label", "unshare"])
}

/// A home whose profile `docs` is for drives called PHOTOS.
fn home() -> Home {
    let home = Home::new();
    home.write("work/a.txt", "one");
    profile(&home, "first-use");
    home
}

fn profile(home: &Home, pairing: &str) {
    let drive = json!({ "label": "PHOTOS" });
    let profile = json!({ "drive": drive, "src": "~/work", "dist": "B/docs", "pairing": pairing });
    home.profile("docs", &profile);
}

/// Plugs the drive in, runs the program on it, and pulls it.
fn plugged(home: &Home, drive: &mut Drive, command: &str, more: &[&str]) -> Output {
    let node = drive.attach();
    let node = node.to_str().unwrap();
    let args = match command {
        "run" => vec!["run", "--device", node],
        other => vec![other, node],
    };
    let output = home.bkm(&[&*args, more].concat());
    drive.detach();
    output
}

/// A run on the drive that must go through; what it said of the pairing.
#[track_caller]
fn backed_up(home: &Home, drive: &mut Drive) -> Option<String> {
    let output = plugged(home, drive, "run", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["warnings"], json!([]));
    report["pairing"].as_str().map(str::to_owned)
}

/// A run on the drive that must be refused without one byte written to it; what it said.
#[track_caller]
fn refused(home: &Home, drive: &mut Drive) -> String {
    let node = drive.attach();
    let point = home.at("media");
    drive.mount(&point);
    let synced = |drive: &Drive| {
        rustix::fs::syncfs(File::open(&point).unwrap()).unwrap();
        drive.written()
    };
    // When a file is opened for the first time, ext4 notes where it is mounted.
    drop(File::open(point.join("B/docs/README.txt")));
    let before = synced(drive);
    let output = home.bkm(&["run", "--device", node.to_str().unwrap()]);
    assert_eq!(synced(drive), before, "something was written to the drive");
    let said = home.render(&output);
    drive.unmount();
    drive.detach();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// Runs the program with `home` on a computer of this name.
fn on_host(home: &Home, host: &str, args: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    home.surround(&mut command);
    command.args(["--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", host]);
    command.arg(support::program()).args(args).output().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_blank_stick_is_set_up_by_one_command() {
    let Some(_turn) = turn() else { return };
    let home = Home::new();
    home.write("My Documents/a.txt", "one");
    let mut drive = Drive::ext4(home.folder(), "STICK");
    let node = drive.attach();
    let node = node.to_str().unwrap();
    shown!(home.shown(&["pair", node]), @r"
    exit 2
    --- stderr
    bkm-agent: what is to be backed up to STICK? Name a folder: bkm-agent pair /dev/loop[N] --src ~/Documents
    ");
    shown!(home.shown(&["pair", node, "--src", "My Documents"]), @r"
    exit 0
    /dev/loop[N]  STICK  ext4  134 MB
      profile    my-documents (/home/anna/config/bkm-agent/profiles/my-documents.json, made now)
      source     /home/anna/My Documents
      repository Backups/[USER]@[HOST]/my-documents
      versions   hardlink: one file with a name in the mirror and one in its increment
    Paired with this computer. What next: plug it in and the backup starts, or
      bkm-agent run --profile my-documents
    ");
    let profile = home.read("config/bkm-agent/profiles/my-documents.json");
    let uuid = drive.uuid();
    assert_eq!(
        profile,
        format!(
            "{{\n  \"drive\": {{\n    \"uuid\": \"{uuid}\"\n  }},\n  \"src\": \"~/My Documents\"\n}}\n"
        )
    );
    let state = home.at("state/bkm-agent/pairing");
    assert_eq!(
        ["", "secret", "my-documents.json"].map(|name| mode(&state.join(name))),
        [0o700, 0o600, 0o600]
    );
    shown!(home.shown(&["run", "--profile", "my-documents"]), @r"
    exit 0
    my-documents → Backups/[USER]@[HOST]/my-documents on STICK
      1 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      3 B copied in [DURATION]; backup_[TIME]
      Safe to remove.
    ");
    shown!(home.shown(&["pair", node, "--profile", "my-documents"]), @r"
    exit 0
    /dev/loop[N]  STICK  ext4  134 MB
      profile    my-documents (/home/anna/config/bkm-agent/profiles/my-documents.json)
      source     /home/anna/My Documents
      repository Backups/[USER]@[HOST]/my-documents
      versions   hardlink: one file with a name in the mirror and one in its increment
    Paired with this computer already, and as it was left. What next: plug it in and the backup starts, or
      bkm-agent run --profile my-documents
    ");
    let drives = home.done(&["drives"]);
    assert!(drives.contains("  pairing    my-documents: paired since 20"), "{drives}");
    // The mark holds no secret.
    drive.mount(&home.at("media"));
    let mark = walkdir::WalkDir::new(home.at("media"))
        .into_iter()
        .map(Result::unwrap)
        .find(|entry| entry.file_name() == "pairing")
        .unwrap();
    let mark: serde_json::Value =
        serde_json::from_slice(&std::fs::read(mark.path()).unwrap()).unwrap();
    assert_eq!(mark["file_system"], json!(uuid));
    let secret = std::fs::read(state.join("secret")).unwrap();
    let secret = blake3::Hash::from_slice(&secret).unwrap().to_hex();
    assert!(!mark.to_string().contains(&secret[..16]));
}

#[test]
fn pair_never_formats_and_says_what_would_help() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "EMPTY");
    drive.wipe();
    let before = drive.image_hash();
    let node = drive.attach();
    shown!(home.shown(&["pair", node.to_str().unwrap(), "--src", "work"]), @r"
    exit 1
    --- stderr
    bkm-agent: /dev/loop[N] has no file system. bkm-agent never formats a drive. To make a file system for it, which erases all that is on it: sudo mkfs.ext4 -L BACKUP /dev/loop[N]
    ");
    drive.detach();
    assert_eq!(drive.image_hash(), before);
    shown!(home.shown(&["pair", "/dev/null", "--src", "work"]), @r"
    exit 2
    --- stderr
    bkm-agent: /dev/null: not a block device (a drive's file system is named like /dev/sdb1)
    ");
}

#[test]
fn a_drive_with_the_same_label_gets_nothing_until_it_is_paired_too() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    let mut other = Drive::ext4(home.folder(), "PHOTOS");
    assert!(backed_up(&home, &mut drive).unwrap().contains("is now paired with the profile docs"));
    assert_eq!(backed_up(&home, &mut drive), None);
    shown!(refused(&home, &mut other), @r"
    exit 1
    --- stderr
    bkm-agent: docs: PHOTOS looks like a drive of the profile docs and is none of those that are paired: another drive, or one that was formatted anew. Nothing was written to it. If it is yours and is to be used: bkm-agent pair /dev/loop[N] --profile docs
    ");
    // Both are there: the paired one is used, the other is told of.
    drive.attach();
    other.attach();
    let output = home.bkm(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let said = home.render(&output);
    assert!(said.contains("1 unchanged") && said.contains("looks like a drive"), "{said}");
    assert_eq!(home.json(&["run", "--profile", "docs", "--json"])["unchanged"], 1);
    let shown = home.json(&["drives", "--json"]);
    let states: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .filter(|drive| drive["label"] == "PHOTOS")
        .map(|drive| drive["pairings"][0]["state"].clone())
        .collect();
    assert_eq!(states.len(), 2);
    drive.detach();
    other.detach();
    // A second drive for the same profile: rotation.
    let output = plugged(&home, &mut other, "pair", &["--json"]);
    let paired: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&paired["profile"], &paired["already"]), (&json!("docs"), &json!(false)));
    assert_eq!(backed_up(&home, &mut other), None);
    assert_eq!(backed_up(&home, &mut drive), None);
}

#[test]
fn a_paired_drive_is_known_by_another_label_and_one_that_the_profile_does_not_name_can_be_paired() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    backed_up(&home, &mut drive);
    drive.rename("HOLIDAY");
    assert_eq!(backed_up(&home, &mut drive), None);
    let mut other = Drive::ext4(home.folder(), "SPARE");
    assert_eq!(plugged(&home, &mut other, "run", &[]).status.code(), Some(2));
    let output = plugged(&home, &mut other, "pair", &["--profile", "docs"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(backed_up(&home, &mut other), None);
}

#[test]
fn copies_of_a_drive_are_told_by_what_was_done_since() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    backed_up(&home, &mut drive);
    let mut old = drive.copy();
    backed_up(&home, &mut drive);
    shown!(refused(&home, &mut old), @r"
    exit 1
    --- stderr
    bkm-agent: docs: PHOTOS lacks the last backup that this computer made to it: it is a copy of the paired drive or was set back to an older state (or was pulled before all was written). Nothing was written to it. If it is yours and is to be used: bkm-agent pair /dev/loop[N] --profile docs
    ");
    // Of two that are the same nobody can tell which is the copy, until one of them was used.
    let mut twin = drive.copy();
    assert_eq!(backed_up(&home, &mut twin), None);
    let said = refused(&home, &mut drive);
    assert!(said.contains("PHOTOS lacks the last backup"), "{said}");
    // The user knows which one it is; from then on it is the other way round.
    let output = plugged(&home, &mut drive, "pair", &["--profile", "docs"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(backed_up(&home, &mut drive), None);
    let said = refused(&home, &mut twin);
    assert!(said.contains("an older mark"), "{said}");
}

#[test]
fn what_was_copied_to_another_drive_or_formatted_anew_is_refused() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    backed_up(&home, &mut drive);
    let uuid = drive.uuid();
    let mut other = Drive::ext4(home.folder(), "PHOTOS");
    drive.attach();
    other.attach();
    drive.mount(&home.at("from"));
    other.mount(&home.at("to"));
    process::run(Command::new("cp").arg("-a").arg(home.at("from/B")).arg(home.at("to")));
    drive.detach();
    other.unmount();
    other.detach();
    let said = refused(&home, &mut other);
    assert!(said.contains("was made on another drive and copied here"), "{said}");
    drive.format("PHOTOS", None);
    let said = refused(&home, &mut drive);
    assert!(said.contains("or one that was formatted anew"), "{said}");
    drive.format("PHOTOS", Some(&uuid));
    let said = refused(&home, &mut drive);
    assert!(said.contains("lacks the mark that it was paired by"), "{said}");
    assert_eq!(plugged(&home, &mut drive, "pair", &[]).status.code(), Some(0));
    assert_eq!(backed_up(&home, &mut drive), None);
}

#[test]
fn a_drive_of_another_computer_is_taken_over_only_when_the_user_says_so() {
    let Some(_turn) = turn() else { return };
    let (home, other) = (self::home(), self::home());
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    let node = drive.attach();
    let node = node.to_str().unwrap();
    let done = on_host(&other, "elsewhere", &["run", "--device", node]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    drive.detach();
    let said = refused(&home, &mut drive);
    assert!(said.contains("PHOTOS is paired with another computer, root@elsewhere"), "{said}");
    let node = drive.attach();
    let node = node.to_str().unwrap();
    let asked = home.bkm(&["pair", node]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(home.render(&asked).contains("With --take-over"), "{asked:?}");
    let taken = home.json(&["pair", node, "--take-over", "--json"]);
    assert_eq!(taken["taken_over_from"], "root@elsewhere");
    let report = home.json(&["run", "--profile", "docs", "--json"]);
    assert_eq!(report["bytes_copied"], 0, "the backup goes on");
    let done = on_host(&other, "elsewhere", &["run", "--device", node]);
    assert_eq!(done.status.code(), Some(1));
    assert!(home.render(&done).contains("is paired with another computer"), "{done:?}");
}

#[test]
fn a_computer_that_was_installed_anew_or_lost_its_secret_gets_an_answer_of_its_own() {
    let Some(_turn) = turn() else { return };
    let (home, anew) = (self::home(), self::home());
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    backed_up(&home, &mut drive);
    let said = refused(&anew, &mut drive);
    assert!(said.contains("this computer's name, but not by this system"), "{said}");
    assert_eq!(plugged(&anew, &mut drive, "pair", &[]).status.code(), Some(0));
    assert_eq!(backed_up(&anew, &mut drive), None);
    std::fs::remove_file(anew.at("state/bkm-agent/pairing/secret")).unwrap();
    let said = refused(&anew, &mut drive);
    assert!(said.contains("or lost what it remembered"), "{said}");
    assert_eq!(plugged(&anew, &mut drive, "pair", &[]).status.code(), Some(0));
    assert_eq!(backed_up(&anew, &mut drive), None);
}

#[test]
fn a_restored_home_goes_on_with_its_drive_and_a_broken_memory_with_none() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    backed_up(&home, &mut drive);
    let memory = home.at("state/bkm-agent/pairing/docs.json");
    let old = std::fs::read(&memory).unwrap();
    backed_up(&home, &mut drive);
    // The run was finished, and the computer went down before it was written down here.
    std::fs::write(&memory, &old).unwrap();
    assert_eq!(backed_up(&home, &mut drive), None);
    std::fs::write(&memory, &old).unwrap();
    let note = backed_up(&home, &mut drive).unwrap();
    assert!(note.contains("has 2 backups that this computer does not remember"), "{note}");
    assert_eq!(backed_up(&home, &mut drive), None);
    std::fs::remove_file(&memory).unwrap();
    let note = backed_up(&home, &mut drive).unwrap();
    assert!(note.contains("has this computer's mark"), "{note}");
    assert_eq!(backed_up(&home, &mut drive), None);
    std::fs::write(&memory, b"{ torn").unwrap();
    let said = refused(&home, &mut drive);
    assert!(said.contains("pairing/docs.json"), "{said}");
    assert_eq!(std::fs::read(&memory).unwrap(), b"{ torn", "it stays for the user to see");
}

#[test]
fn a_new_host_name_goes_on_with_the_same_backup() {
    let Some(_turn) = turn() else { return };
    let home = home();
    home.profile("docs", &json!({ "drive": { "label": "PHOTOS" }, "src": "~/work" }));
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    let node = drive.attach();
    let args = ["run", "--device", node.to_str().unwrap(), "--json"];
    let report = |output: Output| -> serde_json::Value {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let before = report(on_host(&home, "before", &args));
    let after = report(on_host(&home, "after", &args));
    assert!(before["repository"].as_str().unwrap().ends_with("Backups/root@before/docs"));
    assert_eq!(after["repository"], before["repository"]);
    assert_eq!(after["unchanged"], 1);
    let listed = on_host(&home, "after", &["list", "--profile", "docs"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
}

#[test]
fn a_computer_with_a_new_name_and_no_memory_is_told_of_the_backup_of_its_old_one() {
    let Some(_turn) = turn() else { return };
    let (home, anew) = (self::home(), self::home());
    for home in [&home, &anew] {
        home.profile("docs", &json!({ "drive": { "label": "PHOTOS" }, "src": "~/work" }));
    }
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    let node = drive.attach();
    let node = node.to_str().unwrap();
    let done = on_host(&home, "before", &["run", "--device", node]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let paired = on_host(&anew, "after", &["pair", node]);
    let said = anew.render(&paired);
    let dist = "\"dist\": \"Backups/root@before/docs\"";
    assert!(said.contains(dist), "{said}");
    let profile = json!({ "drive": { "label": "PHOTOS" }, "src": "~/work", "dist": "Backups/root@before/docs" });
    anew.profile("docs", &profile);
    let paired = on_host(&anew, "after", &["pair", node, "--take-over"]);
    assert_eq!(paired.status.code(), Some(0), "{paired:?}");
    let report = on_host(&anew, "after", &["run", "--profile", "docs", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["bytes_copied"], 0, "{report}");
}

#[test]
fn unpair_forgets_the_drive_and_leaves_the_backup() {
    let Some(_turn) = turn() else { return };
    let home = home();
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    backed_up(&home, &mut drive);
    drive.attach();
    shown!(home.shown(&["unpair", "PHOTOS"]), @r#"
    exit 0
    PHOTOS is not paired with the profile docs any more. The backup on it stays: B/docs
      the next drive with label "PHOTOS" will be paired by its first backup; "pairing": "required" in the profile prevents that
    "#);
    shown!(home.shown(&["unpair", "PHOTOS"]), @r"
    exit 1
    --- stderr
    bkm-agent: PHOTOS is not paired; no drive is
    ");
    drive.mount(&home.at("media"));
    assert_eq!(home.read("media/B/docs/mirror/a.txt"), "one");
    assert!(!home.at("media/B/docs/.bkm/pairing").exists());
    drive.unmount();
    drive.detach();
    let note = backed_up(&home, &mut drive).unwrap();
    assert!(note.contains("was not paired yet"), "{note}");
    // In the cupboard: the mark that stays on it does not count any more.
    profile(&home, "required");
    shown!(home.shown(&["unpair", &drive.uuid().to_uppercase(), "--profile", "docs"]), @r"
    exit 0
    PHOTOS is not paired with the profile docs any more. The backup on it stays: B/docs
      its mark stays on it, and does not count any more
    ");
    let said = refused(&home, &mut drive);
    assert!(said.contains("uses paired drives only"), "{said}");
}

#[test]
fn required_asks_for_pair_and_off_for_nothing() {
    let Some(_turn) = turn() else { return };
    let home = home();
    profile(&home, "required");
    let mut drive = Drive::ext4(home.folder(), "PHOTOS");
    shown!(refused(&home, &mut drive), @r"
    exit 1
    --- stderr
    bkm-agent: docs: PHOTOS is not paired, and the profile docs uses paired drives only. To pair it: bkm-agent pair /dev/loop[N] --profile docs
    ");
    assert!(!home.at("state/bkm-agent/pairing").exists());
    assert_eq!(plugged(&home, &mut drive, "pair", &[]).status.code(), Some(0));
    assert_eq!(backed_up(&home, &mut drive), None);
    let other = self::home();
    profile(&other, "off");
    let mut drive = Drive::ext4(other.folder(), "PHOTOS");
    assert_eq!(backed_up(&other, &mut drive), None);
    assert!(!other.at("state/bkm-agent/pairing").exists());
    drive.attach();
    drive.mount(&other.at("media"));
    assert!(!other.at("media/B/docs/.bkm/pairing").exists());
    let said = other.bkm(&["pair", drive.node.as_ref().unwrap().to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(2), "{said:?}");
}
