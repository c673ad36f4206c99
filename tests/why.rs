//! `why`: what a plug-in came to, and what to do about it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says why it was skipped"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;

use common::agent::Agent;
use common::drive::Drive;
use common::home::Home;
use common::udevd::Udev;
use serde_json::{Value, json};

const NO_BUS: &str = "unix:path=/nonexistent/bus";

fn capture(name: &str) -> String {
    format!("{}/tests/udev-captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_recording_is_replayed_as_a_checklist() {
    let home = Home::new();
    home.profile("photos", &json!({ "src": "~/work", "drive": { "label": "BACKUP_EXT4" } }));
    let shown = home.done(&["why", "--replay", &capture("ext4.txt")]);
    let expected = [
        "BACKUP_EXT4\", plugged in ",
        "  ✓ seen: ext4, ",
        "  ✓ matched: photos, label \"BACKUP_EXT4\"",
        "  ✓ paired: photos, this will be the profile's drive from now on",
        "  ✓ due: photos",
        "  … waiting for it to be mounted",
        "  ✓ mounted: taken for granted",
        "  ✓ planned: photos, a backup would begin now",
        "  ✓ unplugged",
        "  - not reached: copying, flushed, unmounted, safe to remove",
    ];
    let mut rest = shown.as_str();
    for line in expected {
        let at = rest.find(line).unwrap_or_else(|| panic!("no {line:?} in:\n{shown}"));
        rest = &rest[at + line.len()..];
    }
    // Each recording of a plug-in would give one run, or says why not.
    for (file, label, states) in [
        ("vfat.txt", "BKPFAT", "planned"),
        ("exfat.txt", "BKPEXFAT", "planned"),
        ("ntfs.txt", "BKPNTFS", "planned"),
        ("btrfs.txt", "BKPBTRFS", "planned"),
        ("bare.txt", "BAREFAT", "planned"),
        ("space.txt", "My Dïsk/1", "planned"),
        ("two.txt", "TWO_P2", "planned"),
        ("luks.txt", "BKPLUKS", "locked"),
    ] {
        home.profile("photos", &json!({ "src": "~/work", "drive": { "label": label } }));
        let all = home.json(&["why", "--replay", &capture(file), "--json"]);
        let steps = all.as_array().unwrap().iter().flat_map(|r| r["steps"].as_array().unwrap());
        let reached = steps.filter(|step| step["state"] == states).count();
        assert_eq!(reached, 1, "{file}: {all:#}");
    }
}

#[test]
fn what_is_no_recording_is_refused_and_nothing_seen_is_said_so() {
    let home = Home::with_docs();
    let other = home.bkm(&["why", "--replay", "work/a.txt"]);
    assert_eq!(other.status.code(), Some(2), "{other:?}");
    assert!(String::from_utf8_lossy(&other.stderr).contains("udevadm monitor --udev --property"));
    let none = home.bkm(&["why"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(String::from_utf8_lossy(&none.stderr).contains("systemctl --user start bkm-agent"));
}

#[test]
fn the_last_plug_in_is_explained_by_node_label_and_uuid() {
    if let Some(why) = common::missing(&["losetup", "mkfs.ext4", "udevadm"]) {
        return println!("skipped: {why}");
    }
    let _udev = match Udev::start() {
        Ok(udev) => udev,
        Err(why) => return println!("skipped: {why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "WHYNOT");
    let mut stranger = Drive::ext4(dir.path(), "STRANGER");
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "one").unwrap();
    let profile = json!({
        "drive": { "label": "WHYNOT" }, "src": source, "dist": "B", "min_interval": "6h",
    });
    Agent::own_profile(dir.path(), "docs", &profile);
    let agent = Agent::start(dir.path(), NO_BUS);
    drive.attach();
    agent.wait_logged(&["safe to remove"]);
    let words = |record: &Value| -> Vec<String> {
        let steps = record["steps"].as_array().unwrap();
        steps.iter().map(|step| step["state"].as_str().unwrap().to_owned()).collect()
    };
    let why = agent.ask(&["why", "--json"]);
    let way = "seen matched paired due waiting for it to be mounted mounted running planned copying \
               flushed unmounted safe to remove";
    assert_eq!(words(&why[0]).join(" "), way);
    assert_eq!(why[0]["not_reached"], json!([]));
    assert_eq!(why[0]["conclusion"], "It was backed up, and could be pulled.");

    drive.detach();
    agent.wait_logged(&["unplugged"]);
    let node = drive.attach();
    agent.wait_logged(&["not due"]);
    let (node, uuid) = (node.to_str().unwrap().to_owned(), drive.uuid());
    for named in [node.as_str(), "WHYNOT", &uuid] {
        let why = agent.ask(&["why", named, "--json"]);
        let last = why[0]["steps"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["state"], &last["mark"]), (&json!("not due"), &json!("out")));
        let remedy = last["remedy"].as_str().unwrap();
        assert!(remedy.starts_with("bkm-agent run --profile docs backs up now"), "{remedy}");
    }

    stranger.attach();
    agent.wait_logged(&["no profile is for it", "STRANGER"]);
    let why = agent.ask(&["why", "STRANGER", "--json"]);
    assert_eq!(words(&why[0]), ["seen", "no profile is for it"]);
    assert_eq!(why[0]["conclusion"], "No backup was made.");
    let remedy = why[0]["steps"][1]["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("bkm-agent pair /dev/loop"), "{remedy}");
    assert!(agent.terminate().0.success());
}
