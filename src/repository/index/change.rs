//! The changes of the mirror that a batch makes, as the index tells them before they are published.
//!
//! Their layout is part of the format: nothing in it may change without a new version number.

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;
use crate::repository::index::increment::RunMark;
use crate::repository::index::record::{Identity, Record};
use crate::repository::layout::StageName;
use crate::repository::placement::Within;

/// Changes that are published together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The increment they go to; `None` if the run changes nothing that is tracked.
    pub run: Option<RunMark>,
    /// The changes, in the order in which they are published.
    pub changes: Vec<Change>,
}

/// One change of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A staged file or link takes its place.
    Put {
        /// Where.
        path: RelPath,
        /// What it is from now on.
        record: Record,
        /// Which staged file.
        stage: StageName,
        /// The path that it had before.
        moved_from: Option<RelPath>,
    },
    /// The file stays as it is, its record changes.
    Note {
        /// Where.
        path: RelPath,
        /// What it is from now on.
        record: Record,
        /// Whether the increment lists it as a version: other attributes, or tracked from now on.
        /// Otherwise what a restore brings back is the same.
        version: bool,
    },
    /// A file or link leaves the mirror.
    Remove {
        /// Where.
        path: RelPath,
    },
    /// A folder is made, or its record changes.
    Folder {
        /// Where.
        path: RelPath,
        /// What it is from now on.
        record: Record,
    },
    /// A folder leaves the mirror.
    RemoveFolder {
        /// Where.
        path: RelPath,
    },
    /// Damaged names of one version get a fresh file with the content that was recorded. No version is made.
    Heal {
        /// The path of the first name.
        path: RelPath,
        /// Which staged file.
        stage: StageName,
        /// Its length in bytes.
        size: u64,
        /// BLAKE3 of its content.
        hash: [u8; 32],
        /// Its inode; 0 where inodes mean nothing.
        placed: u64,
        /// Where it is to be.
        names: Vec<HealedName>,
    },
}

impl Change {
    /// The path it concerns.
    pub fn path(&self) -> &RelPath {
        match self {
            Self::Put { path, .. }
            | Self::Note { path, .. }
            | Self::Remove { path }
            | Self::Folder { path, .. }
            | Self::RemoveFolder { path }
            | Self::Heal { path, .. } => path,
        }
    }

    /// The staged file that it needs.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::Put { stage, .. } | Self::Heal { stage, .. } => Some(stage),
            _ => None,
        }
    }
}

/// A damaged name of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealedName {
    /// In which folder.
    pub within: Within,
    /// The source's path.
    pub path: RelPath,
    /// The path in that folder.
    pub place: RelPath,
    /// Inode (0: it means nothing) and length of what is there; `None`: nothing.
    pub found: Option<(u64, u64)>,
}

impl HealedName {
    /// What the damaged file is recognised by.
    pub fn found(&self) -> Option<Identity> {
        self.found.map(|(ino, size)| Identity { ino, size })
    }
}
