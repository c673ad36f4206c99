//! `run`, `list` and `restore` by hand with a real drive, and what they must never do to one.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::drive::Drive;
use crate::support::files::sync;
use crate::support::home::{Home, tree};
use crate::support::{process, udevd};

fn home_with_drive(label: &str) -> (Home, Drive) {
    let home = Home::new();
    home.write("work/a.txt", "one");
    home.write("work/sub/b.txt", "two");
    home.profile(
        "docs",
        &json!({ "drive": { "label": label }, "src": "~/work", "dist": "B/docs" }),
    );
    let drive = Drive::ext4(home.folder(), label);
    (home, drive)
}

#[test]
fn every_profile_of_the_named_drive_runs_and_the_drive_is_left_as_found() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let (home, mut drive) = home_with_drive("BYHAND");
    home.profile(
        "part",
        &json!({ "drive": { "label": "BYHAND" }, "src": "~/work/sub", "dist": "B/part" }),
    );
    home.profile("elsewhere", &json!({ "drive": { "label": "OTHER" }, "src": "~/work" }));
    let node = drive.attach();
    let node = node.to_str().unwrap();
    shown!(home.shown(&["run", "--device", node, "--dry-run"]), @r"
    exit 0
    docs → B/docs on BYHAND
      new      a.txt
      new      sub/b.txt
      2 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      6 B to copy; nothing was written (dry run)
    part → B/part on BYHAND
      new      b.txt
      1 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      3 B to copy; nothing was written (dry run)
    ");
    shown!(home.shown(&["run", "--device", node]), @r"
    exit 0
    docs → B/docs on BYHAND
      2 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      6 B copied in [DURATION]; backup_[TIME]
      BYHAND is now paired with the profile docs: a drive that only looks like it gets nothing
    part → B/part on BYHAND
      1 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      3 B copied in [DURATION]; backup_[TIME]
      BYHAND is now paired with the profile part: a drive that only looks like it gets nothing
      Safe to remove.
    ");
    shown!(home.shown(&["run", "--device", node, "--profile", "elsewhere"]), @r#"
    exit 2
    --- stderr
    bkm-agent: /dev/loop[N] (BYHAND) is not the drive of the profile elsewhere, which is for label "OTHER"
    "#);
    shown!(home.shown(&["list", "--profile", "part"]), @r"
    exit 0
    backup_[TIME]  [TIME]  1 new or changed (3 B), 0 deleted
    ");
    home.done(&["restore", "b.txt", "--profile", "part", "--device", node, "--to", "out"]);
    assert_eq!(home.read("out/b.txt"), "two");
    let report = home.json(&["run", "--profile", "docs", "--json"]);
    assert_eq!(report["device"], node);
    assert_eq!(report["unchanged"], 2);

    let point = home.at("media");
    drive.mount(&point);
    assert_eq!(home.read("media/B/docs/mirror/a.txt"), "one");
    assert_eq!(home.read("media/B/part/mirror/b.txt"), "two");
    shown!(home.shown(&["run", "--profile", "docs"]), @r"
    exit 0
    docs → /home/anna/media/B/docs
      0 new, 0 changed, 0 touched, 0 moved, 0 deleted, 2 unchanged
      0 B copied in [DURATION]; no increment: nothing tracked changed
      Eject the drive before you pull it.
    ");
    drive.unmount();
}

#[test]
fn a_drive_without_a_profile_is_told_what_to_write() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let home = Home::new();
    let mut drive = Drive::ext4(home.folder(), "My \"D\u{ef}sk\"/1");
    let node = drive.attach();
    shown!(home.shown(&["run", "--device", node.to_str().unwrap()]), @r#"
    exit 2
    --- stderr
    bkm-agent: no profile is for /dev/loop[N] (My "Dïsk"/1). To back up to it: bkm-agent pair /dev/loop[N] --src ~/Documents
    Or write e.g. /home/anna/config/bkm-agent/profiles/documents.json:
    { "drive": { "label": "My \"Dïsk\"/1" }, "src": "~/Documents" }
    "#);
    home.profile("docs", &json!({ "drive": { "label": "OTHER" }, "src": "~/work" }));
    shown!(home.shown(&["run", "--device", node.to_str().unwrap()]), @r#"
    exit 2
    --- stderr
    bkm-agent: no profile is for /dev/loop[N] (My "Dïsk"/1). To back up to it: bkm-agent pair /dev/loop[N] --src ~/Documents
    Or write e.g. /home/anna/config/bkm-agent/profiles/documents.json:
    { "drive": { "label": "My \"Dïsk\"/1" }, "src": "~/Documents" }
    "#);
    shown!(home.shown(&["run", "--profile", "docs"]), @r#"
    exit 1
    --- stderr
    bkm-agent: the drive of the profile docs is not plugged in (label "OTHER")
    "#);
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: no drive of a profile is plugged in (see `bkm-agent drives`)
    ");
    assert!(drive.node.is_some());
}

#[test]
fn a_dry_run_writes_nothing_to_the_drive() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let (home, mut drive) = home_with_drive("DRY");
    let image = drive.image_hash();
    let node = drive.attach();
    let node = node.to_str().unwrap();
    home.done(&["run", "--device", node, "--dry-run"]);
    home.done(&["run", "--dry-run", "--json", "--profile", "docs"]);
    drive.detach();
    assert_eq!(drive.image_hash(), image);
    assert!(!home.at("state").exists());
}

#[test]
fn a_run_without_changes_writes_next_to_nothing() {
    const MOST: u64 = 64 << 10;
    let Some(_turn) = udevd::turn(&[]) else { return };
    let (home, mut drive) = home_with_drive("QUIET");
    for n in 0..500 {
        home.write(&format!("work/many/{n}.txt"), &n.to_string());
    }
    drive.attach();
    let point = home.at("media");
    drive.mount(&point);
    home.done(&["run"]);
    for _ in 0..3 {
        sync(&point);
        let before = drive.written();
        let report = home.json(&["run", "--json"]);
        sync(&point);
        let written = drive.written() - before;
        assert_eq!(report["unchanged"], 502);
        assert!(written < MOST, "{written} bytes");
    }
}

#[test]
fn a_missing_or_empty_source_stops_before_the_drive_is_touched() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let (home, mut drive) = home_with_drive("UNTOUCHED");
    drive.attach();
    let point = home.at("media");
    drive.mount(&point);
    home.done(&["run"]);
    // Looking at it may write as well, so that comes first.
    let before = tree(&point);
    sync(&point);
    let written = drive.written();
    std::fs::rename(home.at("work"), home.at("away")).unwrap();
    let missing = home.bkm(&["run"]);
    std::fs::create_dir(home.at("work")).unwrap();
    let empty = home.bkm(&["run"]);
    sync(&point);
    assert_eq!((missing.status.code(), empty.status.code()), (Some(1), Some(1)));
    assert_eq!(drive.written(), written, "not one byte");
    assert_eq!(tree(&point), before);
}

#[test]
fn a_drive_that_is_not_mounted_is_not_replaced_by_a_folder() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let home = Home::new();
    home.write("work/a.txt", "one");
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/stick/backup" }));
    let mut drive = Drive::ext4(home.folder(), "STICK");
    drive.attach();
    drive.mount(&home.at("stick"));
    home.done(&["run"]);
    drive.unmount();
    let before = tree(&home.at("stick"));
    shown!(home.shown(&["run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: /home/anna/stick/backup is on another file system than at the first run, so the drive is probably not mounted there; nothing was changed. Mount it; or, if the backup is to start anew here, remove /home/anna/state/bkm-agent/folders/docs-[HASH].json
    ");
    shown!(home.shown(&["run", "--dry-run"]), @r"
    exit 1
    --- stderr
    bkm-agent: docs: /home/anna/stick/backup is on another file system than at the first run, so the drive is probably not mounted there; nothing was changed. Mount it; or, if the backup is to start anew here, remove /home/anna/state/bkm-agent/folders/docs-[HASH].json
    ");
    assert_eq!(tree(&home.at("stick")), before, "the empty mount point");
    drive.mount(&home.at("stick"));
    assert_eq!(home.json(&["run", "--json"])["unchanged"], 1);
}

#[test]
fn a_drive_that_is_too_full_is_told_before_anything_is_copied() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let (home, mut drive) = home_with_drive("SMALL");
    let big = File::create(home.at("work/big.bin")).unwrap();
    rustix::fs::fallocate(&big, rustix::fs::FallocateFlags::empty(), 0, 200 << 20).unwrap();
    drive.attach();
    let output = home.bkm(&["run", "--profile", "docs"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("docs: the drive is too full: this run needs 210 MB"), "{said}");
    drive.mount(&home.at("media"));
    assert!(!home.at("media/B/docs/mirror/a.txt").exists());
}

#[test]
fn ctrl_c_leaves_the_drive_as_found_and_says_so() {
    const SIZE: u64 = 50 << 30;
    let Some(_turn) = udevd::turn(&[]) else { return };
    let (home, _small) = home_with_drive("STOPPED");
    let mut drive = Drive::ext4_of(home.folder(), "STOPPED", SIZE + (8 << 30));
    File::create(home.at("work/z-big")).unwrap().set_len(SIZE).unwrap();
    drive.attach();
    let mut command = home.command(&["run", "--profile", "docs"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    process::wait_for("the file to be on its way", || {
        (process::cpu_time(&child) > Duration::from_secs(1)).then_some(())
    });
    process::signal(&child, rustix::process::Signal::INT);
    shown!(home.render(&child.wait_with_output().unwrap()), @r"
    exit 130
    --- stderr
    bkm-agent: stopping at the next safe point (once more to stop at once)
    bkm-agent: docs: stopped; 2 files of this run are kept on the drive, and the next run goes on from there. Safe to remove.
    ");
    let node = drive.node.clone().unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(node.to_str().unwrap()), "{mounts}");
}
