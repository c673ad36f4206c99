//! Takes over a repository that the Python backup-manager made: writes our records beside what lies there.
//!
//! `format.json` comes last, so that a takeover that was cut off is begun again. The tool's increments and
//! their JSON files are not touched: our catalogs of them lie in `.bkm/adopted`. What they say is found out
//! by `backup::adopt`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::Catalog;
use crate::repository::catalog::file;
use crate::repository::error::RepositoryError;
use crate::repository::format::Format;
use crate::repository::handle::{Prepared, Repository};
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::index::record::Record;
use crate::repository::index::stamp::Stamp;
use crate::repository::layout;
use crate::repository::versioning::Keeping;

/// What is to be known of a repository that is taken over.
#[derive(Debug, Default)]
pub struct Adopted {
    /// What is in the mirror.
    pub records: BTreeMap<RelPath, Record>,
    /// The tool's increments, oldest first.
    pub increments: Vec<Increment>,
    /// A catalog for each of them.
    pub catalogs: Vec<Catalog>,
}

impl Adopted {
    /// The index of it.
    pub fn index(&self) -> Index {
        let next = self.increments.last().map_or(1, |last| last.sequence.saturating_add(1));
        Index::rebuilt(self.records.clone(), self.increments.clone(), next, BTreeMap::new())
    }
}

impl<'t> Repository<'t> {
    /// Makes the tool's folder a repository of ours. `made` is asked under the lock, for what is to be known
    /// of it.
    pub fn adopt<E: From<RepositoryError>>(
        tree: &'t Tree,
        made: impl FnOnce() -> Result<Adopted, E>,
    ) -> Result<Self, E> {
        let lock = match Self::prepare(tree)? {
            Prepared::Made(there) => return Ok(*there),
            Prepared::Begun(lock) => lock,
        };
        let format = Format::found(tree)?;
        if format.keeps_versions == Keeping::Displace {
            let (path, why) = (tree.shown().to_owned(), "its drive has no hard links");
            return Err(RepositoryError::CannotTakeOver { path, why }.into());
        }
        let adopted = made()?;
        tree.create_folder(Path::new(layout::ADOPTED), 0o700, None).map_err(drive)?;
        for catalog in &adopted.catalogs {
            write_catalog(tree, catalog)?;
        }
        Ok(Self::complete(tree, lock, format, adopted.index())?)
    }
}

/// Whether the repository was taken over and no run has gone through since.
pub fn is_fresh(tree: &Tree, stamp: &Stamp) -> Result<bool, RepositoryError> {
    Ok(stamp.counter == 0 && tree.stat(Path::new(layout::ADOPTED))?.is_some())
}

/// Writes the catalog of an increment that is taken over, in the place of one of an earlier try.
fn write_catalog(tree: &Tree, catalog: &Catalog) -> Result<(), RepositoryError> {
    let staged = layout::staged("catalog");
    file::stage(tree, &staged, |out| serde_json::to_writer(out, catalog))?;
    Ok(tree.rename_over(&staged, &layout::adopted(&catalog.backup_name))?)
}

fn drive(e: TreeError) -> RepositoryError {
    e.into()
}
