//! Why a repair ended early.

use crate::fs::tree::error::TreeError;
use crate::repository::error::RepositoryError;

/// Why it could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Told to stop.
    #[error("stopped; the records are as they were")]
    Stopped,
    /// A removal has to be ended first: what it moves is in no record yet that could be rebuilt.
    #[error(
        "increments were being removed when the drive was pulled out or the program was stopped; `bkm-agent run` finishes that, then repair"
    )]
    Pruning,
    /// Worker threads cannot be started.
    #[error("cannot start the worker threads")]
    Workers(#[source] rayon::ThreadPoolBuildError),
    /// The drive cannot be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<TreeError> for RepairError {
    fn from(e: TreeError) -> Self {
        Self::Repository(e.into())
    }
}
