//! Reads what a repository keeps: lists increments, rebuilds a point in time, restores, verifies.
//!
//! It never writes to a repository. Called by `cli`.

mod expected;
pub mod list;
pub mod point;
pub mod restore;
pub mod timeline;
pub mod verify;
mod walk;
