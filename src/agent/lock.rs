//! One agent per state folder: two would back up to one drive in turn and let go of it under each other.
//!
//! The lock dies with its holder. Taken by `agent`, looked at by `why`.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why it is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent runs.
    #[error("another agent is running for {}: stop it first (systemctl --user stop bkm-agent)", .0.display())]
    Held(PathBuf),
    /// The state folder cannot be written.
    #[error("{}: cannot be written", file.display())]
    Io {
        /// The lock's file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes the lock of the state folder `state`, which is made if it is missing.
pub fn take(state: &Path) -> Result<Lock, LockError> {
    let file = path(state);
    let failed = |source| LockError::Io { file: file.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
    let opened = File::options().create(true).truncate(false).write(true).open(&file);
    let opened = opened.map_err(failed)?;
    match opened.try_lock() {
        Ok(()) => Ok(Lock { _file: opened }),
        Err(TryLockError::WouldBlock) => Err(LockError::Held(state.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether an agent holds it.
pub fn is_held(state: &Path) -> bool {
    let opened = File::open(path(state));
    opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn path(state: &Path) -> PathBuf {
    state.join("agent.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(!is_held(&state));
        let lock = take(&state).unwrap();
        assert!(is_held(&state));
        assert!(matches!(take(&state), Err(LockError::Held(_))));
        drop(lock);
        assert!(!is_held(&state));
        take(&state).unwrap();
    }
}
