//! The index: what is in the mirror, and what the run in hand has published.
//!
//! One log (`.bkm/index`) is base, deltas and journal at once. A batch's frame is written and synced
//! before its files are published, and tells everything needed to publish them; the next frame is only
//! written when that batch is published and synced. So at any moment at most the log's last batch can
//! be unfinished ([`Index::pending`]), and finishing it again does no harm. See `docs/format.md`,
//! "Index".

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use crate::model::budget;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::{Batch, Change};
use crate::repository::index::check::{self, Before};
use crate::repository::index::frame::{BASE_CHUNK, Frame, State};
use crate::repository::index::increment::{Increment, RunMark};
use crate::repository::index::log::{self, LogEnd};
use crate::repository::index::open::{Closing, Entry, OpenIncrement};
use crate::repository::index::prune::Prune;
use crate::repository::index::record::Record;
use crate::repository::index::table::Records;
use crate::repository::placement::Within;
use crate::repository::versioning::Keeping;

/// So many changes may follow the base of a small index before it is compacted.
const SLACK: u64 = 64;

/// The index in memory.
#[derive(Debug, Default)]
pub struct Index {
    records: Records,
    increments: Vec<Increment>,
    /// Of catalogs that were written anew, by sequence.
    revisions: BTreeMap<u64, u32>,
    next_sequence: u64,
    open: Option<OpenIncrement>,
    pending: Option<Batch>,
    /// Changes that follow the base in the log.
    behind: u64,
    unclosed: bool,
    /// Whether things were in flight when the log ended (displace).
    torn: bool,
    /// What is being removed, and how many of its moves are done.
    pruning: Option<(Prune, u64)>,
}

impl Index {
    /// Of a repository that has nothing yet.
    pub fn empty() -> Self {
        Self { next_sequence: 1, ..Self::default() }
    }

    /// Whether nothing was ever backed up.
    pub fn is_new(&self) -> bool {
        self.records.is_empty() && self.next_sequence == 1 && !self.unclosed
    }

    /// With these records and increments (oldest first), and nothing in flight.
    pub(crate) fn rebuilt(
        records: BTreeMap<RelPath, Record>,
        increments: Vec<Increment>,
        next_sequence: u64,
        revisions: BTreeMap<u64, u32>,
    ) -> Self {
        let records = records.into();
        Self { records, increments, revisions, next_sequence, ..Self::default() }
    }

    /// How often catalogs were written anew once these were as well.
    pub(crate) fn revisions_after(
        &self,
        rewritten: impl Iterator<Item = u64>,
    ) -> BTreeMap<u64, u32> {
        let mut revisions = self.revisions.clone();
        for sequence in rewritten {
            let times = revisions.entry(sequence).or_default();
            *times = times.saturating_add(1);
        }
        revisions
    }

    /// Reads as much of a damaged log as is sound. The last batch is pending.
    pub(crate) fn read_prefix(file: impl Read + Seek) -> Self {
        let mut index = Self::empty();
        let mut in_base = true;
        let mut left = Some(budget::memory());
        // Where it ends is where the damage is.
        drop(log::read(file, None, |payload| {
            index.take_payload(&payload, &mut left, &mut in_base)
        }));
        index
    }

    /// Reads the log. The last batch is not applied if it may be unfinished: see [`Index::pending`].
    pub(crate) fn read(
        file: impl Read + Seek,
        synced: Option<(u64, u64)>,
    ) -> Result<(Self, LogEnd), RepositoryError> {
        let mut index = Self::empty();
        let mut in_base = true;
        let mut left = Some(budget::memory());
        let end = log::read(file, synced, |payload| {
            index.take_payload(&payload, &mut left, &mut in_base)
        })?;
        if in_base {
            return Err(RepositoryError::Damaged("the index: it has no whole base".to_owned()));
        }
        Ok((index, end))
    }

