//! What a failed operation on the drive says: what, on which path, and why.
//!
//! It only tells; nothing is tried again here.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// A failed operation: what, on which path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}{}", crate::text::sanitize::line(&path.to_string_lossy()), self.hint())]
pub struct TreeError {
    /// What was tried, to follow "cannot".
    pub action: &'static str,
    /// On which path, as the user would name it.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl TreeError {
    /// Whether the cause is `errno`.
    pub fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }

    /// Whether something else than what is expected stands at the path or on the way to it.
    pub fn is_foreign(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData
            || [Errno::LOOP, Errno::NOTDIR, Errno::ISDIR, Errno::NXIO].iter().any(|e| self.is(*e))
    }

    /// What the system's own words leave open.
    fn hint(&self) -> &'static str {
        if self.is(Errno::LOOP) {
            " (a symbolic link is there or on the way, and none is followed on a drive)"
        } else if self.is(Errno::XDEV) {
            " (something else is mounted there or on the way; unmount it)"
        } else {
            ""
        }
    }

    /// Whether the drive has no more room, or the user may take no more of it.
    pub fn is_full(&self) -> bool {
        self.is(Errno::NOSPC) || self.is(Errno::DQUOT)
    }
}
