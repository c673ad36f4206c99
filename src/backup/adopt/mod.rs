//! Takes over a repository that the Python backup-manager made.
//!
//! The tool's increments and JSON files are only read; nothing but `.bkm` is written, and a mirror file that has
//! another name outside of the repository gets an inode of its own.

pub mod increments;
pub mod mirror;
pub mod takeover;
