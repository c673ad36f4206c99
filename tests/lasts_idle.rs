//! The agent runs for months: what it holds after a thousand plug-ins, and what it does while nothing
//! happens.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, says why it was skipped, and gives its figures"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::agent::{Agent, Follow};
use common::desktop::Desktop;
use common::drive::Drive;
use common::udevd::Udev;
use serde_json::json;

/// Plug-ins that start nothing.
const CYCLES: usize = 1000;
/// Plug-ins with a backup each, at the same time.
const BACKUPS: usize = 30;
/// What the allocator and the libraries take once and keep.
const WARM_UP: usize = 50;
/// Memory that it may have grown by in the end, in KiB.
const GROWTH: u64 = 512;

/// udev and all tools, or `None` with the reason printed.
fn machine(tools: &[&str]) -> Option<Udev> {
    let always = ["losetup", "mkfs.ext4", "udevadm", "mount"];
    let missing = common::missing(&[&always, tools].concat()).or_else(Desktop::missing);
    let started = missing.map_or_else(Udev::start, Err);
    started.map_err(|why| println!("skipped: {why}")).ok()
}

/// The profile of the drive labelled `label`, with a source of its own.
fn profile(dir: &Path, label: &str, more: &serde_json::Value) {
    let source = dir.join(label);
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("a.txt"), label).unwrap();
    let mut profile = json!({ "drive": { "label": label }, "src": source, "dist": "B" });
    let fields = profile.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    Agent::own_profile(dir, &label.to_lowercase(), &profile);
}

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
    let Some(_udev) = machine(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let desktop = Desktop::start(dir);
    profile(dir, "OFTEN", &json!({ "min_interval": "1d" }));
    profile(dir, "EACH", &json!({}));
    let mut often = Drive::ext4(dir, "OFTEN");
    let mut each = Drive::ext4(dir, "EACH");
    let agent = Agent::start(dir, &desktop.address);
    let (mut log, mut other_log) = (agent.follow(), agent.follow());

    often.attach();
    log.wait(&["safe to remove", "OFTEN"]);
    often.detach();
    log.wait(&["unplugged", "OFTEN"]);
    plug_in_and_pull(&mut log, &mut often, "OFTEN", WARM_UP);
    back_up_each_time(&mut other_log, &mut each, "EACH", dir, 5);
    let before = agent.idle();
    let state_before = tree_size(&dir.join("state"));

    let start = Instant::now();
    let with_backups = std::thread::scope(|scope| {
        let backups = scope.spawn(|| {
            back_up_each_time(&mut other_log, &mut each, "EACH", dir, BACKUPS);
            start.elapsed()
        });
        plug_in_and_pull(&mut log, &mut often, "OFTEN", CYCLES);
        println!("{CYCLES} plug-ins: {:.1} s", start.elapsed().as_secs_f64());
        backups.join().unwrap()
    });
    println!("{BACKUPS} backups beside them: {:.1} s", with_backups.as_secs_f64());
    let after = agent.idle();
    let state_after = tree_size(&dir.join("state"));
    println!("before: {before:?}, state folder {state_before:?} (files, bytes)");
    println!("after: {after:?}, state folder {state_after:?}");
    assert_eq!(after.handles, before.handles, "{before:?} → {after:?}");
    assert_eq!(after.threads, before.threads);
    assert!(after.rss <= before.rss + GROWTH, "{before:?} → {after:?}");
    assert_eq!(state_after.0, state_before.0, "files in the state folder");
    assert!(state_after.1 < 256 << 10, "bytes in the state folder: {}", state_after.1);
    assert!(agent.terminate().0.success());
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
