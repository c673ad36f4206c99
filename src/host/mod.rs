//! This computer's own files: where state and profiles lie, and how they are replaced.
//!
//! Never a file of the source or of a drive.

pub mod atomic_file;
pub mod dirs;
pub mod names;
