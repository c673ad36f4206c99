//! What a repair holds while it goes on, and what came of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, CatalogEntry, CatalogFolder};
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::index::record::Record;
use crate::repository::rebuild::Salvage;
use crate::repository::versioning::Keeping;

/// What a repair did.
#[derive(Debug, Default, Serialize)]
pub struct Repaired {
    /// What was rebuilt; empty if everything was in line.
    pub done: Vec<String>,
    /// What could not be recovered.
    pub problems: Vec<String>,
    /// What is worth a word.
    pub notes: Vec<String>,
}

/// How to repair, and whom to tell.
pub struct Tools<'a> {
    /// Becomes true when it is to stop.
    pub stop: &'a AtomicBool,
    /// Hears of bytes that are to be read, as they are found.
    pub planned: &'a (dyn Fn(u64) + Sync),
    /// Hears of bytes that were read.
    pub told: &'a (dyn Fn(u64) + Sync),
}

pub(crate) struct Repair<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) tools: &'a Tools<'a>,
    pub(crate) salvage: &'a Salvage,
    pub(crate) old: &'a Index,
    pub(crate) keeping: Keeping,
    pub(crate) done: Repaired,
    pub(crate) fold: Fold,
    pub(crate) increments: Vec<Increment>,
    /// Catalogs to be written.
    pub(crate) catalogs: Vec<Catalog>,
    /// Whether the old index says all of the mirror.
    pub(crate) whole: bool,
    /// Contents that were read, by place.
    pub(crate) hashes: HashMap<PathBuf, [u8; 32]>,
    /// What a batch that was cut off was to make of paths; `None`: it removes them.
    pub(crate) pending: BTreeMap<RelPath, Option<Record>>,
}

/// What lies in the mirror, by place.
pub(crate) type Mirror = BTreeMap<RelPath, Found>;

pub(crate) fn shown(place: &Path) -> String {
    crate::text::sanitize::line(&place.to_string_lossy())
}

/// The tracked tree as the increments' catalogs tell it.
#[derive(Default)]
pub(crate) struct Fold {
    pub(super) files: BTreeMap<RelPath, Folded>,
    pub(super) folders: BTreeMap<RelPath, CatalogFolder>,
    /// True paths of places that are not the path itself.
    pub(super) paths: HashMap<RelPath, RelPath>,
}

/// A file or link as the newest catalog that lists it has it.
pub(super) struct Folded {
    pub(crate) entry: CatalogEntry,
    /// Sequence of the increment that brought its content.
    pub(crate) brought_by: u64,
    /// Name of the one that lists it.
    pub(super) listed_in: String,
}
