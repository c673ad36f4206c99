//! What a run is asked to do, and to whom it tells how far it is.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::fs::faults::Faults;

/// What a run is doing now, and how far it is. The bar, the notification and tests implement it.
pub trait Monitor: Sync {
    /// The plan is made: so many files and bytes are to be copied.
    fn planned(&self, files: u64, bytes: u64);
    /// So many more files and bytes are staged.
    fn copied(&self, files: u64, bytes: u64);
    /// The run now does something that takes time without copying ("syncing").
    fn phase(&self, phase: &str);
}

/// Tells nobody.
pub struct Silent;

impl Monitor for Silent {
    fn planned(&self, _files: u64, _bytes: u64) {}
    fn copied(&self, _files: u64, _bytes: u64) {}
    fn phase(&self, _phase: &str) {}
}

/// How a run is done.
pub struct Options<'a> {
    /// Makes the plan and does nothing.
    pub dry_run: bool,
    /// Goes on where so much vanished or changed that the user is asked first.
    pub accept_mass_change: bool,
    /// Becomes true when the run is to stop at the next safe point.
    pub stop: &'a AtomicBool,
    /// Whom to tell.
    pub monitor: &'a dyn Monitor,
    /// Makes operations on the drive fail; for tests.
    pub faults: Option<Arc<Faults>>,
}
