//! Hooks: programs that a profile has run before and after a backup.
//!
//! A hook is a list of arguments, never a shell's line, and only a profile file names one: nothing on a
//! drive can. What comes from a drive (labels) reaches a hook as environment and JSON, uninterpreted.
//! A hook cannot hold up the agent (its time is limited, its output is always read) and gets no handle
//! of the drive: everything here is opened with `O_CLOEXEC`.

pub mod calls;
pub mod event;
pub mod facts;
pub mod output;
pub mod process;
