//! Which of the two ways of keeping versions a repository uses, and the version of the format.

use serde::{Deserialize, Serialize};

/// The version of the format that this program writes; a reader refuses a newer one.
pub const VERSION: u64 = 3;

/// How old versions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeping {
    /// A version is one inode with a name in the mirror and one in its increment.
    Hardlink,
    /// A version lies in the mirror alone, and is moved to its increment when it is replaced.
    Displace,
}
