//! The increment in hand: how it is named, what its catalog will list, and how it ends.
//!
//! It only holds that: what a change makes of it is up to `index`, which alone fills it. [`RunMark`] and
//! [`Closing`] are part of the format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::index::increment::RunMark;
use crate::repository::index::record::Record;
use crate::repository::status::Status;

/// How an increment ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Whether it is a point in time.
    pub status: Status,
    /// Modification time for its folder, in seconds.
    pub folder_time_s: i64,
    /// What could not be backed up.
    pub problems: Vec<Problem>,
    /// What was left out on purpose.
    pub notes: Vec<Problem>,
}

/// The increment in hand: what its catalog will list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIncrement {
    /// Which one.
    pub mark: RunMark,
    /// Files and links.
    pub entries: BTreeMap<RelPath, Entry>,
    /// Folders that are new or changed.
    pub folders: BTreeMap<RelPath, Record>,
    /// Folders that vanished.
    pub removed_folders: Vec<RelPath>,
    /// Files that are only mirrored from now on.
    pub ended: Vec<RelPath>,
    /// How it ends, once that is decided.
    pub closing: Option<Closing>,
}

impl OpenIncrement {
    pub(super) fn new(mark: RunMark) -> Self {
        Self {
            mark,
            entries: BTreeMap::new(),
            folders: BTreeMap::new(),
            removed_folders: Vec::new(),
            ended: Vec::new(),
            closing: None,
        }
    }

    /// Whether its catalog would list nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.folders.is_empty()
            && self.removed_folders.is_empty()
            && self.ended.is_empty()
    }
}

/// What an increment says of a file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A new version; the index has its record.
    Version {
        /// The path that it had before.
        moved_from: Option<RelPath>,
    },
    /// It vanished; this was its last record.
    Deleted(Box<Record>),
}
