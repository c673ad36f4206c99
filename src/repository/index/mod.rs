//! The index: what is in the mirror, and what the run in hand has published.
//!
//! One log (`.bkm/index`) is base, deltas and journal at once; see `docs/format.md`, "Index".

pub mod change;
pub mod check;
pub mod contents;
pub mod frame;
pub mod history;
pub mod increment;
pub mod log;
pub mod open;
pub mod places;
pub mod prune;
pub mod record;
pub mod stamp;
pub mod store;
pub mod table;
