//! Profiles: which drive, which source, which files.
//!
//! A profile file is parsed to a raw form and then checked once into [`profile::Profile`]; nothing else of the
//! program sees the raw form.

pub mod check;
pub mod error;
pub mod json;
pub mod load;
pub mod profile;
pub mod raw;
pub mod summary;
