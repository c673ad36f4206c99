//! bkm-agent: plug in a drive and the backup starts by itself.
//!
//! The library is usable without the binary. Arrows point down: `cli` and `agent` call `backup` and
//! `history`; these call `select`, `repository` and `drive`; the small modules at the root serve all.

pub mod agent;
pub mod atomic_file;
pub mod backup;
mod beneath;
mod budget;
pub mod catalogs;
pub mod cli;
pub mod config;
pub mod desktop;
pub mod drive;
#[cfg(test)]
mod fixtures;
pub mod frozen;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod history;
pub mod hooks;
pub mod human;
pub mod in_words;
pub mod job;
pub mod language;
pub mod notify;
pub mod pairing;
pub mod problem;
pub mod relpath;
pub mod repository;
pub mod sanitize;
pub mod select;
pub mod state_dir;
