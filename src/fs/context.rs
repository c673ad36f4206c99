//! What every operation beneath an open handle shares: how messages name the folder, the faults that tests
//! inject, and how fast the drive writes.
//!
//! It touches no file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::fs::faults::Faults;
use crate::fs::tree::error::TreeError;
use crate::fs::write_rate::Pace;

/// What a tree and the files that it opened have in common.
#[derive(Debug)]
pub(crate) struct Context {
    /// The folder as messages name it.
    pub(crate) shown: PathBuf,
    /// How operations are to fail; `None` outside of tests.
    pub(crate) faults: Option<Arc<Faults>>,
    /// How fast the drive writes.
    pub(crate) pace: Pace,
}

impl Context {
    /// Counts an operation on `path`, and fails it if tests want that.
    pub(crate) fn step(&self, action: &'static str, path: &Path) -> Result<(), TreeError> {
        match &self.faults {
            None => Ok(()),
            Some(faults) => faults.step().map_err(|source| TreeError {
                action,
                path: self.shown.join(path),
                source,
            }),
        }
    }

    /// The error of an operation on `path`.
    pub(crate) fn error(&self, action: &'static str, path: &Path, e: Errno) -> TreeError {
        TreeError { action, path: self.shown.join(path), source: e.into() }
    }

    /// Tells the faults that all that was written so far is on the device.
    pub(crate) fn tell_synced(&self) {
        if let Some(faults) = &self.faults {
            faults.synced();
        }
    }
}
