//! What a run or a restore could not do for one path, without stopping for it.

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;

/// One path and what is to be said of it: a problem (the run ends as "completed with problems") or a
/// note (listed, no problem); the list it stands in tells which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The path below the source.
    pub path: RelPath,
    /// What happened, and what to do where that is known; no line break.
    pub reason: String,
}

impl Problem {
    /// A problem with `path`.
    pub fn new(path: RelPath, reason: impl Into<String>) -> Self {
        Self { path, reason: reason.into() }
    }
}
