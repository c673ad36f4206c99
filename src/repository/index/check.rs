//! What is believed of the records on a drive: each frame of the index is checked here once, when it is
//! read.
//!
//! Names in them become paths, and sequences decide which version is the newer, so neither is taken
//! unchecked, however sound the checksums: who made the drive can compute those. Pure.

use std::collections::BTreeSet;

use crate::model::entry::Kind;
use crate::repository::index::change::{Batch, Change};
use crate::repository::index::frame::{BASE_CHUNK, Frame, State};
use crate::repository::index::increment::{Increment, RunMark};
use crate::repository::index::prune::{Prune, Removed};
use crate::repository::layout;
use crate::repository::limits::{MAX_CATALOG, MAX_SEQUENCE, MAX_TIMESTAMP};
use crate::repository::placement::Within;

/// What the frames before say. No batch is pending.
pub(super) struct Before<'a> {
    /// The increment in hand.
    pub(super) open: Option<&'a RunMark>,
    /// The lowest sequence that is free.
    pub(super) next_sequence: u64,
    /// The increments, oldest first.
    pub(super) increments: &'a [Increment],
    /// Whether a removal is in hand.
    pub(super) is_pruning: bool,
}

/// What is wrong with a frame that follows what was read before; `None` if it can be taken.
pub(super) fn frame(frame: &Frame, before: &Before<'_>) -> Option<&'static str> {
    match frame {
        Frame::Base(records) if records.len() > BASE_CHUNK => Some("a base frame is too large"),
        Frame::State(state) => self::state(state),
        Frame::Batch(batch) => self::batch(batch, before),
        Frame::Prune(prune) => self::prune(prune, before),
        Frame::Base(_)
        | Frame::Revisions(_)
        | Frame::PruneStep(_)
        | Frame::Closing(_)
        | Frame::Closed
        | Frame::Begun
        | Frame::Settled
        | Frame::Undone(_) => None,
    }
}

fn state(state: &State) -> Option<&'static str> {
    let State { next_sequence, increments } = state;
    let ordered = increments.is_sorted_by(|a: &Increment, b: &Increment| a.sequence < b.sequence);
    let last = increments.last().map_or(0, |i| i.sequence);
    let first = increments.first().map_or(1, |i| i.sequence);
    let names: BTreeSet<&str> = increments.iter().map(|i| i.name.as_str()).collect();
    if !ordered || first == 0 || *next_sequence <= last || *next_sequence >= MAX_SEQUENCE {
        Some("the order of its increments contradicts itself")
    } else if !names.iter().all(|name| layout::is_increment_name(name)) {
        Some("the name of an increment is none")
    } else if names.len() != increments.len() {
        Some("two increments have the same name")
    } else if increments.iter().any(|i| i.timestamp.len() > MAX_TIMESTAMP) {
        Some("the time of an increment is none")
    } else {
        None
    }
}

fn batch(batch: &Batch, before: &Before<'_>) -> Option<&'static str> {
    let wrong_mark = batch.run.as_ref().and_then(|mark| self::mark(mark, before));
    wrong_mark.or_else(|| batch.changes.iter().find_map(change))
}

fn mark(mark: &RunMark, before: &Before<'_>) -> Option<&'static str> {
    if let Some(open) = before.open {
        return (open != mark).then_some("a run changes its increment");
    }
    if mark.sequence < before.next_sequence || mark.sequence >= MAX_SEQUENCE {
        Some("the order of its increments contradicts itself")
    } else if !layout::is_increment_name(&mark.name) {
        Some("the name of an increment is none")
    } else if before.increments.iter().any(|i| i.name == mark.name) {
        Some("two increments have the same name")
    } else if mark.timestamp.len() > MAX_TIMESTAMP {
        Some("the time of an increment is none")
    } else {
        None
    }
}

/// Nothing but increments that are known and stay gets anything; what goes lies in increments.
fn prune(prune: &Prune, before: &Before<'_>) -> Option<&'static str> {
    let Prune { removed, rewritten, moves, drops, owners } = prune;
    let known = |sequence: u64| {
        let at = before.increments.binary_search_by_key(&sequence, |i| i.sequence);
        at.ok().and_then(|at| before.increments.get(at))
    };
    let going: BTreeSet<u64> = removed.iter().map(|removed| removed.sequence).collect();
    let stays = |sequence: u64| known(sequence).is_some() && !going.contains(&sequence);
    let is_removed = |removed: &Removed| {
        known(removed.sequence).is_some_and(|increment| increment.name == removed.name)
            && removed.into > removed.sequence
            && stays(removed.into)
    };
    let sound = before.open.is_none()
        && !before.is_pruning
        && going.len() == removed.len()
        && removed.iter().all(is_removed)
        && rewritten.iter().all(|catalog| stays(catalog.sequence) && catalog.size <= MAX_CATALOG)
        && moves.iter().all(|version| {
            version.from < version.to && known(version.from).is_some() && stays(version.to)
        })
        && drops.iter().all(|version| match version.within {
            Within::Mirror => false,
            Within::Track(sequence) | Within::Deleted(sequence) => known(sequence).is_some(),
        })
        && owners.iter().all(|(_, owner)| *owner == 0 || stays(*owner));
    if !sound {
        Some("what it removes contradicts itself")
    } else if rewritten.iter().any(|catalog| !layout::is_stage_name(&catalog.stage)) {
        Some("the name of a staged file is none")
    } else {
        None
    }
}

fn change(change: &Change) -> Option<&'static str> {
    match change {
        change if change.stage().is_some_and(|name| !layout::is_stage_name(name)) => {
            Some("the name of a staged file is none")
        }
        Change::Put { record, .. } if record.kind() == Kind::Folder => {
            Some("a folder stands where a file belongs")
        }
        Change::Folder { record, .. } if record.kind() != Kind::Folder => {
            Some("a file stands where a folder belongs")
        }
        _ => None,
    }
}
