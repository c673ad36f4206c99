//! What alice asks afterwards.

use serde_json::{Value, json};

use crate::drive::{Drive, Fs};
use crate::world::{How, Outcome, World};

pub(crate) fn why_and_status(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "asked", Fs::Ext4, "ASKED");
    let profile = json!({ "drive": { "label": "ASKED" }, "src": "~/Documents",
        "min_interval": "6h" });
    world.profile_with("asked", &profile);
    let plugged = world.plug(&drive, How::Storage);
    world.safe_to_remove(plugged);
    let why = world.guest.alice(".local/bin/bkm-agent why");
    let mut rest = why.as_str();
    for word in ["seen", "matched", "due", "mounted", "flushed", "unmounted", "safe to remove"] {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word} is missing in\n{why}"));
        rest = &rest[at..];
    }
    let status = world.guest.alice(".local/bin/bkm-agent status --json");
    let status: Value = serde_json::from_str(&status).unwrap();
    let of_drive = |entry: &&Value| entry["profile"] == "asked";
    let entry = status.as_array().unwrap().iter().find(of_drive).unwrap();
    assert_eq!(entry["state"], "safe to remove", "{entry}");
    assert!(entry["last_complete"].is_string(), "{entry}");
    world.pull(&drive);

    // Too early for another: the reason, and the command that does it all the same.
    let plugged = world.plug(&drive, How::Storage);
    world.guest.wait_logged(plugged.since, crate::guest::STEP, &["not due"]);
    let why = world.guest.alice(".local/bin/bkm-agent why");
    assert!(why.contains("not due") && why.contains("bkm-agent run --profile asked"), "{why}");
    world.nothing_is_mounted();
    world.pull(&drive);
    Outcome::Passed
}
