//! `browse.html` and the folder `browse`: a page by which people find files and their versions in any
//! browser, from the drive and without this program.
//!
//! All of it is made of the catalogs and can be removed at any time. It is never read back, and whatever keeps it
//! from being written but an error of the drive costs the page alone, never the run.

pub mod data;
pub mod refresh;
