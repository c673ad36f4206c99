//! Drives: what udev tells of them, how they are mounted, and operations on their files.
//!
//! Called by `agent`, `cli`, `repository` and `backup`. It knows nothing of the repository's format.

pub mod content;
pub mod device;
pub mod faults;
pub mod mount;
pub mod tree;
