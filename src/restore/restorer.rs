//! What a restore holds while it goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use jiff::tz::TimeZone;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::history::timeline::Versions;
use crate::model::relpath::RelPath;
use crate::restore::options::How;
use crate::restore::report::Restored;

/// Why one path was not restored.
pub(crate) enum Failure {
    Stopped,
    Problem(String),
    Destination(TreeError),
}

impl From<TreeError> for Failure {
    fn from(e: TreeError) -> Self {
        Self::Destination(e)
    }
}

/// What makes files hard links to one another: the source's inode, the content and the time.
pub(crate) type LinkKey = (String, [u8; 32], i64);

pub(crate) struct Restorer<'a> {
    pub(crate) repository: &'a Tree,
    pub(crate) destination: &'a Tree,
    pub(crate) versions: &'a Versions,
    pub(crate) how: How,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) told: &'a dyn Fn(u64),
    pub(crate) done: Restored,
    /// Nothing is written.
    pub(crate) dry: bool,
    /// First name and inode of files that are hard links to one another.
    pub(crate) linked: HashMap<LinkKey, (PathBuf, u64)>,
    /// The folders that were come by, and how they are.
    pub(crate) ways: HashMap<RelPath, Way>,
    /// Folders that get their attributes at the end.
    pub(crate) due: BTreeMap<RelPath, Due>,
    /// Inodes of what was put in place: a destination may take two names for one.
    pub(crate) put: HashSet<u64>,
    /// Names that `--keep-both` gave.
    pub(crate) beside: HashSet<RelPath>,
    pub(crate) root: bool,
    pub(crate) uid: u32,
    pub(crate) zone: TimeZone,
}

pub(crate) fn reason_of(e: &TreeError) -> String {
    format!("{e}: {}", e.source)
}

/// How a folder at the destination is.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// It is there.
    Open,
    /// It would be made.
    Absent,
    /// Nothing can be put into it.
    Blocked(String),
}

/// Why a folder gets its attributes at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has none yet, or others.
    New,
    /// Those that a stat tells are right; the others may not be.
    Whole,
    /// It had them, and files that are put into it change its time.
    Again,
}
