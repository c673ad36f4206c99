//! Does what a removal's record in the index says: moves versions, puts catalogs in their places, removes what
//! goes.
//!
//! Doing any of it again does no harm, so it also finishes one that was cut off, where a rename is whole or did
//! not happen (elsewhere: `recover`). It touches nothing that is not what the record says; that is told, and left.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::prune::error::PruneError;
use crate::repository::catalog::file::place_of_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::open::Closing;
use crate::repository::index::prune::{Dropped, Move, Prune, Rewritten};
use crate::repository::index::record::Identity;
use crate::repository::python::reader;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::repository::{layout, reserve};
use crate::transaction::staged;
use crate::transaction::steps::with_parents;

/// The staging name of what made room for what was staged as `name`.
pub(crate) fn replaced(name: &str) -> String {
    format!("{name}-replaced")
}

/// Moves that are made durable together where a pulled plug can hit what is in flight.
pub(super) const STEP: usize = 512;

/// Between so many operations it is asked whether to stop.
const STOP_EVERY: usize = 64;

/// Bytes for a folder and a name in it, at most, beside its block.
const FOLDER: u64 = 1024;

/// A removal ends no increment.
pub(super) fn no_increment() -> Closing {
    Closing {
        status: Status::Interrupted,
        folder_time_s: 0,
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

/// Writes the removal to the index and carries it out. Its catalogs are staged.
pub(super) fn carry_out(
    repository: &mut Repository<'_>,
    prune: Prune,
    stop: &AtomicBool,
) -> Result<(), PruneError> {
    let tree = repository.tree();
    // Once it is in the index it has to go through: each folder may have to be made.
    let folders: HashSet<(u64, RelPath)> = prune
        .moves
        .iter()
        .flat_map(|version| version.place.ancestors().map(|folder| (version.to, folder)))
        .collect();
    let folders = folders.len() as u64;
    reserve::cover(tree, folders.saturating_mul(tree.block()? + FOLDER), folders)?;
    tree.sync()?;
    repository.begin_prune(prune)?;
    finish(repository, stop)
}

/// Carries out what the index says is being removed, from wherever it stands, and ends it.
pub(crate) fn finish(repository: &mut Repository<'_>, stop: &AtomicBool) -> Result<(), PruneError> {
    let tree = repository.tree();
    // One that was stopped in order is not torn, and may be from here on.
    repository.begin_run()?;
    move_versions(repository, stop)?;
    let Some((prune, _)) = repository.index().pruning() else { return Ok(()) };
    for rewritten in &prune.rewritten {
        reserve::with_room(tree, || put_catalog(repository, rewritten))?;
    }
    tree.sync()?;
    // What is not needed any more goes only now that all else is durable in its place.
    for (number, version) in prune.drops.iter().enumerate() {
        if number % STOP_EVERY == 0 && stop.load(Ordering::Relaxed) {
            return Err(PruneError::Stopped);
        }
        drop_version(tree, repository.index(), version)?;
    }
    for removed in &prune.removed {
        remove_increment(tree, &removed.name)?;
    }
    let mut left: Vec<String> = prune
        .rewritten
        .iter()
        .flat_map(|rewritten| [Rewritten::spare(&rewritten.stage), replaced(&rewritten.stage)])
        .collect();
    repository.close_run(|_| no_increment())?;
    staged::remove_left(tree, &mut left)?;
    Ok(())
}

/// Moves what is not known to be moved.
fn move_versions(repository: &mut Repository<'_>, stop: &AtomicBool) -> Result<(), PruneError> {
    let displaces = repository.format().keeps_versions == Keeping::Displace;
    loop {
        let Some((prune, done)) = repository.index().pruning() else { return Ok(()) };
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        let count = if displaces { STEP } else { prune.moves.len() };
        let (tree, index) = (repository.tree(), repository.index());
        let mut now = done;
        for version in prune.moves.iter().skip(done).take(count) {
            if now % STOP_EVERY == 0 && stop.load(Ordering::Relaxed) {
                return Err(PruneError::Stopped);
            }
            reserve::with_room(tree, || Ok(move_version(tree, index, prune, version)?))?;
            now += 1;
        }
        if !displaces || now == done {
            return Ok(());
        }
        repository.prune_step(now as u64)?;
    }
}

/// Moves one version, if it is where it was.
pub(super) fn move_version(
    tree: &Tree,
    index: &Index,
    prune: &Prune,
    version: &Move,
) -> Result<(), TreeError> {
    let Some((from, to)) = prune.places(index, version) else { return Ok(()) };
    let identity = Identity { ino: version.ino, size: version.size };
    let is_it = |found: &Found| identity.is(found);
    let (here, there) = (tree.stat(&from)?, tree.stat(&to)?);
    if here.as_ref().is_some_and(is_it) && there.is_none() {
        return with_parents(tree, &to, || tree.rename_new(&from, &to));
    }
    if here.is_some() && there.as_ref().is_some_and(is_it) && version.ino != 0 {
        // Two names of one file: the move was cut off where a rename is a link and an unlink.
        if here.as_ref().is_some_and(is_it) {
            tree.remove_file(&from)?;
        }
        return Ok(());
    }
    if !(here.is_none() && there.as_ref().is_some_and(is_it)) {
        tracing::warn!(
            "{}: somebody changed it while it was being moved to {}; `bkm-agent verify` says what is missing",
            from.display(),
            to.display()
        );
    }
    Ok(())
}

/// Puts a staged catalog in its place.
fn put_catalog(repository: &Repository<'_>, rewritten: &Rewritten) -> Result<(), RepositoryError> {
    let (tree, index) = (repository.tree(), repository.index());
    let staged = layout::staged(&rewritten.stage);
    let Some(place) = catalog_place(tree, index, rewritten)? else { return Ok(()) };
    if tree.stat(&staged)?.is_some() {
        match repository.format().keeps_versions {
            Keeping::Hardlink => tree.rename_over(&staged, &place)?,
            Keeping::Displace => {
                if tree.stat(&place)?.is_some() {
                    tree.rename_new(&place, &layout::staged(&replaced(&rewritten.stage)))?;
                }
                tree.rename_new(&staged, &place)?;
            }
        }
    }
    set_time(tree, index, rewritten.sequence)
}

/// The catalog that is replaced.
pub(super) fn catalog_place(
    tree: &Tree,
    index: &Index,
    rewritten: &Rewritten,
) -> Result<Option<PathBuf>, RepositoryError> {
    let name = index.increment_name(rewritten.sequence);
    name.map(|name| place_of_catalog(tree, name)).transpose()
}

/// The Python tool sorts increments by this time, and what was changed in the folder changed it.
pub(super) fn set_time(tree: &Tree, index: &Index, sequence: u64) -> Result<(), RepositoryError> {
    let increment = index.increments().iter().find(|i| i.sequence == sequence);
    let Some(increment) = increment else { return Ok(()) };
    let found = tree.stat(Path::new(&increment.name))?;
    let seconds = found.map(|found| found.mtime_ns.div_euclid(1_000_000_000));
    // The Python tool's folders have parts of seconds, and nothing in them may have changed.
    if seconds != Some(increment.folder_time_s) {
        let time = increment.folder_time_s.saturating_mul(1_000_000_000);
        tree.set_folder_time(Path::new(&increment.name), time)?;
    }
    Ok(())
}

fn drop_version(tree: &Tree, index: &Index, version: &Dropped) -> Result<(), TreeError> {
    let Some(path) = version.within.path(index, &version.place) else { return Ok(()) };
    let identity = Identity { ino: version.ino, size: version.size };
    match tree.stat(&path)? {
        Some(found) if identity.is(&found) => {
            tree.remove_file(&path)?;
        }
        None => {}
        Some(_) => tracing::warn!(
            "{}: somebody replaced it, so it stays",
            crate::text::sanitize::line(&path.to_string_lossy())
        ),
    }
    Ok(())
}

/// Removes an increment's catalog and folders, now that its files are gone.
fn remove_increment(tree: &Tree, name: &str) -> Result<(), TreeError> {
    tree.remove_file(&layout::catalog(name))?;
    let adopted = layout::adopted(name);
    if tree.stat(&adopted)?.is_some() {
        // The Python tool has other names for its lists.
        for file in tree.list(Path::new(name), 1_000_000)? {
            let file = Path::new(name).join(file);
            if reader::is_metadata(tree, &file) {
                tree.remove_file(&file)?;
            }
        }
        tree.remove_file(&adopted)?;
    }
    if tree.stat(Path::new(name))?.is_some() && !remove_empty(tree, Path::new(name))? {
        tracing::warn!("{name}: holds files that the backup did not put there, so it stays");
    }
    Ok(())
}

/// Removes a folder in which there are folders alone; says whether it did.
pub(crate) fn remove_empty(tree: &Tree, folder: &Path) -> Result<bool, TreeError> {
    let mut all = true;
    for name in tree.list(folder, 1_000_000)? {
        let path = folder.join(name);
        let is_folder = tree.stat(&path)?.is_some_and(|found| found.file_type.is_dir());
        all &= is_folder && remove_empty(tree, &path)?;
    }
    if !all {
        return Ok(false);
    }
    match tree.remove_folder(folder) {
        Err(e) if e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) => Ok(false),
        other => other.map(|_| true),
    }
}
