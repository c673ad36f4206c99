//! Ends what an interrupted run left: finishes the batch that was in flight or takes it back, closes its
//! increment, and clears the staging area.
//!
//! It comes before a plan is made. What it does is safe to be cut off and done again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backup::stage;
use crate::fs::tree::handle::Tree;
use crate::model::problem::Problem;
use crate::prune::error::PruneError;
use crate::prune::{execute, recover};
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::open::Closing;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::repository::{layout, reserve, staging};
use crate::source::scan::Scan;
use crate::text::clock;
use crate::transaction::undo::Undo;
use crate::transaction::{aside, linked, staged};

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Whether there was something to end.
    pub(super) any: bool,
    /// Versions that the pulled plug took.
    pub(super) problems: Vec<Problem>,
    /// What waits for a check of the file system.
    pub(super) warnings: Vec<String>,
}

/// How recovery is done.
pub(super) struct Recovery<'a> {
    /// Parts of large files that the source still has are kept.
    pub(super) scan: &'a Scan,
    /// Whether owners can be set (root).
    pub(super) set_owner: bool,
    /// Whether the drive's file system was checked since it was last written.
    pub(super) checked: bool,
    pub(super) stop: &'a AtomicBool,
}

/// Ends what an interrupted run left.
pub(super) fn recover(
    repository: &mut Repository<'_>,
    how: &Recovery<'_>,
) -> Result<Recovered, RepositoryError> {
    let mut recovered = Recovered { any: repository.index().is_unclosed(), ..Recovered::default() };
    if repository.index().is_unclosed() {
        let tree = repository.tree();
        match repository.format().keeps_versions {
            Keeping::Hardlink => {
                // What no batch needs makes room.
                staged::clear_staged(repository)?;
                reserve::with_room(tree, || finish(repository, how))?;
                finish_pruning(repository)?;
            }
            Keeping::Displace => {
                let lost = reserve::with_room(tree, || take_back(repository, how));
                recovered.problems.extend(lost.map_err(needs_check)?);
            }
        }
        let closed = repository.close_run(|index| Closing {
            status: Status::Interrupted,
            folder_time_s: next_folder_time(index),
            problems: recovered.problems.clone(),
            notes: Vec::new(),
        })?;
        recovered.warnings.extend(closed.warning);
    }
    let tree = repository.tree();
    let mut staged = tree.list(Path::new(layout::STAGE), 1_000_000)?;
    if has_folder(tree, &staged)? {
        // No run makes one there, so the file system has mixed something up.
        Undo::begin(tree)?;
        staged.clear();
    }
    unchecked(tree, repository.index(), how, &mut recovered)?;
    if how.checked {
        repository.remove_spare_index()?;
    }
    if staged.is_empty() {
        return Ok(recovered);
    }
    let wanted = how.wanted();
    staging::clear_stage(tree, |name| wanted.contains(name))?;
    recovered.any = true;
    Ok(recovered)
}

