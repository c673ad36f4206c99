//! A look at a drive from outside the guest: its file system checked with the tools of that file system,
//! and everything on it read by other drivers than the guest's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::drive::{Drive, Fs, Part};
use crate::host::{must, run, wait_for};

/// Every path below a folder, with what is there: `a folder`, the BLAKE3 of a file, or a link's target.
pub(crate) type Tree = BTreeMap<String, String>;

/// What lies on one file system.
pub(crate) struct Found {
    pub(crate) tree: Tree,
    /// The catalogs by the increment's path.
    pub(crate) catalogs: BTreeMap<String, Value>,
}

/// Whether the file system has to be clean: after an orderly end it must, after a pull it cannot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Clean,
    None,
}

/// Reads a partition of a drive that is not plugged in. The image itself stays as it is.
#[track_caller]
pub(crate) fn look(drive: &Drive, part: &Part, check: Check) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("part");
    drive.take(part, &image);
    if check == Check::Clean {
        is_clean(part.fs, &image);
    }
    // Other tests, whose agents would see the drive, take turns by this lock.
    let turn = File::create("/run/lock/bkm-agent-tests").unwrap();
    turn.lock().unwrap();
    let point = dir.path().join("point");
    fs::create_dir(&point).unwrap();
    let point_text = point.to_str().unwrap();
    let image_text = image.to_str().unwrap();
    match part.fs {
        Fs::Ext4 | Fs::Btrfs => {
            // A journal that a pull left is replayed, on this copy.
            run("mount", ["-o", "loop,noatime", image_text, point_text]);
        }
        Fs::Exfat => {
            // It takes no files. The loop device goes with its last user.
            let device = run("losetup", ["--find", "--show", "--read-only", image_text]);
            let device = device.trim();
            run("mount.exfat-fuse", ["-o", "ro", device, point_text]);
            run("losetup", ["--detach", device]);
        }
        Fs::Ntfs => {
            run("ntfs-3g", ["-o", "ro", image_text, point_text]);
        }
        Fs::Vfat => {
            must(
                Command::new("mcopy")
                    .args(["-s", "-n", "-m", "-i", image_text, "::/", point_text])
                    .env("MTOOLS_SKIP_CHECK", "1")
                    .stdin(Stdio::null()),
            );
        }
        Fs::Empty => {}
    }
    let tree = tree(&point);
    let catalogs = catalogs(&point, &tree);
    if matches!(part.fs, Fs::Ext4 | Fs::Btrfs | Fs::Exfat | Fs::Ntfs) {
        // Whoever looks around on this computer may be in it for a moment.
        wait_for("the drive to be unmounted", Duration::from_secs(30), || {
            Command::new("umount").arg(&point).status().unwrap().success().then_some(())
        });
    }
    Found { tree, catalogs }
}

#[track_caller]
fn is_clean(fs: Fs, image: &Path) {
    let image = image.to_str().unwrap();
    let said = match fs {
        Fs::Ext4 => run("e2fsck", ["-fn", image]),
        Fs::Vfat => run("fsck.vfat", ["-n", image]),
        Fs::Exfat => run("fsck.exfat", ["-n", image]),
        Fs::Ntfs => run("ntfsfix", ["-n", image]),
        Fs::Btrfs => run("btrfs", ["check", "--readonly", image]),
        Fs::Empty => String::new(),
    };
    // Those that say so and succeed all the same.
    let bad = ["irty bit", "not cleanly unmounted", "is dirty", "corrupted"];
    assert!(!bad.iter().any(|word| said.contains(word)), "{said}");
}

/// Everything below `folder`.
pub(crate) fn tree(folder: &Path) -> Tree {
    let entries = walkdir::WalkDir::new(folder).min_depth(1);
    entries
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type();
            let what = if kind.is_dir() {
                "a folder".to_owned()
            } else if kind.is_symlink() {
                format!("a link to {}", fs::read_link(entry.path()).unwrap().display())
            } else {
                blake3::hash(&fs::read(entry.path()).unwrap()).to_string()
            };
            (entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), what)
        })
        .collect()
}

/// The part of a tree that lies below `folder`.
pub(crate) fn below(tree: &Tree, folder: &str) -> Tree {
    let prefix = format!("{folder}/");
    tree.iter()
        .filter_map(|(path, what)| Some((path.strip_prefix(&prefix)?.to_owned(), what.clone())))
        .collect()
}

fn catalogs(point: &Path, tree: &Tree) -> BTreeMap<String, Value> {
    tree.keys()
        .filter_map(|path| {
            let (increment, file) = path.rsplit_once('/')?;
            let name = increment.rsplit_once('/').map_or(increment, |(_, name)| name);
            (name.starts_with("backup_") && file == format!("{name}.json")).then(|| {
                let text = fs::read_to_string(point.join(path)).unwrap();
                (increment.to_owned(), serde_json::from_str(&text).unwrap())
            })
        })
        .collect()
}

impl Found {
    /// The mirror in `repository` is `source`, and its catalogs name every file of it.
    #[track_caller]
    pub(crate) fn is_backup_of(&self, source: &Tree, repository: &str) {
        let mirror = below(&self.tree, &format!("{repository}/mirror"));
        assert!(!mirror.is_empty(), "nothing in {repository}/mirror: {:#?}", self.tree);
        let differing: Vec<_> = source
            .iter()
            .filter(|(path, what)| mirror.get(*path) != Some(what))
            .chain(mirror.iter().filter(|(path, _)| !source.contains_key(*path)))
            .collect();
        assert!(differing.is_empty(), "mirror and source differ: {differing:#?}");
        let listed: Vec<&str> = self
            .catalogs
            .iter()
            .filter(|(increment, _)| increment.starts_with(&format!("{repository}/backup_")))
            .flat_map(|(_, catalog)| catalog["file_catalog"].as_object().unwrap().keys())
            .map(String::as_str)
            .collect();
        for (path, what) in source {
            assert!(
                what == "a folder" || listed.contains(&path.as_str()),
                "no catalog lists {path}"
            );
        }
    }

    /// Every version that the increments among `older` held is where it was, with its content.
    #[track_caller]
    pub(crate) fn keeps(&self, older: &Tree) {
        let changed: Vec<_> =
            older.iter().filter(|(path, what)| self.tree.get(*path) != Some(what)).collect();
        assert!(changed.is_empty(), "older increments changed: {changed:#?}");
    }

    /// The files of all increments.
    pub(crate) fn increments(&self) -> Tree {
        let in_increment = |path: &str| path.split('/').any(|part| part.starts_with("backup_20"));
        let files = self.tree.iter().filter(|(path, _)| in_increment(path));
        files.map(|(path, what)| (path.clone(), what.clone())).collect()
    }
}
