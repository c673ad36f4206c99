//! Why a repository cannot be used, in words for the person at the keyboard.
//!
//! It only tells, and tries nothing again.

use std::io;
use std::path::PathBuf;

use crate::fs::tree::error::TreeError;
use crate::model::budget::TooLarge;
use crate::repository::versioning;

/// Something else in the place of one of the repository's records is damage of the repository.
pub(crate) fn record_error(e: TreeError) -> RepositoryError {
    if e.is_foreign() { RepositoryError::Damaged(format!("{e}: {}", e.source)) } else { e.into() }
}

/// What a parser said, cut where it repeats much of a hostile text.
pub(crate) fn short(e: &dyn std::fmt::Display) -> String {
    const HEAD: usize = 200;
    let text = e.to_string();
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(HEAD).collect();
    match chars.as_str() {
        "" => text,
        rest => {
            // Where it is stands at the end.
            let place = rest.rfind(" at line ").and_then(|at| rest.get(at..));
            format!("{head}…{}", place.unwrap_or_default())
        }
    }
}

/// Why the repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// An operation on the drive failed.
    #[error(transparent)]
    Drive(#[from] TreeError),
    /// One of its records cannot be read.
    #[error("cannot read the repository's records")]
    Read(#[source] io::Error),
    /// Another run works on it.
    #[error("another run works on this repository: {holder} holds its lock; wait for it to end")]
    Locked {
        /// Who, in words.
        holder: String,
    },
    /// Its records contradict themselves or fail their checksums.
    #[error(
        "the repository is damaged ({0}); `bkm-agent repair` rebuilds its records from the files on the drive"
    )]
    Damaged(String),
    /// What is on the drive is not what the records say.
    #[error("{} is not what the repository's record says ({found}); nothing was changed there; `bkm-agent repair` brings the record in line", crate::text::sanitize::line(&path.to_string_lossy()))]
    Mismatch {
        /// Where.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A drive without a journal was pulled out during a run, and cannot be read everywhere now.
    #[error(
        "the drive was pulled out during a backup, and its file system has to be checked before it is used: unmount it and run `sudo fsck -a` on its device (/dev/sdb1, say), then back up again; nothing that earlier runs backed up is concerned"
    )]
    NeedsCheck(#[source] TreeError),
    /// Reading it would take more memory than there is.
    #[error(
        "{0} needs more memory than this computer has for it; use one with more (what is on the drive are plain files, too: see its README.txt)"
    )]
    TooLarge(String),
    /// It was made by a later version of the program.
    #[error("the repository has format {0}, this program knows formats up to {known}; use a newer bkm-agent", known = versioning::VERSION)]
    Newer(u64),
    /// There is none.
    #[error("{} is not a backup repository (it has no .bkm/format.json)", crate::text::sanitize::line(&.0.to_string_lossy()))]
    Missing(PathBuf),
    /// The Python tool made it.
    #[error("{} was made by the Python backup-manager and is not taken over yet; `bkm-agent run` does that", crate::text::sanitize::line(&.0.to_string_lossy()))]
    NotTakenOver(PathBuf),
    /// The Python tool made it, and it cannot be taken over.
    #[error("{} was made by the Python backup-manager and cannot be taken over: {why}; none of its files was changed. Choose another `dist` to begin anew", crate::text::sanitize::line(&path.to_string_lossy()))]
    CannotTakeOver {
        /// Its folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The folder holds something else.
    #[error("{} is not empty and is not a backup repository; choose another `dist`", crate::text::sanitize::line(&.0.to_string_lossy()))]
    Occupied(PathBuf),
}

impl From<TooLarge> for RepositoryError {
    fn from(what: TooLarge) -> Self {
        Self::TooLarge(what.0.to_owned())
    }
}

impl RepositoryError {
    /// Whether the cause is that the drive has no more room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Drive(e) if e.is_full())
    }
}