fn has_folder(tree: &Tree, staged: &[OsString]) -> Result<bool, RepositoryError> {
    for name in staged {
        let found = tree.stat(&Path::new(layout::STAGE).join(name))?;
        let is_ours = name.to_str().is_some_and(layout::is_stage_shelf);
        if !is_ours && found.is_some_and(|found| found.file_type.is_dir()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finishes the batch in flight.
fn finish(repository: &mut Repository<'_>, how: &Recovery<'_>) -> Result<(), RepositoryError> {
    if let Some(batch) = repository.index().pending() {
        let names = Some(repository.format().names);
        linked::publish(repository.tree(), repository.index(), batch, how.set_owner, names)?;
    }
    repository.finish_batch();
    Ok(())
}

/// Finishes a removal of increments that was cut off; what it renamed is whole. Not interrupted by a stop: little is
/// left to do, or much would wait for it.
fn finish_pruning(repository: &mut Repository<'_>) -> Result<(), RepositoryError> {
    if repository.index().pruning().is_none() {
        return Ok(());
    }
    let never = AtomicBool::new(false);
    match execute::finish(repository, &never) {
        Err(PruneError::Repository(e)) => Err(e),
        // Nothing else is said once it is in the index.
        _ => Ok(()),
    }
}

/// Takes back the batch in flight, and sets aside all that may be only half on the drive. Returns what was
/// lost.
fn take_back(
    repository: &mut Repository<'_>,
    how: &Recovery<'_>,
) -> Result<Vec<Problem>, RepositoryError> {
    if !repository.index().is_torn() {
        repository.finish_batch();
        finish_pruning(repository)?;
        return Ok(Vec::new());
    }
    let tree = repository.tree();
    let mut undo = Undo::begin(tree)?;
    let mut pruned = recover::finish(repository, &mut undo)?;
    if let Some(batch) = repository.index().pending() {
        undo.take_back(repository.index(), batch, repository.format().names)?;
    }
    // Its folder and catalog are made when a run ends, so they are as uncertain.
    if let Some(open) = repository.index().open() {
        undo.set_aside(Path::new(&open.mark.name))?;
    }
    // So is the page, which is made anew.
    undo.set_aside(Path::new(layout::BROWSE))?;
    undo.set_aside(Path::new(layout::BROWSE_PAGE))?;
    if how.checked {
        for name in how.wanted() {
            let part = undo.aside().join(&name);
            if tree.stat(&part)?.is_some() {
                tree.rename_new(&part, &layout::staged(&name))?;
            }
        }
    }
    let (mut lost, left) = (std::mem::take(&mut undo.lost), std::mem::take(&mut undo.left));
    let problems = lost.iter().map(|path| {
        let reason = "the drive was pulled out while this was being replaced, and the version that \
                      was there is lost; versions in increments are not concerned";
        Problem::new(path.clone(), reason)
    });
    pruned.extend(problems);
    let problems = pruned;
    lost.extend(left);
    repository.batch_undone(lost)?;
    Ok(problems)
}

/// What the driver refuses to read after an unclean end is for a check of the file system to put right.
fn needs_check(error: RepositoryError) -> RepositoryError {
    match error {
        RepositoryError::Drive(e) if e.is(rustix::io::Errno::IO) => RepositoryError::NeedsCheck(e),
        other => other,
    }
}

/// Removes what waited for a check of the file system, or says that it waits.
fn unchecked(
    tree: &Tree,
    index: &Index,
    how: &Recovery<'_>,
    recovered: &mut Recovered,
) -> Result<(), RepositoryError> {
    let names = tree.list(Path::new(layout::META), 100_000)?;
    let waiting: Vec<_> = names
        .into_iter()
        .filter(|name| name.to_string_lossy().starts_with(layout::UNCHECKED))
        .map(|name| Path::new(layout::META).join(name))
        .collect();
    if how.checked {
        let kept = aside::rescue(tree, index, &waiting, how.stop)?;
        if how.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        for folder in &waiting {
            let shown = tree.shown().join(folder);
            if has_within(&kept, folder) {
                recovered.warnings.push(format!(
                    "{} has versions of files that could not be put back: something else stands in their places, \
                     or they cannot be read; `bkm-agent verify` says which are missing",
                    shown.display()
                ));
            }
            if !remove_ours(tree, folder, &kept, how.stop)? {
                recovered.warnings.push(format!(
                    "{} has what was in the mirror and the backup did not put there: take out what you need \
                     and remove it",
                    shown.display()
                ));
            }
        }
    } else if !waiting.is_empty() {
        recovered.warnings.push(
            "the drive was pulled out during a backup; what was on its way was set aside in .bkm until \
             the drive's file system is checked: unmount it and run `sudo fsck -a` on it, then \
             `sudo bkm-agent run --device` with it"
                .to_owned(),
        );
    }
    Ok(())
}

/// Removes what was set aside, but for folders of the mirror that still hold something: each file of ours
/// that was in them was set aside by itself. What is `kept` stays as well. Says whether no such folder is left.
fn remove_ours(
    tree: &Tree,
    folder: &Path,
    kept: &BTreeSet<PathBuf>,
    stop: &AtomicBool,
) -> Result<bool, RepositoryError> {
    let (mut all, mut is_kept) = (true, false);
    for name in tree.list(folder, 1_000_000)? {
        let path = folder.join(&name);
        let is_folder = tree.stat(&path)?.is_some_and(|found| found.file_type.is_dir());
        if has_within(kept, &path) {
            is_kept = true;
        } else if !is_folder {
            tree.remove_file(&path)?;
        } else if name.to_str().is_some_and(layout::is_ours_alone) {
            staging::remove_all(tree, &path, 0)?;
        } else {
            if name == aside::FOUND {
                aside::remove_found(tree, &path, stop)?;
            }
            all &= execute::remove_empty(tree, &path)?;
        }
    }
    if all && !is_kept {
        tree.remove_folder(folder)?;
    }
    Ok(all)
}

/// Whether one of `paths` is `path` or lies below it.
fn has_within(paths: &BTreeSet<PathBuf>, path: &Path) -> bool {
    paths.range(path.to_owned()..).next().is_some_and(|next| next.starts_with(path))
}

impl Recovery<'_> {
    /// Staging names of the parts of large files that the source still has as they were.
    fn wanted(&self) -> BTreeSet<String> {
        let large = self.scan.entries.iter().filter(|e| e.stat.size >= stage::RESUMABLE);
        large.map(|entry| staged::part_name(&entry.path, &entry.stat)).collect()
    }
}

/// The time for the folder of the next increment, in seconds: now, but later than those before, since
/// the Python tool orders increments by it. Even, since FAT keeps even seconds only.
pub(super) fn next_folder_time(index: &Index) -> i64 {
    let now = clock::now_ns().div_euclid(1_000_000_000);
    let last = index.increments().last().map_or(i64::MIN, |i| i.folder_time_s);
    let later = now.max(last.saturating_add(1));
    later.saturating_add(later.rem_euclid(2))
}
