//! What the index knows, for a scan that is to leave out what is as it was.
//!
//! The index is read while the source is scanned: neither waits for the other's disk. What the scan finds before
//! the index is there it lists, and `compare` decides on it by the same rule.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::backup::plan::compare::is_as_it_was;
use crate::model::entry::{Category, Stat};
use crate::repository::handle::Repository;
use crate::source::entry::{self, Seen};

/// The index, once it is there, and what the scan found as it was.
pub(crate) struct Known<'t> {
    stable_inodes: bool,
    read: OnceLock<Read<'t>>,
}

struct Read<'t> {
    repository: Repository<'t>,
    /// A bit for each record of the index's base.
    seen: Vec<AtomicU64>,
}

impl<'t> Known<'t> {
    /// `stable_inodes`: whether the source's inode numbers and change times mean anything.
    pub(crate) fn new(stable_inodes: bool) -> Self {
        Self { stable_inodes, read: OnceLock::new() }
    }

    /// From now on the scan knows what this repository's index knows. Nothing may be in flight in it, and all
    /// that it has must stay as it is if it is not selected any more.
    pub(crate) fn learn(&self, repository: Repository<'t>) {
        let words = repository.index().records().base_len().div_ceil(64);
        let seen = std::iter::repeat_with(AtomicU64::default).take(words).collect();
        // Nobody else does it.
        let _once = self.read.set(Read { repository, seen });
    }

    /// After the scan: the repository, and what the scan found as it was.
    pub(crate) fn forget(self) -> Option<(Repository<'t>, Seen)> {
        let Read { repository, seen } = self.read.into_inner()?;
        Some((repository, Seen::new(seen.into_iter().map(AtomicU64::into_inner).collect())))
    }
}

impl entry::Known for Known<'_> {
    fn below(&self, folder: &[u8]) -> Option<Range<usize>> {
        let records = self.read.get()?.repository.index().records();
        if folder.is_empty() {
            return Some(0..records.base_len());
        }
        let (name, _) = folder.split_at(folder.len() - 1);
        // The byte that follows the `/` ends the folder.
        let behind = [name, b"0"].concat();
        Some(records.first_from(folder)..records.first_from(&behind))
    }

    fn is_as_it_was(
        &self,
        below: &Range<usize>,
        path: &[u8],
        category: Category,
        stat: &Stat,
    ) -> bool {
        let Some(Read { repository, seen }) = self.read.get() else { return false };
        let records = repository.index().records();
        let Some((number, record)) = records.find(below, path) else { return false };
        let same = is_as_it_was(category, stat, record, self.stable_inodes);
        if let (true, Some(bits)) = (same, seen.get(number / 64)) {
            // Read when the scan's threads have ended.
            bits.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
        same
    }
}
