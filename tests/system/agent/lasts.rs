//! The agent lasts: events that the kernel drops, an agent that is killed, drives that come together.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;

use crate::support::agent::{self, Agent};
use crate::support::drive::Drive;
use crate::support::large_source::LargeSource;
use crate::support::needs::skipped;
use crate::support::process;
use crate::support::udevd::Udev;

/// Events that the kernel dropped for the agent's udev socket so far.
fn dropped(agent: &Agent) -> u64 {
    let fds = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let targets: Vec<PathBuf> =
        fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
    let is_its = |inode: &str| targets.contains(&PathBuf::from(format!("socket:[{inode}]")));
    let table = fs::read_to_string("/proc/net/netlink").unwrap();
    // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let drops = rows.filter(|row| is_its(row[9])).map(|row| row[8].parse::<u64>().unwrap());
    drops.sum()
}

/// The loop devices that hold nothing: their events cost udev little.
fn empty_loops() -> Vec<PathBuf> {
    let disks = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path());
    let is_empty = |disk: &PathBuf| {
        disk.file_name().unwrap().to_string_lossy().starts_with("loop")
            && fs::read_to_string(disk.join("size")).is_ok_and(|size| size.trim() == "0")
    };
    disks.filter(is_empty).collect()
}

/// Makes udev tell of changes until the kernel has to drop some for the stopped agent.
fn overrun(agent: &Agent, udev: &Udev) {
    let before = dropped(agent);
    for _ in 0..200 {
        for disk in empty_loops() {
            for _ in 0..10 {
                udev.change(&disk);
            }
        }
        udev.settle();
        if dropped(agent) > before {
            return;
        }
    }
    assert!(dropped(agent) > before, "no event was dropped");
}

#[test]
fn what_happens_while_events_are_lost_is_made_up_for() {
    let Some(udev) = Udev::with(&[]) else { return };
    if empty_loops().is_empty() {
        return skipped("needs a free loop device");
    }
    let dir = tempfile::tempdir().unwrap();
    for label in ["STAYS", "PULLED", "AGAIN", "NEW"] {
        Agent::profile(dir.path(), &label.to_lowercase(), label);
    }
    let drive = |label| Drive::ext4(dir.path(), label);
    let (mut stays, mut pulled) = (drive("STAYS"), drive("PULLED"));
    let (mut again, mut new) = (drive("AGAIN"), drive("NEW"));
    let uuid = "0f7c8a3e-5a0b-4d7e-9a43-52b1c6d1e9f0";
    let mut locked = Drive::luks(dir.path(), uuid);
    let profile = json!({ "drive": { "uuid": uuid }, "src": dir.path().join("source") });
    Agent::own_profile(dir.path(), "locked", &profile);
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    locked.attach();
    agent.wait_logged(&["locked: "]);
    for drive in [&mut stays, &mut pulled, &mut again] {
        drive.attach();
    }
    agent.wait_logged_times(3, &["safe to remove"]);

    agent.signal(Signal::STOP);
    overrun(&agent, &udev);
    // Its buffer is full: none of this can reach it.
    pulled.detach();
    again.detach();
    udev.settle();
    again.attach();
    new.attach();
    udev.settle();
    agent.signal(Signal::CONT);
    agent.wait_logged(&["udev events were lost"]);
    agent.wait_logged(&["safe to remove", "NEW"]);
    agent.wait_logged(&["unplugged", "PULLED"]);
    agent.wait_logged_times(2, &["safe to remove", "AGAIN"]);
    assert_eq!(agent.count(&["unplugged", "AGAIN"]), 1, "{}", agent.log());
    assert_eq!(agent.count(&["unplugged"]), 2, "the others stayed: {}", agent.log());
    assert_eq!(agent.count(&["running", "STAYS"]), 1, "{}", agent.log());

    // And it is not deaf since.
    stays.detach();
    agent.wait_logged(&["unplugged", "STAYS"]);
    pulled.attach();
    agent.wait_logged_times(2, &["safe to remove", "PULLED"]);
    assert!(agent.terminate().0.success());
}

