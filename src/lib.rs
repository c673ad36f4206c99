//! bkm-agent: plug in a drive and the backup starts by itself.
//!
//! The library is usable without the binary. Folders are by subject and stand on floors: a folder uses only those
//! below its own. `docs/architecture.md` has the table, and a test holds the code to it.

pub mod agent;
pub mod backup;
pub mod cli;
pub mod config;
pub mod desktop;
pub mod drive;
#[cfg(test)]
mod fixtures;
pub mod fs;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod history;
pub mod host;
pub mod integrity;
pub mod job;
pub mod model;
pub mod notify;
pub mod pairing;
pub mod prune;
pub mod repository;
pub mod restore;
pub mod source;
pub mod state;
pub mod text;
pub mod transaction;
