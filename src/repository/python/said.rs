//! What one of the tool's increments says, before any of it is believed.

use std::collections::BTreeMap;

use crate::model::relpath::RelPath;
use crate::repository::catalog::document::EntryCategory;

/// What one of the tool's increments is said to hold.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// When its run started, as the tool wrote it.
    pub timestamp: Option<String>,
    /// Its files.
    pub files: BTreeMap<RelPath, Said>,
    /// How many of its paths are none.
    pub refused: u64,
}

/// What is said of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// New or changed, or vanished.
    pub category: EntryCategory,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Modification time.
    pub time: Option<SaidTime>,
    /// Where it lies, relative to the increment.
    pub lies_at: Option<RelPath>,
}

/// A modification time, as exactly as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaidTime {
    /// Nanoseconds since 1970.
    pub ns: i64,
    /// How far the true one may be off.
    pub(crate) within_ns: i64,
}

impl SaidTime {
    /// Whether a file with this time can be the one that was meant.
    pub fn is(self, ns: i64) -> bool {
        self.ns.abs_diff(ns) <= self.within_ns.unsigned_abs()
    }
}
