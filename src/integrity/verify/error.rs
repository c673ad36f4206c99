//! Why a check could not be made at all. Damage is no error: that is a finding.

use crate::fs::tree::error::TreeError;
use crate::repository::error::RepositoryError;

/// Why it cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Told to stop.
    #[error("stopped; nothing was changed")]
    Stopped,
    /// Worker threads cannot be started.
    #[error("cannot start the worker threads")]
    Workers(#[source] rayon::ThreadPoolBuildError),
    /// The records cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

pub(crate) fn reason_of(e: &TreeError) -> String {
    e.source.to_string()
}
