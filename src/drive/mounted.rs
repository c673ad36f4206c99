//! A mounted drive, held by an open handle. Holding one never mounts, unmounts or writes.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::StatVfsMountFlags;

use crate::drive::device::Device;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;

/// A mounted drive, held by an open handle on the root of its mount.
#[derive(Debug)]
pub struct Mounted {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Open handle (`O_RDONLY | O_DIRECTORY`) on the mount's root, checked to be the device's.
    pub root: OwnedFd,
    /// The drive.
    pub device: Device,
    /// Who mounted it.
    pub by: By,
    /// File system type as the kernel names it.
    pub fs_type: String,
    /// Major and minor number of the file system (anonymous for btrfs).
    pub dev: (u32, u32),
    /// The kernel's number of the mount.
    pub mount_id: u64,
    /// Whether its file system is known to have been in order when it was mounted.
    pub checked: bool,
}

/// Which mount it is, without holding it busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The kernel's number of the mount.
    pub mount_id: u64,
    /// Who mounted it.
    pub by: By,
}

/// Who mounted a drive, and so how it is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The desktop, or a person.
    Others,
    /// This program, as root.
    Root,
    /// This program, through UDisks2.
    Udisks,
}

impl Mounted {
    /// Whether this program mounted it.
    pub fn is_ours(&self) -> bool {
        self.by != By::Others
    }

    /// Whether nothing can be written now. Asked anew each time: the kernel turns a failing drive
    /// read-only.
    pub fn read_only(&self) -> bool {
        rustix::fs::fstatvfs(&self.root)
            .is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// The whole of it, as a tree.
    pub fn tree(&self) -> Result<Tree, TreeError> {
        let handle = self.root.try_clone().map_err(|source| TreeError {
            action: "open the folder",
            path: self.point.clone(),
            source,
        })?;
        Ok(Tree::from_handle(handle, &self.point))
    }

    /// Which mount it is.
    pub fn place(&self) -> Place {
        Place { point: self.point.clone(), mount_id: self.mount_id, by: self.by }
    }
}
