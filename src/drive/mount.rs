//! Finding and making mounts.

/// A mounted drive, held by an open handle on the root of its mount.
#[derive(Debug)]
pub struct Mounted {
    /// Where it is mounted.
    pub point: std::path::PathBuf,
    /// Open handle (`O_PATH | O_DIRECTORY`) on the mount's root, checked to be the device's.
    pub root: std::os::fd::OwnedFd,
    /// Whether this program mounted it.
    pub ours: bool,
}
