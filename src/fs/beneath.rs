//! Opens files beneath an open folder: no symbolic link on the way is followed, and nothing leads out.
//!
//! The one place that calls openat2.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// openat2 may report EAGAIN when a rename happens meanwhile (openat2(2)); a bound keeps a hostile
/// drive from holding us here.
const EAGAIN_TRIES: usize = 16;

/// Opens `path` beneath `root`, with `O_CLOEXEC`. A symbolic link anywhere in it is an error (ELOOP), so
/// is a way out (EXDEV), and a mount on the way unless `other_mounts`. Kernels before 5.6 have no such
/// call and are refused (ENOSYS).
pub(crate) fn open(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
    other_mounts: bool,
) -> rustix::io::Result<OwnedFd> {
    let mut resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if !other_mounts {
        resolve |= ResolveFlags::NO_XDEV;
    }
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..EAGAIN_TRIES {
        match rustix::fs::openat2(&root, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}
