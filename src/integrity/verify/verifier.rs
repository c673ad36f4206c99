//! What a check holds while it goes on.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::integrity::expected::Expected;
use crate::integrity::verify::finding::Verified;
use crate::integrity::verify::options::Check;
use crate::repository::index::contents::Index;
use crate::repository::placement::Within;
use crate::repository::versioning::Keeping;

/// A version that is not as it should be.
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) key: Key,
    pub(crate) expected: Expected,
    pub(crate) within: Within,
    pub(crate) found: Option<Found>,
}

pub(crate) struct Verifier<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) index: &'a Index,
    pub(crate) keeping: Keeping,
    pub(crate) check: &'a Check<'a>,
    pub(crate) pool: rayon::ThreadPool,
    pub(crate) seen: HashMap<Key, Seen>,
    /// Findings of versions, with what is needed to group and heal them.
    pub(crate) wrong: Vec<Wrong>,
    pub(crate) done: Verified,
}

/// One file of the drive, to be read once: by its inode, or by its place where inodes say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Inode(u64),
    Place(PathBuf),
}

/// What reading a file gave.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Hash([u8; 32]),
    Unreadable(String),
}
