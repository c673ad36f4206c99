//! Keeps large files from filling the memory that other programs' files are cached in, and from waiting
//! there for the drive.
//!
//! It reads and writes no content: it advises the kernel, and waits for the drive. What it cannot advise
//! is as it was without it.

use std::fs::File;
use std::io::IoSliceMut;
use std::time::Instant;

use rustix::io::ReadWriteFlags;

use crate::fs::fadvise::{LARGE, drop_cached};
use crate::fs::tree::error::TreeError;
use crate::fs::write_rate::Pace;
use crate::fs::writer::{DriveFile, SyncLater};

/// So much of a file that is read is dropped from the cache at a time.
const DROP: u64 = 8 << 20;

/// So much of a file that is written begins its way to the drive at a time.
const START: u64 = 4 << 20;

/// Takes a large file out of the page cache behind its reader, unless it was there before: then some
/// program uses it.
pub(super) struct ReadBehind<'f> {
    /// `None` if it stays.
    file: Option<&'f File>,
    dropped: u64,
}

impl<'f> ReadBehind<'f> {
    /// For a file of `size` bytes, of which nothing was read yet.
    pub(super) fn new(file: &'f File, size: u64) -> Self {
        // Looking at more of it would cost a disk movements of its head; its beginning is read anyway.
        Self { file: (size >= LARGE && !is_cached(file)).then_some(file), dropped: 0 }
    }

    /// Its first `end` bytes were read.
    pub(super) fn read(&mut self, end: u64) {
        if let Some(file) = self.file
            && end - self.dropped >= DROP
        {
            drop_cached(file, self.dropped, end);
            self.dropped = end;
        }
    }
}

impl Drop for ReadBehind<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.file {
            drop_cached(file, 0, u64::MAX);
        }
    }
}

/// Whether a file begins in the page cache; also if the file system does not tell. Asking begins to read it,
/// so a disk that has the answer at once looks the same: rare, and the file is then left to the kernel.
fn is_cached(file: &File) -> bool {
    let mut byte = [0];
    let only_cached = ReadWriteFlags::NOWAIT;
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, only_cached);
    read != Err(rustix::io::Errno::AGAIN)
}

/// Lets what is written to a large file go to the drive at once, and waits for the drive whenever it was
/// given a quarter of what its pace allows, while the next quarter is written: several files may be written at a
/// time.
pub(super) struct WriteBehind {
    most: u64,
    unsynced: u64,
    /// Where in the file writing to the drive has not begun.
    started: u64,
    /// When the drive had all of it.
    since: Instant,
    syncing: Option<Syncing>,
}

/// What the drive is waited for.
struct Syncing {
    later: SyncLater,
    bytes: u64,
    /// Where in the file it ends.
    end: u64,
}

impl WriteBehind {
    /// For a file to which nothing was written yet.
    pub(super) fn new(pace: &Pace) -> Self {
        let most = pace.bytes() / 4;
        Self { most, unsynced: 0, started: 0, since: Instant::now(), syncing: None }
    }

    /// `len` bytes were written, up to the offset `end`.
    pub(super) fn wrote(
        &mut self,
        to: &mut DriveFile<'_>,
        len: u64,
        end: u64,
    ) -> Result<(), TreeError> {
        self.unsynced += len;
        if end - self.started >= START {
            // What cannot be dropped, since the drive does not have it, begins to be written.
            drop_cached(to.file(), self.started, end);
            self.started = end;
        }
        if self.unsynced >= self.most {
            self.finish(to)?;
            let bytes = std::mem::take(&mut self.unsynced);
            self.syncing = Some(Syncing { later: to.sync_later()?, bytes, end });
            self.started = end;
            self.most = to.pace().bytes() / 4;
        }
        Ok(())
    }

    /// Waits for what the drive was given a quarter ago. To be called in the end as well: an error of the drive
    /// is told once.
    pub(super) fn finish(&mut self, to: &mut DriveFile<'_>) -> Result<(), TreeError> {
        let Some(Syncing { later, bytes, end }) = self.syncing.take() else { return Ok(()) };
        let done = to.synced(later)?;
        drop_cached(to.file(), 0, end);
        to.pace().learn(bytes, done - self.since);
        self.since = done;
        Ok(())
    }
}
