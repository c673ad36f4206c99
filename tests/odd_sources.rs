//! Sources that are gone, empty, half gone, mounted in odd places, or change while they are read: what is
//! backed up must not be taken as deleted, and nothing may be skipped in silence.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says why it was skipped, and plays the person at the files"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;
#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use bkm_agent::backup::error::RunError;
use bkm_agent::backup::options::Monitor;
use bkm_agent::backup::report::RunReport;
use bkm_agent::config::profile::MassChange;
use common::home::Home;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use serde_json::json;
use support::edits::delete;
use support::loop_drive::LoopDrive;
use support::profile;
use support::snapshot::Snapshot;
use support::world::{World, words};

/// Compares with a snapshot in which what differs from run to run is blanked.
macro_rules! shown {
    ($value:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => common::home::blanks() }, {
            insta::assert_snapshot!($value, @$snapshot)
        })
    };
}

/// A world in a scratch folder; everything is tracked.
fn world() -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let world = World::new(&source, &drive, profile::all_tracked());
    (folder, world)
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// What the report lists, as `path: reason`.
fn said(list: &[bkm_agent::model::problem::Problem]) -> Vec<String> {
    list.iter().map(|one| format!("{}: {}", one.path, one.reason)).collect()
}

fn counts(report: &RunReport) -> [u64; 5] {
    [report.new, report.changed, report.touched, report.moved, report.deleted]
}

// ---- mounts

