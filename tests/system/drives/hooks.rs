//! Hooks of a backup to a drive.

use serde_json::json;

use crate::support::drive::Drive;
use crate::support::hooks::{home_with, input, set_profile, shell, variable};
use crate::support::udevd;

#[test]
fn a_hook_knows_the_drive_but_has_no_handle_of_it() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let label = "$(id) `x` \"a\\b'";
    let record = "ls -l /proc/self/fd >got/$BKM_EVENT.mine; ls -l /proc/$PPID/fd >got/$BKM_EVENT.agent; \
                  . ./record.sh";
    let home = home_with(&json!({}));
    let mut drive = Drive::ext4(home.folder(), label);
    let hooks = json!({ "before": shell(record), "after": shell(record) });
    let by_uuid = json!({ "uuid": drive.uuid() });
    set_profile(
        &home,
        &json!({ "drive": by_uuid, "src": "~/work", "dist": "B/docs", "hooks": hooks }),
    );
    let node = drive.attach().display().to_string();
    let point = home.at("media");
    drive.mount(&point);
    let shown = point.display().to_string();
    let report = home.json(&["run", "--json"]);
    assert_eq!(report["warnings"], json!([]));
    for event in ["before", "after"] {
        let told = |name| variable(&home, event, name).unwrap();
        assert_eq!(told("BKM_LABEL"), label);
        assert_eq!(told("BKM_UUID"), drive.uuid());
        assert_eq!(told("BKM_DEVICE"), node);
        assert_eq!(told("BKM_MOUNT_POINT"), shown);
        assert_eq!(told("BKM_REPOSITORY"), format!("{shown}/B/docs"));
        assert_eq!(input(&home, event)["device"]["label"], label);
        let agent = home.read(&format!("got/{event}.agent"));
        assert!(agent.contains(&format!("-> {shown}")), "the agent itself has one: {agent}");
        let mine = home.read(&format!("got/{event}.mine"));
        assert!(mine.contains("/memfd:bkm-hook") && mine.contains("pipe:"), "{mine}");
        assert!(!mine.contains(&format!("-> {shown}")) && !mine.contains("/dev/loop"), "{mine}");
    }
    drive.unmount();
}
