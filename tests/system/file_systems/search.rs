//! `search` on a drive without hard links.

use serde_json::Value;

use crate::support::history::{full_paths_lead_to_the_versions, history_of};
use crate::support::home::Home;
use crate::support::loop_drive::LoopDrive;

#[test]
fn full_paths_lead_to_the_versions_on_a_drive_without_links() {
    let home = Home::new();
    let Some(mut drive) = LoopDrive::exfat_at(&home.at("media"), 64) else { return };
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
