//! Compares what lies on the drive with what the records say: every version of the mirror and of the
//! increments, its presence and size, and (unless quick) its content.
//!
//! It only reads, each file once however many names it has, and one catalog at a time. `prove` alone writes, where
//! a hash was missing.

pub mod error;
pub mod finding;
pub mod group;
pub mod options;
pub mod prove;
pub mod reading;
pub mod run;
pub mod verifier;
pub mod version;
