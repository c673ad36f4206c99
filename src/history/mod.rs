//! Reads what a repository keeps: lists increments, rebuilds a point in time, restores.
//!
//! It never writes to a repository. Called by `cli`.

mod attributes;
pub mod list;
pub mod point;
pub mod restore;
pub mod timeline;
