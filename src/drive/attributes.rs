//! Owner, mode, times and extended attributes as they are set on files of a drive.
//!
//! What a file system cannot hold is in the repository's record; not setting it is no failure. Called
//! by `tree` and `drive_file`.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Gid, Timespec, Timestamps, Uid};
use rustix::io::Errno;

/// Owner, permission bits and times to set on a file before it is published.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Permission bits; of files at most 0o777 are set, of folders 0o3777.
    pub mode: u32,
    /// Owner and group; `None` leaves them as they are.
    pub owner: Option<(u32, u32)>,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Attributes {
    /// The times for the kernel; access time is left as it is.
    pub(super) fn times(&self) -> Timestamps {
        times(self.mtime_ns)
    }
}

/// Owner and group for the kernel.
pub(super) fn ids(uid: u32, gid: u32) -> (Option<Uid>, Option<Gid>) {
    // The kernel takes the highest number for "leave it"; a hostile record may have it.
    let known = |id: u32| (id != u32::MAX).then_some(id);
    (known(uid).map(Uid::from_raw), known(gid).map(Gid::from_raw))
}

/// `false` if the attribute is not known here, not allowed, or too large for this file system.
pub(super) fn set_xattr(fd: impl AsFd, name: &[u8], value: &[u8]) -> rustix::io::Result<bool> {
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::fsetxattr(fd, OsStr::from_bytes(name), value, flags) {
        Ok(()) => Ok(true),
        Err(
            Errno::OPNOTSUPP
            | Errno::PERM
            | Errno::INVAL
            | Errno::RANGE
            | Errno::TOOBIG
            | Errno::NOSPC,
        ) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Attributes that a file system cannot hold are in the record; not setting them is no failure.
pub(super) fn tolerate(set: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match set {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// Modification time from nanoseconds; access time is left as it is.
pub(super) fn times(mtime_ns: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
        },
    }
}
