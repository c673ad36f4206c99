//! The increments of a repository, for people and programs.
//!
//! Called by `cli`.

use serde::Serialize;

use crate::drive::tree::Tree;
use crate::relpath::RelPath;
use crate::repository::catalog::{CatalogEntry, EntryCategory};
use crate::repository::index::Index;
use crate::repository::{RepositoryError, Status, read_catalog};

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
    /// Files that were new or changed.
    pub new_or_changed: u64,
    /// Files that vanished.
    pub deleted: u64,
    /// Bytes of the new or changed files.
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
    let listed = index.increments().iter().map(|increment| {
        let catalog = read_catalog(tree, &increment.name)?;
        let count = |category| {
            catalog.file_catalog.values().filter(|e| e.category == category).count() as u64
        };
        let tracked = |e: &&CatalogEntry| e.category == EntryCategory::Tracked;
        Ok(Listed {
            name: increment.name.clone(),
            sequence: increment.sequence,
            timestamp: catalog.backup_timestamp.clone(),
            status: increment.status,
            new_or_changed: count(EntryCategory::Tracked),
            deleted: count(EntryCategory::Deleted),
            size: catalog
                .file_catalog
                .values()
                .filter(tracked)
                .fold(0, |sum, e| u64::saturating_add(sum, e.size)),
            problems: catalog.problems.len(),
            files: detailed.then(|| {
                let file = |(path, entry)| ListedFile { path, entry };
                catalog.file_catalog.into_iter().map(file).collect()
            }),
        })
    });
    listed.collect()
}
