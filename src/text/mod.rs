//! Words for people: sizes and times, causes of errors, the language, and what keeps a name from a drive from
//! doing harm on a terminal.

pub mod clock;
pub mod error_chain;
pub mod human;
pub mod language;
pub mod sanitize;
