//! Reads what the Python backup-manager left in its repositories: which folders are increments, and what
//! its JSON files say of them.
//!
//! All of it comes from a drive: paths go through `RelPath`, what is decoded is paid for, and what does
//! not have the tool's shape is passed over. It writes nothing.

pub mod json;
pub mod reader;
pub mod said;
