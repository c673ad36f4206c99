//! Carries out a plan in batches: stage, sync, journal, publish — and so on.
//!
//! One sync of the file system per batch does two jobs: it makes the batch before durable in its place
//! and this one's content in the staging area. Only then this batch's frame is written to the index, so
//! the log never says more than the drive has.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use crate::backup::conflicts;
use crate::backup::error::RunError;
use crate::backup::plan::space::Need;
use crate::backup::plan::work::{Action, Plan, Planned, Work};
use crate::backup::stage::{Staged, Stager};
use crate::fs::write_rate;
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::change::{Batch, Change};
use crate::repository::index::increment::RunMark;
use crate::repository::versioning::Keeping;
use crate::repository::{layout, reserve};
use crate::transaction::staged::{clear_staged, remove_left};
use crate::transaction::{displaced, linked};

/// The same, and the most bytes, where all that a pulled plug finds in flight is done again.
const DISPLACE_PATHS: usize = 512;

const DISPLACE_BYTES: u64 = 32 << 20;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Files and links published so far, for "what is kept".
    pub(super) published: u64,
    /// Bytes of content copied.
    pub(super) bytes: u64,
    /// Bytes that the catalog needs for problems and notes that are known.
    pub(super) remarks: u64,
    /// What went wrong with the source.
    pub(super) problems: Vec<Problem>,
    /// What the report is to mention.
    pub(super) notes: Vec<Problem>,
    /// Staging names of what left the mirror with the last batch: to be removed once that is durable.
    pub(super) left: Vec<String>,
    /// Paths of the plan that were not done: the source could not be read or was gone, or something
    /// stands in their place on the drive.
    pub(super) skipped: BTreeSet<RelPath>,
}

/// Carries out `plan` in batches of at most `most_paths` paths. On an error everything published stays,
/// and `done` says how much that is.
///
/// While one batch is synced, the next one is staged: the drive writes and the processors hash at the same time.
/// Then all of them publish the one that is durable.
pub(super) fn execute(
    repository: &mut Repository<'_>,
    plan: Vec<Work<'_>>,
    run: Option<&RunMark>,
    stager: &Stager<'_>,
    most_paths: usize,
    done: &mut Done,
) -> Result<(), RunError> {
    let (most, most_paths) = match stager.keeping {
        Keeping::Hardlink => (u64::MAX, most_paths),
        Keeping::Displace => (DISPLACE_BYTES, most_paths.min(DISPLACE_PATHS)),
    };
    let pace = stager.tree.pace();
    // Of the batch that is being made durable.
    let mut syncing = 0;
    let mut work = plan.into_iter().peekable();
    let mut staged = Vec::new();
    let mut state = Batches { catalog: done.remarks, ..Batches::default() };
    loop {
        let since = Instant::now();
        let batch = next_batch(&mut work, pace.bytes().min(most), most_paths);
        let cost = batch.iter().map(cost).fold(0, u64::saturating_add);
        let ready = std::mem::take(&mut staged);
        let (begun, next) = std::thread::scope(|scope| {
            let begin = scope.spawn(|| begin(repository, ready, run, &mut state, stager.stop));
            let next = stage_batch(&batch, stager, done);
            // A panic over there is a panic here.
            (begin.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), next)
        });
        let committed = begun.and_then(|(problems, mut notes)| {
            let published = publish_pending(repository, stager.set_owner, false, &mut state)?;
            notes.extend(published.notes);
            Ok(Committed { notes, problems, ..published })
        });
        let committed = match committed {
            Err(RunError::Repository(full))
                if full.is_full() && repository.index().pending().is_some() =>
            {
                done.published += finish_full(repository, stager.set_owner, &mut state)?.files;
                return Err(full.into());
            }
            other => other?,
        };
        done.published += committed.files;
        done.notes.extend(committed.notes);
        done.problems.extend(committed.problems);
        staged = next?;
        if staged.is_empty() && work.peek().is_none() {
            stager.remove_shelves()?;
            done.skipped.extend(state.blocked);
            done.left = state.left;
            return Ok(());
        }
        // What was staged may be in memory only. What became durable may have gone to the drive long ago, as
        // parts of a large file do.
        pace.learn(syncing.min(cost), since.elapsed());
        syncing = cost;
    }
}

