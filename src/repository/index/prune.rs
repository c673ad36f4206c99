//! What removes increments, or some versions of one, as the index tells it before it is done.
//!
//! It is whole: everything that is moved, removed or written anew is named, so that one that was cut off can
//! be finished with nothing but this. The layout is part of the format.

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;
use crate::repository::layout::StageName;
use crate::repository::placement::Within;

/// One removal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    /// The increments that go as a whole, oldest first.
    #[serde(deserialize_with = "crate::model::budget::list")]
    pub removed: Vec<Removed>,
    /// Catalogs that are written anew, and are staged.
    #[serde(deserialize_with = "crate::model::budget::list")]
    pub rewritten: Vec<Rewritten>,
    /// Versions that move to a later increment.
    #[serde(deserialize_with = "crate::model::budget::list")]
    pub moves: Vec<Move>,
    /// Versions that go.
    #[serde(deserialize_with = "crate::model::budget::list")]
    pub drops: Vec<Dropped>,
    /// Paths of the mirror whose content belongs to this increment from now on; 0: to none.
    #[serde(deserialize_with = "crate::model::budget::list")]
    pub owners: Vec<(RelPath, u64)>,
}

/// An increment that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its sequence.
    pub sequence: u64,
    /// Its name.
    pub name: String,
    /// Sequence of the one that takes over what is still needed.
    pub into: u64,
}

/// A catalog that is written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewritten {
    /// Sequence of its increment.
    pub sequence: u64,
    /// Its staged file.
    pub stage: StageName,
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of it.
    pub hash: [u8; 32],
}

/// A version that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Sequence of the increment in whose `track` it is.
    pub from: u64,
    /// Sequence of the one in whose `track` it will be.
    pub to: u64,
    /// Where in both.
    pub place: RelPath,
    /// Inode; 0 where that says nothing (displace).
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of the content, where it is known and links are not.
    pub hash: Option<[u8; 32]>,
}

/// A version that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// In which folder of an increment.
    pub within: Within,
    /// Where in it.
    pub place: RelPath,
    /// Inode; 0 where that says nothing.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Rewritten {
    /// The staging name of the second copy of what is staged as `name`: a rename that is cut off can lose what it
    /// moves where the drive has no journal.
    pub fn spare(name: &str) -> StageName {
        format!("{name}-spare")
    }
}

impl Prune {
    /// The staged file of the catalog of the increment with this sequence, if it is written anew.
    pub fn catalog_of(&self, sequence: u64) -> Option<&Rewritten> {
        self.rewritten.iter().find(|rewritten| rewritten.sequence == sequence)
    }
}
