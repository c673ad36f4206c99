//! `why`: what a plug-in came to, and what to do about it.

use serde_json::json;

use crate::support;
use crate::support::home::Home;

fn capture(name: &str) -> String {
    support::project_file("tests/udev-captures").join(name).to_str().unwrap().to_owned()
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
