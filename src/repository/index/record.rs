//! What the repository knows of one path: the record in the index.
//!
//! Plain values in the index's binary form; the catalog's JSON is made from them in `catalog`. The
//! order of fields is the format (`docs/format.md`, "Index").

use serde::{Deserialize, Serialize};

use crate::fs::stat::Found;
use crate::model::entry::{Category, Kind, Stat};
use crate::model::relpath::RelPath;

/// One path of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whether its old versions are kept.
    pub category: Category,
    /// What it is, and its content.
    pub content: Content,
    /// The source's attributes.
    pub meta: Meta,
    /// Sequence of the increment that brought this content; 0 if none did (mirrored files).
    pub brought_by: u64,
    /// Whether the newest increment that lists this path lists it as it is here. Only a tracked
    /// folder of which nothing but the time changed can be ahead of its increments.
    pub listed: bool,
    /// Its path in the mirror, where the drive cannot have the source's path (`names`).
    pub stored: Option<Box<RelPath>>,
}

/// The content of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// BLAKE3 of the content.
        hash: [u8; 32],
        /// Inode of the mirror's file on the drive; 0 where inodes mean nothing (displace).
        placed: u64,
        /// Whether the source changed while it was read, so that this may be a mixture.
        unsettled: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it points, exact bytes.
        target: Vec<u8>,
        /// Inode of the mirror's link on the drive; 0 if it lives in the record alone.
        placed: u64,
    },
    /// A folder.
    Folder,
}

/// Attributes of the source's entry. Times in nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Last change of the content.
    pub mtime_ns: i64,
    /// Last change of content or attributes; 0 if it says nothing (read too soon after a change).
    pub ctime_ns: i64,
    /// Birth, where the source has it.
    pub btime_ns: Option<i64>,
    /// Inode in the source.
    pub ino: u64,
    /// Whether it had more than one hard link in the source.
    pub linked: bool,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes (ACLs among them), sorted by name.
    #[serde(deserialize_with = "crate::model::budget::slice")]
    pub xattrs: Box<[(Vec<u8>, Vec<u8>)]>,
}

/// What a file of the drive is recognised by: its inode and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Inode on the drive; 0 where inodes mean nothing.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Identity {
    /// Whether `found` is the file that this stands for.
    pub fn is(&self, found: &Found) -> bool {
        !found.file_type.is_dir()
            && self.size == found.size
            && (self.ino == 0 || self.ino == found.ino)
    }
}

impl Record {
    /// Its path in the mirror and in increments; `path` is the source's.
    pub fn place<'a>(&'a self, path: &'a RelPath) -> &'a RelPath {
        self.stored.as_deref().unwrap_or(path)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::File { .. } => Kind::File,
            Content::Link { .. } => Kind::Link,
            Content::Folder => Kind::Folder,
        }
    }

    /// Length as a stat of the source tells it; 0 for folders, whose length says nothing.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::File { size, .. } => *size,
            Content::Link { target, .. } => target.len() as u64,
            Content::Folder => 0,
        }
    }

    /// What the mirror's file is recognised by; `None` for folders, and for links that live in the
    /// record alone.
    pub fn identity(&self) -> Option<Identity> {
        match &self.content {
            Content::Folder | Content::Link { placed: 0, .. } => None,
            Content::File { placed, .. } | Content::Link { placed, .. } => {
                Some(Identity { ino: *placed, size: self.size() })
            }
        }
    }

    /// Takes over that the mirror's file is another one now, with the same content; `false` for what has
    /// no inode that means something.
    pub(super) fn place_at(&mut self, ino: u64) -> bool {
        match &mut self.content {
            Content::File { placed, .. } | Content::Link { placed, .. }
                if *placed != 0 && ino != 0 =>
            {
                *placed = ino;
                true
            }
            _ => false,
        }
    }

    /// Whether old versions are kept.
    pub fn is_tracked(&self) -> bool {
        self.category == Category::Tracked
    }
}

impl Meta {
    /// Takes over what `stat` tells, with these extended attributes.
    pub fn new(stat: &Stat, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self {
            mtime_ns: stat.mtime_ns,
            ctime_ns: stat.ctime_ns,
            btime_ns: stat.btime_ns,
            ino: stat.ino,
            linked: stat.nlink > 1 && stat.kind != Kind::Folder,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            xattrs: xattrs.into(),
        }
    }

    /// Whether what a restore brings back (mode, owner, time, extended attributes, to which other files
    /// it is linked) is the same.
    pub fn restores_like(&self, other: &Self) -> bool {
        self.mtime_ns == other.mtime_ns
            && self.mode == other.mode
            && self.uid == other.uid
            && self.gid == other.gid
            && self.linked == other.linked
            // The inode tells which files are links to one another.
            && (!self.linked || self.ino == other.ino)
            && self.xattrs == other.xattrs
    }
}
