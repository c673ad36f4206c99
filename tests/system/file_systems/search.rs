//! `search` on a drive without hard links.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::support::history::{full_paths_lead_to_the_versions, history_of};
use crate::support::home::Home;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;

#[test]
fn full_paths_lead_to_the_versions_on_a_drive_without_links() {
    let home = Home::new();
    let image = home.at("image");
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    if Command::new("mkfs.exfat").arg(&image).output().is_err() {
        return skipped("mkfs.exfat is missing");
    }
    let mut drive = match LoopDrive::of_image(&image, &home.at("media"), "exfat") {
        Ok(drive) => drive,
        Err(why) => {
            return skipped(&why);
        }
    };
    history_of(&home, "~/media/backup");
    full_paths_lead_to_the_versions(&home);
    let places = |home: &Home| -> Vec<Value> {
        let found = home.json(&["search", "--json"]);
        let results = found["results"].as_array().unwrap().iter();
        results.filter(|r| r["category"] != "mirrored").map(|r| r["full_path"].clone()).collect()
    };
    let here = places(&home);
    assert!(here.iter().any(|path| path.as_str().unwrap().contains("/mirror/")), "{here:?}");
    drive.unmount();
    // From the catalogs alone, which is current and which was replaced.
    assert_eq!(places(&home), here);
}
