//! What is at a path, as the kernel says.

use rustix::fs::FileType;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its type.
    pub file_type: FileType,
    /// Inode number on the drive.
    pub ino: u64,
    /// Device number of the file system.
    pub dev: u64,
    /// Length in bytes.
    pub size: u64,
    /// Number of hard links.
    pub nlink: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
}

pub(super) fn found_of(stat: &rustix::fs::Stat) -> Found {
    Found {
        file_type: FileType::from_raw_mode(stat.st_mode),
        ino: stat.st_ino,
        dev: stat.st_dev,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime_ns: stat
            .st_mtime
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    }
}
