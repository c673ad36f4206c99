//! Finishes a removal that was cut off on a drive without a journal of its own.
//!
//! A rename that was in flight may have left a file under both names or under none. So of the moves that are not
//! known to be durable the version is recognised by its hash, and what else lies at either end is set aside, not
//! unlinked; a catalog is copied from what was staged; and what goes is set aside as well, until the file system
//! was checked.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::fs::content::{self, CopyError};
use crate::fs::tree::handle::Tree;
use crate::model::problem::Problem;
use crate::prune::execute::{STEP, catalog_place, move_version, replaced, set_time};
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::prune::{Move, Prune, Rewritten};
use crate::repository::layout;
use crate::transaction::steps::{has_content, with_parents};
use crate::transaction::undo::Undo;

/// Finishes the removal that the index says is in hand. Returns versions that were lost. The caller ends it.
pub(crate) fn finish(
    repository: &mut Repository<'_>,
    undo: &mut Undo<'_>,
) -> Result<Vec<Problem>, RepositoryError> {
    let tree = repository.tree();
    let mut lost = Vec::new();
    let mut first = None;
    loop {
        let Some((prune, done)) = repository.index().pruning() else { return Ok(lost) };
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        // Only what came after the last word of what is durable can be torn.
        let first = *first.get_or_insert(done);
        let mut now = done;
        for version in prune.moves.iter().skip(done).take(STEP) {
            if now < first.saturating_add(STEP) {
                lost.extend(settle_move(tree, repository.index(), prune, version, undo)?);
            } else {
                move_version(tree, repository.index(), prune, version)?;
            }
            now += 1;
        }
        if now == done {
            break;
        }
        repository.prune_step(now as u64)?;
    }
    let Some((prune, _)) = repository.index().pruning() else { return Ok(lost) };
    for rewritten in &prune.rewritten {
        settle_catalog(tree, repository.index(), rewritten, undo)?;
    }
    tree.sync()?;
    for version in &prune.drops {
        if let Some(path) = version.within.path(repository.index(), &version.place) {
            let whole = prune.removed.iter().any(|removed| path.starts_with(&removed.name));
            if !whole {
                undo.set_aside(&path)?;
            }
        }
    }
    for removed in &prune.removed {
        undo.set_aside(Path::new(&removed.name))?;
    }
    Ok(lost)
}

/// Sees to it that a version is where it is to be, and nowhere else.
fn settle_move(
    tree: &Tree,
    index: &Index,
    prune: &Prune,
    version: &Move,
    undo: &mut Undo<'_>,
) -> Result<Option<Problem>, RepositoryError> {
    let Some((from, to)) = prune.places(index, version) else { return Ok(None) };
    let is_sound = |place: &Path| match &version.hash {
        Some(hash) => has_content(tree, place, version.size, hash),
        None => Ok(tree
            .stat(place)?
            .is_some_and(|found| found.file_type.is_file() && found.size == version.size)),
    };
    if is_sound(&to)? {
        undo.set_aside(&from)?;
        return Ok(None);
    }
    if !is_sound(&from)? {
        undo.set_aside(&from)?;
        undo.set_aside(&to)?;
        let reason = "the drive was pulled out while this old version was being moved on the drive, and it \
                      is lost";
        return Ok(Some(Problem::new(version.place.clone(), reason)));
    }
    undo.set_aside(&to)?;
    with_parents(tree, &to, || tree.rename_new(&from, &to))?;
    Ok(None)
}

/// Sees to it that a catalog is as it is to be.
fn settle_catalog(
    tree: &Tree,
    index: &Index,
    rewritten: &Rewritten,
    undo: &mut Undo<'_>,
) -> Result<(), RepositoryError> {
    let Rewritten { stage, size, hash, sequence } = rewritten;
    let Some(place) = catalog_place(tree, index, rewritten)? else { return Ok(()) };
    if has_content(tree, &place, *size, hash)? {
        return set_time(tree, index, *sequence);
    }
    // Never the copy that was renamed: what it lies on may count as free.
    for name in [Rewritten::spare(stage), stage.clone(), replaced(stage)] {
        let staged = undo.left_aside(&name)?;
        if !has_content(tree, &staged, *size, hash)? {
            continue;
        }
        let Some(from) = tree.open_file(&staged)? else { continue };
        let fresh = layout::staged(stage);
        undo.set_aside(&fresh)?;
        let mut to = tree.create_file(&fresh, 0o600)?;
        let copied =
            content::copy(&from, *size, false, &mut to, 0, &AtomicBool::new(false), &|_| {});
        match copied {
            Ok(copied) if copied == (*size, *hash) => to.sync()?,
            Err(CopyError::Drive(e)) => return Err(e.into()),
            Err(CopyError::Source(e)) => return Err(RepositoryError::Read(e)),
            // It changed while it was read; nobody stops this.
            Ok(_) | Err(CopyError::Stopped) => continue,
        }
        drop(to);
        undo.set_aside(&place)?;
        tree.rename_new(&fresh, &place)?;
        return set_time(tree, index, *sequence);
    }
    // `repair` makes one of what lies there.
    set_time(tree, index, *sequence)
}
