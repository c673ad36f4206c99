//! Reads what a repository keeps: lists increments, rebuilds a point in time, restores, verifies.
//!
//! Only `repair` writes to a repository, and its records alone. Called by `cli`.

pub mod diff;
mod expected;
pub mod list;
pub mod point;
pub mod repair;
pub mod restore;
pub mod timeline;
pub mod verify;
