//! One entry that a scan found, and how a scan is made.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use crate::model::entry::{Category, Stat};
use crate::model::relpath::RelPath;

/// What is known of the source before it is scanned: files and links that are as they were are not listed,
/// which takes most of the time and nearly all of the memory where little changed.
///
/// What is known has numbers, and those in one folder follow one another.
pub trait Known: Sync {
    /// The numbers of what is known to lie at or below the folder whose path, with a `/` behind it, is
    /// `folder` (empty: the source itself). `None` as long as nothing is known.
    fn below(&self, folder: &[u8]) -> Option<Range<usize>>;

    /// Whether `path` is as it was; then that is remembered. `below` is what the folder's numbers are.
    fn is_as_it_was(
        &self,
        below: &Range<usize>,
        path: &[u8],
        category: Category,
        stat: &Stat,
    ) -> bool;
}

/// How a scan is done.
#[derive(Clone, Copy)]
pub struct ScanOptions<'a> {
    /// Whether other mounts below the source are left out.
    pub one_file_system: bool,
    /// Folders that are left out with everything below, by `(dev, ino)`: the repository, where it lies
    /// in the source.
    pub skip: &'a [(u64, u64)],
    /// Becomes true when the scan is to stop.
    pub stop: &'a AtomicBool,
    /// What need not be listed.
    pub known: Option<&'a dyn Known>,
}

/// The numbers of what was found as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    /// Of a set of bits, the lowest number first.
    pub fn new(bits: Vec<u64>) -> Self {
        Self { bits }
    }

    /// Whether `number` was found as it was.
    pub fn contains(&self, number: usize) -> bool {
        self.bits.get(number / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.bits.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }
}

/// Something that is to be backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub path: RelPath,
    /// Whether its old versions are kept. A folder's is the highest of itself and everything below.
    pub category: Category,
    /// What statx told.
    pub stat: Stat,
}
