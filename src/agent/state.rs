//! The states of a plug-in, in the words of log, `status` and `why`.
//!
//! Pure: a state knows its word, what is to be said with it, and what the user can do about it. It never
//! formats what comes from a drive without `sanitize`.

use serde::{Deserialize, Serialize};

use crate::text::sanitize::line;

/// What a state means for the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// One step further.
    Passed,
    /// It goes on by itself when something happens.
    Waiting,
    /// The way ends here.
    Out,
}

/// Where a plug-in stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A device with a file system, or a locked one, is there; what it is.
    Seen(String),
    /// No profile is for it.
    NotOurs,
    /// A profile is for it; by what it was recognised.
    Matched(String),
    /// How it is tied to the profile.
    Paired(String),
    /// It may not be used.
    Refused {
        /// Why.
        why: String,
        /// What the user can do.
        remedy: String,
    },
    /// A run is to be done; why now, where that is not plain.
    Due(String),
    /// The last complete run is too recent.
    NotDue(String),
    /// The computer runs on battery, and the profile does not want that.
    OnBattery {
        /// Whether the user is asked.
        asks: bool,
    },
    /// It is encrypted, and was opened.
    Unlocked(String),
    /// It is encrypted, and nobody has opened it.
    Locked(String),
    /// Nobody has mounted it yet.
    WaitingForMount,
    /// The session is not active, so it may not be mounted now.
    NotAuthorised,
    /// Another run uses the source or the drive.
    Queued,
    /// The computer sleeps or is about to.
    Asleep,
    /// It is mounted; where and by whom.
    Mounted(String),
    /// The run looks what there is to do.
    Running,
    /// What the run will copy.
    Planned(String),
    /// The first byte is copied.
    Copying,
    /// Everything is on the drive; what the run did.
    Flushed(String),
    /// The run was told to stop; what is kept.
    Stopped(String),
    /// It did not work.
    Failed(String),
    /// It is mounted no longer.
    Unmounted,
    /// It can be pulled.
    SafeToRemove,
    /// The backup is done, and the drive still mounted; why, if it should not be.
    EjectFirst(String),
    /// It is unmounted, and writing to it failed.
    Doubtful(String),
    /// It was pulled.
    Removed,
}

impl State {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Seen(_) => "seen",
            Self::NotOurs => "no profile is for it",
            Self::Matched(_) => "matched",
            Self::Paired(_) => "paired",
            Self::Refused { .. } => "refused",
            Self::Due(_) => "due",
            Self::NotDue(_) => "not due",
            Self::OnBattery { .. } => "on battery",
            Self::Unlocked(_) => "unlocked",
            Self::Locked(_) => "locked",
            Self::WaitingForMount => "waiting for it to be mounted",
            Self::NotAuthorised => "not authorised yet",
            Self::Queued => "waiting for another run of the same source",
            Self::Asleep => "asleep",
            Self::Mounted(_) => "mounted",
            Self::Running => "running",
            Self::Planned(_) => "planned",
            Self::Copying => "copying",
            Self::Flushed(_) => "flushed",
            Self::Stopped(_) => "stopped",
            Self::Failed(_) => "failed",
            Self::Unmounted => "unmounted",
            Self::SafeToRemove => "safe to remove",
            Self::EjectFirst(_) => "finished, eject before you pull",
            Self::Doubtful(_) => "unmounted, but writing to it failed",
            Self::Removed => "unplugged",
        }
    }

    /// What is to be said with the word; safe to show, empty if nothing.
    pub fn detail(&self) -> String {
        match self {
            Self::Seen(text)
            | Self::Matched(text)
            | Self::Paired(text)
            | Self::Due(text)
            | Self::NotDue(text)
            | Self::Unlocked(text)
            | Self::Locked(text)
            | Self::Mounted(text)
            | Self::Planned(text)
            | Self::Flushed(text)
            | Self::Stopped(text)
            | Self::Failed(text)
            | Self::EjectFirst(text)
            | Self::Doubtful(text)
            | Self::Refused { why: text, .. } => line(text),
            Self::OnBattery { asks: true } => "a notification asks".to_owned(),
            Self::OnBattery { asks: false } => "the profile waits for mains power".to_owned(),
            Self::NotAuthorised => "your session is not the active one".to_owned(),
            Self::Asleep => "the run goes on when the computer is awake again".to_owned(),
            Self::NotOurs
            | Self::WaitingForMount
            | Self::Queued
            | Self::Running
            | Self::Copying
            | Self::Unmounted
            | Self::SafeToRemove
            | Self::Removed => String::new(),
        }
    }

    /// What the user can do; `{profile}` and `{device}` stand for the two.
    pub fn remedy(&self) -> Option<&str> {
        Some(match self {
            Self::NotOurs => "bkm-agent pair {device} --src ~/Documents makes a profile for it",
            Self::Refused { remedy, .. } if !remedy.is_empty() => remedy,
            Self::NotDue(_) => {
                "bkm-agent run --profile {profile} backs up now; \"min_interval\" sets the wait"
            }
            Self::OnBattery { .. } => {
                "plug in the power cord, or: bkm-agent run --profile {profile}"
            }
            Self::Locked(_) => {
                "open it in the file manager; or name a key in the profile (\"unlock\")"
            }
            Self::WaitingForMount => "open the drive in the file manager",
            Self::NotAuthorised => "it goes on when you switch back to your session",
            Self::Failed(_) => {
                "mend that, then plug it in again or: bkm-agent run --profile {profile}"
            }
            Self::Stopped(_) => "plug it in again: the backup goes on where it stopped",
            Self::EjectFirst(_) => "eject it in the file manager before you pull it",
            Self::Doubtful(_) => "check the drive with fsck, then run the backup again",
            _ => return None,
        })
    }

    /// What it means for the backup.
    pub fn mark(&self) -> Mark {
        match self {
            Self::OnBattery { .. }
            | Self::Locked(_)
            | Self::WaitingForMount
            | Self::NotAuthorised
            | Self::Queued
            | Self::Asleep => Mark::Waiting,
            Self::NotOurs
            | Self::Refused { .. }
            | Self::NotDue(_)
            | Self::Stopped(_)
            | Self::Failed(_)
            | Self::Doubtful(_) => Mark::Out,
            _ => Mark::Passed,
        }
    }

    /// Whether what follows at once says more: such a state alone is not worth a write.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Seen(_)
                | Self::Matched(_)
                | Self::Paired(_)
                | Self::Due(_)
                | Self::Unlocked(_)
                | Self::Mounted(_)
                | Self::Planned(_)
                | Self::Flushed(_)
                | Self::Unmounted
        )
    }
}

/// The way of a plug-in that ends well, by its words.
pub const WAY: [&str; 10] = [
    "seen",
    "matched",
    "paired",
    "due",
    "mounted",
    "planned",
    "copying",
    "flushed",
    "unmounted",
    "safe to remove",
];
