//! Publishes a batch on a drive without hard links, and takes one back.
//!
//! A version lies in the mirror alone. When it is replaced or deleted it is moved to the increment that
//! brought it; what no increment keeps waits in the staging area until its leaving is durable. A move never
//! replaces anything.
//!
//! Such drives (FAT, exFAT) have no journal: after a pulled plug a file can have two names or none, and its
//! space may count as free. So a batch that was in flight is always taken back, never finished; whatever it
//! brought or left is set aside, not unlinked, until the file system was checked. What is put back is
//! recognised by its hash.

use std::path::Path;

use rustix::io::Errno;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::{Batch, Change};
use crate::repository::index::contents::Index;
use crate::repository::index::record::Record;
use crate::repository::layout;
use crate::repository::versioning::Keeping;
use crate::transaction::aside::{MOST_OF_A_NAME, NEVER};
use crate::transaction::leaving::leaves_to;
use crate::transaction::steps::{expect, folder, is_content, mismatch, with_parents};
use crate::transaction::{aside, healed};

/// How far publishing a batch is, and what it left to do.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// How many of the batch's changes are in place.
    changes: usize,
    /// Folders that could not be removed since something else lies in them.
    pub(crate) occupied: Vec<RelPath>,
    /// Staging names of what left the mirror for good: to be removed when that is durable.
    pub(crate) left: Vec<String>,
    /// Paths whose version was to go to an increment and is not on the drive any more.
    pub(crate) missing: Vec<RelPath>,
}

/// Puts all changes of `batch` in place; `index` is as it was before them. Where the drive was full halfway,
/// it goes on from `done`.
pub(crate) fn publish(
    tree: &Tree,
    index: &Index,
    batch: &Batch,
    done: &mut Published,
) -> Result<(), RepositoryError> {
    for change in batch.changes.iter().skip(done.changes) {
        let old = index.records().get(change.path());
        match change {
            Change::Put { path, record, stage, .. } => {
                if let Some(old) = old {
                    leave(tree, index, path, old, done)?;
                }
                if record.identity().is_some() {
                    let mirror = layout::mirror(record.place(path));
                    let staged = layout::staged(stage);
                    rename_past(tree, &staged, &mirror)?;
                }
            }
            Change::Note { .. } => {}
            Change::Remove { path } => {
                if let Some(old) = old {
                    leave(tree, index, path, old, done)?;
                }
            }
            Change::Folder { .. } | Change::RemoveFolder { .. } => {
                let mirror = layout::mirror(change.place(index));
                let made = match folder(tree, index, change, false) {
                    Err(e)
                        if e.is(Errno::NOTDIR)
                            && aside::clear(tree, Keeping::Displace, &mirror, None, &NEVER)? =>
                    {
                        folder(tree, index, change, false)
                    }
                    other => other,
                };
                done.occupied.extend(made?);
            }
            Change::Heal { stage, names, .. } => {
                done.left.extend(healed::displace(tree, index, stage, names)?);
            }
        }
        done.changes += 1;
    }
    Ok(())
}

/// Renames to where nothing was seen. What shows up there all the same (a second entry of the name that just left)
/// is set aside if that loses nothing.
fn rename_past(tree: &Tree, from: &Path, to: &Path) -> Result<(), TreeError> {
    let mut looks = 0;
    loop {
        match with_parents(tree, to, || tree.rename_new(from, to)) {
            Err(e)
                if e.is(Errno::EXIST)
                    && looks < MOST_OF_A_NAME
                    && aside::clear(tree, Keeping::Displace, to, Some(from), &NEVER)? =>
            {
                looks += 1;
            }
            other => return other,
        }
    }
}

/// A version leaves the mirror.
fn leave(
    tree: &Tree,
    index: &Index,
    path: &RelPath,
    old: &Record,
    done: &mut Published,
) -> Result<(), RepositoryError> {
    let Some(identity) = old.identity() else {
        return Ok(());
    };
    let mirror = layout::mirror(old.place(path));
    let to = leaves_to(index, path, old);
    if tree.stat(&mirror)?.is_none() {
        // It left before the drive was full; or somebody removed it from the drive.
        let is_kept = index.increment_name(old.brought_by).is_some();
        if is_kept && !is_content(tree, &to, old)? {
            done.missing.push(path.clone());
        }
        return Ok(());
    }
    expect(tree, &mirror, identity)?;
    match with_parents(tree, &to, || tree.rename_new(&mirror, &to)) {
        Err(e) if e.is(Errno::EXIST) => {
            // A repository that was copied from a drive with links has the version there already.
            if !is_content(tree, &to, old)? {
                if aside::clear(tree, Keeping::Displace, &to, Some(&mirror), &NEVER)? {
                    return leave(tree, index, path, old, done);
                }
                return Err(mismatch(tree, &to, tree.stat(&to)?.as_ref()));
            }
            let name = layout::leaving(path);
            tree.rename_new(&mirror, &layout::staged(&name))?;
            done.left.push(name);
            return Ok(());
        }
        other => other?,
    }
    if index.increment_name(old.brought_by).is_none() {
        done.left.push(layout::leaving(path));
    }
    Ok(())
}

/// How the `number`-th of several entries that go by one name is called while it is set aside: the same each time,
/// so that it is found again.
pub(crate) fn double(path: &RelPath, number: u32) -> String {
    format!("double-{}-{number}", layout::leaving(path))
}
