//! Why a run ended early, in words for the person at the keyboard.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::profile::MassChange;
use crate::fs::tree::error::TreeError;
use crate::repository::error::RepositoryError;
use crate::source::open::SourceError;
use crate::source::scan::ScanError;
use crate::text::human;

/// Why a run did not complete.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was told to stop.
    #[error("stopped; {kept}")]
    Stopped {
        /// What is kept, for people.
        kept: String,
    },
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source's own folder could not be listed.
    #[error("cannot list the source {}", crate::text::sanitize::line(&path.to_string_lossy()))]
    Scan {
        /// The source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The rules select no file, but the mirror has some.
    #[error("the source {} has no file that the profile selects, but the backup holds {held}; nothing was changed. Is the source mounted? Do the rules still fit?", crate::text::sanitize::line(&path.to_string_lossy()))]
    EmptySource {
        /// The source.
        path: PathBuf,
        /// How many files the mirror has.
        held: u64,
    },
    /// Nothing in the mirror of the Python tool's repository is in the source.
    #[error("the backup there was made by the Python backup-manager, and none of the {held} files in its mirror is selected in the source {}; nothing was changed. Is it the backup of another source?", crate::text::sanitize::line(&path.to_string_lossy()))]
    OtherSource {
        /// The source.
        path: PathBuf,
        /// How many files the mirror has.
        held: u64,
    },
    /// So much of the source vanished or changed that the user is asked first.
    #[error("{} of the {tracked} tracked files in the backup vanished from the source {} ({deleted}) or have other content ({changed}): more than {} % and more than {} files. This is what ransomware, a disk that is not mounted or a wiped folder look like, so the backup stays as it is. Look at the source; if it is as you want it: bkm-agent run {} --accept-mass-change", deleted.saturating_add(*changed), crate::text::sanitize::line(&path.to_string_lossy()), limits.percent, limits.files, crate::text::sanitize::line(which))]
    MassChange {
        /// The profile, as `run` takes it.
        which: String,
        /// The source.
        path: PathBuf,
        /// Tracked files that the backup holds.
        tracked: u64,
        /// Those of them that vanished.
        deleted: u64,
        /// Those of them with other content.
        changed: u64,
        /// What the profile allows.
        limits: MassChange,
    },
    /// Too little room.
    #[error("the drive is too full: {0}")]
    Full(TooFull),
    /// The drive had room enough when the run began, and then had not.
    #[error(
        "the drive became full; {kept}. Free some space on the drive, or let the profile exclude something, and run the backup again"
    )]
    FilledUp {
        /// What is kept, for people.
        kept: String,
        /// What could not be done.
        source: RepositoryError,
    },
    /// The folder above `dist` is missing.
    #[error("{} cannot be made: the folder above it does not exist. Is the drive mounted?", crate::text::sanitize::line(&dist.to_string_lossy()))]
    NoParent {
        /// The repository's folder.
        dist: PathBuf,
    },
    /// The folder is on another file system than before.
    #[error("{} is on another file system than at the first run, so the drive is probably not mounted there; nothing was changed. Mount it; or, if the backup is to start anew here, remove {}", crate::text::sanitize::line(&dist.to_string_lossy()), memory.display())]
    OtherFileSystem {
        /// The repository's folder.
        dist: PathBuf,
        /// Where the first file system is remembered.
        memory: PathBuf,
    },
    /// The folder is somewhere else than before: a symbolic link leads there.
    #[error("{} leads to {} now, where it did not at the first run; nothing was changed. Is a symbolic link in its way that you did not make? If the backup is to start anew there, remove {}", crate::text::sanitize::line(&dist.to_string_lossy()), crate::text::sanitize::line(leads_to), memory.display())]
    OtherPlace {
        /// The repository's folder.
        dist: PathBuf,
        /// Where it leads.
        leads_to: String,
        /// Where the first place is remembered.
        memory: PathBuf,
    },
    /// What is to be remembered on this computer cannot be written.
    #[error("cannot write {}", file.display())]
    Memory {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Worker threads cannot be started.
    #[error("cannot start the worker threads")]
    Workers(#[source] rayon::ThreadPoolBuildError),
    /// The profile's repository is on a drive, and none was given.
    #[error("the profile {profile} is backed up to a drive; plug it in or name it with --device")]
    NeedsDrive {
        /// The profile.
        profile: String,
    },
    /// The repository cannot be used, or an operation on it failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl RunError {
    /// Told to stop before anything of this run was in place.
    pub(crate) fn stopped() -> Self {
        Self::Stopped {
            kept: "nothing of this run was written; what earlier runs backed up is untouched"
                .to_owned(),
        }
    }
}

impl From<TreeError> for RunError {
    fn from(e: TreeError) -> Self {
        Self::Repository(e.into())
    }
}

impl RunError {
    pub(crate) fn from_scan(error: ScanError, path: &std::path::Path) -> Self {
        match error {
            ScanError::Stopped => Self::stopped(),
            ScanError::Root(source) => Self::Scan { path: path.to_owned(), source },
        }
    }
}

/// Why a run is refused: what it needs and what is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFull {
    /// Bytes needed.
    pub needed: u64,
    /// Bytes free.
    pub free: u64,
    /// Files and folders needed.
    pub files_needed: u64,
    /// Files and folders that the drive can still hold; `None` where there is no limit.
    pub files_free: Option<u64>,
}

impl fmt::Display for TooFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = human::size;
        let Self { needed, free, files_needed, .. } = *self;
        write!(f, "this run needs {} and {files_needed} new files and folders, ", size(needed))?;
        match self.files_free {
            Some(files) => write!(f, "free are {} and room for {files} files", size(free))?,
            None => write!(f, "free are {}", size(free))?,
        }
        f.write_str("; nothing of this run was written. ")?;
        if needed > free {
            write!(f, "Free {} or more on the drive", size(needed - free))?;
        } else {
            let missing = files_needed.saturating_sub(self.files_free.unwrap_or(u64::MAX));
            write!(
                f,
                "Delete {missing} or more files from the drive (its file system holds no more files, whatever their size)"
            )?;
        }
        f.write_str(", let the profile exclude something, or use a larger drive")
    }
}
