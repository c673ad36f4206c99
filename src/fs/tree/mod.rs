//! A folder on the drive and all operations beneath it.

pub mod error;
pub mod folders;
pub mod handle;
pub mod sync;
