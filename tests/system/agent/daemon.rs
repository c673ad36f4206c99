//! The agent with real events: loop drives, udev, a session bus with a notification service.

use std::path::Path;
use std::time::Duration;

use crate::support::agent::{self, Agent};
use crate::support::desktop::Desktop;
use crate::support::drive::Drive;
use crate::support::needs::{self, skipped};
use crate::support::process;
use crate::support::udevd::Udev;

#[test]
fn a_drive_is_mounted_backed_up_unmounted_and_told_of_in_one_notification() {
    if let Some(why) = Desktop::missing() {
        return skipped(&why);
    }
    let Some(udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(dir.path());
    let mut drive = Drive::ext4(dir.path(), "My D<sk/1");
    let mut other = Drive::ext4(dir.path(), "OTHER");
    Agent::profile(dir.path(), "docs", "My D<sk/1");
    let agent = Agent::start(dir.path(), &desktop.address);

    let node = drive.attach();
    agent.wait_logged(&["safe to remove", "My D<sk/1"]);
    assert_eq!(agent.count(&["mounted: by us", "/run/bkm-agent/"]), 1);
    assert_eq!(agent::mounts_of_ours(), 0, "unmounted, and its folder is gone");
    let shown = process::wait_for("the last text", || {
        let shown = desktop.shown();
        shown.last().is_some_and(|last| last.line.contains("Backup finished")).then_some(shown)
    });
    // On a machine that is busy progress comes between them.
    let (first, later) = shown.split_first().unwrap();
    let last = &later.last().unwrap().line;
    assert!(first.line.contains("Backup started"), "{shown:#?}");
    assert_eq!(first.replaces, 0);
    assert!(later.iter().all(|shown| shown.replaces == 1), "one, updated: {shown:#?}");
    assert!(last.contains("docs → My D&lt;sk/1: "), "{shown:#?}");
    assert!(last.contains("Safe to remove."), "{shown:#?}");

    // The same attach, told again and again, starts nothing; the other drive's line marks the end.
    udev.change(&node);
    udev.change(&node);
    udev.settle();
    other.attach();
    agent.wait_logged(&["seen", "OTHER"]);
    assert_eq!(agent.count(&["running"]), 1, "{}", agent.log());

    let status = agent.ask(&["status", "--json"]);
    assert_eq!(status[0]["profile"], "docs");
    assert_eq!(status[0]["state"], "safe to remove");
    assert_eq!(status[0]["drive"]["label"], "My D<sk/1");
    assert!(status[0]["last_complete"].is_string());
    assert_eq!(status.as_array().unwrap().len(), 1);
    let drives = agent.ask(&["drives", "--json"]);
    let listed = |label: &str| {
        let all = drives.as_array().unwrap();
        all.iter().find(|drive| drive["label"] == label).cloned()
    };
    assert_eq!(listed("My D<sk/1").unwrap()["profiles"][0], "docs");
    assert_eq!(listed("OTHER").unwrap()["profiles"], serde_json::json!([]));

    // Pulled and plugged in again: a new attach.
    drive.detach();
    agent.wait_logged(&["unplugged"]);
    drive.attach();
    process::wait_for("the second run", || (agent.count(&["safe to remove"]) == 2).then_some(()));
    let (status, time) = agent.terminate();
    assert!(status.success(), "{status}");
    assert!(time < Duration::from_secs(5), "{time:?}");
}

#[test]
fn a_drive_that_is_there_at_the_start_and_mounted_stays_mounted() {
    if let Some(why) = Desktop::missing() {
        return skipped(&why);
    }
    let Some(udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(dir.path());
    let mut drive = Drive::ext4(dir.path(), "DESKTOP");
    Agent::profile(dir.path(), "docs", "DESKTOP");
    drive.attach();
    udev.settle();
    let point = dir.path().join("media/DESKTOP");
    drive.mount(&point);
    let agent = Agent::start(dir.path(), &desktop.address);
    agent.wait_logged(&["finished, eject before you pull"]);
    let already = format!("already, at {}", point.display());
    assert_eq!(agent.count(&[&already]), 1, "{}", agent.log());
    assert!(is_mounted(&point), "left as found");
    let shown = process::wait_for("two notifications", || {
        Some(desktop.shown()).filter(|shown| shown.len() >= 2)
    });
    let last = &shown.last().unwrap().line;
    assert!(last.contains("Eject the drive before you pull it."), "{last}");
    assert!(!last.contains("Safe"), "{last}");
    assert!(agent.terminate().0.success());
}

#[test]
fn without_a_notification_service_the_backup_runs_and_one_line_says_so() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "SILENT");
    Agent::profile(dir.path(), "docs", "SILENT");
    let agent = Agent::start(dir.path(), "unix:path=/nonexistent/bus");
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    assert_eq!(agent.count(&["no notification service"]), 1, "{}", agent.log());
    agent.terminate();
}

#[test]
fn a_stop_while_it_waits_for_the_mount_leaves_nothing_behind() {
    let Some(_udev) = Udev::with(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "WAITING");
    Agent::profile(dir.path(), "docs", "WAITING");
    let agent = Agent::start(dir.path(), "unix:path=/nonexistent/bus");
    drive.attach();
    agent.wait_logged(&["waiting for it to be mounted"]);
    let (status, time) = agent.terminate();
    assert!(status.success() && time < Duration::from_secs(5), "{time:?}");
    assert_eq!(agent::mounts_of_ours(), 0);
}

#[test]
fn a_user_waits_for_the_desktop_and_uses_its_mount() {
    const NOBODY: u32 = 65_534;
    let Some(_udev) = Udev::with(&[]) else { return };
    if needs::find_tool("setpriv").is_none() {
        return skipped("needs setpriv");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "USERS");
    Agent::profile(dir.path(), "docs", "USERS");
    let agent = Agent::start_as(NOBODY, dir.path(), "unix:path=/nonexistent/bus");
    drive.attach();
    agent.wait_logged(&["waiting for it to be mounted"]);
    assert_eq!(agent.count(&["mounted:"]), 0, "{}", agent.log());
    let point = dir.path().join("media/USERS");
    drive.mount(&point);
    std::os::unix::fs::chown(&point, Some(NOBODY), Some(NOBODY)).unwrap();
    agent.wait_logged(&["finished, eject before you pull"]);
    assert!(is_mounted(&point));
    // Nothing holds it once the run is over: the desktop can eject it.
    process::run(std::process::Command::new("umount").arg(&point));
    let (status, time) = agent.terminate();
    assert!(status.success() && time < Duration::from_secs(5), "{time:?}");
}

fn is_mounted(point: &Path) -> bool {
    let list = bkm_agent::drive::mountinfo::read().unwrap();
    list.iter().any(|entry| entry.point == point)
}
