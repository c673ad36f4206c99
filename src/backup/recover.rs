//! Ends what an interrupted run left: finishes the batch that was in flight, closes its increment, and
//! clears the staging area.
//!
//! Called by `run` before a plan is made. What it does is safe to be cut off and done again.

use std::path::Path;

use super::publish;
use super::stage;
use crate::repository::index::{Closing, Index};
use crate::repository::{self, Repository, RepositoryError, Status, layout};
use crate::select::scan::Scan;

/// Whether there was something to end. Parts of large files that `scan` still wants are kept.
pub(super) fn recover(
    repository: &mut Repository<'_>,
    scan: &Scan,
    set_owner: bool,
) -> Result<bool, RepositoryError> {
    let unclosed = repository.index().is_unclosed();
    if unclosed {
        if let Some(batch) = repository.index().pending() {
            publish::publish(repository.tree(), repository.index(), batch, set_owner, true)?;
        }
        repository.finish_batch();
        repository.close_run(|index| Closing {
            status: Status::Interrupted,
            folder_time_s: next_folder_time(index),
            problems: Vec::new(),
            notes: Vec::new(),
        })?;
    }
    let tree = repository.tree();
    let staged = tree.list(Path::new(layout::STAGE), 1_000_000)?;
    if staged.is_empty() {
        return Ok(unclosed);
    }
    let wanted: std::collections::BTreeSet<String> = scan
        .entries
        .iter()
        .filter(|entry| entry.stat.size >= stage::RESUMABLE)
        .map(|entry| stage::part_name(&entry.path, &entry.stat))
        .collect();
    repository::clear_stage(tree, |name| wanted.contains(name))?;
    Ok(true)
}

/// The time for the folder of the next increment, in seconds: now, but later than those before, since
/// the Python tool orders increments by it.
pub(super) fn next_folder_time(index: &Index) -> i64 {
    let now = repository::now_ns().div_euclid(1_000_000_000);
    let last = index.increments().last().map_or(i64::MIN, |i| i.folder_time_s);
    now.max(last.saturating_add(1))
}
