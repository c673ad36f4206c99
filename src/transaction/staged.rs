//! The staged files of a batch: their names and modes, and how what is left of them is removed.

use std::collections::HashSet;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::entry::Stat;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::change::Change;
use crate::repository::{layout, staging};

/// Removes what is staged for later from the staging area, but for large files, which the next run goes on
/// with.
pub(crate) fn clear_staged(repository: &Repository<'_>) -> Result<(), RepositoryError> {
    let changes = repository.index().pending().map_or(&[][..], |batch| &batch.changes);
    let mut pending: HashSet<&str> = changes.iter().filter_map(Change::stage).collect();
    if let Some((prune, _)) = repository.index().pruning() {
        pending.extend(prune.rewritten.iter().map(|catalog| catalog.stage.as_str()));
    }
    staging::clear_stage(repository.tree(), |name| {
        is_part(name) || layout::is_leaving(name) || pending.contains(name)
    })
}

/// Removes what left the mirror, now that its leaving is durable.
pub(crate) fn remove_left(tree: &Tree, left: &mut Vec<String>) -> Result<(), TreeError> {
    for name in left.drain(..) {
        tree.remove_file(&layout::staged(&name))?;
    }
    Ok(())
}

/// Prefix of the staging names of large files.
const PART: &str = "part-";

/// Set-id bits are never set on the drive, and the owner can always read a file there.
pub(crate) fn mode_on_drive(mode: u32) -> u32 {
    (mode & 0o777) | 0o400
}

/// Whether a staged file is a large one, which a later run goes on with.
pub(crate) fn is_part(name: &str) -> bool {
    name.starts_with(PART)
}

/// The staging name of a large file: the same for the same path with the same size, times and inode.
pub(crate) fn part_name(path: &RelPath, stat: &Stat) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_bytes());
    for number in
        [stat.size, stat.ino, stat.mtime_ns.cast_unsigned(), stat.ctime_ns.cast_unsigned()]
    {
        hasher.update(&number.to_le_bytes());
    }
    let hash = hasher.finalize().to_hex();
    format!("{PART}{}", hash.get(..32).unwrap_or_default())
}
