//! Publishes a batch where a version is one inode with two names: staged files take their places in
//! mirror and increment by link and rename. (Drives without links: `displaced`.)
//!
//! Every step states what must be at both ends and stops with an error if something else is there;
//! doing a step again does no harm, so the same code finishes a batch that the power cut off. It never
//! writes content and never touches what it did not expect.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustix::io::Errno;

use crate::fs::probe::Names;
use crate::fs::tree::handle::Tree;
use crate::model::entry::Kind;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::{Batch, Change};
use crate::repository::index::contents::Index;
use crate::repository::index::record::{Identity, Record};
use crate::repository::layout;
use crate::repository::names::fold;
use crate::transaction::healed;
use crate::transaction::steps::{expect, folder, link, mismatch, with_parents};

/// Puts all changes of `batch` in place; `index` is as it was before them. `again`: an
/// earlier process may have begun it, so that the staged files are not taken on trust; with which names the
/// drive takes for one another. Returns the
/// folders that could not be removed since something else lies in them.
pub(crate) fn publish(
    tree: &Tree,
    index: &Index,
    batch: &Batch,
    set_owner: bool,
    again: Option<Names>,
) -> Result<Vec<RelPath>, RepositoryError> {
    let increment = batch.run.as_ref().map(|run| run.name.as_str());
    let mut occupied = Vec::new();
    let turned = if again.is_some() { turned(tree, index, batch)? } else { BTreeSet::new() };
    let arrived = again.map(|names| Arrived::of(batch, names));
    let (puts, others): (Vec<_>, Vec<_>) =
        batch.changes.iter().partition(|change| matches!(change, Change::Put { .. }));
    for change in others {
        if leaves(change) && is_at_or_below(change.path(), &turned) {
            continue;
        }
        let old = index.records().get(change.path());
        match change {
            Change::Note { path, record, version: true } => {
                let (Some(old), Some(increment)) = (old.and_then(Record::identity), increment)
                else {
                    continue;
                };
                let mirror = layout::mirror(record.place(path));
                expect(tree, &mirror, old)?;
                link(tree, &mirror, &layout::track(increment, record.place(path)), old)?;
            }
            Change::Note { .. } | Change::Put { .. } => {}
            Change::Remove { path } => {
                let Some(record) = old else { continue };
                let place = record.place(path);
                if arrived.as_ref().is_some_and(|arrived| arrived.is_at(tree, place)) {
                    continue;
                }
                let kept = increment.filter(|_| record.is_tracked());
                let brought_in = index.increment_name(record.brought_by);
                let version = brought_in.map(|i| layout::track(i, place));
                remove(tree, place, record, kept.map(|i| layout::deleted(i, place)), version)?;
            }
            Change::Folder { .. } | Change::RemoveFolder { .. } => {
                occupied.extend(folder(tree, index, change, set_owner)?);
            }
            Change::Heal { stage, size, placed, names, .. } => {
                let new = Identity { ino: *placed, size: *size };
                healed::put_in_place(tree, index, stage, new, names, again.is_some())?;
            }
        }
    }
    // Each has places of its own, so their order does not matter; and they are most of what there is to do.
    puts.into_par_iter().try_for_each(|change| {
        let Change::Put { path, record, stage, .. } = change else { return Ok(()) };
        let staged = layout::staged(stage);
        let place = record.place(path);
        let track = increment.filter(|_| record.is_tracked()).map(|i| layout::track(i, place));
        if let Some(new) = record.identity()
            && again.is_some()
            && tree.stat(&staged)?.is_some()
        {
            expect(tree, &staged, new)?;
        }
        put(tree, &staged, place, record, index.records().get(path), track.as_deref())
    })?;
    Ok(occupied)
}

/// The paths where this batch already put a file in place of a folder, or a folder in place of a file:
/// what was there before, and below it, has left.
fn turned<'b>(
    tree: &Tree,
    index: &Index,
    batch: &'b Batch,
) -> Result<BTreeSet<&'b RelPath>, RepositoryError> {
    let mut turned = BTreeSet::new();
    for change in &batch.changes {
        let (Change::Put { path, record, .. } | Change::Folder { path, record }) = change else {
            continue;
        };
        let old = index.records().get(path).map(Record::kind);
        if old.is_none_or(|old| (old == Kind::Folder) == (record.kind() == Kind::Folder)) {
            continue;
        }
        let in_place = tree.stat(&layout::mirror(record.place(path)))?.is_some_and(|found| {
            match record.identity() {
                Some(new) => new.is(&found),
                None => record.kind() == Kind::Folder && found.file_type.is_dir(),
            }
        });
        if in_place {
            turned.insert(path);
        }
    }
    Ok(turned)
}

