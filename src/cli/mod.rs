//! The command line: one file per command. Each parses, calls and prints.
//!
//! Nothing else of the program prints.

pub mod bar;
pub mod check;
pub mod commands;
pub mod daemon;
pub mod delete;
pub mod diff;
pub mod drives;
pub mod error;
pub mod file_system;
pub mod list;
pub mod new_profile;
pub mod output;
pub mod paint;
pub mod pair;
pub mod passphrase;
pub mod progress;
pub mod prometheus;
pub mod prune;
pub mod repair;
pub mod repositories;
pub mod restore;
pub mod restore_report;
pub mod run;
pub mod search;
pub mod signals;
pub mod source_path;
pub mod status;
pub mod target;
pub mod unpair;
pub mod verify;
pub mod versions;
pub mod why;
