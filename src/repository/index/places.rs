//! Where what a record speaks of lies on the drive, by the index.

use std::path::PathBuf;

use crate::model::relpath::RelPath;
use crate::repository::index::change::Change;
use crate::repository::index::contents::Index;
use crate::repository::index::prune::{Move, Prune};
use crate::repository::layout::{deleted, mirror, track};
use crate::repository::placement::Within;

impl Within {
    /// The file at the place `path`; `None` if `index` knows no such increment.
    pub fn path(self, index: &Index, path: &RelPath) -> Option<PathBuf> {
        Some(match self {
            Self::Mirror => mirror(path),
            Self::Track(sequence) => track(index.increment_name(sequence)?, path),
            Self::Deleted(sequence) => deleted(index.increment_name(sequence)?, path),
        })
    }
}

impl Change {
    /// Where it acts in the mirror; `index` is as it was before.
    pub fn place<'a>(&'a self, index: &'a Index) -> &'a RelPath {
        match self {
            Self::Put { path, record, .. }
            | Self::Note { path, record, .. }
            | Self::Folder { path, record } => record.place(path),
            Self::Remove { path } | Self::RemoveFolder { path } | Self::Heal { path, .. } => {
                index.place(path)
            }
        }
    }
}

impl Prune {
    /// The file of a version that moves: where it is, and where it will be.
    pub fn places(&self, index: &Index, version: &Move) -> Option<(PathBuf, PathBuf)> {
        let path = |sequence| Within::Track(sequence).path(index, &version.place);
        Some((path(version.from)?, path(version.to)?))
    }
}
