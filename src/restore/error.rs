//! Why a restore ended early.

use std::path::PathBuf;

use crate::fs::tree::error::TreeError;
use crate::model::relpath::RelPath;

/// Why a restore cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A mask is not a glob.
    #[error("the mask '{mask}' is not a pattern: {reason}")]
    Mask {
        /// Which one.
        mask: String,
        /// Why.
        reason: String,
    },
    /// The backup has no such path.
    #[error("the backup has nothing at '{0}'")]
    NothingAt(RelPath),
    /// No path matches.
    #[error("nothing in the backup matches")]
    NothingMatches,
    /// The destination cannot be written.
    #[error(transparent)]
    Destination(#[from] TreeError),
    /// Another restore writes there.
    #[error("another restore to {} is at work; wait for it to end", crate::text::sanitize::line(&.0.to_string_lossy()))]
    Busy(PathBuf),
    /// Told to stop.
    #[error(
        "stopped; {0} files were restored, each of them whole. The same command again goes on from there"
    )]
    Stopped(u64),
}
