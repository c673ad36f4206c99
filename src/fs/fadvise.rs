//! Tells the kernel what it need not keep of a file. It is advice: nothing depends on it.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::Advice;

/// Files smaller than this are left to the kernel: there the calls would cost more than they save.
pub(super) const LARGE: u64 = 1 << 20;

/// Drops what the page cache has of a file from `start` to `end`, as far as the drive has it too.
pub(super) fn drop_cached(file: &File, start: u64, end: u64) {
    // It is advice: where it is not taken, the cache is as full as it was.
    let len = NonZeroU64::new(end.saturating_sub(start)).filter(|_| end != u64::MAX);
    let _advised = rustix::fs::fadvise(file, start, len, Advice::DontNeed);
}
