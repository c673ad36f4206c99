//! The agent: events in, runs out.
//!
//! One thread (`daemon`) waits and carries out; `controller` decides and touches nothing; what may block runs in
//! `jobs`, on threads of its own. A wrong drive gets nothing, and a right one that cannot be used yet waits.

pub mod attach;
pub mod attach_log;
pub mod consider;
pub mod controller;
pub mod daemon;
pub mod due;
pub mod event;
pub mod jobs;
pub mod lock;
pub mod logging;
pub mod notifications;
pub mod profiles;
pub mod reminder;
pub mod replay;
pub mod report;
pub mod session;
pub mod settings;
pub mod state;
#[cfg(test)]
pub mod test_profile;
