//! Restoring what only root could have backed up, and from drives without hard links.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::json;

use crate::support::files::mode;
use crate::support::home::Home;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::{is_root, skipped};
use crate::support::restoring::{differences, hostile_names, scripts_restore};

#[test]
fn a_user_restores_for_themselves_and_other_owners_and_set_id_bits_are_named() {
    if !is_root() {
        return skipped("needs root");
    }
    let home = Home::with_docs();
    std::os::unix::fs::symlink("a.txt", home.at("work/link")).unwrap();
    let Some(user) = home.user() else { return };
    let give = |path: &str, uid, gid| {
        std::os::unix::fs::lchown(home.at("work").join(path), uid, gid).unwrap();
    };
    give("a.txt", Some(1234), None);
    give("sub/b.txt", None, Some(5678));
    give("sub", Some(1234), Some(5678));
    give("link", Some(1234), Some(5678));
    mode(&home.at("work/a.txt"), 0o6755);
    assert!(user.shown(&["run"]).starts_with("exit 0\n"));
    insta::assert_snapshot!(user.shown(&["restore", "--to", "out", "--keep-set-id"]), @r"
    exit 3
    restored 4 files (11 B) and 1 folder to out
      4 files and folders of other owners or groups are yours now: only root can give them back
      1 problem:
        a.txt: its set-id bits were not restored: they were for another owner or group, or the destination does not take them
    ");
    let restored = fs::metadata(home.at("out/a.txt")).unwrap();
    assert_eq!(restored.mode() & 0o7777, 0o2755, "set-user-ID would be that of another user");
    assert_eq!(home.read("out/sub/b.txt"), "two");
}

#[test]
fn owners_are_mapped_as_root() {
    if !rustix::process::geteuid().is_root() {
        return skipped("needs root");
    }
    let home = Home::with_docs();
    std::os::unix::fs::chown(home.at("work/a.txt"), Some(1234), Some(5678)).unwrap();
    fs::set_permissions(home.at("work/a.txt"), fs::Permissions::from_mode(0o4755)).unwrap();
    home.done(&["run"]);
    let args = [
        "restore",
        "a.txt",
        "--to",
        "out",
        "--map-owner",
        "1234:root",
        "--map-group",
        "5678:99",
        "--keep-set-id",
    ];
    let shown = home.shown(&args);
    assert!(shown.starts_with("exit 3"), "{shown}");
    let made = fs::metadata(home.at("out/a.txt")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 99));
    assert_eq!(made.mode() & 0o7777, 0o755, "set-user-ID would be root's");
    for bad in ["1234", "nobody-knows:0", "1:2:3"] {
        let output = home.bkm(&["restore", "a.txt", "--to", "out", "--map-owner", bad]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

/// A repository on a drive without hard links; `None` with the reason printed.
fn without_links(home: &Home) -> Option<LoopDrive> {
    let drive = LoopDrive::exfat_at(&home.at("media"), 64)?;
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/media/backup" }));
    Some(drive)
}

#[test]
fn without_hard_links_restores_and_scripts_find_a_version_where_it_lies() {
    let home = Home::with_docs();
    let Some(_drive) = without_links(&home) else { return };
    hostile_names(&home.at("work"));
    scripts_restore(&home);
    home.done(&["restore", "--to", "now"]);
    assert_eq!(differences(&home.at("work"), &home.at("now")), "");
    home.write("now/a.txt", "mine");
    home.done(&["restore", "--to", "now", "--overwrite"]);
    assert_eq!(differences(&home.at("work"), &home.at("now")), "");
}
