//! A file of the drive that is open for writing.
//!
//! Made by `Tree` alone, which decides what may be opened; every operation here can be made to fail by
//! tests, as those of the tree.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::fs::{FallocateFlags, Mode};
use rustix::io::Errno;

use crate::fs::attributes::{self, Attributes, tolerate};
use crate::fs::context::Context;
use crate::fs::stat::{Found, found_of};
use crate::fs::tree::error::TreeError;
use crate::fs::write_rate::Pace;

/// A file of the drive that is open for writing: a staged file, or one of the repository's own
/// records.
#[derive(Debug)]
pub struct DriveFile<'t> {
    pub(super) file: File,
    pub(super) context: &'t Context,
    pub(super) path: PathBuf,
}

/// A sync that goes on by itself.
#[derive(Debug)]
pub struct SyncLater(JoinHandle<(io::Result<()>, Instant)>);

impl DriveFile<'_> {
    /// The open file, for reading.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Appends at the file's position.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.op("write", |file| (&*file).write_all(bytes))
    }

    /// Writes at `offset`.
    pub fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), TreeError> {
        self.op("write", |file| file.write_all_at(bytes, offset))
    }

    /// Cuts off or extends (with a hole) to `len` bytes.
    pub fn set_len(&mut self, len: u64) -> Result<(), TreeError> {
        self.op("set the length of", |file| file.set_len(len))
    }

    /// Makes it `to` bytes long, up from `from`, and takes the room for them: without writing anything where
    /// the file system can do that, else by writing zeros.
    pub fn take_room(&mut self, from: u64, to: u64) -> Result<(), TreeError> {
        /// Bytes that are written at a time.
        const PIECE: usize = 1 << 20;
        let mut taken = true;
        let more = to.saturating_sub(from);
        if more == 0 {
            return Ok(());
        }
        self.op("take room for", |file| {
            match rustix::fs::fallocate(file, FallocateFlags::empty(), from, more) {
                // Drivers that cannot do it have several words for that.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => taken = false,
                other => other?,
            }
            Ok(())
        })?;
        let mut at = if taken { to } else { from };
        let zeros = if taken { Vec::new() } else { vec![0; PIECE] };
        while at < to {
            let piece = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
            self.write_at(zeros.get(..piece).unwrap_or_default(), at)?;
            at += piece as u64;
        }
        Ok(())
    }

    /// Bytes that are allocated to it on the drive.
    pub fn allocated(&self) -> Result<u64, TreeError> {
        match rustix::fs::fstat(&self.file) {
            Ok(stat) => Ok(stat.st_blocks.cast_unsigned().saturating_mul(512)),
            Err(e) => Err(self.context.error("look at", &self.path, e)),
        }
    }

    /// Whether the file system can have a file of this length at all: FAT ends at 4 GiB. The kernel knows
    /// that of its drivers before anything is written; a driver that does not say takes all lengths, until
    /// it refuses a write.
    pub fn takes_length(&self, len: u64) -> bool {
        let last = len.saturating_sub(1).min(i64::MAX.cast_unsigned() - 1);
        let asked = rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, last, 1);
        // What was allocated is written over, or goes with the file.
        asked != Err(Errno::FBIG)
    }

    /// Waits until content and size are on the device.
    pub fn sync(&mut self) -> Result<(), TreeError> {
        self.op("sync", File::sync_data)?;
        self.context.tell_synced();
        Ok(())
    }

    /// Begins to wait until what it has now is on the device: what is written meanwhile need not wait for that.
    pub fn sync_later(&mut self) -> Result<SyncLater, TreeError> {
        self.context.step("sync", &self.path)?;
        let file = self.file.try_clone().map_err(|e| self.error("sync", e))?;
        let wait = move || (file.sync_data(), Instant::now());
        let waiting = std::thread::Builder::new().name("bkm-sync".to_owned()).spawn(wait);
        Ok(SyncLater(waiting.map_err(|e| self.error("sync", e))?))
    }

    /// Waits for what [`DriveFile::sync_later`] began; returns when that was done.
    pub fn synced(&mut self, later: SyncLater) -> Result<Instant, TreeError> {
        // A panic over there is a panic here.
        let (done, at) = later.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.map_err(|e| self.error("sync", e))?;
        self.context.tell_synced();
        Ok(at)
    }

    /// How fast its drive writes.
    pub fn pace(&self) -> &Pace {
        &self.context.pace
    }

    /// Sets owner, permission bits and times where they differ, in the order that keeps them; returns
    /// the inode number.
    pub fn set_attributes(&mut self, attributes: &Attributes) -> Result<u64, TreeError> {
        let stat = rustix::fs::fstat(&self.file)
            .map_err(|e| self.context.error("look at", &self.path, e))?;
        let chown = attributes.owner.filter(|owner| *owner != (stat.st_uid, stat.st_gid));
        if let Some((uid, gid)) = chown {
            self.op("set the owner of", |file| {
                let (uid, gid) = attributes::ids(uid, gid);
                Ok(tolerate(rustix::fs::fchown(file, uid, gid))?)
            })?;
        }
        let mode = attributes.mode & 0o7777;
        if chown.is_some() || stat.st_mode & 0o7777 != mode {
            let mode = Mode::from_raw_mode(mode);
            self.op("set the mode of", |file| Ok(tolerate(rustix::fs::fchmod(file, mode))?))?;
        }
        let times = attributes.times();
        self.op("set the time of", |file| Ok(tolerate(rustix::fs::futimens(file, &times))?))?;
        Ok(stat.st_ino)
    }

    /// Sets an extended attribute where the drive can hold it; `false` where it cannot.
    pub fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<bool, TreeError> {
        self.context.step("set an attribute of", &self.path)?;
        attributes::set_xattr(&self.file, name, value)
            .map_err(|e| self.context.error("set an attribute of", &self.path, e))
    }

    /// Takes away the extended attributes of the kinds that are recorded, but those among `xattrs`.
    pub fn remove_other_xattrs(&mut self, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), TreeError> {
        self.op("set an attribute of", |file| Ok(attributes::remove_other_xattrs(file, xattrs)?))
    }

    /// What the file is now.
    pub fn stat(&self) -> Result<Found, TreeError> {
        match rustix::fs::fstat(&self.file) {
            Ok(stat) => Ok(found_of(&stat)),
            Err(e) => Err(self.context.error("look at", &self.path, e)),
        }
    }

    /// Its path in the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A failed operation on this file.
    pub fn error(&self, action: &'static str, source: io::Error) -> TreeError {
        TreeError { action, path: self.context.shown.join(&self.path), source }
    }

    fn op(
        &self,
        action: &'static str,
        act: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), TreeError> {
        self.context.step(action, &self.path)?;
        act(&self.file).map_err(|source| self.error(action, source))
    }
}
