//! Finds out what a removal does: which versions move, which go, which catalogs are written anew, and how much
//! room that makes.
//!
//! It changes nothing but that it stages the new catalogs, if it is to.

pub mod displaced;
pub mod files;
pub mod planner;
pub mod work;
