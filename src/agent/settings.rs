//! What the agent is started with.

use std::path::PathBuf;
use std::time::Duration;

/// How long the desktop is given to mount a drive before root does it: desktops take about a second.
pub const MOUNT_WAIT: Duration = Duration::from_secs(2);

/// What the agent works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folders that hold profiles, in order of precedence.
    pub profile_dirs: Vec<PathBuf>,
    /// Folder for what is remembered.
    pub state_dir: PathBuf,
    /// How long the desktop is given to mount a drive, where the agent can do it.
    pub mount_wait: Duration,
    /// Whether it is the agent for the whole computer.
    pub system: bool,
}
