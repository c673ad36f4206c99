//! A drive that the Python backup-manager backed up to.

use serde_json::json;

use crate::support::adopting::three_runs;
use crate::support::{self, process, python_tool, udevd};

#[test]
fn a_drive_that_the_tool_backed_up_to_is_taken_over_and_paired() {
    if !python_tool::is_here() {
        return;
    }
    let Some(_turn) = udevd::turn(&[]) else { return };
    let home = three_runs(&[]);
    let profile = json!({ "drive": { "label": "THEIRS" }, "src": "~/work", "dist": "backup" });
    home.profile("docs", &profile);
    let mut drive = support::drive::Drive::ext4(home.folder(), "THEIRS");
    drive.attach();
    let point = home.at("media");
    drive.mount(&point);
    let mut copy = std::process::Command::new("cp");
    process::run(copy.arg("-a").arg(home.at("there/backup")).arg(&point));
    let drives = home.done(&["drives"]);
    assert!(drives.contains("docs: made by the Python backup-manager; the next run"), "{drives}");
    let check = home.done(&["check"]);
    assert!(check.contains("the next run takes it over"), "{check}");
    drive.unmount();
    let report = home.json(&["run", "--profile", "docs", "--json"]);
    assert_eq!((&report["first_use"], &report["bytes_copied"]), (&json!(true), &json!(0)));
    assert!(report["adopted"].is_string(), "{report}");
    assert_eq!(home.json(&["run", "--profile", "docs", "--json"])["unchanged"], 3);
    // What is mounted for reading alone is mounted anew to write the hashes down.
    let verified = home.done(&["verify", "--profile", "docs"]);
    assert!(verified.contains("5 versions of the Python backup-manager are proven"), "{verified}");
    assert!(!home.done(&["list", "--profile", "docs"]).contains("unproven"));
}
