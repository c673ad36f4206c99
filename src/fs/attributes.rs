//! Owner, mode, times and extended attributes as they are set on files of a drive.
//!
//! What a file system cannot hold is in the repository's record; not setting it is no failure.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Gid, Timespec, Timestamps, Uid};
use rustix::io::Errno;

/// The attribute that holds who may do what with a file or folder.
const ACL: &str = "system.posix_acl_access";

/// The attribute that holds the ACL of what is made in a folder.
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Owner, permission bits and times to set on a file before it is published.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Permission, set-id and sticky bits, set as they are: who must not set some leaves them out.
    pub mode: u32,
    /// Owner and group; `None` leaves them as they are.
    pub owner: Option<(u32, u32)>,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Attributes {
    /// The times for the kernel.
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

/// Takes away the extended attributes that a record could have and has not: `keep` are those that it has. A
/// new file or folder gets ACLs from the folder it lies in; one that exists can have any.
pub(super) fn remove_other_xattrs(
    fd: impl AsFd,
    keep: &[(Vec<u8>, Vec<u8>)],
) -> rustix::io::Result<()> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(fd.as_fd(), &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
        Err(e) => return Err(e),
    };
    names.truncate(length);
    let recorded = |name: &[u8]| {
        name.starts_with(b"user.")
            || [ACL.as_bytes(), DEFAULT_ACL.as_bytes(), b"security.capability"].contains(&name)
    };
    for name in names.split(|&b| b == 0).filter(|name| recorded(name)) {
        if keep.iter().any(|(kept, _)| kept == name) {
            continue;
        }
        match rustix::fs::fremovexattr(fd.as_fd(), OsStr::from_bytes(name)) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Attributes that a file system cannot hold are in the record; not setting them is no failure.
pub(super) fn tolerate(set: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match set {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// Modification time from nanoseconds, and now as access time: some FUSE drivers (libfuse 2) take no
/// notice if one of the two is left out.
pub(super) fn times(mtime_ns: i64) -> Timestamps {
    let timespec = |ns: i64| Timespec {
        tv_sec: ns.div_euclid(1_000_000_000),
        tv_nsec: ns.rem_euclid(1_000_000_000),
    };
    let now = jiff::Timestamp::now().as_nanosecond();
    Timestamps {
        last_access: timespec(i64::try_from(now).unwrap_or(mtime_ns)),
        last_modification: timespec(mtime_ns),
    }
}
