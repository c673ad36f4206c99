//! At what moment a hook runs, and with which files.

use std::path::Path;

use crate::drive::device::Device;

/// Which of a profile's hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Before the run.
    Before,
    /// After a run that completed, with problems or without.
    After,
    /// After one that did not.
    Failed,
}

impl Event {
    /// As it is called in profiles and in `BKM_EVENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Failed => "failed",
        }
    }
}

/// Where the run backs up to, as hooks are told.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The drive; `None` where the profile has none.
    pub device: Option<&'a Device>,
    /// Where it is mounted.
    pub mount_point: Option<&'a Path>,
    /// The repository's folder, absolute; before the first run it does not exist.
    pub repository: &'a Path,
}
