//! The versions of one repository, from what this computer keeps of its catalogs or from the drive.
//!
//! It hands them on one by one and holds no more than one catalog; what it cannot believe of the kept ones it
//! reads from the drive, or says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;

use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::catalog::file::catalog_of;
use crate::repository::error::RepositoryError;
use crate::repository::index::contents::Index;
use crate::repository::index::history::{Revised, history_of};
use crate::repository::index::increment::Increment;
use crate::repository::index::table::Records;
use crate::repository::layout;
use crate::repository::versioning::Keeping;
use crate::state::catalogs::entry::{Entry, Role, by_folder};
use crate::state::catalogs::store::Kept;

/// Why not all versions can be told.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Who asked could not take more.
    #[error(transparent)]
    Asker(#[from] io::Error),
}

/// A repository that is here.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// Its folder.
    pub tree: &'a Tree,
    /// What is in its mirror.
    pub index: &'a Index,
}

/// The versions of one repository.
pub struct Past<'a> {
    kept: Option<&'a Kept>,
    here: Option<Here<'a>>,
    history: Vec<Revised>,
    keeping: Keeping,
    /// Increments of which the kept catalog cannot be believed.
    damaged: RefCell<Vec<usize>>,
}

impl<'a> Past<'a> {
    /// From what is kept, which is up to date if the repository is here.
    pub fn kept(kept: &'a Kept, here: Option<Here<'a>>) -> Self {
        let history = kept.heads().map(|head| (head.increment.clone(), head.revision)).collect();
        let keeping = kept.whose().keeping;
        Self { kept: Some(kept), here, history, keeping, damaged: RefCell::default() }
    }

    /// From the drive alone.
    pub fn here(here: Here<'a>, keeping: Keeping) -> Self {
        let history = history_of(here.index);
        Self { kept: None, here: Some(here), history, keeping, damaged: RefCell::default() }
    }

    /// What is kept of it.
    pub fn book(&self) -> Option<&'a Kept> {
        self.kept
    }

    /// The repository, if it is here.
    pub fn repository(&self) -> Option<Here<'a>> {
        self.here
    }

    /// The increments, oldest first.
    pub fn increments(&self) -> impl DoubleEndedIterator<Item = &Increment> + ExactSizeIterator {
        self.history.iter().map(|(increment, _)| increment)
    }

    /// Increments of which what is kept was found to be damaged.
    pub fn damaged(&self) -> Vec<&Increment> {
        let damaged = self.damaged.borrow();
        damaged.iter().filter_map(|at| self.history.get(*at)).map(|(i, _)| i).collect()
    }

    /// Hands the versions of the `at`-th increment to `visit`, folder by folder.
    pub fn entries(
        &self,
        at: usize,
        visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
    ) -> Result<(), PastError> {
        let mut seen = 0;
        if let Some(kept) = self.kept {
            let whole = kept.entries(at, &mut |entry| {
                seen += 1;
                visit(entry)
            })?;
            if whole {
                return Ok(());
            }
            let mut damaged = self.damaged.borrow_mut();
            if !damaged.contains(&at) {
                damaged.push(at);
            }
        }
        let (Some(here), Some((increment, _))) = (self.here, self.history.get(at)) else {
            return Ok(());
        };
        let catalog = catalog_of(here.tree, here.index, increment)?;
        // In the same order as in what is kept, of which the first were sound.
        for (path, entry) in by_folder(&catalog.file_catalog).into_iter().skip(seen) {
            Entry::of_catalog(path, entry, &mut *visit)?;
        }
        Ok(())
    }

    /// Hands the files that are only mirrored to `visit`; only the drive knows them.
    pub fn mirrored(
        &self,
        visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
    ) -> Result<(), PastError> {
        let records = self.here.map(|here| here.index.records());
        for (path, record) in records.into_iter().flat_map(Records::iter) {
            Entry::of_mirror(path, record, &mut *visit).transpose()?;
        }
        Ok(())
    }

    /// What is needed to say where versions lie, of paths that `wanted` takes.
    pub fn whereabouts(
        &self,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Whereabouts<'a>, PastError> {
        let mut whereabouts = Whereabouts {
            keeping: self.keeping,
            index: self.here.map(|here| here.index),
            current: HashMap::new(),
            hasher: RandomState::new(),
        };
        // Where names are links, a version lies in the increment that lists it.
        if self.keeping == Keeping::Hardlink || self.here.is_some() {
            return Ok(whereabouts);
        }
        for (at, increment) in self.increments().enumerate() {
            self.entries(at, &mut |entry| {
                if wanted(entry.path) {
                    let path = whereabouts.hasher.hash_one(entry.path);
                    if entry.role == Role::Deleted {
                        whereabouts.current.remove(&path);
                    } else {
                        let by = entry.content_in.unwrap_or(&increment.name);
                        whereabouts.current.insert(path, whereabouts.hasher.hash_one(by));
                    }
                }
                Ok(())
            })?;
        }
        Ok(whereabouts)
    }
}

/// Says where versions lie.
pub struct Whereabouts<'a> {
    keeping: Keeping,
    index: Option<&'a Index>,
    /// Which increment brought what is in the mirror, by path; both hashed.
    current: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Whereabouts<'_> {
    /// Where the plain file of a version lies, relative to the repository; `None` for what lives in the
    /// catalogs alone. `increment`: the one that lists it.
    pub fn place(&self, entry: &Entry<'_>, increment: &str) -> Option<std::path::PathBuf> {
        let path = RelPath::new(entry.path).ok()?;
        let stored = entry.stored_as.map(RelPath::new).transpose().ok()?;
        if let Some(at) = entry.lies_at.map(RelPath::new).transpose().ok()? {
            return Some(std::path::Path::new(increment).join(at.as_path()));
        }
        let at = stored.as_ref().unwrap_or(&path);
        let brought_in = entry.content_in.filter(|name| layout::is_increment_name(name));
        let brought_in = brought_in.unwrap_or(increment);
        Some(match (entry.role, self.keeping) {
            (_, Keeping::Displace) if entry.target.is_some() => return None,
            (Role::Mirrored, _) => layout::mirror(at),
            (Role::Deleted, Keeping::Hardlink) => layout::deleted(increment, at),
            (Role::Tracked, Keeping::Hardlink) => layout::track(increment, at),
            (Role::Tracked, Keeping::Displace) if self.is_current(&path, brought_in) => {
                layout::mirror(at)
            }
            (Role::Tracked | Role::Deleted, Keeping::Displace) => layout::track(brought_in, at),
        })
    }

    /// Whether what the increment `brought_in` brought is what the mirror has at `path`.
    fn is_current(&self, path: &RelPath, brought_in: &str) -> bool {
        if let Some(index) = self.index {
            let record = index.records().get(path);
            let by = record.and_then(|record| index.increment_name(record.brought_by));
            return by == Some(brought_in);
        }
        let by = self.current.get(&self.hasher.hash_one(path.as_bytes()));
        by == Some(&self.hasher.hash_one(brought_in))
    }
}
