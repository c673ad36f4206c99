//! The catalogs of each profile's repositories as this computer keeps them, so that questions are answered
//! while the drives lie in the cupboard.
//!
//! A cache below the state folder, made from the drives' catalogs and thrown away whenever it does not fit
//! them: what is wrong with it is never an error of a run, and never believed. What it has of an increment is
//! keyed by everything the index says of that one, and its revision.

pub mod entry;
pub mod file;
pub mod store;
