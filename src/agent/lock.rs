//! One agent per state folder: two would back up to one drive in turn and let go of it under each other.
//!
//! The agent for the whole computer holds a second one, which everybody may look at, so that the agents of
//! users leave its profiles to it. A lock dies with its holder.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why it is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent runs.
    #[error("another agent is running (it holds {}); stop that first: systemctl --user stop bkm-agent", .0.display())]
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

/// Held by the agent for the whole computer; on a tmpfs, and readable for all.
const SYSTEM: &str = "/run/bkm-agent.lock";

/// Takes the lock of the agent for the whole computer.
pub fn take_system() -> Result<Lock, LockError> {
    let lock = lock(Path::new(SYSTEM))?;
    // The service's umask would hide it.
    let readable = std::fs::Permissions::from_mode(0o644);
    let failed = |source| LockError::Io { file: SYSTEM.into(), source };
    lock.file.set_permissions(readable).map_err(failed)?;
    Ok(lock)
}

/// Whether an agent for the whole computer runs.
pub fn system_is_held() -> bool {
    is_locked(Path::new(SYSTEM))
}

/// Takes the lock of the state folder `state`, which is made if it is missing.
pub fn take(state: &Path) -> Result<Lock, LockError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.map_err(|source| LockError::Io { file: state.to_owned(), source })?;
    lock(&path(state))
}

fn lock(path: &Path) -> Result<Lock, LockError> {
    let failed = |source| LockError::Io { file: path.to_owned(), source };
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { file }),
        Err(TryLockError::WouldBlock) => Err(LockError::Held(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether an agent holds it.
pub fn is_held(state: &Path) -> bool {
    is_locked(&path(state))
}

fn is_locked(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
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
