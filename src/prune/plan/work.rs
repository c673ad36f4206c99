//! What a planned removal is made of.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::prune::merge::Alive;
use crate::repository::catalog::document::{Catalog, CatalogEntry};
use crate::repository::format::Format;
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::index::prune::Prune;
use crate::repository::placement::Within;
use crate::repository::versioning::Keeping;

/// What a removal does.
#[derive(Debug, Default)]
pub struct Plan {
    /// The increments that go, or of which versions go, oldest first.
    pub going: Vec<Going>,
    /// Bytes of content that this frees: a file counts when its last name goes.
    pub frees: u64,
    pub(crate) prune: Prune,
}

/// What becomes of one increment that goes, or of which versions go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Going {
    /// Its name.
    pub name: String,
    /// When its run started, with UTC offset.
    pub timestamp: String,
    /// The increment that takes over what later points in time still need; `None`: there is nothing after it.
    pub into: Option<String>,
    /// Versions that move there.
    pub moved: u64,
    /// Versions that go.
    pub dropped: u64,
    /// Bytes that this frees.
    pub frees: u64,
}

/// What is to go.
pub(crate) enum What<'a> {
    /// Whole increments, by sequence.
    Increments(&'a BTreeSet<u64>),
    /// The versions of one increment at these paths.
    Versions(u64, &'a dyn Fn(&RelPath) -> bool),
}

/// How a plan is made.
pub(crate) struct Planner<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) index: &'a Index,
    pub(crate) format: &'a Format,
    /// Whether the new catalogs are staged.
    pub(crate) stages: bool,
    pub(crate) stop: &'a AtomicBool,
}

/// A plan as it is made, increment by increment.
pub(crate) struct Work<'a> {
    pub(crate) by: &'a Planner<'a>,
    pub(crate) keeping: Keeping,
    pub(crate) plan: Plan,
    /// What goes and has no heir yet: catalogs and files.
    pub(crate) group: Vec<(Catalog, Files)>,
    /// Whether the group goes as a whole.
    pub(crate) whole: bool,
    /// Names of increments of which something went, with the one that took over.
    pub(crate) heirs: HashMap<String, String>,
    /// Paths and hashes that went, where only part of an increment did.
    pub(crate) only: Option<(HashSet<RelPath>, HashSet<String>)>,
    /// In displace: what the heirs list of what they took over, by path.
    pub(crate) taken: HashMap<RelPath, Option<[u8; 32]>>,
    /// In displace: the increment that takes over one version, for the name and the path that it had: where a
    /// file was not tracked for a time, the heir does not list what a later increment lists again.
    pub(crate) late: HashMap<(String, RelPath), String>,
    /// Files of what goes, and the heir.
    pub(crate) gone: Vec<(Files, Option<Increment>)>,
    /// Paths of the mirror whose content is not the heir's from now on.
    pub(crate) owners: BTreeMap<RelPath, u64>,
    pub(crate) alive: Alive,
    /// Whether an increment that stays was seen.
    pub(crate) any_stays: bool,
    /// Names of files that go, by inode: how many there are, how many go.
    pub(crate) names: HashMap<u64, (u64, u64)>,
    /// Paths of the mirror whose content came with what goes, by sequence.
    pub(crate) owned: HashMap<u64, Vec<&'a RelPath>>,
}

pub(crate) fn place_of<'a>(path: &'a RelPath, entry: &'a CatalogEntry) -> &'a RelPath {
    entry.stored_as.as_ref().unwrap_or(path)
}

/// The files of an increment that goes, or of the part of it that does.
pub(crate) struct Files {
    pub(super) increment: Increment,
    /// By folder and place.
    pub(super) found: BTreeMap<(Part, RelPath), Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Track,
    Deleted,
}

impl Part {
    pub(super) fn of(self, sequence: u64) -> Within {
        match self {
            Self::Track => Within::Track(sequence),
            Self::Deleted => Within::Deleted(sequence),
        }
    }

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Deleted => "deleted",
        }
    }
}
