//! What an entry of the source is: its kind, its attributes, and whether versions of it are kept.

/// Whether old versions of a file are kept.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Only the mirror has it.
    Mirrored,
    /// Old versions are kept in increments.
    Tracked,
}

/// What an entry of the source is; everything else (sockets, FIFOs, devices) is only noted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link, never followed.
    Link,
    /// A folder.
    Folder,
}

/// What one statx of an entry tells. Times are nanoseconds since 1970, held within `i64` (years 1678
/// to 2262; a time outside is taken as the nearest one inside).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes (of a link: of its target).
    pub size: u64,
    /// Last change of the content.
    pub mtime_ns: i64,
    /// Last change of content or attributes.
    pub ctime_ns: i64,
    /// Birth, where the file system has it.
    pub btime_ns: Option<i64>,
    /// Device of the file system (kernel's `st_dev`); only comparable within one scan.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Number of hard links.
    pub nlink: u32,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Allocated size, in units of 512 bytes.
    pub blocks: u64,
}

impl Stat {
    /// Whether a file has holes, as far as its allocation tells.
    pub fn has_holes(&self) -> bool {
        self.blocks < self.size.div_ceil(512)
    }
}
