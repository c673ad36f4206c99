//! How a restore deals with what exists, and what it sets.

use crate::restore::owners::Owners;

/// What becomes of what exists at the destination and is not what is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and is a problem.
    #[default]
    Name,
    /// It stays; only what is missing is restored. What exists is not even read.
    Leave,
    /// It is replaced.
    Replace,
    /// It stays; what is restored gets another name beside it.
    KeepBoth,
}

/// How a restore is done.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// What becomes of what exists.
    pub existing: Existing,
    /// Gives set-id bits back as well. A drive that was in other hands could give anybody a privilege with
    /// them, so that is asked for.
    pub keep_set_id: bool,
    /// Who gets what belonged to whom.
    pub owners: Owners,
}
