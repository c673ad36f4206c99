//! Which kind of file system it is, where a sync has to know.

use std::os::fd::OwnedFd;

/// `FUSE_SUPER_MAGIC` of linux/magic.h. The kernel passes a sync of the whole file system on to few FUSE
/// drivers; a sync of a file or folder reaches them all.
pub(crate) const FUSE: i64 = 0x6573_5546;

pub(super) fn is_fuse(root: &OwnedFd) -> bool {
    rustix::fs::fstatfs(root).is_ok_and(|found| found.f_type == FUSE)
}
