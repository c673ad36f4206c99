//! Writes down the hashes of versions that the Python tool left without, so that from then on they are
//! protected against bit rot.
//!
//! Only our own catalogs are written, with a record in the index, so that what was made of them is made anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::prune::error::PruneError;
use crate::prune::removal::rewrite;
use crate::repository::catalog::document::hex;
use crate::repository::catalog::file::read_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;

/// A version that was hashed for the first time.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The increment that lists it.
    pub increment: String,
    /// The source's path.
    pub path: RelPath,
    /// Where it lies, relative to the repository.
    pub(super) place: PathBuf,
    /// What was there when it was read.
    pub(super) found: Found,
    /// BLAKE3 of its content.
    pub(super) hash: [u8; 32],
}

/// Writes the hashes to the catalogs, under the lock of a run. Returns how many versions are proven by it;
/// what changed since it was read is left out.
pub fn record(tree: &Tree, proven: &[Proven], stop: &AtomicBool) -> Result<u64, PruneError> {
    let missing = || RepositoryError::Missing(tree.shown().to_owned());
    let mut repository = Repository::open(tree)?.ok_or_else(missing)?;
    let mut by_increment: BTreeMap<&str, Vec<&Proven>> = BTreeMap::new();
    for one in proven {
        by_increment.entry(&one.increment).or_default().push(one);
    }
    let (mut count, mut catalogs) = (0, Vec::new());
    for increment in repository.index().increments() {
        let Some(proven) = by_increment.remove(increment.name.as_str()) else { continue };
        let mut catalog = read_catalog(tree, &increment.name)?;
        let before = count;
        for one in proven {
            let same = |now: &Found| {
                (now.ino, now.size, now.mtime_ns)
                    == (one.found.ino, one.found.size, one.found.mtime_ns)
            };
            let Some(entry) = catalog.file_catalog.get_mut(&one.path) else { continue };
            if entry.unproven && tree.stat(&one.place)?.as_ref().is_some_and(same) {
                entry.unproven = false;
                entry.blake3 = Some(hex(&one.hash));
                count += 1;
            }
        }
        if count > before {
            catalogs.push(catalog);
        }
    }
    if !catalogs.is_empty() {
        rewrite(&mut repository, &catalogs, stop)?;
    }
    Ok(count)
}
