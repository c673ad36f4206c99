//! The plan of a run: what changed, what is to be done about it, and whether there is room.
//!
//! Nothing is written to the drive here.

pub mod compare;
pub mod examine;
pub mod known;
pub mod mass_change;
pub mod planner;
pub mod space;
pub mod work;
