//! Removes increments that the profile's retention does not keep, and versions that somebody wants gone.
//!
//! What later points in time still need moves to the next increment that stays, every reference to what goes is
//! written anew, and `restore --at` any increment that stays brings the same as before. Never the newest complete
//! increment goes. All of it is one record in the index before the first file moves, so that one that was cut off
//! is finished by the next run (`execute`, and where the drive has no journal `recover`).

pub mod error;
pub mod execute;
pub mod merge;
pub mod plan;
pub mod recover;
pub mod removal;
pub mod retention;
