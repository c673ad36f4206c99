//! The increments of a repository, for people and programs.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::history::reader::{Here, Past, PastError};
use crate::model::budget;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::CatalogEntry;
use crate::repository::catalog::file::catalog_of;
use crate::repository::error::RepositoryError;
use crate::repository::status::Status;
use crate::state::catalogs::entry::{Counts, Head};

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
    /// Versions that the Python tool may have overwritten, and that `verify` has not read yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub unproven: u64,
    /// Versions that the Python tool did overwrite.
    #[serde(skip_serializing_if = "is_zero")]
    pub overwritten: u64,
    /// How many problems the run had.
    pub problems: u64,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Lists the increments, oldest first; with their files if `detailed`.
pub fn list(past: &Past<'_>, detailed: bool) -> Result<Vec<Listed>, PastError> {
    match (past.book(), past.repository()) {
        (Some(kept), _) => {
            let mut paths = 0;
            let heads = kept.heads().enumerate();
            heads
                .map(|(at, head)| {
                    let files = detailed.then(|| files(past, at, &mut paths)).transpose()?;
                    Ok(listed(head, files))
                })
                .collect()
        }
        (None, Some(here)) => from_drive(past, here, detailed),
        (None, None) => Ok(Vec::new()),
    }
}

fn listed(head: &Head, files: Option<Vec<ListedFile>>) -> Listed {
    let Counts { new_or_changed, moved_or_touched, deleted, size, problems, .. } = head.counts;
    let Counts { unproven, overwritten, .. } = head.counts;
    Listed {
        name: head.increment.name.clone(),
        sequence: head.increment.sequence,
        timestamp: head.timestamp.clone(),
        status: head.increment.status,
        new_or_changed,
        moved_or_touched,
        deleted,
        size,
        unproven,
        overwritten,
        problems,
        files,
    }
}

fn files(past: &Past<'_>, at: usize, paths: &mut usize) -> Result<Vec<ListedFile>, PastError> {
    let zone = TimeZone::system();
    let mut files = BTreeMap::new();
    past.entries(at, &mut |entry| {
        files.extend(entry.to_catalog(&zone));
        Ok(())
    })?;
    *paths += files.len();
    budget::check_paths(*paths, "a list of all files").map_err(RepositoryError::from)?;
    Ok(files.into_iter().map(|(path, entry)| ListedFile { path, entry }).collect())
}

fn from_drive(past: &Past<'_>, here: Here<'_>, detailed: bool) -> Result<Vec<Listed>, PastError> {
    let mut paths = 0;
    let listed = past.increments().map(|increment| {
        let catalog = catalog_of(here.tree, here.index, increment)?;
        let head = Head {
            increment: increment.clone(),
            revision: 0,
            timestamp: catalog.backup_timestamp.clone(),
            counts: Counts::of(&catalog),
        };
        if detailed {
            paths += catalog.file_catalog.len();
            budget::check_paths(paths, "a list of all files").map_err(RepositoryError::from)?;
        }
        let file = |(path, entry)| ListedFile { path, entry };
        let files = detailed.then(|| catalog.file_catalog.into_iter().map(file).collect());
        Ok(self::listed(&head, files))
    });
    listed.collect()
}
