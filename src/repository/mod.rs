//! What lies on the drive: layout, records, catalogs, lock — the only code that knows the format.
//!
//! The format is specified in `docs/format.md`. Nothing of it is trusted: every record is checked when it is read.
//! It places no files of the user's: that is `transaction`. It knows nothing of udev, D-Bus or terminals.

pub mod adoption;
pub mod catalog;
pub mod error;
pub mod format;
#[cfg(test)]
mod format_tests;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod handle;
pub mod index;
pub mod layout;
pub mod limits;
pub mod lock;
pub mod mark;
pub mod names;
pub mod page;
#[cfg(test)]
pub mod parser_tests;
pub mod placement;
pub mod python;
pub mod readme;
pub mod rebuild;
pub mod reserve;
pub mod staging;
pub mod status;
pub mod versioning;
