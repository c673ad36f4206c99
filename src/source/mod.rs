//! Which files of the source are backed up: rules → one decision per path, and the scan that applies them.
//!
//! It reads the source and never writes; it knows nothing of drives.

pub mod entry;
pub mod open;
pub mod pattern;
pub mod rules;
pub mod scan;
pub mod walk;
