//! The increments of a repository, for people and programs.
//!
//! Called by `cli`.

use serde::Serialize;

use crate::budget;
use crate::drive::tree::Tree;
use crate::relpath::RelPath;
use crate::repository::catalog::{CatalogEntry, EntryCategory};
use crate::repository::index::Index;
use crate::repository::{RepositoryError, Status, catalog_of};

/// One increment.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Place in the order.
    pub sequence: u64,
    /// When its run started, with UTC offset.
    pub timestamp: String,
    /// Whether it is a point in time.
    pub status: Status,
    /// Files with content that this increment brought.
    pub new_or_changed: u64,
    /// Files with content of before: their path or attributes changed, or they are tracked from then on.
    pub moved_or_touched: u64,
    /// Files that vanished.
    pub deleted: u64,
    /// Bytes that this increment brought.
    pub size: u64,
    /// How many problems the run had.
    pub problems: usize,
    /// Its files; only in a detailed list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<ListedFile>>,
}

/// One file of an increment.
#[derive(Debug, Serialize)]
pub struct ListedFile {
    /// Its path.
    pub path: RelPath,
    /// What the catalog says of it.
    #[serde(flatten)]
    pub entry: CatalogEntry,
}

/// Lists the increments, oldest first; with their files if `detailed`.
pub fn list(tree: &Tree, index: &Index, detailed: bool) -> Result<Vec<Listed>, RepositoryError> {
    let mut paths = 0;
    let listed = index.increments().iter().map(|increment| {
        let catalog = catalog_of(tree, index, increment)?;
        if detailed {
            paths += catalog.file_catalog.len();
            budget::check_paths(paths, "a list of all files")?;
        }
        let entries = || catalog.file_catalog.values();
        let tracked = |e: &&CatalogEntry| e.category == EntryCategory::Tracked;
        let brought = |e: &&CatalogEntry| tracked(e) && e.content_in.is_none();
        let new_or_changed = entries().filter(brought).count() as u64;
        let versions = entries().filter(tracked).count() as u64;
        Ok(Listed {
            name: increment.name.clone(),
            sequence: increment.sequence,
            timestamp: catalog.backup_timestamp.clone(),
            status: increment.status,
            new_or_changed,
            moved_or_touched: versions - new_or_changed,
            deleted: entries().count() as u64 - versions,
            size: entries().filter(brought).fold(0, |sum, e| u64::saturating_add(sum, e.size)),
            problems: catalog.problems.len(),
            files: detailed.then(|| {
                let file = |(path, entry)| ListedFile { path, entry };
                catalog.file_catalog.into_iter().map(file).collect()
            }),
        })
    });
    listed.collect()
}
