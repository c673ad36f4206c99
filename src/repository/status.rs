//! How the run that made an increment ended.

use serde::{Deserialize, Serialize};

/// Whether an increment is a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The run went through to its end.
    Complete,
    /// The run was cut off; the increment supplies versions, but is no point in time.
    Interrupted,
}
