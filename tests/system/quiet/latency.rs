//! How soon things happen that a person waits for: a backup begins when the drive is there, the notification
//! comes when it is done, and the program answers.
//!
//! A machine that is busy with something else makes any single try slow. What is asserted is the best of several,
//! which has little noise: whatever waits or syncs needlessly does so each time. All are printed. Where the syncs
//! of a run are counted there is no noise at all.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::desktop::Desktop;
use crate::support::drive::Drive;
use crate::support::home::Home;
use crate::support::needs::{self, skipped};
use crate::support::udevd::Udev;
use crate::support::{self, process};

/// From the mount to the first byte that is copied, and from the last one to the notification.
const SOON: Duration = Duration::from_millis(150);

/// From the call of `bkm-agent status` to its end.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Plug-ins that are measured.
const TRIES: usize = 10;

/// Files that change before each.
const FILES: usize = 12;

fn fill(source: &Path, round: usize) {
    fs::create_dir_all(source).unwrap();
    for file in 0..FILES {
        fs::write(source.join(file.to_string()), format!("{round}").repeat(20_000)).unwrap();
    }
}

/// When the copies were made, first and last.
fn born(mirror: &Path) -> (SystemTime, SystemTime) {
    let files = (0..FILES).map(|file| mirror.join(file.to_string()));
    let mut born: Vec<_> = files.map(|f| fs::metadata(f).unwrap().created().unwrap()).collect();
    born.sort();
    (born[0], born[FILES - 1])
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    // The file system's clock ticks every few milliseconds.
    later.duration_since(earlier).unwrap_or_default()
}

#[track_caller]
fn assert_soon(what: &str, mut took: Vec<Duration>, limit: Duration) {
    took.sort();
    println!("{what}: {took:.1?}");
    assert!(took[0] < limit, "{what}: {took:.1?}");
}

/// Plugs a drive in and has it mounted as a desktop does; with `after` in the profile. The last notification
/// ends with `words`.
fn plug_in(after: &str, words: &str) {
    let Some(_udev) = Udev::with_desktop() else { return };
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(dir.path());
    let (source, point) = (dir.path().join("source"), dir.path().join("point"));
    let profile =
        json!({ "drive": { "label": "SOON" }, "src": source, "dist": "B", "after": after });
    Agent::own_profile(dir.path(), "docs", &profile);
    fill(&source, 0);
    let mut drive = Drive::ext4(dir.path(), "SOON");
    let agent = Agent::start(dir.path(), &desktop.address);
    let mut log = agent.follow();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    // The first backup, which makes the repository, is not measured.
    for round in 0..=TRIES {
        fill(&source, round);
        drive.attach();
        log.wait(&["waiting for it to be mounted", "SOON"]);
        let called = SystemTime::now();
        drive.mount(&point);
        let told = process::wait_for("the notification", || {
            let ends: Vec<_> =
                desktop.shown().into_iter().filter(|shown| shown.line.contains(words)).collect();
            (ends.len() > round).then(|| ends[round].at)
        });
        if after == "unmount" {
            drive.mount(&point);
        }
        let (first_born, last_born) = born(&point.join("B/mirror"));
        if round > 0 {
            first.push(since(first_born, called));
            last.push(since(told, last_born));
        }
        drive.unmount();
        drive.detach();
        log.wait(&["unplugged", "SOON"]);
    }
    assert!(agent.terminate().0.success());
    assert_soon("from the mount to the first byte", first, SOON);
    assert_soon("from the last byte to the notification", last, SOON);
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn a_drive_that_stays_mounted_is_used_and_told_of_soon() {
    plug_in("keep", "Eject the drive before you pull it.");
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn a_drive_is_unmounted_and_told_safe_to_remove_soon() {
    plug_in("unmount", "Safe to remove.");
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn the_end_of_a_run_waits_for_few_syncs() {
    if needs::find_tool("strace").is_none() {
        return skipped("needs strace");
    }
    let home = Home::with_docs();
    home.done(&["run"]);
    home.write("work/a.txt", "one, changed");
    let trace = home.at("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=sync,syncfs,fsync,fdatasync", "-o"]).arg(&trace);
    strace.arg(support::program()).arg("run");
    home.surround(&mut strace);
    process::run(&mut strace);
    let trace = fs::read_to_string(trace).unwrap();
    let there = home.at("there").display().to_string();
    let syncs: Vec<_> =
        trace.lines().filter(|line| line.contains("sync") && line.contains(&there)).collect();
    // The batch's content, and its frame in the index. Its places, with the catalog; how the run ends. The page.
    // All of that; the frame that says so. The stamp.
    assert_eq!(syncs.len(), 8, "{trace}");
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn the_program_answers_at_once() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let took = |args: &[&str]| {
        let mut command = home.command(args);
        command.stdout(Stdio::null());
        let start = Instant::now();
        assert!(command.status().unwrap().success());
        start.elapsed()
    };
    for args in [&["--version"][..], &["status"]] {
        assert_soon(args[0], (0..2 * TRIES).map(|_| took(args)).collect(), AT_ONCE);
    }
}
