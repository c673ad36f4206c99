//! What this computer remembers of drives and runs, below its state folder.
//!
//! Losing it costs a backup that comes too early, or reading a drive again, never data.

pub mod catalogs;
pub mod frozen;
pub mod memory;
