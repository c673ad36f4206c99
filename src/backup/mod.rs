//! One run: scan, compare, plan, stage, publish, commit, report.
//!
//! It reads the source, writes to the repository alone, and tells what it does through
//! [`options::Monitor`]. It knows nothing of terminals or notifications. `run` is the order of the steps.

pub mod adopt;
pub mod conflicts;
pub mod error;
pub mod execute;
pub mod options;
pub mod place;
pub mod plan;
pub mod recover;
pub mod report;
pub mod run;
pub mod stage;
