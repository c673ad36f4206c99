//! The staging area's folders: how they are emptied. It removes nothing outside of `.bkm`.

use std::path::Path;

use rustix::io::Errno;

use crate::fs::tree::handle::Tree;
use crate::repository::error::RepositoryError;
use crate::repository::layout;

/// Removes what lies in the staging area but what `keep` names.
pub fn clear_stage(tree: &Tree, keep: impl Fn(&str) -> bool) -> Result<(), RepositoryError> {
    let stage = Path::new(layout::STAGE);
    for name in tree.list(stage, 1_000_000)? {
        let shelf = name.to_str().filter(|name| layout::is_stage_shelf(name));
        let path = stage.join(&name);
        let found = tree.stat(&path)?;
        let is_folder = found.is_some_and(|found| found.file_type.is_dir());
        if let Some(shelf) = shelf
            && is_folder
        {
            clear_shelf(tree, shelf, &keep)?;
        } else if !name.to_str().is_some_and(&keep) {
            remove_staged(tree, &path)?;
        }
    }
    Ok(())
}

fn clear_shelf(
    tree: &Tree,
    shelf: &str,
    keep: &impl Fn(&str) -> bool,
) -> Result<(), RepositoryError> {
    let mut kept = false;
    for name in tree.list(&layout::staged(shelf), 1_000_000)? {
        if name.to_str().is_some_and(|name| keep(&format!("{shelf}/{name}"))) {
            kept = true;
        } else {
            remove_staged(tree, &layout::staged(shelf).join(name))?;
        }
    }
    if !kept {
        tree.remove_folder(&layout::staged(shelf))?;
    }
    Ok(())
}

fn remove_staged(tree: &Tree, path: &Path) -> Result<(), RepositoryError> {
    match tree.remove_file(path) {
        Err(e) if e.is(Errno::ISDIR) => {
            let found = "there is a folder".to_owned();
            Err(RepositoryError::Mismatch { path: tree.shown().join(path), found })
        }
        other => Ok(other.map(drop)?),
    }
}

/// Removes a folder of `.bkm` with all in it; `depth` is 0.
pub fn remove_all(tree: &Tree, folder: &Path, depth: u32) -> Result<(), RepositoryError> {
    /// Deeper than any path that a backup can have.
    const DEEPEST: u32 = 40_000;
    for name in tree.list(folder, 1_000_000)? {
        let path = folder.join(name);
        match tree.stat(&path)? {
            Some(found) if found.file_type.is_dir() && depth < DEEPEST => {
                remove_all(tree, &path, depth + 1)?;
            }
            _ => {
                tree.remove_file(&path)?;
            }
        }
    }
    tree.remove_folder(folder)?;
    Ok(())
}
