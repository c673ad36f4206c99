//! What was found damaged, and what is recorded of it.

use std::path::PathBuf;

use crate::model::relpath::RelPath;
use crate::repository::index::record::Identity;
use crate::repository::placement::Within;

/// A version whose content is to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of its content; of a link's target.
    pub hash: [u8; 32],
    /// Where a symbolic link points; `None` for files.
    pub target: Option<Vec<u8>>,
    /// Attributes for the new file.
    pub attributes: Recorded,
    /// Its names.
    pub names: Vec<DamagedName>,
    /// Sound files of the drive that have its content.
    pub sound: Vec<PathBuf>,
}

/// A name of a damaged version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedName {
    /// In which folder.
    pub within: Within,
    /// The source's path.
    pub path: RelPath,
    /// The path in that folder.
    pub place: RelPath,
    /// What is there; `None`: nothing.
    pub found: Option<Identity>,
}

/// The source's attributes, as they are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}
