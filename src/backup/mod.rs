//! One run: scan, compare, plan, stage, publish, commit, report.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::config::Profile;
use crate::drive::{device::Device, mount::Mounted};
use crate::problem::Problem;

/// What one run did; `run --json` prints it as one object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunReport {
    /// The profile's name.
    pub profile: String,
    /// Device node of the drive; `None` without a drive.
    pub device: Option<String>,
    /// The repository's folder.
    pub repository: PathBuf,
    /// The increment that the run made.
    pub increment: Option<String>,
    /// Files and links that were not there before.
    pub new: u64,
    /// Files and links with other content.
    pub changed: u64,
    /// Files and links of which only attributes changed.
    pub touched: u64,
    /// Files and links that have another path.
    pub moved: u64,
    /// Files and links that vanished.
    pub deleted: u64,
    /// Files and links that are as they were.
    pub unchanged: u64,
    /// Bytes of content copied to the drive.
    pub bytes_copied: u64,
    /// What could not be backed up.
    pub problems: Vec<Problem>,
    /// What was left out on purpose.
    pub notes: Vec<Problem>,
    /// Whether an interrupted run was finished or undone first.
    pub recovered: bool,
    /// Seconds from the start to the last sync.
    pub duration_s: f64,
}

/// What a run is doing now, and how far it is. The bar, the notification and tests implement it.
pub trait Monitor: Sync {
    /// The plan is made: so many files and bytes are to be copied.
    fn planned(&self, files: u64, bytes: u64);
    /// So many more files and bytes are staged.
    fn copied(&self, files: u64, bytes: u64);
    /// The run now does something that takes time without copying ("syncing").
    fn phase(&self, phase: &str);
}

/// How a run is done.
pub struct Options<'a> {
    /// Makes the plan and does nothing.
    pub dry_run: bool,
    /// Becomes true when the run is to stop at the next safe point.
    pub stop: &'a AtomicBool,
    /// Whom to tell.
    pub monitor: &'a dyn Monitor,
}

/// Why a run did not complete.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was told to stop.
    #[error("stopped; {kept}")]
    Stopped {
        /// What is kept, for people.
        kept: String,
    },
}

/// Backs up `profile` to its repository on a mounted drive.
pub fn run_on_drive(
    _profile: &Profile,
    _device: &Device,
    _drive: &Mounted,
    _options: &Options<'_>,
) -> Result<RunReport, RunError> {
    Ok(RunReport::default())
}
