//! One run: scan, compare, plan, stage, publish, commit, report.
//!
//! It reads the source, writes to the repository alone, and tells what it does through [`Monitor`]. It
//! knows nothing of terminals, notifications or udev events. Called by `agent` and `cli`.

mod adopt;
mod aside;
mod compare;
mod displace;
mod examine;
mod execute;
pub mod heal;
mod known;
mod mass_change;
mod obstacles;
pub mod place;
mod plan;
pub mod prune;
mod publish;
mod recover;
pub mod report;
pub mod room;
mod run;
mod stage;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use plan::{Action, Planned};
pub use report::RunReport;
pub use run::{run, run_on_drive};

use crate::config::MassChange;
use crate::drive::faults::Faults;
use crate::drive::tree::TreeError;
use crate::repository::RepositoryError;
use crate::select::scan::ScanError;
use crate::select::source::SourceError;

/// What a run is doing now, and how far it is. The bar, the notification and tests implement it.
pub trait Monitor: Sync {
    /// The plan is made: so many files and bytes are to be copied.
    fn planned(&self, files: u64, bytes: u64);
    /// So many more files and bytes are staged.
    fn copied(&self, files: u64, bytes: u64);
    /// The run now does something that takes time without copying ("syncing").
    fn phase(&self, phase: &str);
}

/// Tells nobody.
pub struct Silent;

impl Monitor for Silent {
    fn planned(&self, _files: u64, _bytes: u64) {}
    fn copied(&self, _files: u64, _bytes: u64) {}
    fn phase(&self, _phase: &str) {}
}

/// How a run is done.
pub struct Options<'a> {
    /// Makes the plan and does nothing.
    pub dry_run: bool,
    /// Goes on where so much vanished or changed that the user is asked first.
    pub accept_mass_change: bool,
    /// Becomes true when the run is to stop at the next safe point.
    pub stop: &'a AtomicBool,
    /// Whom to tell.
    pub monitor: &'a dyn Monitor,
    /// Makes operations on the drive fail; for tests.
    pub faults: Option<Arc<Faults>>,
}

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
    #[error("cannot list the source {}", crate::sanitize::line(&path.to_string_lossy()))]
    Scan {
        /// The source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The rules select no file, but the mirror has some.
    #[error("the source {} has no file that the profile selects, but the backup holds {held}; nothing was changed. Is the source mounted? Do the rules still fit?", crate::sanitize::line(&path.to_string_lossy()))]
    EmptySource {
        /// The source.
        path: PathBuf,
        /// How many files the mirror has.
        held: u64,
    },
    /// Nothing in the mirror of the Python tool's repository is in the source.
    #[error("the backup there was made by the Python backup-manager, and none of the {held} files in its mirror is selected in the source {}; nothing was changed. Is it the backup of another source?", crate::sanitize::line(&path.to_string_lossy()))]
    OtherSource {
        /// The source.
        path: PathBuf,
        /// How many files the mirror has.
        held: u64,
    },
    /// So much of the source vanished or changed that the user is asked first.
    #[error("{} of the {tracked} tracked files in the backup vanished from the source {} ({deleted}) or have other content ({changed}): more than {} % and more than {} files. This is what ransomware, a disk that is not mounted or a wiped folder look like, so the backup stays as it is. Look at the source; if it is as you want it: bkm-agent run {} --accept-mass-change", deleted.saturating_add(*changed), crate::sanitize::line(&path.to_string_lossy()), limits.percent, limits.files, crate::sanitize::line(which))]
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
    Full(room::TooFull),
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
    #[error("{} cannot be made: the folder above it does not exist. Is the drive mounted?", crate::sanitize::line(&dist.to_string_lossy()))]
    NoParent {
        /// The repository's folder.
        dist: PathBuf,
    },
    /// The folder is on another file system than before.
    #[error("{} is on another file system than at the first run, so the drive is probably not mounted there; nothing was changed. Mount it; or, if the backup is to start anew here, remove {}", crate::sanitize::line(&dist.to_string_lossy()), memory.display())]
    OtherFileSystem {
        /// The repository's folder.
        dist: PathBuf,
        /// Where the first file system is remembered.
        memory: PathBuf,
    },
    /// The folder is somewhere else than before: a symbolic link leads there.
    #[error("{} leads to {} now, where it did not at the first run; nothing was changed. Is a symbolic link in its way that you did not make? If the backup is to start anew there, remove {}", crate::sanitize::line(&dist.to_string_lossy()), crate::sanitize::line(leads_to), memory.display())]
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
    fn stopped() -> Self {
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
    fn from_scan(error: ScanError, path: &std::path::Path) -> Self {
        match error {
            ScanError::Stopped => Self::stopped(),
            ScanError::Root(source) => Self::Scan { path: path.to_owned(), source },
        }
    }
}
