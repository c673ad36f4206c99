//! The program as a person uses it, on folders. Needs no drive and no root; `make test` runs it as root and as a normal
//! user.

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

mod adopt;
mod help;
mod hooks;
mod hostile;
mod hostile_catalogs;
mod hostile_index;
mod list_and_status;
mod mass_change;
mod odd_sources;
mod page_cache;
mod profiles;
mod prune;
/// What measures time: ignored unless it is asked for, since it needs a machine where nothing else runs.
mod quiet {
    mod hooks;
    mod stop;
}
mod repair;
mod restore;
mod run;
mod search;
mod verify;
mod why;
