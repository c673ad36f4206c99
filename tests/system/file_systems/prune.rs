//! Old increments go when the drive is full.

use std::fs;

use serde_json::json;

use crate::support::home::Home;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;

#[test]
fn old_increments_make_room_when_the_drive_is_full() {
    let drive = match LoopDrive::new("ext4", 64) {
        Ok(drive) => drive,
        Err(why) => {
            return skipped(&why);
        }
    };
    let home = Home::new();
    let dist = drive.point().join("backup");
    let profile = json!({ "src": "~/work", "dist": dist });
    home.profile("docs", &profile);
    for run in 0..2_u8 {
        fs::write(home.at("work/large"), vec![run; 16 << 20]).unwrap();
        home.done(&["run"]);
    }
    fs::write(home.at("work/large"), vec![9; 30 << 20]).unwrap();
    let full = home.bkm(&["run"]);
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(String::from_utf8(full.stderr).unwrap().contains("free are"));
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": dist, "retention": { "keep_last": 1 } }),
    );
    let report = home.json(&["run", "--json"]);
    assert_eq!(report["changed"], 1);
    assert!(report["freed"].as_u64().unwrap() >= 16 << 20, "{report}");
    home.done(&["verify"]);
}
