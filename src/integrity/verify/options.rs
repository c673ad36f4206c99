//! How a check is made.

use std::sync::atomic::AtomicBool;

/// How to verify, and whom to tell.
pub struct Check<'a> {
    /// Compares presence and size only.
    pub quick: bool,
    /// Becomes true when it is to stop.
    pub stop: &'a AtomicBool,
    /// Hears of bytes that are to be read, as they are found.
    pub planned: &'a (dyn Fn(u64) + Sync),
    /// Hears of bytes that were read.
    pub told: &'a (dyn Fn(u64) + Sync),
}
