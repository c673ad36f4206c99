//! The files of what goes: which of them are the backup's, which move, and whether their way is free.
//!
//! It only looks. What is not as the catalog lists it ends the plan.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crate::fs::stat::Found;
use crate::fs::walk::walk;
use crate::model::relpath::RelPath;
use crate::prune::error::PruneError;
use crate::prune::plan::work::{Files, Part, Work, place_of};
use crate::repository::catalog::document::{Catalog, CatalogEntry};
use crate::repository::error::RepositoryError;
use crate::repository::index::increment::Increment;
use crate::repository::index::prune::Move;
use crate::repository::layout;
use crate::repository::names::fold;
use crate::repository::placement::Within;
use crate::repository::python::reader;
use crate::repository::versioning::Keeping;
use crate::transaction::steps::has_content;

impl Work<'_> {
    /// The files of an increment that `catalog` lists. `strict`: another one there is an error.
    pub(super) fn files(
        &self,
        increment: &Increment,
        catalog: &Catalog,
        strict: bool,
    ) -> Result<Files, PruneError> {
        let entries = catalog.file_catalog.iter();
        // The drive may show a folder in other case than its file was put there with.
        let folded = |place: &RelPath| fold(self.by.format.names, place.as_bytes());
        let listed: HashMap<Vec<u8>, (&RelPath, &CatalogEntry)> = entries
            .map(|(path, entry)| (folded(place_of(path, entry)), (place_of(path, entry), entry)))
            .collect();
        let is_its = |entry: &CatalogEntry, file: &Found| {
            let link = entry.target().is_some();
            let size = entry.overwritten || file.size == entry.size;
            if link { file.file_type.is_symlink() } else { file.file_type.is_file() && size }
        };
        let tree = self.by.tree;
        let (mut found, mut failed, mut stranger) = (BTreeMap::new(), None, None);
        for part in [Part::Track, Part::Deleted] {
            let root = Path::new(&increment.name).join(part.folder());
            walk(
                tree,
                &root,
                |place, file| {
                    if file.file_type.is_dir() {
                        return;
                    }
                    match listed.get(&folded(&place)) {
                        Some((place, entry)) if is_its(entry, &file) => {
                            found.insert((part, (*place).clone()), file);
                        }
                        _ => {
                            stranger.get_or_insert(root.join(place.as_path()));
                        }
                    }
                },
                |_, e| {
                    failed.get_or_insert(e);
                },
            );
        }
        match (failed, stranger) {
            (Some(e), _) => Err(RepositoryError::from(e).into()),
            (None, Some(place)) if strict => Err(PruneError::Stranger(tree.shown().join(place))),
            _ => Ok(Files { increment: increment.clone(), found }),
        }
    }

    /// What lies beside `track`, `deleted` and the catalog was not put there by the backup.
    pub(super) fn check_strangers(&self, increment: &Increment) -> Result<(), PruneError> {
        let tree = self.by.tree;
        let folder = Path::new(&increment.name);
        let names = tree.list(folder, 1_000).map_err(RepositoryError::from)?;
        let catalog = layout::catalog(&increment.name);
        let ours = |name: &std::ffi::OsStr| {
            name == "track"
                || name == "deleted"
                || Some(name) == catalog.file_name()
                || reader::is_metadata(tree, &folder.join(name))
        };
        match names.iter().find(|name| !ours(name)) {
            Some(name) => Err(PruneError::Stranger(tree.shown().join(folder).join(name))),
            None => Ok(()),
        }
    }

    /// The move of one version; none where it is not there (a link that the drive cannot have, what is current,
    /// or what is lost).
    pub(super) fn one_move(
        &self,
        heir: &Increment,
        path: &RelPath,
        entry: &CatalogEntry,
        files: &Files,
    ) -> Result<Option<Move>, PruneError> {
        let place = place_of(path, entry);
        let Some(found) = files.found.get(&(Part::Track, place.clone())) else { return Ok(None) };
        let is_link = entry.target().is_some();
        let like = if is_link {
            found.file_type.is_symlink()
        } else {
            // What the Python tool overwrote is lost already, and stays so.
            found.file_type.is_file() && (found.size == entry.size || entry.overwritten)
        };
        let tree = self.by.tree;
        if !like {
            let at = layout::track(&files.increment.name, place);
            return Err(PruneError::Damaged(tree.shown().join(at)));
        }
        let to = layout::track(&heir.name, place);
        if let Some(there) = tree.stat(&to).map_err(RepositoryError::from)? {
            // A repository that was copied from a drive with links has the version there as well.
            let same = match (self.keeping, entry.hash()) {
                (Keeping::Hardlink, _) => there.ino == found.ino,
                (Keeping::Displace, Some(hash)) => has_content(tree, &to, entry.size, &hash)?,
                (Keeping::Displace, None) => false,
            };
            return if same { Ok(None) } else { Err(PruneError::Damaged(tree.shown().join(to))) };
        }
        Ok(Some(Move {
            from: files.increment.sequence,
            to: heir.sequence,
            place: place.clone(),
            ino: self.ino(found),
            size: found.size,
            hash: entry.hash(),
        }))
    }

    /// What stands where a folder is needed would stop the removal once it is begun.
    pub(super) fn check_ways(&self, moves: &[Move]) -> Result<(), PruneError> {
        let tree = self.by.tree;
        let mut looked_at = HashSet::new();
        for version in moves {
            let Some(to) = Within::Track(version.to).path(self.by.index, &version.place) else {
                continue;
            };
            let above = to.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
            for folder in above {
                if !looked_at.insert(folder.to_owned()) {
                    break;
                }
                if tree.stat(folder)?.is_some_and(|found| !found.file_type.is_dir()) {
                    return Err(PruneError::Stranger(tree.shown().join(folder)));
                }
            }
        }
        Ok(())
    }
}
