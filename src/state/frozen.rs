//! Which profiles' runs were stopped because too much vanished or changed: until the user has looked, no old
//! version of theirs is removed.
//!
//! One empty file for each such profile, below the state folder.

use std::io;
use std::path::{Path, PathBuf};

/// The folder of these files in the state folder.
fn path(state: &Path, profile: &str) -> PathBuf {
    state.join("frozen").join(crate::host::names::file_name(profile))
}

/// Whether the last run of `profile`, on whichever drive, was stopped for that.
pub fn is_frozen(state: &Path, profile: &str) -> bool {
    path(state, profile).exists()
}

/// Remembers whether a run was stopped for that. What cannot be written is logged: the run counts.
pub(crate) fn set(state: &Path, profile: &str, frozen: bool) {
    let path = path(state, profile);
    let done = if frozen {
        crate::host::atomic_file::replace(&path, b"")
    } else {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    };
    if let Err(error) = done {
        tracing::warn!("{}: cannot be written: {error}", path.display());
    }
}
