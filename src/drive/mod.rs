//! Drives: what udev tells of them, how they are mounted, and operations on their files.
//!
//! It knows nothing of the repository's format.

pub mod capture;
pub mod choose_mount;
pub mod device;
pub mod fsck;
pub mod holders;
pub mod luks;
pub mod monitor;
pub mod mount;
pub mod mounted;
pub mod mountinfo;
pub mod own_mounts;
pub mod udev;
pub mod udisks;
pub mod unmount;
pub mod writable;
