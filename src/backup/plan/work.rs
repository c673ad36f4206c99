//! What a plan is made of: the paths that are copied, noted or moved, and how the plan is shown.

use serde::{Deserialize, Serialize};

use crate::model::entry::Kind;
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::index::change::Change;
use crate::repository::index::record::{Meta, Record};
use crate::repository::names::Naming;
use crate::repository::versioning::Keeping;
use crate::source::entry::Entry;

/// One piece of work; what belongs together is one piece.
pub(crate) enum Work<'s> {
    /// Content is copied from the source.
    Copy(ToCopy<'s>),
    /// Content of the mirror gets another path.
    Reuse(Box<Reuse<'s>>),
    /// Only the record changes.
    Note(Box<ToNote<'s>>),
    /// A removal, or a folder's change.
    Change(Change),
}

/// A file or link to copy.
pub(crate) struct ToCopy<'s> {
    pub(crate) entry: &'s Entry,
    /// Further hard links to it in the source that are to be copied as well.
    pub(crate) twins: Vec<&'s Entry>,
}

/// A file or link whose record alone changes.
pub(crate) struct ToNote<'s> {
    pub(crate) entry: &'s Entry,
    pub(crate) change: Change,
    /// The record until now.
    pub(crate) old: Record,
}

/// A file or link whose content the mirror has under another path.
pub(crate) struct Reuse<'s> {
    pub(crate) entry: &'s Entry,
    pub(crate) from: RelPath,
    pub(crate) record: Record,
    pub(crate) meta: Meta,
    /// Whether the other path vanished.
    pub(crate) moved: bool,
}

/// What a plan does to one path, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was not there.
    New,
    /// Its content is other.
    Changed,
    /// Only attributes are other.
    Touched,
    /// It has another path.
    Moved,
    /// It vanished.
    Deleted,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// What is done.
    pub action: Action,
    /// To which path.
    pub path: RelPath,
    /// The path that it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
}

/// What a run will do.
#[derive(Default)]
pub(crate) struct Plan<'s> {
    /// The work in order.
    pub(crate) work: Vec<Work<'s>>,
    /// The same for people: files and links only.
    pub(crate) lines: Vec<Planned>,
    /// Files and links that stay as they are.
    pub(crate) unchanged: u64,
    /// Bytes of content to copy.
    pub(crate) bytes: u64,
    /// Bytes that are copied on the drive before the plan is carried out.
    pub(crate) room_beside: u64,
    /// Tracked files of the index that vanished, other than by a move.
    pub(crate) tracked_deleted: u64,
    /// Tracked files of the index with other content.
    pub(crate) tracked_changed: u64,
    /// Whether anything tracked changes, so that an increment is made.
    pub(crate) makes_increment: bool,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
    /// What the report is to mention.
    pub(crate) notes: Vec<Problem>,
    /// Where paths lie in the mirror.
    pub(crate) naming: Naming,
}

impl Work<'_> {
    /// Bytes of content that it copies.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Copy(copy) if copy.entry.stat.kind == Kind::File => copy.entry.stat.size,
            _ => 0,
        }
    }

    /// Room that its content takes on the drive, in bytes: holes take none where the drive has them.
    pub(super) fn room(&self, keeping: Keeping) -> u64 {
        match self {
            Self::Copy(copy) if keeping == Keeping::Hardlink => {
                self.bytes().min(copy.entry.stat.blocks.saturating_mul(512))
            }
            _ => self.bytes(),
        }
    }

    /// How many paths it concerns.
    pub(crate) fn paths(&self) -> usize {
        match self {
            Self::Copy(copy) => 1 + copy.twins.len(),
            Self::Reuse(_) => 2,
            Self::Note(_) | Self::Change(_) => 1,
        }
    }
}
