//! Reads what a repository keeps: lists increments, searches them, rebuilds a point in time, restores, verifies.
//!
//! Only `repair` writes to a repository, and its records alone. Called by `cli`.

pub mod diff;
mod expected;
pub mod filter;
pub mod list;
pub mod past;
pub mod point;
pub mod repair;
pub mod restore;
pub mod timeline;
pub mod verify;
pub mod versions;