fn next_batch<'s>(
    work: &mut std::iter::Peekable<impl Iterator<Item = Work<'s>>>,
    most: u64,
    most_paths: usize,
) -> Vec<Work<'s>> {
    let mut batch = Vec::new();
    let (mut costs, mut paths) = (0_u64, 0);
    while let Some(next) = work.next_if(|next| {
        paths == 0
            || (cost(next).saturating_add(costs) <= most && paths + next.paths() <= most_paths)
    }) {
        costs = cost(&next).saturating_add(costs);
        paths += next.paths();
        batch.push(next);
    }
    batch
}

/// What it costs the drive, in bytes.
fn cost(work: &Work<'_>) -> u64 {
    let path = match work {
        Work::Copy(_) => write_rate::PATH,
        // Names alone, many of which share a block.
        Work::Reuse(_) | Work::Note(_) | Work::Change(_) => write_rate::NAME,
    };
    (work.paths() as u64 * path).saturating_add(work.bytes())
}

/// Stages one batch; its changes are in the order in which they are to be published.
fn stage_batch(
    work: &[Work<'_>],
    stager: &Stager<'_>,
    done: &mut Done,
) -> Result<Vec<Change>, RunError> {
    // The first error ends it: what makes one fail (a full drive, say) would do so for the others.
    let staged: Result<Vec<Staged>, RunError> =
        work.par_iter().map(|work| stage_one(work, stager)).collect();
    let mut changes = Vec::new();
    for (staged, work) in staged?.into_iter().zip(work) {
        let twins = matches!(work, Work::Copy(copy) if !copy.twins.is_empty());
        if staged.changes.is_empty() || twins {
            let is_staged = |path: &RelPath| staged.changes.iter().any(|c| c.path() == path);
            done.skipped.extend(paths(work).into_iter().filter(|path| !is_staged(path)));
        }
        changes.extend(staged.changes);
        done.problems.extend(staged.problems);
        done.bytes += staged.bytes;
    }
    changes.sort_by_key(rank);
    Ok(changes)
}

/// What came of a batch.
#[derive(Default)]
struct Committed {
    /// How many files it brought in place.
    files: u64,
    /// Folders that could not be removed.
    notes: Vec<Problem>,
    /// What could not be published.
    problems: Vec<Problem>,
}

/// Makes a staged batch durable and writes it to the index: its files may be published then. The batch before it is
/// in place, so what stands in the way of this one is seen now. Returns what cannot be published, as problems, and
/// notes.
fn begin(
    repository: &mut Repository<'_>,
    changes: Vec<Change>,
    run: Option<&RunMark>,
    state: &mut Batches,
    stop: &AtomicBool,
) -> Result<(Vec<Problem>, Vec<Problem>), RunError> {
    let (tree, index) = (repository.tree(), repository.index());
    let format = repository.format();
    let mut notes = Vec::new();
    let blocked = &mut state.blocked;
    let (changes, problems) =
        conflicts::take_out_blocked(tree, index, format, changes, blocked, &mut notes, stop)?;
    if changes.is_empty() {
        return Ok((problems, notes));
    }
    // Once it is in the index it has to go through.
    let mut need = Need::new(index, format.keeps_versions, tree.block()?);
    for change in &changes {
        need.change(change);
    }
    reserve::cover(tree, state.catalog.saturating_add(need.last()), need.inodes())?;
    state.catalog = state.catalog.saturating_add(need.catalog());
    tree.sync()?;
    for change in &changes {
        if let Change::Put { record, stage, .. } = change {
            tree.uncache(&layout::staged(stage), record.size());
        }
    }
    repository.begin_batch(Batch { run: run.cloned(), changes })?;
    // Only now the index says that the batch before is not to be taken back.
    remove_left(tree, &mut state.left)?;
    Ok((problems, notes))
}

/// Publishes the batch that was written to the index last. `again` if that was begun and failed.
fn publish_pending(
    repository: &mut Repository<'_>,
    set_owner: bool,
    again: bool,
    state: &mut Batches,
) -> Result<Committed, RepositoryError> {
    let (tree, index) = (repository.tree(), repository.index());
    let mut committed = Committed::default();
    if let Some(batch) = index.pending() {
        let occupied = match repository.format().keeps_versions {
            Keeping::Hardlink => {
                let again = again.then_some(repository.format().names);
                linked::publish(tree, index, batch, set_owner, again)?
            }
            Keeping::Displace => {
                displaced::publish(tree, index, batch, &mut state.published)?;
                // The next batch begins anew.
                let published = std::mem::take(&mut state.published);
                state.left = published.left;
                committed.notes.extend(published.missing.into_iter().map(missing_note));
                published.occupied
            }
        };
        committed.notes.extend(occupied.into_iter().map(occupied_note));
        committed.files = files(batch);
    }
    repository.finish_batch();
    Ok(committed)
}

/// Finishes a batch during which the drive became full: what is staged for later makes room, and then the
/// reserve. To be called when nothing is being staged any more, which would take it.
fn finish_full(
    repository: &mut Repository<'_>,
    set_owner: bool,
    state: &mut Batches,
) -> Result<Committed, RepositoryError> {
    let tree = repository.tree();
    clear_staged(repository)?;
    let finished =
        reserve::with_room(tree, || publish_pending(repository, set_owner, true, state))?;
    // What is left of it is for the catalog.
    let need = Need::new(repository.index(), repository.format().keeps_versions, tree.block()?);
    let _full = reserve::cover(tree, state.catalog.saturating_add(need.last()), 0);
    Ok(finished)
}

/// What is carried from batch to batch.
#[derive(Default)]
struct Batches {
    /// Paths that were taken out of a batch.
    blocked: BTreeSet<RelPath>,
    /// Staging names of what left the mirror with the batch before.
    left: Vec<String>,
    /// How far the batch in hand is published (displace).
    published: displaced::Published,
    /// Bytes of the catalog of what is in the index.
    catalog: u64,
}

fn stage_one(work: &Work<'_>, stager: &Stager<'_>) -> Result<Staged, RunError> {
    if stager.stop.load(Ordering::Relaxed) {
        return Err(RunError::stopped());
    }
    match work {
        Work::Copy(copy) => stager.copy(copy),
        Work::Reuse(reuse) => stager.reuse(reuse),
        Work::Note(note) => stager.note(note),
        Work::Change(change) => Ok(Staged { changes: vec![change.clone()], ..Staged::default() }),
    }
}

/// Removals come first, then folders (an outer one before what lies in it), then files.
fn rank(change: &Change) -> u8 {
    match change {
        Change::Remove { .. } => 0,
        Change::RemoveFolder { .. } => 1,
        Change::Folder { .. } => 2,
        Change::Note { .. } | Change::Heal { .. } => 3,
        Change::Put { .. } => 4,
    }
}

/// Files and links that a batch brings in place.
pub(super) fn files(batch: &Batch) -> u64 {
    batch.changes.iter().filter(|change| matches!(change, Change::Put { .. })).count() as u64
}

/// What to say of a folder that could not leave the mirror.
pub(super) fn occupied_note(folder: RelPath) -> Problem {
    Problem::new(folder, "stays in the mirror: it holds files that the backup did not put there")
}

/// What to say of a version that somebody took from the drive before an increment had it.
fn missing_note(path: RelPath) -> Problem {
    Problem::new(
        path,
        "its version before this run is lost: somebody removed it from the mirror on the drive",
    )
}

fn paths(work: &Work<'_>) -> Vec<RelPath> {
    match work {
        Work::Copy(copy) => std::iter::once(copy.entry)
            .chain(copy.twins.iter().copied())
            .map(|e| e.path.clone())
            .collect(),
        Work::Reuse(reuse) => vec![reuse.entry.path.clone()],
        Work::Note(note) => vec![note.entry.path.clone()],
        Work::Change(change) => vec![change.path().clone()],
    }
}

/// Counts of a plan's lines, less what was skipped: (new, changed, touched, moved, deleted).
pub(super) fn count(plan: &[Planned], done: &Done) -> [u64; 5] {
    let mut counts = [0; 5];
    for line in plan.iter().filter(|line| !done.skipped.contains(&line.path)) {
        let at = match line.action {
            Action::New => 0,
            Action::Changed => 1,
            Action::Touched => 2,
            Action::Moved => 3,
            Action::Deleted => 4,
        };
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    counts
}

impl Plan<'_> {
    /// Files to copy, for progress.
    pub(super) fn files_to_copy(&self) -> u64 {
        let copies = self.work.iter().map(|work| match work {
            Work::Copy(copy) => 1 + copy.twins.len() as u64,
            _ => 0,
        });
        copies.sum()
    }
}
