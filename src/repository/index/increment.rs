//! What the index says of an increment.

use serde::{Deserialize, Serialize};

use crate::repository::status::Status;

/// One increment, as the index lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// Place in the order of increments, from 1.
    pub sequence: u64,
    /// Name of its folder.
    pub name: String,
    /// When its run started, with UTC offset.
    pub timestamp: String,
    /// Whether it is a point in time.
    pub status: Status,
    /// Modification time of its folder, in seconds: follows `sequence`.
    pub folder_time_s: i64,
}

/// The increment that a run writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMark {
    /// Place in the order of increments.
    pub sequence: u64,
    /// Name of the folder.
    pub name: String,
    /// When the run started, with UTC offset.
    pub timestamp: String,
}
