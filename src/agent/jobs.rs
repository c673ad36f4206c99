//! What the agent does on blocking threads: mounting, running, letting go of a drive.
//!
//! Each function may block for as long as a dying drive does, so none is called on the event loop's
//! thread.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::backup::error::RunError;
use crate::backup::options::{Monitor, Options};
use crate::config::profile::Profile;
use crate::drive::device::Device;
use crate::drive::mounted::Mounted;
use crate::job::backup_job::{self, JobError};
use crate::notify::texts::ended::{Ended, Trouble};
use crate::pairing::store::Pairings;
use crate::text::error_chain::in_words;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// What it does.
    pub(super) stage: Stage,
    /// Files that are copied.
    pub(super) files_done: u64,
    /// Files to copy.
    pub(super) files: u64,
    /// Bytes that are copied.
    pub(super) bytes_done: u64,
    /// Bytes to copy.
    pub(super) bytes: u64,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// The plan is made.
    #[default]
    Planned,
    /// It copies.
    Copying,
    /// It writes out what is copied.
    Syncing,
}

/// Tells the event loop how far a run is, once a second at most: neither the loop nor the notification
/// service is to be kept busy by a hundred thousand small files.
struct Teller<T> {
    tell: T,
    so_far: Mutex<(Progress, Option<Instant>)>,
}

const BETWEEN_TELLS: Duration = Duration::from_secs(1);

impl<T: Fn(Progress) + Send + Sync> Teller<T> {
    fn change(&self, at_once: bool, change: impl FnOnce(&mut Progress)) {
        let Ok(mut so_far) = self.so_far.lock() else {
            return;
        };
        let (progress, last) = &mut *so_far;
        let before = progress.stage;
        change(progress);
        let waited = last.is_none_or(|last| last.elapsed() >= BETWEEN_TELLS);
        if at_once || waited || progress.stage != before {
            *last = Some(Instant::now());
            (self.tell)(*progress);
        }
    }
}

impl<T: Fn(Progress) + Send + Sync> Monitor for Teller<T> {
    fn planned(&self, files: u64, bytes: u64) {
        self.change(true, |progress| {
            progress.files = files;
            progress.bytes = bytes;
        });
    }

    fn copied(&self, files: u64, bytes: u64) {
        self.change(false, |progress| {
            progress.stage = Stage::Copying;
            progress.files_done += files;
            progress.bytes_done += bytes;
        });
    }

    fn phase(&self, phase: &str) {
        if phase == "syncing" {
            self.change(true, |progress| progress.stage = Stage::Syncing);
        }
    }
}

/// Runs `profile`. A panic in it is a failed run, never the agent's end.
pub(super) fn run(
    profile: &Profile,
    device: &Device,
    mounted: &Mounted,
    pairings: &Pairings,
    stop: &AtomicBool,
    tell: impl Fn(Progress) + Send + Sync,
) -> Ended {
    let monitor = Teller { tell, so_far: Mutex::default() };
    let options = Options {
        dry_run: false,
        accept_mass_change: false,
        stop,
        monitor: &monitor,
        faults: None,
    };
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
        // What is wrong with a hook was logged.
        backup_job::run(profile, Some((device, mounted)), pairings, &options).ran
    }));
    match ran {
        Ok(Ok(report)) => Ended::Complete(Box::new(report)),
        Ok(Err(JobError::Run(RunError::Stopped { kept }))) => Ended::Stopped(kept),
        Ok(Err(JobError::Hook(hook))) if hook.stopped() => {
            Ended::Stopped("the run was not begun".to_owned())
        }
        Ok(Err(JobError::Refused(refusal))) if refusal.kind.is_passing() => {
            Ended::Failed(refusal.to_string())
        }
        Ok(Err(JobError::Refused(refusal))) => {
            let (why, what_to_do) = (refusal.why, refusal.what_to_do);
            Ended::Unusable(Trouble::Refused { why, what_to_do })
        }
        Ok(Err(JobError::NotWritable(error))) => {
            let why = error.to_string();
            Ended::Unusable(Trouble::RootOwned { why, command: error.command })
        }
        Ok(Err(error)) => Ended::Failed(in_words(&error)),
        Err(_) => Ended::Failed(
            "an error inside bkm-agent (see the log); the backup made so far is kept".to_owned(),
        ),
    }
}
