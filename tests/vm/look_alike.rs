//! Another drive with the same label and UUID, as `dd` makes one, gets nothing.

use std::fs;

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::guest::STEP;
use crate::outside::{Check, look};
use crate::world::{How, Outcome, World};

pub(crate) fn clone(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "original", Fs::Ext4, "TWIN");
    world.profile("twin", &json!({ "label": "TWIN" }), "Documents");
    let plugged = world.plug(&drive, How::Storage);
    world.safe_to_remove(plugged);
    world.pull(&drive);
    // Copied before the last run: an image, or a clone that lay in a drawer.
    let clone = drive.copy(&world.folder, "clone");
    for _ in 0..2 {
        world.change("Documents", "echo once more >>Projects/a.txt");
        let plugged = world.plug(&drive, How::Storage);
        world.safe_to_remove(plugged);
        world.pull(&drive);
    }
    world.change("Documents", "echo and again >>Projects/a.txt");
    let before = look(&clone, &clone.parts[0], Check::Clean).tree;
    let plugged = world.plug(&clone, How::Storage);
    world.guest.wait_logged(plugged.since, STEP, &["refused"]);
    // `urgency` 2 is critical: it stays until it was read.
    let shown = world.guest.wait_shown(plugged.since, STEP, &["TWIN", "\"urgency\": 2"]);
    assert!(!shown.contains("Backup finished"), "{shown}");
    let log = world.guest.agent_log(plugged.since);
    assert!(!log.contains("planned") && !log.contains("flushed"), "{log}");
    let (_, why) = world.guest.try_alice(".local/bin/bkm-agent why");
    assert!(why.contains("refused"), "{why}");
    world.nothing_is_mounted();
    world.pull(&clone);
    let after = look(&clone, &clone.parts[0], Check::Clean).tree;
    assert_eq!(before, after, "the clone was written to");
    // The drive itself is still the drive.
    let plugged = world.plug(&drive, How::Storage);
    world.safe_to_remove(plugged);
    world.pull(&drive);
    fs::remove_file(&clone.file).unwrap();
    Outcome::Passed
}
