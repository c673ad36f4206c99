//! Whether a repository is what its records say, and what is done if not: `verify` finds out, `heal` copies
//! damaged files again, `repair` rebuilds the records.
//!
//! Nothing that is sound is changed.

pub mod damage;
pub mod expected;
pub mod heal;
pub mod repair;
pub mod verify;
