//! What one run did, in the shape that `run --json` prints and `status` remembers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::backup::plan::work::Planned;
use crate::model::problem::Problem;
use crate::repository::catalog::document::Catalog;
use crate::repository::index::history::Revised;

/// What one run did. Files below are files and symbolic links; folders are not counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The profile's name.
    pub profile: String,
    /// Device node of the drive; `None` without a drive.
    pub device: Option<String>,
    /// The repository's folder.
    pub repository: PathBuf,
    /// The increment that the run made; `None` if nothing tracked changed.
    pub increment: Option<String>,
    /// Files that were not there before.
    pub new: u64,
    /// Files with other content.
    pub changed: u64,
    /// Files of which only attributes changed.
    pub touched: u64,
    /// Files that have another path.
    pub moved: u64,
    /// Files that vanished.
    pub deleted: u64,
    /// Files that are as they were.
    pub unchanged: u64,
    /// Bytes of content copied to the drive.
    pub bytes_copied: u64,
    /// What could not be backed up.
    pub problems: Vec<Problem>,
    /// What was left out on purpose.
    pub notes: Vec<Problem>,
    /// What the profile's author should know: rules that match nothing, settings without effect.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Increments that the profile's retention did not keep and that were removed.
    #[serde(default)]
    pub pruned: Vec<String>,
    /// Bytes that this freed.
    #[serde(default)]
    pub freed: u64,
    /// What is new about the pairing of drive and computer, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing: Option<String>,
    /// Whether the drive was paired by this run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_use: bool,
    /// What was taken over from the Python backup-manager by this run, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    /// Whether an interrupted run was finished or undone first.
    pub recovered: bool,
    /// The increments that the repository has now; not told, but what is kept of their catalogs follows it.
    #[serde(skip)]
    pub history: Vec<Revised>,
    /// The catalog of the increment that the run made, for the same.
    #[serde(skip)]
    pub made: Option<Catalog>,
    /// Seconds from the start to the last sync.
    pub duration_s: f64,
    /// With `--dry-run`: why the run itself would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// With `--dry-run`: what would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Planned>>,
}
