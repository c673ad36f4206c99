//! Safe operations on files beneath an open handle: on a drive, and where a restore writes.
//!
//! This is the only place that changes a tree. No path is resolved from `/`, no symbolic link is followed, and no
//! mount is crossed. Tests inject their faults here.

pub mod attributes;
pub mod beneath;
pub mod content;
pub mod context;
pub mod fadvise;
pub mod faults;
pub mod page_cache;
pub mod probe;
pub mod stat;
pub mod statfs;
pub mod tree;
pub mod walk;
pub mod write_rate;
pub mod writer;
