//! The main job, end to end: a drive is plugged in while the agent listens, and what lies on the drive
//! and on the screen afterwards.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::{self, Agent};
use crate::support::desktop::{Desktop, Shown};
use crate::support::drive::Drive;
use crate::support::files::write;
use crate::support::large_source::LargeSource;
use crate::support::needs::skipped;
use crate::support::udevd::Udev;
use crate::support::{self, process};

fn desktop(folder: &Path) -> Option<Desktop> {
    match Desktop::missing() {
        None => Some(Desktop::start(folder)),
        Some(why) => {
            skipped(&why);
            None
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Waits until `n` notifications were shown, those that only say how far a run is not counted.
#[track_caller]
fn shown(desktop: &Desktop, n: usize) -> Vec<Shown> {
    let lasting = || {
        let shown = desktop.shown().into_iter();
        shown.filter(|shown| !shown.line.contains(r#""urgency": 0"#)).collect()
    };
    process::wait_for("the notifications", || {
        Some(lasting()).filter(|shown: &Vec<Shown>| shown.len() >= n)
    })
}

/// The increments of a repository by name, oldest first.
fn increments(repository: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository).unwrap().map(|entry| entry.unwrap().path());
    let is_increment =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("backup_");
    let mut found: Vec<_> = entries.filter(is_increment).collect();
    found.sort();
    found
}

fn catalog(increment: &Path) -> Value {
    let name = increment.file_name().unwrap().to_str().unwrap();
    serde_json::from_str(&read(&increment.join(format!("{name}.json")))).unwrap()
}

/// Every path below `folder` with its kind and content.
fn contents(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).sort_by_file_name();
    entries
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type();
            let content = if kind.is_dir() {
                "a folder".to_owned()
            } else if kind.is_symlink() {
                format!("a link to {}", fs::read_link(entry.path()).unwrap().display())
            } else {
                format!("a file: {}", read(entry.path()))
            };
            (entry.path().strip_prefix(folder).unwrap().to_owned(), content)
        })
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, from the plug-in to the pull")]
fn plugging_in_makes_a_mirror_an_increment_a_catalog_and_says_when_it_is_safe_to_remove() {
    const LABEL: &str = "My Dïsk/1";
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let source = dir.path().join("Dokumente");
    write(source.join("Projects/a.txt"), "first version");
    write(source.join("Projects/Füße 1.txt"), "stays");
    write(source.join("Projects/deep/er/b.txt"), "will move");
    write(source.join("Projects/old.txt"), "will go");
    write(source.join("Notes/n.txt"), "a note");
    write(source.join("Cache/c.bin"), "not wanted");
    fs::create_dir_all(source.join("Projects/empty")).unwrap();
    symlink("a.txt", source.join("Projects/link")).unwrap();
    let a = source.join("Projects/a.txt");
    fs::set_permissions(&a, fs::Permissions::from_mode(0o640)).unwrap();
    let then = std::time::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    File::options().write(true).open(&a).unwrap().set_modified(then).unwrap();
    Agent::own_profile(
        dir.path(),
        "docs",
        &json!({
            "drive": { "label": LABEL }, "src": source, "dist": "Backups/docs",
            "include_dirs": ["Notes", "Projects"], "track_dirs": ["Projects"],
        }),
    );
    let mut drive = Drive::ext4(dir.path(), LABEL);
    let point = dir.path().join("look");
    let repository = point.join("Backups/docs");
    let mirror = repository.join("mirror");
    let agent = Agent::start(dir.path(), &desktop.address);

    drive.attach();
    agent.wait_logged(&["safe to remove", LABEL]);
    assert_eq!(agent::mounts_of_ours(), 0, "unmounted, and its folder is gone");
    let texts = shown(&desktop, 2);
    assert!(texts[0].line.contains("Backup started"), "{texts:#?}");
    let told = &texts[1].line;
    assert!(told.contains("Backup finished"), "{told}");
    assert!(told.contains("docs → My Dïsk/1: 6 files, 40 B in "), "{told}");
    assert!(told.contains("\nSafe to remove."), "{told}");

    drive.mount(&point);
    let mut wanted = contents(&source);
    wanted.retain(|(path, _)| !path.starts_with("Cache"));
    assert_eq!(contents(&mirror), wanted);
    let meta = fs::metadata(mirror.join("Projects/a.txt")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.modified().unwrap()), (0o640, then));
    assert_eq!(fs::metadata(&repository).unwrap().mode() & 0o7777, 0o700);
    assert!(read(&repository.join("README.txt")).contains("mirror"));
    let first = increments(&repository);
    assert_eq!(first.len(), 1, "{first:?}");
    let first = first[0].clone();
    let tracked = |name: &str| fs::metadata(first.join("track/Projects").join(name)).unwrap();
    for name in ["a.txt", "Füße 1.txt", "deep/er/b.txt", "old.txt"] {
        let in_mirror = fs::metadata(mirror.join("Projects").join(name)).unwrap();
        assert_eq!(in_mirror.ino(), tracked(name).ino(), "{name}: one inode");
        assert_eq!(in_mirror.nlink(), 2, "{name}: with two names");
    }
    assert_eq!(fs::metadata(mirror.join("Notes/n.txt")).unwrap().nlink(), 1);
    assert!(!first.join("track/Notes").exists(), "only mirrored");
    let listed = catalog(&first);
    assert_eq!(listed["version"], "1.0");
    assert_eq!(listed["backup_type"], "incremental");
    assert_eq!(listed["backup_name"], first.file_name().unwrap().to_str().unwrap());
    assert_eq!((&listed["sequence"], &listed["status"]), (&json!(1), &json!("complete")));
    assert_eq!(listed["summary"]["new_or_changed_tracked"], 5);
    let files = listed["file_catalog"].as_object().unwrap();
    assert_eq!(files.len(), 5, "four files and a link: {files:#?}");
    let entry = &files["Projects/a.txt"];
    assert_eq!(entry["category"], "tracked");
    assert_eq!(entry["backup_path"], "track/Projects/a.txt");
    assert_eq!(entry["size"], 13);
    assert_eq!(entry["mtime_ns"], 1_600_000_000_123_456_789_i64);
    assert_eq!(entry["mode"], 0o100_640);
    let hash = blake3::hash(b"first version").to_hex();
    assert_eq!(entry["blake3"], hash.as_str());
    drive.unmount();

    // Changed in all ways, and plugged in again.
    drive.detach();
    agent.wait_logged(&["unplugged"]);
    write(&a, "second version");
    write(source.join("Projects/new.txt"), "new");
    write(source.join("Notes/n.txt"), "another note");
    fs::rename(source.join("Projects/deep/er/b.txt"), source.join("Projects/moved.txt")).unwrap();
    fs::remove_file(source.join("Projects/old.txt")).unwrap();
    drive.attach();
    agent.wait_logged_times(2, &["safe to remove"]);
    let told = shown(&desktop, 4)[3].line.clone();
    assert!(told.contains("3 files, 29 B, 1 moved, 1 deleted in "), "{told}");
    drive.mount(&point);
    let mut wanted = contents(&source);
    wanted.retain(|(path, _)| !path.starts_with("Cache"));
    assert_eq!(contents(&mirror), wanted);
    let both = increments(&repository);
    assert_eq!(both.len(), 2);
    let second = &both[1];
    assert_eq!(read(&first.join("track/Projects/a.txt")), "first version", "never changes");
    assert_eq!(read(&second.join("track/Projects/a.txt")), "second version");
    assert_eq!(read(&second.join("track/Projects/new.txt")), "new");
    assert_eq!(read(&second.join("deleted/Projects/old.txt")), "will go");
    assert_eq!(read(&second.join("track/Projects/moved.txt")), "will move");
    let moved = fs::metadata(mirror.join("Projects/moved.txt")).unwrap();
    assert_eq!(moved.ino(), tracked("deep/er/b.txt").ino(), "linked, not copied");
    assert!(!second.join("track/Projects/Füße 1.txt").exists(), "unchanged");
    let listed = catalog(second);
    assert_eq!(listed["sequence"], 2);
    assert_eq!(listed["file_catalog"]["Projects/old.txt"]["category"], "deleted");
    drive.unmount();

    // Without a change there is nothing to keep.
    drive.detach();
    agent.wait_logged_times(2, &["unplugged"]);
    drive.attach();
    agent.wait_logged_times(3, &["safe to remove"]);
    let told = shown(&desktop, 6)[5].line.clone();
    assert!(told.contains("docs → My Dïsk/1: nothing has changed, checked in "), "{told}");
    assert!(told.contains("Safe to remove."), "{told}");
    drive.mount(&point);
    assert_eq!(increments(&repository).len(), 2);
    drive.unmount();
    assert!(agent.terminate().0.success());
}

#[test]
fn each_profile_that_matches_runs_once_and_one_notification_tells_of_all() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let mut drive = Drive::ext4(dir.path(), "SHARED");
    let uuid = drive.uuid();
    let elsewhere = "00000000-0000-4000-8000-000000000000";
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        write(folder.join("file.txt"), name);
        folder
    };
    for (name, wanted) in [
        ("letters", json!({ "uuid": uuid.to_uppercase(), "label": "SHARED" })),
        ("music", json!({ "label": "SHARED" })),
        ("other", json!({ "uuid": elsewhere, "label": "SHARED" })),
        ("parts", json!({ "partlabel": "SHARED" })),
    ] {
        let profile = json!({ "drive": wanted, "src": folder(name), "dist": name });
        Agent::own_profile(dir.path(), name, &profile);
    }
    let agent = Agent::start(dir.path(), &desktop.address);
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    assert_eq!(agent.count(&["running"]), 2, "{}", agent.log());
    assert_eq!(agent.count(&["mounted: by us"]), 1, "{}", agent.log());
    let texts = shown(&desktop, 3);
    assert_eq!(texts.len(), 3, "started, started, finished: {texts:#?}");
    assert_eq!((texts[1].replaces, texts[2].replaces), (1, 1), "one notification");
    let told = &texts[2].line;
    assert!(told.contains("letters → SHARED: 1 file, 7 B in "), "{told}");
    assert!(told.contains("music → SHARED: 1 file, 5 B in "), "{told}");
    let point = dir.path().join("look");
    drive.mount(&point);
    assert_eq!(read(&point.join("letters/mirror/file.txt")), "letters");
    assert_eq!(read(&point.join("music/mirror/file.txt")), "music");
    assert!(!point.join("other").exists() && !point.join("parts").exists());
}

