//! What the tests of the engine share: drives, snapshots of trees, edits of a source, and the world
//! that runs backups and checks what they must keep.
//!
//! What a test attaches or mounts is taken away by a `Drop`, also when it fails. A test that cannot run
//! here says "skipped" and why.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

pub(crate) mod bench;
pub(crate) mod browser;
pub(crate) mod edits;
pub(crate) mod loop_drive;
pub(crate) mod profile;
pub(crate) mod python_tool;
pub(crate) mod scene;
pub(crate) mod snapshot;
pub(crate) mod world;

use std::path::Path;

/// A folder for a test; in memory where that is possible, so that no sync waits for the machine's
/// disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(memory)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}

/// A number from the environment, to make a test longer than by default.
pub(crate) fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
