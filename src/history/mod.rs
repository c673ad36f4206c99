//! Questions about what a repository keeps: increments, versions, points in time, differences.
//!
//! It only reads.

pub mod diff;
pub mod filter;
pub mod list;
pub mod point;
pub mod reader;
pub mod timeline;
pub mod versions;