    /// Takes one frame, if it can be believed; `left` is what it may take in memory, and `in_base` whether the
    /// base has no end yet.
    fn take_payload(
        &mut self,
        payload: &[u8],
        left: &mut Option<u64>,
        in_base: &mut bool,
    ) -> Result<(), RepositoryError> {
        let frame = budget::within(left, || postcard::from_bytes(payload));
        let damaged =
            |what: &dyn std::fmt::Display| RepositoryError::Damaged(format!("the index: {what}"));
        match frame {
            _ if left.is_none() => Err(RepositoryError::TooLarge("the index".to_owned())),
            Err(e) => Err(damaged(&format_args!("a frame: {e}"))),
            Ok(frame) => {
                if let Frame::Batch(_) = frame {
                    self.apply_pending();
                }
                let before = Before {
                    open: self.open.as_ref().map(|open| &open.mark),
                    next_sequence: self.next_sequence,
                    increments: &self.increments,
                    is_pruning: self.pruning.is_some(),
                };
                match check::frame(&frame, &before) {
                    Some(what) => Err(damaged(&what)),
                    None => self.take(frame, in_base),
                }
            }
        }
    }

    fn take(&mut self, frame: Frame, in_base: &mut bool) -> Result<(), RepositoryError> {
        let wrong = || RepositoryError::Damaged("the index: frames in a wrong order".to_owned());
        match (frame, *in_base) {
            (Frame::Base(records), true) => {
                if !self.records.push_base(records) {
                    return Err(wrong());
                }
            }
            (Frame::Revisions(revisions), true) => self.revisions.extend(revisions),
            (Frame::State(state), true) => {
                self.next_sequence = state.next_sequence.max(1);
                self.increments = state.increments;
                *in_base = false;
            }
            (Frame::Batch(batch), false) => self.begin(batch),
            (Frame::Closing(closing), false) => {
                self.apply_pending();
                self.open.as_mut().ok_or_else(wrong)?.closing = Some(closing);
            }
            (Frame::Closed, false) => self.close(),
            (Frame::Begun, false) => self.set_begun(),
            (Frame::Settled, false) => {
                self.apply_pending();
                self.set_settled();
            }
            (Frame::Undone(lost), false) => self.drop_pending(&lost),
            (Frame::Prune(prune), false) => self.set_pruning(prune),
            (Frame::PruneStep(moves), false) => self.set_pruned(moves),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// The frames of a base that says the same as this index.
    pub(crate) fn base_frames(&self) -> impl Iterator<Item = Frame> + '_ {
        let mut records = self.records.iter();
        let chunks = std::iter::from_fn(move || {
            let chunk: Vec<_> = records
                .by_ref()
                .take(BASE_CHUNK)
                .map(|(path, record)| (path.clone(), record.clone()))
                .collect();
            (!chunk.is_empty()).then_some(Frame::Base(chunk))
        });
        let revisions = self.revisions.iter().map(|(sequence, times)| (*sequence, *times));
        let revisions = Frame::Revisions(revisions.collect());
        let revisions = (!self.revisions.is_empty()).then_some(revisions);
        let state =
            State { next_sequence: self.next_sequence, increments: self.increments.clone() };
        chunks.chain(revisions).chain([Frame::State(state)])
    }

    /// A batch is in the log: the one before it is published and synced, this one is pending.
    pub(crate) fn begin(&mut self, batch: Batch) {
        self.apply_pending();
        self.unclosed = true;
        self.pending = Some(batch);
    }

    /// A run has begun to write.
    pub(crate) fn set_begun(&mut self) {
        self.unclosed = true;
        self.torn = true;
    }

    /// Increments, or versions of one, are being removed: from now on the records are as they are after it,
    /// and [`Index::pruning`] tells where things may still lie.
    pub(crate) fn set_pruning(&mut self, prune: Prune) {
        self.unclosed = true;
        let heirs: BTreeMap<u64, u64> =
            prune.removed.iter().map(|removed| (removed.sequence, removed.into)).collect();
        for record in self.records.values_mut() {
            if let Some(heir) = heirs.get(&record.brought_by) {
                record.brought_by = *heir;
            }
        }
        for (path, owner) in &prune.owners {
            if let Some(record) = self.records.get_mut(path) {
                record.brought_by = *owner;
            }
        }
        self.increments.retain(|increment| !heirs.contains_key(&increment.sequence));
        self.revisions = self.revisions_after(prune.rewritten.iter().map(|r| r.sequence));
        self.revisions.retain(|sequence, _| !heirs.contains_key(sequence));
        let weight = prune.moves.len() + prune.drops.len() + prune.owners.len();
        self.behind = self.behind.saturating_add(weight as u64);
        self.pruning = Some((prune, 0));
    }

    /// So many moves of what is being removed are done and durable.
    pub(crate) fn set_pruned(&mut self, moves: u64) {
        if let Some((_, done)) = &mut self.pruning {
            *done = (*done).max(moves);
        }
    }

    /// What is being removed, and how many of its moves are known to be done: not over yet, so that a file
    /// can be at either end of its move, and a catalog that is written anew still be staged.
    pub fn pruning(&self) -> Option<(&Prune, u64)> {
        self.pruning.as_ref().map(|(prune, done)| (prune, *done))
    }

    /// Nothing is in flight.
    pub(crate) fn set_settled(&mut self) {
        self.torn = false;
    }

    /// Whether things may have been in flight when the log ended.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Takes the pending batch as not done, and forgets the paths in `lost`. What was tracked of them is
    /// listed as deleted: where the source has it, the next run brings it back, and where it has not, no
    /// later increment would say that it is gone.
    pub fn drop_pending(&mut self, lost: &[RelPath]) {
        let mark = self.pending.take().and_then(|batch| batch.run);
        for path in lost {
            let Some(record) = self.records.remove(path) else { continue };
            self.behind += 1;
            if !record.is_tracked() {
                continue;
            }
            if let (None, Some(mark)) = (&self.open, &mark) {
                self.open_increment(mark.clone());
            }
            if let Some(open) = &mut self.open {
                open.entries.insert(path.clone(), Entry::Deleted(Box::new(record)));
            }
        }
    }

    fn open_increment(&mut self, mark: RunMark) {
        self.next_sequence = self.next_sequence.max(mark.sequence.saturating_add(1));
        self.open.get_or_insert_with(|| OpenIncrement::new(mark));
    }

    /// The last batch of the log, if it may not be wholly published.
    pub fn pending(&self) -> Option<&Batch> {
        self.pending.as_ref()
    }

    /// Takes the pending batch as what the next run will make of it: finished, or taken back.
    pub(crate) fn end_pending(&mut self, keeping: Keeping) {
        match keeping {
            Keeping::Hardlink => self.apply_pending(),
            Keeping::Displace => self.drop_pending(&[]),
        }
    }

    /// Takes the pending batch as published.
    pub fn apply_pending(&mut self) {
        let Some(batch) = self.pending.take() else {
            return;
        };
        if let Some(mark) = batch.run {
            self.open_increment(mark);
        }
        for change in batch.changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put { path, record, moved_from, .. } => {
                if let Some(open) = self.open.as_mut().filter(|_| record.is_tracked()) {
                    open.entries.insert(path.clone(), Entry::Version { moved_from });
                }
                self.insert(path, record);
            }
            Change::Note { path, record, version } => {
                if let Some(open) = self.open.as_mut().filter(|_| version) {
                    open.entries.insert(path.clone(), Entry::Version { moved_from: None });
                }
                self.insert(path, record);
            }
            Change::Remove { path } => {
                let Some(record) = self.records.remove(&path) else {
                    return;
                };
                self.behind += 1;
                if let Some(open) = self.open.as_mut().filter(|_| record.is_tracked()) {
                    open.entries.insert(path, Entry::Deleted(Box::new(record)));
                }
            }
            Change::Folder { path, record } => {
                if let Some(open) = self.open.as_mut().filter(|_| record.is_tracked()) {
                    open.folders.insert(path.clone(), record.clone());
                }
                self.insert(path, record);
            }
            Change::RemoveFolder { path } => {
                let Some(record) = self.records.remove(&path) else {
                    return;
                };
                self.behind += 1;
                if let Some(open) = self.open.as_mut().filter(|_| record.is_tracked()) {
                    open.removed_folders.push(path);
                }
            }
            Change::Heal { placed, names, .. } => {
                for name in names.iter().filter(|name| name.within == Within::Mirror) {
                    let Some(record) = self.records.get_mut(&name.path) else { continue };
                    if record.place_at(placed) {
                        self.behind += 1;
                    }
                }
            }
        }
    }

