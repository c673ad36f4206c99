//! A profile that was read and is valid. It only says what the user wants; nothing is looked up here.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::drive_match::DriveMatch;

/// Which drive a profile is for; `None` for one without a drive.
pub fn drive_of(profile: &Profile) -> Option<&DriveMatch> {
    match &profile.dist {
        Dist::Drive { drive, .. } => Some(drive),
        Dist::Folder(_) => None,
    }
}

/// A valid profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name: the file's name without `.json`.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// The source, absolute, `~` expanded.
    pub source: PathBuf,
    /// Where the repository is.
    pub dist: Dist,
    /// Whether a drive that stays attached is backed up again, and after how long.
    pub every: Option<Duration>,
    /// A plug-in sooner than this after the last complete run starts none.
    pub min_interval: Option<Duration>,
    /// What becomes of the drive after a run.
    pub after: After,
    /// How a drive is tied to the profile.
    pub pairing: Pairing,
    /// What is done while the computer runs on battery.
    pub on_battery: OnBattery,
    /// The user is reminded when the last complete run is older than this.
    pub remind_after: Option<Duration>,
    /// File that holds the key of an encrypted drive.
    pub keyfile: Option<PathBuf>,
    /// Programs that are run around a run.
    pub hooks: Hooks,
    /// Threads that read and hash the source; `None`: chosen by the program.
    pub max_workers: Option<usize>,
    /// Whether other mounts below the source are left out.
    pub one_file_system: bool,
    /// Whether the repository is closed to other users (0700).
    pub private: bool,
    /// Whether the repository has a page for browsers, by which files are found without this program.
    pub browse: bool,
    /// From how many deletions and changes on a run stops and asks.
    pub mass_change: MassChange,
    /// Which increments are kept.
    pub retention: Retention,
    /// Which files.
    pub rules: crate::source::rules::Rules,
}

impl Profile {
    /// Threads that read the source and write to the drive: as the profile says, else one per processor, 8
    /// at most. A drive is as fast with one as with several (`make bench-writers`), hashing is not.
    pub fn workers(&self) -> usize {
        self.max_workers.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, |count| count.get().min(8))
        })
    }
}

/// How much of the tracked files may vanish or change in one run before somebody is asked; both limits
/// must be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MassChange {
    /// Share of the tracked files in percent, 1 to 100; 100 cannot be exceeded.
    pub percent: u64,
    /// Number of files.
    pub files: u64,
}

impl Default for MassChange {
    /// What the design sets.
    fn default() -> Self {
        Self { percent: 50, files: 1000 }
    }
}

/// Which increments are kept: what one of these rules keeps stays. With none of them all stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The last so many.
    pub last: u64,
    /// All that are not older than the newest by more than this.
    pub within: Option<Duration>,
    /// The last one of each hour, for so many hours that have one.
    pub hourly: u64,
    /// The same for days.
    pub daily: u64,
    /// The same for weeks, from Monday on.
    pub weekly: u64,
    /// The same for months.
    pub monthly: u64,
    /// The same for years.
    pub yearly: u64,
}

impl Retention {
    /// Whether there is no rule, so that every increment is kept.
    pub fn is_off(&self) -> bool {
        let Self { last, within, hourly, daily, weekly, monthly, yearly } = self;
        [last, hourly, daily, weekly, monthly, yearly].iter().all(|count| **count == 0)
            && within.is_none()
    }
}

/// How a drive is tied to a profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pairing {
    /// The first drive that matches is paired; from then on only it and drives added by `pair`.
    #[default]
    FirstUse,
    /// Only drives added by `pair`.
    Required,
    /// Label or UUID alone decides.
    Off,
}

/// What is done with a drive that is plugged in while the computer runs on battery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBattery {
    /// It is backed up to all the same.
    #[default]
    Run,
    /// A notification asks.
    Ask,
    /// It waits until the computer is on mains again.
    Skip,
}

/// Programs that are run around a run, each as a list of arguments; an empty list is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Before the run; it is not begun if this one fails.
    pub before: Vec<String>,
    /// After a run that completed.
    pub after: Vec<String>,
    /// After one that did not.
    pub failed: Vec<String>,
    /// How long each may take.
    pub timeout: Duration,
}

impl Default for Hooks {
    /// None. Ten minutes: long enough to dump a database, and a hanging program does not hold a
    /// drive for the day.
    fn default() -> Self {
        let none = Vec::new;
        Self { before: none(), after: none(), failed: none(), timeout: Duration::from_mins(10) }
    }
}

/// Where a profile's repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dist {
    /// On a drive, at this path relative to its mount point.
    Drive {
        /// Which drive.
        drive: DriveMatch,
        /// Where on it.
        path: PathBuf,
        /// Whether the profile says so, as opposed to the default, which depends on the host's name.
        given: bool,
    },
    /// A folder, absolute.
    Folder(PathBuf),
}

/// What becomes of the drive after a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum After {
    /// A drive that we mounted is unmounted, one that was mounted stays.
    #[default]
    AsFound,
    /// Unmounted in any case.
    Unmount,
    /// Unmounted and powered off.
    PowerOff,
    /// Left mounted in any case.
    Keep,
}
