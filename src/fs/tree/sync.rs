//! What a tree does with the file system as a whole: it syncs it, asks what it is and how much room it has.
//!
//! It changes no file.

use std::path::Path;
use std::sync::PoisonError;

use rustix::io::Errno;

use crate::fs::fadvise;
use crate::fs::statfs::FUSE;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;

impl Tree {
    /// Waits until everything written to the drive's file system so far is on the device.
    pub fn sync(&self) -> Result<(), TreeError> {
        self.context.step("sync", Path::new(""))?;
        self.sync_folders()?;
        rustix::fs::syncfs(&self.root).map_err(|e| self.context.error("sync", Path::new(""), e))?;
        self.context.tell_synced();
        Ok(())
    }

    /// Whether each file has to be synced by itself, since a sync of the file system says nothing.
    pub fn syncs_each_file(&self) -> bool {
        self.unsynced.is_some()
    }

    /// Takes what the drive has of a file out of the page cache, where that is worth it for `size` bytes.
    /// To be called once it is synced: before, there is nothing to take.
    pub fn uncache(&self, path: &Path, size: u64) {
        if size >= fadvise::LARGE
            && let Ok(Some(file)) = self.open_file(path)
        {
            fadvise::drop_cached(&file, 0, u64::MAX);
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
                Err(e) => return Err(self.context.error("sync the folder", &path, e)),
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

    /// A number by which another driver or kind of file system shows: `f_type` of `statfs(2)`. FUSE drivers
    /// share one, so there it is the file system's size: another drive has another.
    pub fn file_system(&self) -> Result<i64, TreeError> {
        let found = rustix::fs::fstatfs(&self.root)
            .map_err(|e| self.context.error("look at", Path::new(""), e))?;
        if found.f_type != FUSE {
            return Ok(found.f_type);
        }
        let block = found.f_bsize.cast_unsigned();
        Ok(found.f_type ^ found.f_blocks.wrapping_mul(block).cast_signed())
    }

    /// Free space for us, as the file system tells it.
    pub fn space(&self) -> Result<rustix::fs::StatVfs, TreeError> {
        rustix::fs::fstatvfs(&self.root)
            .map_err(|e| self.context.error("ask for the free space of", Path::new(""), e))
    }

    /// Bytes of an allocation unit.
    pub fn block(&self) -> Result<u64, TreeError> {
        Ok(self.space()?.f_frsize.max(512))
    }
}