    fn insert(&mut self, path: RelPath, record: Record) {
        let ends_here = !record.is_tracked();
        self.behind += 1;
        let Some(old) = self.records.insert(path.clone(), record) else {
            return;
        };
        if let Some(open) = self.open.as_mut().filter(|_| ends_here && old.is_tracked()) {
            open.ended.push(path);
        }
    }

    /// How the open increment ends.
    pub(crate) fn set_closing(&mut self, closing: Closing) {
        self.apply_pending();
        if let Some(open) = &mut self.open {
            open.closing = Some(closing);
        }
    }

    /// The run is over.
    pub(crate) fn close(&mut self) {
        self.apply_pending();
        self.unclosed = false;
        self.torn = false;
        self.pruning = None;
        if let Some(OpenIncrement { mark, closing: Some(closing), .. }) = self.open.take() {
            self.increments.push(Increment {
                sequence: mark.sequence,
                name: mark.name,
                timestamp: mark.timestamp,
                status: closing.status,
                folder_time_s: closing.folder_time_s,
            });
        }
    }

    /// All paths of the mirror in the order of their bytes.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Where `path` lies in the mirror.
    pub fn place<'a>(&'a self, path: &'a RelPath) -> &'a RelPath {
        self.records.get(path).map_or(path, |record| record.place(path))
    }

