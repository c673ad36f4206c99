//! How much a batch may hold, and how many names a file on the drive may have.

/// Most paths in one batch: bounds the journal's frame and the folder of staged files.
pub(crate) const BATCH_PATHS: usize = 4096;

/// An inode that has as many links gets no more from us while a batch is staged; a fresh one is made.
/// Publishing can double them (each path gets a name in the increment as well), and the smallest limit
/// among usual file systems is NTFS's 1024 (ext4: 65,000).
pub(crate) const MAX_LINKS: u32 = 500;