#[test]
fn an_agent_that_was_killed_in_the_middle_takes_its_mount_over_and_goes_on() {
    let Some(_udev) = Udev::with(&["mkfs.btrfs", "e2fsck"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut source = LargeSource::new(dir.path(), "KILLED");
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    source.plug_in(&agent);
    drop(agent);
    assert_eq!(agent::mounts_of_ours(), 1, "nobody took the mount away");

    source.shrink();
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    agent.wait_logged(&["safe to remove"]);
    assert_eq!(agent.count(&["mounted: by us, at /run/bkm-agent/"]), 1, "{}", agent.log());
    assert_eq!(agent.count(&["waiting for it to be mounted"]), 0, "it was: {}", agent.log());
    assert_eq!(agent::mounts_of_ours(), 0);
    let status = agent.ask(&["status", "--json"]);
    assert_eq!(status[0]["last_run"]["recovered"], true, "{status}");
    assert_eq!(status[0]["state"], "safe to remove", "{status}");
    assert!(agent.terminate().0.success());
    source.check_backup(&dir.path().join("look"));
}

/// A source `name` in `dir` that takes a moment to back up, and a profile for it.
fn source(dir: &Path, name: &str, drive: &serde_json::Value, bytes: usize) {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("large.bin"), vec![b'x'; bytes]).unwrap();
    let profile = json!({ "drive": drive, "src": folder, "dist": "B", "pairing": "off" });
    Agent::own_profile(dir, name, &profile);
}

/// The numbers of the log's lines that hold `words`.
fn lines(agent: &Agent, words: &[&str]) -> Vec<usize> {
    let log = agent.log();
    let holds_all = |line: &str| words.iter().all(|word| line.contains(word));
    log.lines().enumerate().filter(|(_, line)| holds_all(line)).map(|(n, _)| n).collect()
}

#[test]
fn two_drives_at_once_are_backed_up_side_by_side() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (mut left, mut right) = (Drive::ext4(dir.path(), "LEFT"), Drive::ext4(dir.path(), "RIGHT"));
    for label in ["LEFT", "RIGHT"] {
        source(dir.path(), &label.to_lowercase(), &json!({ "label": label }), 64 << 20);
    }
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    left.attach();
    right.attach();
    agent.wait_logged_times(2, &["safe to remove"]);
    let (running, flushed) = (lines(&agent, &["running"]), lines(&agent, &["flushed"]));
    assert_eq!((running.len(), flushed.len()), (2, 2), "{}", agent.log());
    assert!(running[1] < flushed[0], "side by side: {}", agent.log());
    assert_eq!(agent::mounts_of_ours(), 0);
    assert!(agent.terminate().0.success());
}

#[test]
fn two_drives_of_one_profile_are_backed_up_one_after_the_other() {
    let Some(_udev) = Udev::with(&["cmp"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (Drive::ext4(dir.path(), "TWINS"), Drive::ext4(dir.path(), "TWINS"));
    source(dir.path(), "docs", &json!({ "label": "TWINS" }), 64 << 20);
    let agent = Agent::start(dir.path(), agent::NO_BUS);
    one.attach();
    two.attach();
    agent.wait_logged_times(2, &["safe to remove"]);
    let (running, flushed) = (lines(&agent, &["running"]), lines(&agent, &["flushed"]));
    assert_eq!((running.len(), flushed.len()), (2, 2), "{}", agent.log());
    assert!(flushed[0] < running[1], "one after the other: {}", agent.log());
    let queued = lines(&agent, &["waiting for another run of the same source"]);
    assert_eq!(queued.len(), 1, "{}", agent.log());
    assert!(running[0] < queued[0] && queued[0] < flushed[0], "{}", agent.log());
    assert!(agent.terminate().0.success());
    for drive in [&mut one, &mut two] {
        let point = dir.path().join("look");
        drive.mount(&point);
        let mut cmp = std::process::Command::new("cmp");
        cmp.arg(dir.path().join("docs/large.bin"));
        process::run(cmp.arg(point.join("B/mirror/large.bin")));
        drive.unmount();
    }
}