#[test]
fn a_drive_that_stays_is_backed_up_again() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "STAYS");
    let source = dir.path().join("source");
    write(source.join("a.txt"), "one");
    Agent::own_profile(
        dir.path(),
        "docs",
        &json!({ "drive": { "label": "STAYS" }, "src": source, "dist": "B", "every": "1s" }),
    );
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    write(source.join("later.txt"), "two");
    let complete = process::wait_for("the change to be backed up", || {
        (agent.count(&["complete", "new=1 "]) >= 2).then(|| agent.count(&["complete"]))
    });
    agent.wait_logged_times(complete, &["safe to remove"]);
    assert!(agent.terminate().0.success());
    let point = dir.path().join("look");
    drive.mount(&point);
    assert_eq!(read(&point.join("B/mirror/later.txt")), "two");
    assert_eq!(increments(&point.join("B")).len(), 2);
}

#[test]
fn what_cannot_be_read_is_named_on_the_screen() {
    let Some(_udev) = Udev::with(&["setpriv"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let mut drive = Drive::ext4(dir.path(), "PARTLY");
    Agent::profile(dir.path(), "docs", "PARTLY");
    let closed = dir.path().join("source/se\x1bcret.txt");
    write(&closed, "mine");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&closed, Some(65_534), Some(65_534)).unwrap();
    let agent = Agent::start_bound(dir.path(), &desktop.address);
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    let told = shown(&desktop, 2)[1].line.clone();
    assert!(told.contains("Backup finished with 1 problem"), "{told}");
    assert!(told.contains("docs → PARTLY: 2 files, 6 B in "), "{told}");
    assert!(told.contains("se\\u{1b}cret.txt: not backed up: cannot be read"), "{told}");
    assert!(told.contains("Safe to remove."), "{told}");
    assert!(!told.contains('\x1b'), "{told:?}");
    let status = agent.ask(&["status", "--json"]);
    assert!(status[0]["last_complete"].is_string(), "it counts: {status}");
}

#[test]
fn a_missing_source_is_told_and_leaves_the_drive_as_it_was() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let mut drive = Drive::ext4(dir.path(), "KEPT");
    Agent::profile(dir.path(), "docs", "KEPT");
    let agent = Agent::start(dir.path(), &desktop.address);
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    let point = dir.path().join("look");
    drive.mount(&point);
    let before = support::home::tree(&point);
    drive.unmount();
    drive.detach();
    agent.wait_logged(&["unplugged"]);
    fs::rename(dir.path().join("source"), dir.path().join("away")).unwrap();
    drive.attach();
    agent.wait_logged(&["failed: the source"]);
    let told = shown(&desktop, 4)[3].line.clone();
    assert!(told.contains("Backup failed"), "{told}");
    assert!(told.contains("is not there; is its disk mounted?"), "{told}");
    assert!(told.contains("Safe to remove."), "{told}");
    drive.mount(&point);
    assert_eq!(support::home::tree(&point), before);
}

