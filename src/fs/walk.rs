//! Goes through the files of a folder on the drive, whatever lies there.
//!
//! It only looks, follows no link and enters no mount, and goes on after a folder that cannot be listed.

use std::path::{Path, PathBuf};

use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;

/// Most names in one folder.
const MOST_NAMES: usize = 1_000_000;

/// Hands everything below `root` to `visit`, by its path relative to `root` and in the order of folders;
/// what cannot be looked at goes to `failed`.
pub fn walk(
    tree: &Tree,
    root: &Path,
    mut visit: impl FnMut(RelPath, Found),
    mut failed: impl FnMut(PathBuf, TreeError),
) {
    let mut folders: Vec<Option<RelPath>> = vec![None];
    while let Some(folder) = folders.pop() {
        let at = match &folder {
            Some(folder) => root.join(folder.as_path()),
            None => root.to_owned(),
        };
        let names = match tree.list(&at, MOST_NAMES) {
            Ok(names) => names,
            Err(e) => {
                failed(at, e);
                continue;
            }
        };
        let mut below = Vec::new();
        for name in names {
            // Names of one part always are paths, unless the whole is too long.
            let Ok(path) = RelPath::child(folder.as_ref(), &name) else { continue };
            match tree.stat(&root.join(path.as_path())) {
                Ok(Some(found)) => {
                    if found.file_type.is_dir() {
                        below.push(Some(path.clone()));
                    }
                    visit(path, found);
                }
                Ok(None) => {}
                Err(e) => failed(root.join(path.as_path()), e),
            }
        }
        folders.extend(below.into_iter().rev());
    }
}
