//! The vocabulary that the rest shares: paths, kinds of entries, problems.
//!
//! Values only; nothing here reads or writes a file.

pub mod budget;
pub mod drive_match;
pub mod entry;
pub mod problem;
pub mod relpath;
