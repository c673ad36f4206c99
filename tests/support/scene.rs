//! A source with every kind of entry, and the same with every kind of change.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use bkm_agent::source::rules::RawRules;

use super::edits::{delete, set_mtime};

pub(crate) fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content.repeat(7)).unwrap();
}

fn rename(root: &Path, from: &str, to: &str) {
    rustix::fs::rename(root.join(from), root.join(to)).unwrap();
}

/// Tracked but for `m`, and `t2m` in the beginning; `m2t` is mirrored in the beginning.
pub(crate) fn rules(later: bool) -> RawRules {
    let list = |rules: &[&str]| rules.iter().map(|&r| r.to_owned()).collect();
    let (tracked, mirrored) = if later { ("m2t", "t2m") } else { ("t2m", "m2t") };
    RawRules {
        track_dirs: list(&["t", "deep", "turn", "gone", "moved*", "empty*", tracked]),
        include_dirs: list(&["m", mirrored]),
        track_files: list(&["*"]),
        ..RawRules::default()
    }
}

pub(crate) fn first_state(root: &Path) {
    for path in [
        "t/same",
        "t/changed",
        "t/grown",
        "t/touched",
        "t/gone",
        "t/linked",
        "t/to-folder",
        "t/secret",
        "m/same",
        "m/changed",
        "m/gone",
        "m/to-folder",
        "m/to-move",
        "t/renamed",
        "t/touched-and-moved",
        "deep/a/b/c/file",
        "deep/a/b/other",
        "turn/x/y/file",
        "turn/x/file",
        "turn/file",
        "turn/y/z/file",
        "gone/a/file",
        "gone/b/file",
        "moved/one",
        "moved/two/three",
        "t2m/file",
        "t2m/changed",
        "m2t/file",
        "m2t/changed",
        "t/swap-1",
        "t/swap-2",
        "t/link-to-file",
    ] {
        write(root, path, path);
    }
    fs::create_dir_all(root.join("empty/er")).unwrap();
    fs::hard_link(root.join("t/linked"), root.join("t/twin")).unwrap();
    symlink("nowhere", root.join("t/link")).unwrap();
    symlink("old", root.join("t/changed-link")).unwrap();
}

/// Every kind of change that there is.
pub(crate) fn second_state(root: &Path) {
    write(root, "t/changed", "t/CHANGED");
    write(root, "t/grown", "has grown quite a bit");
    write(root, "m/changed", "m/CHANGED");
    write(root, "t2m/changed", "other than before");
    write(root, "m2t/changed", "other than before as well");
    set_mtime(&root.join("t/touched"), (1_600_000_000, 7));
    fs::set_permissions(root.join("t/same"), fs::Permissions::from_mode(0o640)).unwrap();
    for gone in ["t/gone", "m/gone", "gone", "empty/er"] {
        delete(&root.join(gone));
    }
    for (file, folder) in [("t/to-folder", "t/to-folder/in/it"), ("m/to-folder", "m/to-folder/in")]
    {
        delete(&root.join(file));
        write(root, folder, folder);
    }
    delete(&root.join("turn/x"));
    write(root, "turn/x", "a file now");
    delete(&root.join("turn/y"));
    symlink("x", root.join("turn/y")).unwrap();
    delete(&root.join("turn/file"));
    fs::create_dir_all(root.join("turn/file/empty")).unwrap();
    rename(root, "t/renamed", "deep/a/renamed");
    rename(root, "m/to-move", "m/moved");
    rename(root, "t/touched-and-moved", "t/moved-and-touched");
    fs::set_permissions(root.join("t/moved-and-touched"), fs::Permissions::from_mode(0o600))
        .unwrap();
    rename(root, "moved", "moved-away");
    rename(root, "deep/a/b", "deep/b");
    rename(root, "t/swap-1", "t/swap");
    rename(root, "t/swap-2", "t/swap-1");
    rename(root, "t/swap", "t/swap-2");
    delete(&root.join("t/link-to-file"));
    symlink("t", root.join("t/link-to-file")).unwrap();
    delete(&root.join("t/link"));
    write(root, "t/link", "a file now");
    delete(&root.join("t/changed-link"));
    symlink("new", root.join("t/changed-link")).unwrap();
    delete(&root.join("t/twin"));
    write(root, "t/new-1", "new");
    write(root, "m/new", "new in m");
    fs::hard_link(root.join("t/new-1"), root.join("t/new-2")).unwrap();
    fs::hard_link(root.join("t/new-1"), root.join("m/new-3")).unwrap();
    fs::hard_link(root.join("t/same"), root.join("t/new-link-to-same")).unwrap();
    fs::create_dir_all(root.join("empty-new/er")).unwrap();
    for number in 0..6 {
        write(root, &format!("deep/n{number}/file"), &format!("new file {number}"));
    }
}
