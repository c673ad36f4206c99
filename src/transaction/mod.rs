//! The journalled change of a repository: what is staged takes its place, step by step, so that it can be
//! finished or taken back after a plug was pulled at any instant.
//!
//! Every rename, link and unlink states what must be at both ends; anything else stops with an error. Runs, removals
//! and repairs of damage all change the drive's files here and nowhere else.

pub mod aside;
pub mod displaced;
pub mod healed;
pub mod leaving;
pub mod limits;
pub mod linked;
pub mod staged;
pub mod steps;
pub mod undo;
