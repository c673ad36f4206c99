//! `why`: what a plug-in came to, and what to do about it.

use serde_json::{Value, json};

use crate::support::agent::{self, Agent};
use crate::support::drive::Drive;
use crate::support::needs::{self, skipped};
use crate::support::udevd::Udev;

#[test]
fn the_last_plug_in_is_explained_by_node_label_and_uuid() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.ext4", "udevadm"]) {
        return skipped(&why);
    }
    let _udev = match Udev::start() {
        Ok(udev) => udev,
        Err(why) => return skipped(&why),
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
    let agent = Agent::start(dir.path(), agent::NO_BUS);
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
