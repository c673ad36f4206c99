//! Which of a repository's folders a version lies in.

use serde::{Deserialize, Serialize};

/// Where a name of a version is; increments by their sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Within {
    /// In the mirror.
    Mirror,
    /// Among the new or changed files of an increment.
    Track(u64),
    /// Among the files that an increment found gone.
    Deleted(u64),
}
