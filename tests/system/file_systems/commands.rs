//! The commands with a drive that has no hard links: exFAT through FUSE, mounted as a desktop would.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::home::{Home, tree};
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::{self, skipped};
use crate::support::{self, process};

/// A home whose profile `docs` is backed up to a folder on an exFAT drive; `None` with the reason printed.
fn home_with_exfat(megabytes: u64) -> Option<(Home, LoopDrive)> {
    let home = Home::new();
    let drive = LoopDrive::exfat_at(&home.at("media"), megabytes)?;
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/media/backup" }));
    home.write("work/a.txt", "one");
    home.write("work/sub/10:30", "two");
    Some((home, drive))
}

#[test]
fn list_restore_and_status_work_with_versions_that_lie_in_the_mirror() {
    let Some((home, mut drive)) = home_with_exfat(64) else { return };
    shown!(home.shown(&["run"]), @r"
    exit 0
    docs → /home/anna/media/backup
      2 new, 0 changed, 0 touched, 0 moved, 0 deleted, 0 unchanged
      6 B copied in [DURATION]; backup_[TIME]
    ");
    home.write("work/a.txt", "changed");
    fs::remove_file(home.at("work/sub/10:30")).unwrap();
    home.done(&["run"]);
    drive.remount();
    shown!(home.shown(&["list"]), @r"
    exit 0
    backup_[TIME]  [TIME]  2 new or changed (6 B), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (7 B), 1 deleted
    ");
    shown!(home.shown(&["list", "--detailed"]), @r"
    exit 0
    backup_[TIME]  [TIME]  2 new or changed (6 B), 0 deleted
      ##################################
      +       3 B  [TIME]  a.txt
      +       3 B  [TIME]  sub/10:30
    backup_[TIME]  [TIME]  1 new or changed (7 B), 1 deleted
      ########################################
      +       7 B  [TIME]  a.txt
      -       3 B  [TIME]  sub/10:30
    ");
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/media/backup: complete
      last complete  [TIME]
      last seen      [TIME]
      last run       0 new, 1 changed, 0 moved, 1 deleted, 7 B in [DURATION]
    ");
    let listed = home.json(&["list", "--detailed", "--json"]);
    let first = listed[0]["name"].as_str().unwrap().to_owned();
    home.done(&["restore", "sub/10:30", "a.txt", "--at", &first, "--to", "then"]);
    assert_eq!(
        (home.read("then/a.txt"), home.read("then/sub/10:30")),
        ("one".into(), "two".into())
    );
    home.done(&["restore", "a.txt", "--to", "now"]);
    assert_eq!(home.read("now/a.txt"), "changed");
    // By its folder alone, as on another computer.
    let folder = home.at("media/backup");
    let repo = folder.to_str().unwrap();
    home.done(&["restore", "--repo", repo, "sub/10:30", "--at", &first, "--to", "there"]);
    assert_eq!(home.read("there/sub/10:30"), "two");
}

#[test]
fn catalogs_keep_what_the_python_tool_reads() {
    let Some((home, _drive)) = home_with_exfat(64) else { return };
    std::os::unix::fs::symlink("a.txt", home.at("work/link")).unwrap();
    home.done(&["run"]);
    home.write("work/a.txt", "changed");
    fs::remove_file(home.at("work/sub/10:30")).unwrap();
    home.done(&["run"]);
    let mut seen = 0;
    for entry in fs::read_dir(home.at("media/backup")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("backup_") {
            continue;
        }
        assert!(folder.join("track").is_dir());
        let text = fs::read(folder.join(format!("{name}.json"))).unwrap();
        let catalog: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(catalog["backup_name"], name);
        for field in ["version", "backup_type", "backup_timestamp"] {
            assert!(catalog[field].is_string(), "{field}");
        }
        for field in ["summary", "statistics"] {
            assert!(catalog[field].is_object(), "{field}");
        }
        for (path, entry) in catalog["file_catalog"].as_object().unwrap() {
            assert!(entry["size"].is_u64() && entry["mtime"].is_number(), "{path}: {entry}");
            assert!(["tracked", "deleted"].contains(&entry["category"].as_str().unwrap()));
            for field in ["mtime_iso", "mtime_date", "backup_path"] {
                assert!(entry[field].is_string(), "{path}: {field}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}

/// Runs the program with files of 1 MiB at most, as on a drive that takes no larger ones.
fn run_with_small_files(home: &Home) -> Output {
    // The signal would end the program; ignored, a write says EFBIG, as FAT32 does at 4 GiB.
    let mut command = Command::new("sh");
    home.surround(&mut command);
    command.args(["-c", "trap '' XFSZ; exec prlimit --fsize=1048576 \"$0\" run"]);
    command.arg(support::program()).output().unwrap()
}

#[test]
fn a_file_that_is_too_large_for_the_drive_is_named_and_the_rest_is_backed_up() {
    let Some((home, _drive)) = home_with_exfat(64) else { return };
    if needs::find_tool("prlimit").is_none() {
        return skipped("prlimit is missing");
    }
    home.write("work/grows", "still small");
    home.done(&["run"]);
    home.write("work/grows", &"x".repeat(3 << 20));
    // This one has its own way: it would be gone on with.
    File::create(home.at("work/large")).unwrap().set_len(33 << 20).unwrap();
    home.write("work/new.txt", "new");
    let output = run_with_small_files(&home);
    shown!(home.render(&output), @r"
    exit 3
    docs → /home/anna/media/backup
      1 new, 0 changed, 0 touched, 0 moved, 0 deleted, 2 unchanged
      3 B copied in [DURATION]; backup_[TIME]
      2 problems:
        grows: not backed up: 3.1 MB is more than a file can have on this drive (FAT32: 4 GiB); exFAT or a Linux file system takes it
        large: not backed up: 35 MB is more than a file can have on this drive (FAT32: 4 GiB); exFAT or a Linux file system takes it
    ");
    assert_eq!(home.read("media/backup/mirror/grows"), "still small");
    assert_eq!(home.read("media/backup/mirror/new.txt"), "new");
    assert!(!home.at("media/backup/mirror/large").exists());
    assert_eq!(fs::read_dir(home.at("media/backup/.bkm/stage")).unwrap().count(), 0);
    // Where there is room for it, it is backed up.
    home.done(&["run"]);
    assert_eq!(home.read("media/backup/mirror/grows").len(), 3 << 20);
    assert_eq!(fs::metadata(home.at("media/backup/mirror/large")).unwrap().len(), 33 << 20);
}

#[test]
fn the_second_run_at_a_time_is_told_who_holds_the_lock_and_changes_nothing() {
    let Some((home, _drive)) = home_with_exfat(1024) else { return };
    home.done(&["run"]);
    home.write("work/a.txt", "changed");
    File::create(home.at("work/big")).unwrap().set_len(900 << 20).unwrap();
    let first = home.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut first = process::Running(first.unwrap());
    let pid = first.0.id().to_string();
    process::wait_for("the first run to copy", || {
        let mut staged = fs::read_dir(home.at("media/backup/.bkm/stage")).unwrap();
        staged
            .any(|file| file.unwrap().metadata().is_ok_and(|file| file.len() > 1 << 20))
            .then_some(())
    });
    process::signal(&first.0, rustix::process::Signal::STOP);
    // Each thread ends the system call that it is in first.
    process::wait_for("all its threads to stand still", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
        };
        tasks.map(Result::unwrap).all(stopped).then_some(())
    });
    let before = tree(&home.at("media"));
    let second = home.bkm(&["run"]);
    assert_eq!(tree(&home.at("media")), before, "the second run changed something");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {pid} (bkm-agent) holds its lock")), "{said}");
    // Listing does not wait for it. A restore would see files go from under it, and says so.
    home.done(&["list"]);
    let refused = home.bkm(&["restore", "a.txt", "--to", "meanwhile"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {pid} (bkm-agent) holds its lock")), "{said}");
    assert!(!home.at("meanwhile").exists());
    process::signal(&first.0, rustix::process::Signal::CONT);
    assert!(first.0.wait().unwrap().success());
    assert_eq!(home.json(&["run", "--json"])["unchanged"], 3);
    home.done(&["restore", "a.txt", "--to", "then"]);
    assert_eq!(home.read("then/a.txt"), "changed");
}

#[test]
fn drives_says_how_a_drive_keeps_versions() {
    let udev = match support::udevd::Udev::start() {
        Ok(udev) => udev,
        Err(why) => return skipped(&why),
    };
    let Some((home, drive)) = home_with_exfat(64) else { return };
    let uuid = process::run(
        Command::new("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(drive.image()),
    );
    home.profile("docs", &json!({ "drive": { "uuid": uuid }, "src": "~/work", "dist": "backup" }));
    udev.settle();
    home.done(&["run"]);
    let shown = home.done(&["drives"]);
    assert!(
        shown.contains(
            "  versions   docs: displace: moved to its increment when replaced; owners, modes and links \
             are in the lists alone; names that Windows refuses, or that differ by case alone, are escaped\n"
        ),
        "{shown}"
    );
    let all = home.json(&["drives", "--json"]);
    let ours = all.as_array().unwrap().iter().find(|drive| drive["uuid"] == uuid.as_str()).unwrap();
    assert_eq!(
        ours["repositories"],
        json!([{ "profile": "docs", "keeps_versions": "displace", "names": "portable" }])
    );
}
