//! Drives: what udev tells of them, how they are mounted, and operations on their files.
//!
//! It knows nothing of the repository's format.

pub mod ability;
pub mod attributes;
pub mod capture;
pub mod check;
mod choice;
pub mod content;
pub mod device;
pub mod drive_file;
pub mod faults;
pub mod holders;
pub mod luks;
mod made;
pub mod monitor;
pub mod mount;
pub mod mountinfo;
pub mod pace;
mod page_cache;
pub mod tree;
pub mod udisks;
pub mod unmount;
pub mod walk;
pub mod writable;
