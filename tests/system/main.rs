//! The program on a real system: loop drives and their file systems, udev, message buses, a desktop's services, a
//! browser. Needs root, and says what it needs else.

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

/// The agent: a drive is plugged in while it listens.
mod agent {
    mod daemon;
    mod lasts;
    mod many_plug_ins;
    mod plug_in;
    mod profiles;
    mod why;
}
/// The services of a desktop.
mod desktop {
    mod login_and_keyring;
    mod notifications;
    mod udisks;
}
/// Commands and drives that are plugged in.
mod drives {
    mod adopt;
    mod devices;
    mod hooks;
    mod pairing;
    mod run;
    mod search;
    mod system_calls;
}
/// What depends on the file system of a drive.
mod file_systems {
    mod clones;
    mod commands;
    mod displace;
    mod full_drive;
    mod hostile;
    mod letter_case;
    mod limits;
    mod lost_sectors;
    mod model;
    mod mounted_sources;
    mod names;
    mod prune;
    mod restore;
    mod search;
}
mod page;
/// What measures time or wake-ups: ignored unless it is asked for, since it needs a machine where nothing else runs.
mod quiet {
    mod idle;
    mod latency;
}
