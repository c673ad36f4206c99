//! Brings files back: one, a folder, what a mask matches, or the whole tree, as of now or then.
//!
//! It writes below the destination alone, through the same module that keeps drive operations beneath
//! an open handle, so that no symbolic link there or in the backup leads it elsewhere. A file gets its
//! name when it is whole and its hash was checked; what exists is compared first and only replaced if
//! asked. It can be cut off at any instant: the same restore again goes on.

pub mod attributes;
pub mod decide;
pub mod error;
pub mod folders;
pub mod keep_both;
pub mod options;
pub mod owners;
pub mod put;
pub mod report;
pub mod restorer;
pub mod run;
pub mod script;
pub mod selection;
