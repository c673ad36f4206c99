//! The engine, called as a library. Needs no drive and no root; `make test` runs it as root and as a normal user.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "what fails here fails the test, which says why it was skipped, and plays the person at the files"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod adopt_faults;
mod attributes;
mod displace;
mod edges;
mod faults;
mod full_drive;
mod kill;
mod mass_change;
mod model;
mod odd_sources;
mod page;
mod prune;
mod repair;
mod restore_model;
mod verify;
mod versions_lost;
