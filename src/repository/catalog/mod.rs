//! The catalog: the JSON in an increment that lists its files.

pub mod check;
pub mod document;
pub mod file;
