//! Whether this user may write to the backup's place on a drive, and what mends it if not.
//!
//! A freshly formatted ext4 or btrfs belongs to root: the desktop mounts it for the user, who then may write
//! nothing there. It only looks.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, OFlags};
use rustix::io::Errno;

use crate::drive::mounted::Mounted;
use crate::fs::beneath;

/// This user may not write there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} belongs to another user (a freshly formatted drive to root). To make room for your backups there: {command}", crate::text::sanitize::line(&folder.to_string_lossy()))]
pub struct NotWritable {
    /// The folder.
    pub folder: PathBuf,
    /// What to type.
    pub command: String,
}

/// Looks whether the folder `path`, relative to the mount point, can be made or, if it is there, be written.
/// What cannot be looked at is left to the run, which says what it finds.
pub fn check(mounted: &Mounted, path: &Path) -> Result<(), NotWritable> {
    let mut at = PathBuf::new();
    let mut handle: Option<OwnedFd> = None;
    let mut missing = None;
    for part in path.components() {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match beneath::open(&mounted.root, &at.join(part), flags, false) {
            Ok(opened) => handle = Some(opened),
            Err(Errno::NOENT) => {
                missing = Some(at.join(part));
                break;
            }
            Err(_) => return Ok(()),
        }
        at.push(part);
    }
    let folder = handle.as_ref().map_or(mounted.root.as_fd(), OwnedFd::as_fd);
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    match rustix::fs::accessat(folder, ".", wanted, AtFlags::EACCESS) {
        Err(Errno::ACCESS | Errno::PERM) => {}
        _ => return Ok(()),
    }
    let shown = |path: &Path| quoted(&mounted.point.join(path));
    let command = match missing {
        // Only that folder is taken over, not what else is on the drive.
        Some(first) => {
            let first = shown(&first);
            format!("sudo mkdir {first} && sudo chown \"$USER\": {first}")
        }
        None => format!("sudo chown -R \"$USER\": {}", shown(&at)),
    };
    Err(NotWritable { folder: mounted.point.join(at), command })
}

/// The path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted(Path::new("/media/anna/My Disk")), "'/media/anna/My Disk'");
        assert_eq!(quoted(Path::new("/a'b$(x)")), "'/a'\\''b$(x)'");
    }
}
