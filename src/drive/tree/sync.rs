//! What a tree does with the file system as a whole: it syncs it, asks what it is and how much room it has.
//!
//! It changes no file.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::PoisonError;

use rustix::io::Errno;

use super::{Tree, TreeError};
use crate::drive::page_cache;

/// `FUSE_SUPER_MAGIC` of linux/magic.h. The kernel passes a sync of the whole file system on to few FUSE
/// drivers; a sync of a file or folder reaches them all.
const FUSE: i64 = 0x6573_5546;

impl Tree {
    /// Waits until everything written to the drive's file system so far is on the device.
    pub fn sync(&self) -> Result<(), TreeError> {
        self.step("sync", Path::new(""))?;
        self.sync_folders()?;
        rustix::fs::syncfs(&self.root).map_err(|e| self.error("sync", Path::new(""), e))?;
        self.tell_synced();
        Ok(())
    }

    /// Whether each file has to be synced by itself, since a sync of the file system says nothing.
    pub fn syncs_each_file(&self) -> bool {
        self.unsynced.is_some()
    }

    /// Takes what the drive has of a file out of the page cache, where that is worth it for `size` bytes.
    /// To be called once it is synced: before, there is nothing to take.
    pub fn uncache(&self, path: &Path, size: u64) {
        if size >= page_cache::LARGE
            && let Ok(Some(file)) = self.open_file(path)
        {
            page_cache::drop_cached(&file, 0, u64::MAX);
        }
    }

    fn sync_folders(&self) -> Result<(), TreeError> {
        let Some(unsynced) = &self.unsynced else { return Ok(()) };
        let folders = std::mem::take(&mut *unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        for path in folders {
            match self.open_folder(&path).and_then(rustix::fs::fsync) {
                // Removed again, or something else now; or a driver that does not know how.
                Ok(())
                | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL | Errno::NOSYS) => {
                }
                Err(e) => return Err(self.error("sync the folder", &path, e)),
            }
        }
        Ok(())
    }

    /// What is in the folder above `path` changes.
    pub(super) fn changed(&self, path: &Path) {
        if let (Some(unsynced), Some(folder)) = (&self.unsynced, path.parent()) {
            unsynced.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        }
    }

    pub(in crate::drive) fn tell_synced(&self) {
        if let Some(faults) = &self.faults {
            faults.synced();
        }
    }

    /// A number by which another driver or kind of file system shows: `f_type` of `statfs(2)`. FUSE drivers
    /// share one, so there it is the file system's size: another drive has another.
    pub fn file_system(&self) -> Result<i64, TreeError> {
        let found =
            rustix::fs::fstatfs(&self.root).map_err(|e| self.error("look at", Path::new(""), e))?;
        if found.f_type != FUSE {
            return Ok(found.f_type);
        }
        let block = found.f_bsize.cast_unsigned();
        Ok(found.f_type ^ found.f_blocks.wrapping_mul(block).cast_signed())
    }

    /// Free space for us, as the file system tells it.
    pub fn space(&self) -> Result<rustix::fs::StatVfs, TreeError> {
        rustix::fs::fstatvfs(&self.root)
            .map_err(|e| self.error("ask for the free space of", Path::new(""), e))
    }

    /// Bytes of an allocation unit.
    pub fn block(&self) -> Result<u64, TreeError> {
        Ok(self.space()?.f_frsize.max(512))
    }
}

pub(super) fn is_fuse(root: &OwnedFd) -> bool {
    rustix::fs::fstatfs(root).is_ok_and(|found| found.f_type == FUSE)
}
