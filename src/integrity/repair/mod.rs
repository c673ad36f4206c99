//! Rebuilds the records of a repository from what lies on the drive: the index, `format.json` and catalogs
//! that are lost, broken, or not in line with the files.
//!
//! No file of the user's is changed or removed; where the mirror lacks a file that an increment has, it gets that
//! one's name back. What still is readable is used: first the old index as far as it is sound, then sound catalogs,
//! then the files themselves. The rules by which a record is chosen: the next run must go through, copy nothing
//! that is unchanged, and list what no increment lists yet.

pub mod error;
pub mod files;
pub mod increments;
pub mod mirror;
pub mod repairer;
pub mod replay;
pub mod run;