    /// The finished increments, oldest first.
    pub fn increments(&self) -> &[Increment] {
        &self.increments
    }

    /// The name of the increment with this sequence, the open one and those that are going included.
    pub fn increment_name(&self, sequence: u64) -> Option<&str> {
        let open = self.open.iter().map(|open| (open.mark.sequence, open.mark.name.as_str()));
        let by_sequence = |i: &Increment| i.sequence.cmp(&sequence);
        if let Ok(at) = self.increments.binary_search_by(by_sequence) {
            return self.increments.get(at).map(|increment| increment.name.as_str());
        }
        let pruned = self.pruning.iter().flat_map(|(prune, _)| &prune.removed);
        let going = pruned.map(|removed| (removed.sequence, removed.name.as_str()));
        open.into_iter().chain(going).find(|(s, _)| *s == sequence).map(|(_, name)| name)
    }

    /// How often the catalog of the increment with this sequence was written anew since its run: what was
    /// made of it before is out of date when this has changed.
    pub fn revision(&self, sequence: u64) -> u32 {
        self.revisions.get(&sequence).copied().unwrap_or(0)
    }

    /// The sequence that the next increment gets.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The increment in hand, or the one that an interrupted run left open.
    pub fn open(&self) -> Option<&OpenIncrement> {
        self.open.as_ref()
    }

    /// Whether a run was interrupted, so that recovery has something to do.
    pub fn is_unclosed(&self) -> bool {
        self.unclosed
    }

    /// Whether so much follows the base that a new one pays. Reading what follows takes several times as long, so
    /// after a first run it does; it is written once per half of it that follows, so the cost per change stays
    /// constant.
    pub(crate) fn wants_compaction(&self) -> bool {
        !self.unclosed && outweighs(self.behind, self.records.len() as u64)
    }

    pub(crate) fn compacted(&mut self) {
        self.behind = 0;
    }
}

/// Whether so many changes are worth writing a base of so many records anew.
fn outweighs(behind: u64, records: u64) -> bool {
    behind > records / 2 + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_written_anew_when_half_of_it_and_the_slack_follow_it() {
        assert!(!outweighs(SLACK, 0));
        assert!(outweighs(SLACK + 1, 0));
        assert!(!outweighs(500_000 + SLACK, 1_000_000));
        assert!(outweighs(500_001 + SLACK, 1_000_000));
    }
}
