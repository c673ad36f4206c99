//! What the computer's desktop and power management offer: sessions and sleep (logind), stored passphrases
//! (Secret Service), the file manager, mains or battery.
//!
//! None of it is needed: without a bus or a service a backup runs as on a server.

pub mod folder;
pub mod login;
pub mod power;
pub mod secrets;
