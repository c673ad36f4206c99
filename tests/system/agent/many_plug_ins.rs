//! The agent runs for months: what it holds after a thousand plug-ins.

use crate::support::agent::{Agent, Follow, Held};
use crate::support::desktop::Desktop;
use crate::support::drive::Drive;
use crate::support::process::{self};
use crate::support::udevd::Udev;
use serde_json::json;
use std::fs::{self};
use std::path::Path;
use std::time::{Duration, Instant};

/// Plug-ins that start nothing.
const CYCLES: usize = 1000;

/// Plug-ins with a backup each.
const BACKUPS: usize = 30;

/// What the allocator and the libraries take once and keep.
const WARM_UP: usize = 50;

/// Memory of its own that it may have grown by in the end, in KiB.
const GROWTH: u64 = 512;

/// Plugs `drive` in and pulls it again, `times`.
fn plug_in_and_pull(log: &mut Follow, drive: &mut Drive, label: &str, times: usize) {
    for _ in 0..times {
        drive.attach();
        log.wait(&["not due", label]);
        drive.detach();
        log.wait(&["unplugged", label]);
    }
}

/// The same with a backup each time; the desktop mounts it, so that none waits for that.
fn back_up_each_time(log: &mut Follow, drive: &mut Drive, label: &str, dir: &Path, times: usize) {
    for n in 0..times {
        fs::write(dir.join(label).join("a.txt"), format!("{label} {n}")).unwrap();
        drive.attach();
        drive.mount(&dir.join("media"));
        log.wait(&["finished, eject before you pull", label]);
        drive.unmount();
        drive.detach();
        log.wait(&["unplugged", label]);
    }
}

#[test]
fn a_thousand_plug_ins_leave_nothing_behind() {
    let Some(_udev) = Udev::with_desktop() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let desktop = Desktop::start(dir);
    Agent::drive_profile(dir, "OFTEN", &json!({ "min_interval": "1d" }));
    Agent::drive_profile(dir, "EACH", &json!({}));
    let mut often = Drive::ext4(dir, "OFTEN");
    let mut each = Drive::ext4(dir, "EACH");
    let agent = Agent::start(dir, &desktop.address);
    let (mut log, mut each_log) = (agent.follow(), agent.follow());

    often.attach();
    log.wait(&["safe to remove", "OFTEN"]);
    often.detach();
    log.wait(&["unplugged", "OFTEN"]);
    plug_in_and_pull(&mut log, &mut often, "OFTEN", WARM_UP);
    back_up_each_time(&mut each_log, &mut each, "EACH", dir, BACKUPS);
    let before = agent.idle();
    let state_before = tree_size(&dir.join("state"));

    let start = Instant::now();
    plug_in_and_pull(&mut log, &mut often, "OFTEN", CYCLES);
    println!("{CYCLES} plug-ins: {:.1} s", start.elapsed().as_secs_f64());
    let between = idle_again(&agent, &before);
    assert!(between.own <= before.own + GROWTH, "{} → {} KiB", before.own, between.own);

    let start = Instant::now();
    back_up_each_time(&mut each_log, &mut each, "EACH", dir, BACKUPS);
    println!("{BACKUPS} backups: {:.1} s", start.elapsed().as_secs_f64());
    let after = idle_again(&agent, &before);
    assert!(after.own <= before.own + GROWTH, "{} → {} KiB", before.own, after.own);
    assert!(after.resident < Agent::MOST_RESIDENT, "{after:?}");
    let state_after = tree_size(&dir.join("state"));
    println!("state folder (files, bytes): {state_before:?} → {state_after:?}");
    assert_eq!(state_after.0, state_before.0, "files in the state folder");
    assert!(state_after.1 < 256 << 10, "bytes in the state folder: {}", state_after.1);
    assert!(agent.terminate().0.success());
}

/// What it holds once it is idle; no more handles than before.
#[track_caller]
fn idle_again(agent: &Agent, before: &Held) -> Held {
    // A connection to the bus that was let go of is closed a moment later; one that leaks never is.
    let deadline = Instant::now() + process::PATIENCE;
    let mut held = agent.idle();
    while held.handles != before.handles && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        held = agent.idle();
    }
    for Held { resident, own, handles, threads } in [before, &held] {
        let handles = handles.len();
        println!("{resident} KiB resident, {own} KiB own, {handles} handles, {threads} threads");
    }
    assert_eq!(held.handles, before.handles);
    held
}

/// Number of files in a folder, and their bytes.
fn tree_size(folder: &Path) -> (usize, u64) {
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap());
    let sizes: Vec<u64> = files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    (sizes.len(), sizes.iter().sum())
}