#[test]
fn a_wiped_source_is_asked_about_and_leaves_the_drive_as_it_was_until_it_is_accepted() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let mut drive = Drive::ext4(dir.path(), "ASKED");
    let source = dir.path().join("source");
    let profile = json!({ "drive": { "label": "ASKED" }, "src": source, "dist": "Backups",
        "mass_change": { "percent": 50, "files": 2 } });
    Agent::own_profile(dir.path(), "docs", &profile);
    for name in ["a", "b", "c", "d"] {
        write(source.join(name), name);
    }
    let agent = Agent::start(dir.path(), &desktop.address);
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    let point = dir.path().join("look");
    drive.mount(&point);
    let before = support::home::tree(&point);
    drive.unmount();
    drive.detach();
    agent.wait_logged(&["unplugged"]);
    for name in ["a", "b", "c"] {
        fs::remove_file(source.join(name)).unwrap();
    }
    drive.attach();
    agent.wait_logged(&["failed: 3 of the 4 tracked files"]);
    let asked = shown(&desktop, 4)[3].line.clone();
    assert!(asked.contains("Backup failed"), "{asked}");
    assert!(asked.contains("vanished from the source"), "{asked}");
    assert!(asked.contains(r#""urgency": 2"#), "{asked}");
    let command = "bkm-agent run --profile docs --accept-mass-change";
    assert!(asked.contains(command), "{asked}");
    assert!(asked.contains("Safe to remove."), "{asked}");
    drive.mount(&point);
    assert_eq!(support::home::tree(&point), before);
    // As the notification says.
    let ran = agent.ask(&["run", "--profile", "docs", "--accept-mass-change", "--json"]);
    assert_eq!(ran["deleted"], 3, "{ran}");
    assert!(!point.join("Backups/mirror/a").exists());
}

#[test]
fn a_stop_in_the_middle_of_a_large_file_takes_seconds_and_the_next_start_goes_on() {
    let Some(_udev) = Udev::with(&["mkfs.btrfs", "e2fsck"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut source = LargeSource::new(dir.path(), "ROOMY");
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    source.plug_in(&agent);
    let (status, time) = agent.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(time < Duration::from_secs(5), "{time:?}");
    assert_eq!(agent::mounts_of_ours(), 0);
    let log = read(&dir.path().join("agent.log"));
    assert!(log.contains("stopped: ") && log.contains("unmounted"), "in order: {log}");

    source.shrink();
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    agent.wait_logged(&["safe to remove"]);
    assert!(agent.terminate().0.success());
    source.check_backup(&dir.path().join("look"));
}

#[test]
fn a_drive_that_udev_reports_removed_ends_the_run_in_order() {
    let Some(udev) = Udev::with(&["mkfs.btrfs", "e2fsck"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let mut source = LargeSource::new(dir.path(), "PULLED");
    let agent = Agent::start(dir.path(), &desktop.address);
    let node = source.plug_in(&agent);
    udev.pretend_removed(&node);
    let told = shown(&desktop, 2)[1].line.clone();
    assert!(told.contains("Backup stopped: the drive was removed"), "{told}");
    assert!(told.contains("Plug it in again: the backup goes on where it stopped."), "{told}");
    assert!(!told.contains("Safe to remove"), "{told}");
    assert_eq!(agent::mounts_of_ours(), 0);
    let status = agent.ask(&["status", "--json"]);
    assert!(status[0]["last_complete"].is_null(), "{status}");

    source.shrink();
    udev.pretend_added(&node);
    agent.wait_logged(&["safe to remove"]);
    assert!(agent.terminate().0.success());
    source.check_backup(&dir.path().join("look"));
}

#[test]
fn a_drive_that_fails_under_the_run_is_told_and_the_next_plug_in_goes_on() {
    // What a pulled plug is to the file system: every access ends in an error.
    const CUT_OFF: &str = r"
import fcntl, struct, sys
loop = open(sys.argv[1], 'rb')
status = bytearray(232)
fcntl.ioctl(loop, 0x4C05, status)
struct.pack_into('Q', status, 32, 512)
fcntl.ioctl(loop, 0x4C04, bytes(status))
";
    let Some(_udev) = Udev::with(&["mkfs.btrfs", "e2fsck", "python3"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(desktop) = desktop(dir.path()) else {
        return;
    };
    let mut source = LargeSource::new(dir.path(), "FAILING");
    let agent = Agent::start(dir.path(), &desktop.address);
    let node = source.plug_in(&agent);
    process::run(Command::new("/usr/bin/python3").args(["-c", CUT_OFF]).arg(&node));
    agent.wait_logged(&["unplugged"]);
    let told = shown(&desktop, 2)[1].line.clone();
    assert!(told.contains("Plug it in again: the backup goes on where it stopped."), "{told}");
    assert!(!told.contains("Safe to remove"), "{told}");
    assert_eq!(agent::mounts_of_ours(), 0);
    source.drive.detach();

    source.shrink();
    source.drive.attach();
    agent.wait_logged(&["safe to remove"]);
    assert!(agent.terminate().0.success());
    source.check_backup(&dir.path().join("look"));
}
