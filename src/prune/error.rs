//! Why a removal ended early.

use std::path::PathBuf;

use crate::fs::tree::error::TreeError;
use crate::repository::error::RepositoryError;

/// Why nothing is removed, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A file that no record knows.
    #[error(
        "{} was not put there by the backup, and would be removed with the increment: move it elsewhere, then try again",
        crate::text::sanitize::line(&.0.to_string_lossy())
    )]
    Stranger(PathBuf),
    /// A version that is not what was backed up.
    #[error(
        "{} is not what the records say; nothing was removed. `bkm-agent verify` says more",
        crate::text::sanitize::line(&.0.to_string_lossy())
    )]
    Damaged(PathBuf),
    /// A run has to be ended first.
    #[error(
        "an interrupted backup has to be ended before anything is removed: `bkm-agent run` does it"
    )]
    Unclosed,
    /// Removing would use space that an unclean end left in doubt.
    #[error(
        "the drive was pulled out during a backup; until its file system is checked nothing is removed: unmount it and run `sudo fsck -a` on it, then `sudo bkm-agent run --device` with it"
    )]
    Unchecked,
    /// No increment has this name.
    #[error("there is no increment {0} (see `bkm-agent list`)")]
    NoIncrement(String),
    /// The increment lists no such path.
    #[error(
        "nothing in it matches{}",
        if *.current { "; versions that the newest increment brought are what the source has: exclude or delete them there, and back up, before they can be deleted here" } else { "" }
    )]
    NothingMatches {
        /// Whether it is the newest one, of which only deleted files can go.
        current: bool,
    },
    /// The newest complete increment stays.
    #[error("the newest increment cannot be removed")]
    Newest,
    /// Told to stop.
    #[error("stopped; the next run finishes what was begun")]
    Stopped,
    /// An operation on the drive failed, or its records cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<TreeError> for PruneError {
    fn from(e: TreeError) -> Self {
        Self::Repository(e.into())
    }
}