/// What a batch brings, by its place as the drive sees it: where it is in place already, what the batch
/// removes under a name in other case has left.
struct Arrived {
    names: Names,
    /// The file's identity, or none for a folder.
    by_place: HashMap<Vec<u8>, Option<Identity>>,
}

impl Arrived {
    fn of(batch: &Batch, names: Names) -> Self {
        let arrives = |change: &Change| match change {
            Change::Put { path, record, .. } | Change::Folder { path, record } => {
                let place = fold(names, record.place(path).as_bytes());
                Some((place, record.identity()))
            }
            _ => None,
        };
        Self { names, by_place: batch.changes.iter().filter_map(arrives).collect() }
    }

    fn is_at(&self, tree: &Tree, place: &RelPath) -> bool {
        let Some(new) = self.by_place.get(&fold(self.names, place.as_bytes())) else {
            return false;
        };
        let found = tree.stat(&layout::mirror(place)).ok().flatten();
        found.is_some_and(|found| match new {
            Some(new) => new.is(&found),
            None => found.file_type.is_dir(),
        })
    }
}

fn leaves(change: &Change) -> bool {
    matches!(change, Change::Remove { .. } | Change::RemoveFolder { .. })
}

fn is_at_or_below(path: &RelPath, turned: &BTreeSet<&RelPath>) -> bool {
    !turned.is_empty()
        && (turned.contains(path) || path.ancestors().any(|above| turned.contains(&above)))
}

/// A staged file gets its name in the increment, then takes its place in the mirror.
fn put(
    tree: &Tree,
    staged: &Path,
    path: &RelPath,
    record: &Record,
    old: Option<&Record>,
    track: Option<&Path>,
) -> Result<(), RepositoryError> {
    let mirror = layout::mirror(path);
    let Some(new) = record.identity() else {
        // A link that this drive cannot have; a file that was in its place leaves.
        if let (Some(old), Some(found)) = (old.and_then(Record::identity), tree.stat(&mirror)?)
            && old.is(&found)
        {
            tree.remove_file(&mirror)?;
        }
        return Ok(());
    };
    if let Some(track) = track {
        match link(tree, staged, track, new) {
            // It has its place in the mirror already, so the staged name is gone.
            Err(RepositoryError::Drive(e)) if e.is(Errno::NOENT) => {
                expect(tree, &mirror, new)?;
                link(tree, &mirror, track, new)?;
            }
            other => other?,
        }
    }
    match old.and_then(Record::identity) {
        None => match with_parents(tree, &mirror, || tree.rename_new(staged, &mirror)) {
            Ok(()) => Ok(()),
            Err(e) if e.is(Errno::EXIST) || e.is(Errno::NOENT) => {
                expect(tree, &mirror, new)?;
                tree.remove_file(staged)?;
                Ok(())
            }
            Err(e) => Err(e.into()),
        },
        Some(old) => match tree.stat(&mirror)? {
            // In place already. (A rename between two names of one inode would do nothing.)
            Some(found) if new.is(&found) => {
                tree.remove_file(staged)?;
                Ok(())
            }
            Some(found) if old.is(&found) => Ok(tree.rename_over(staged, &mirror)?),
            // Somebody removed it from the drive: putting the new one there loses nothing.
            None => Ok(with_parents(tree, &mirror, || tree.rename_new(staged, &mirror))?),
            Some(found) => Err(mismatch(tree, &mirror, Some(&found))),
        },
    }
}

/// A file leaves the mirror: into the increment if its versions are kept.
fn remove(
    tree: &Tree,
    path: &RelPath,
    record: &Record,
    deleted: Option<PathBuf>,
    version: Option<PathBuf>,
) -> Result<(), RepositoryError> {
    let Some(old) = record.identity() else {
        return Ok(());
    };
    let mirror = layout::mirror(path);
    let found = tree.stat(&mirror)?;
    match (found, deleted) {
        (Some(found), _) if !old.is(&found) => Err(mismatch(tree, &mirror, Some(&found))),
        (Some(_), Some(deleted)) => {
            match with_parents(tree, &deleted, || tree.rename_new(&mirror, &deleted)) {
                Err(e) if e.is(Errno::EXIST) => {
                    expect(tree, &deleted, old)?;
                    tree.remove_file(&mirror)?;
                    Ok(())
                }
                other => Ok(other?),
            }
        }
        (Some(_), None) => {
            tree.remove_file(&mirror)?;
            Ok(())
        }
        // Done before the power went; or somebody removed it, and an increment has this version.
        (None, Some(deleted)) => match version {
            Some(version) if tree.stat(&deleted)?.is_none() => match tree.stat(&version)? {
                Some(found) if old.is(&found) => link(tree, &version, &deleted, old),
                _ => Ok(()),
            },
            _ => Ok(()),
        },
        (None, None) => Ok(()),
    }
}
