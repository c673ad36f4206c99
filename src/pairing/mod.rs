//! Ties a physical drive to a profile of this computer: the wrong drive gets nothing (invariant 7).
//!
//! What decides is `verdict`, which is pure. A drive that is refused is not written to. It knows nothing of the
//! agent or the command line.

pub mod admission;
pub mod messages;
pub mod secret;
pub mod store;
pub mod uuid;
pub mod verdict;
pub mod wanted;
