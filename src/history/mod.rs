//! Reads what a repository keeps: lists increments, searches them, rebuilds a point in time, restores, verifies.
//!
//! Only `repair` changes a repository, and `verify` where it writes down hashes that were missing.

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