/// Something mounted at a path until this is dropped; `None` with the reason printed.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        Self::made(at, mount("none", at, "tmpfs", MountFlags::NOSUID, None))
    }

    fn bind(from: &Path, at: &Path) -> Option<Self> {
        Self::made(at, mount_bind(from, at))
    }

    fn made(at: &Path, mounted: rustix::io::Result<()>) -> Option<Self> {
        match mounted {
            Ok(()) => Some(Self(at.to_owned())),
            Err(why) => {
                println!("skipped: needs the right to mount ({why})");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_source_on_a_disk_of_its_own_that_is_not_mounted_deletes_nothing() {
    let mut disk = match LoopDrive::new("ext4", 16) {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: {why}"),
    };
    let folder = support::scratch();
    let mut world = World::new(disk.point(), folder.path(), profile::all_tracked());
    for number in 0..20 {
        write(&world.source.join(format!("d/{number}")), number.to_string());
    }
    world.back_up();
    let before = Snapshot::of(&world.repository());
    disk.unmount();
    let error = world.run(None).unwrap_err();
    assert!(matches!(error, RunError::EmptySource { held: 20, .. }), "{}", words(&error));
    // What lies below the mount point is another thing than what was mounted there.
    write(&world.source.join("left-below"), "written while nothing was mounted");
    let limits = MassChange { percent: 50, files: 10 };
    let error = world.run_as(|profile, _| profile.mass_change = limits).unwrap_err();
    assert!(matches!(error, RunError::MassChange { deleted: 20, .. }), "{}", words(&error));
    assert_eq!(before.differences(&Snapshot::of(&world.repository()), true), "");
    disk.mount();
    let report = world.run(None).unwrap();
    assert_eq!((counts(&report), report.unchanged), ([0; 5], 20));
    world.check_points();
}

#[test]
fn a_mount_over_a_folder_of_the_source_is_noted_and_what_was_backed_up_there_stays() {
    let (folder, mut world) = world();
    let at = world.source.join("disk");
    write(&at.join("sub/file"), "below the mount");
    write(&world.source.join("other"), "other");
    world.back_up();
    let elsewhere = folder.path().join("elsewhere");
    write(&elsewhere.join("strange"), "on the mount");
    // Of another file system, and of the same one.
    for bind in [false, true] {
        let mounted = if bind { Mount::bind(&elsewhere, &at) } else { Mount::tmpfs(&at) };
        let Some(mounted) = mounted else { return };
        let report = world.run(None).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(
            said(&report.notes),
            ["disk: another file system is mounted here; not entered (one_file_system)"]
        );
        assert_eq!((counts(&report), report.unchanged), ([0; 5], 2));
        assert!(world.mirror().join("disk/sub/file").exists());
        assert!(!world.mirror().join("disk/strange").exists());
        drop(mounted);
    }
    let report = world.back_up();
    assert_eq!((counts(&report), report.notes), ([0; 5], Vec::new()));
}

#[test]
fn a_source_that_holds_the_drive_does_not_back_the_drive_up() {
    let folder = support::scratch();
    let source = folder.path().join("source");
    let stick = source.join("media/stick");
    write(&source.join("file"), "content");
    let Some(_mounted) = Mount::tmpfs(&stick) else { return };
    write(&stick.join("on-the-stick"), "content");
    let world = World::new(&source, &stick, profile::all_tracked());
    for _ in 0..3 {
        let report = world.run(None).unwrap();
        assert_eq!(report.problems, []);
        let note =
            "media/stick: another file system is mounted here; not entered (one_file_system)";
        assert_eq!(said(&report.notes), [note]);
    }
    assert!(!world.mirror().join("media/stick").exists());
    assert!(world.mirror().join("file").exists());

    // Where mounts are entered, all of the drive but the repository is.
    let enter = || world.run_as(|profile, _| profile.one_file_system = false).unwrap();
    for _ in 0..2 {
        let note = "media/stick/repository: the backup itself lies here; left out";
        assert_eq!(said(&enter().notes), [note]);
    }
    let report = enter();
    assert_eq!((counts(&report), report.problems), ([0; 5], Vec::new()));
    assert!(world.mirror().join("media/stick/on-the-stick").exists());
    assert!(!world.mirror().join("media/stick/repository").exists());
}

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

// ---- what changes while it is read

/// Does something to the source once the plan is made, before anything is copied.
struct AfterPlan<F: Fn() + Sync>(F);

impl<F: Fn() + Sync> Monitor for AfterPlan<F> {
    fn planned(&self, _files: u64, _bytes: u64) {
        (self.0)();
    }
    fn copied(&self, _files: u64, _bytes: u64) {}
    fn phase(&self, _phase: &str) {}
}

#[test]
fn what_vanishes_between_the_scan_and_the_copy_is_no_problem_and_gone_after_the_next_run() {
    let (_folder, mut world) = world();
    write(&world.source.join("stays"), "content");
    write(&world.source.join("changed"), "content");
    world.back_up();
    write(&world.source.join("changed"), "other content, then gone");
    for path in ["new", "folder/a", "folder/sub/b"] {
        write(&world.source.join(path), "new, then gone");
    }
    let source = world.source.clone();
    let vanish = AfterPlan(|| {
        for path in ["new", "changed", "folder"] {
            delete(&source.join(path));
        }
    });
    let report = world.run_as(|_, options| options.monitor = &vanish).unwrap();
    assert_eq!((counts(&report), said(&report.problems)), ([0; 5], Vec::new()));
    assert_eq!(fs::read_to_string(world.mirror().join("changed")).unwrap(), "content");
    world.check_stage_empty();
    let report = world.run(None).unwrap();
    assert_eq!((report.deleted, said(&report.problems)), (1, Vec::new()));
    world.check_mirror();
}

#[test]
fn folders_that_come_and_go_while_the_source_is_read_are_no_problem() {
    let (folder, world) = world();
    write(&world.source.join("stays"), "content");
    let outside = folder.path().join("outside");
    for number in 0..3 {
        for file in 0..40 {
            write(&outside.join(format!("{number}/sub{}/{file}", file % 4)), file.to_string());
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whole folders are moved in and out, so that no file changes while it is read.
        scope.spawn(|| {
            for round in 0_u64.. {
                let aside = outside.join((round % 3).to_string());
                let inside = world.source.join(format!("come-{}", round % 7));
                rustix::fs::rename(&aside, &inside).unwrap();
                std::thread::yield_now();
                rustix::fs::rename(&inside, &aside).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let runs: Vec<_> = (0..25).map(|_| world.run(None)).collect();
        done.store(true, Ordering::Relaxed);
        for run in runs {
            match run {
                Ok(report) => assert_eq!(said(&report.problems), [""; 0]),
                Err(error) => panic!("{}", words(&error)),
            }
        }
    });
    let report = world.run(None).unwrap();
    assert_eq!(said(&report.problems), [""; 0]);
    world.check_mirror();
    world.check_stage_empty();
    assert_eq!(fs::read_dir(world.mirror()).unwrap().count(), 1);
}

/// Writes to a file of the source the first time that something of it was copied.
struct WhileCopied {
    path: PathBuf,
    content: Vec<u8>,
    done: AtomicBool,
}

impl Monitor for WhileCopied {
    fn planned(&self, _files: u64, _bytes: u64) {}
    fn copied(&self, _files: u64, bytes: u64) {
        if bytes > 0 && !self.done.swap(true, Ordering::Relaxed) {
            fs::write(&self.path, &self.content).unwrap();
        }
    }
    fn phase(&self, _phase: &str) {}
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let (_folder, mut world) = world();
    let path = world.source.join("file");
    // Longer and shorter than what was read first.
    for length in [5 << 20, 1 << 20] {
        fs::write(&path, vec![1; 3 << 20]).unwrap();
        let monitor = WhileCopied {
            path: path.clone(),
            content: vec![2; length],
            done: AtomicBool::new(false),
        };
        let report = world.run_as(|_, options| options.monitor = &monitor).unwrap();
        assert!(monitor.done.into_inner());
        assert_eq!(said(&report.problems), [""; 0]);
        assert_eq!(fs::read(world.mirror().join("file")).unwrap(), vec![2; length]);
        world.check_run(&report);
    }
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
    let program = env!("CARGO_BIN_EXE_bkm-agent");
    let mut run = Command::new("sh");
    home.surround(&mut run);
    common::run(run.args(["-c", "umask 077; exec \"$0\" run", program]));
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
