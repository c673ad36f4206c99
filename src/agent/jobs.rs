//! What the agent does on blocking threads: mounting, running, letting go of a drive.
//!
//! Each function may block for as long as a dying drive does, so none is called on the event loop's
//! thread. Called by the event loop in `agent`; `run` lets go of a drive in the same way.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::event::{Release, Unopened};
use crate::backup::{Monitor, Options, RunError};
use crate::config::Profile;
use crate::drive::device::Device;
use crate::drive::mount::{self, MountError, Mounted, Place};
use crate::in_words::in_words;
use crate::job::{self, JobError};
use crate::notify::texts::{Ended, Removal};
use crate::pairing::Pairings;

/// How a drive was let go of.
#[derive(Debug)]
pub(crate) struct Released {
    /// Whether it can be pulled.
    pub(crate) removal: Removal,
    /// What went wrong on the way, for the log.
    pub(crate) error: Option<String>,
}

/// Why a drive is not open.
#[derive(Debug)]
pub(super) enum NotMounted {
    /// It may not be mounted now.
    NotAuthorised,
    /// There is nobody who mounts for this user.
    Nobody,
    /// It cannot be used; why, in words.
    Failed(String),
}

/// Opens `device` where it is mounted; if it is not, mounts it when `make` says so.
pub(super) fn mount(device: &Device, make: bool) -> Result<Mounted, NotMounted> {
    let opened = match mount::find(device) {
        Ok(Some(entry)) => mount::open(device, &entry),
        Ok(None) if make && !rustix::process::geteuid().is_root() => {
            return Err(NotMounted::Nobody);
        }
        Ok(None) if make => mount::mount_as_root(device, false),
        // It was unmounted again between the event and now.
        Ok(None) => Err(MountError::NotTheDrive {
            point: Path::new("its former mount point").to_owned(),
            node: device.node.clone(),
        }),
        Err(error) => Err(error),
    };
    let mounted = opened.map_err(|error| NotMounted::Failed(in_words(&error)))?;
    if mounted.read_only() {
        let point = crate::sanitize::line(&mounted.point.to_string_lossy());
        let why = format!(
            "the drive is mounted read-only at {point} (write protection, or errors: check it with fsck)"
        );
        // Nothing was written: an error here has nothing to lose.
        let _left = mount::unmount(mounted);
        return Err(NotMounted::Failed(why));
    }
    Ok(mounted)
}

/// Unlocks the container `device` with the key that `profile` names.
pub(super) fn unlock(_device: &Device, _profile: &Profile) -> Result<Box<Device>, Unopened> {
    Err(Unopened::No("unlocking is not built yet".to_owned()))
}

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
        job::run(profile, Some((device, mounted)), pairings, &options)
    }));
    match ran {
        Ok(Ok(report)) => Ended::Complete(Box::new(report)),
        Ok(Err(JobError::Run(RunError::Stopped { kept }))) => Ended::Stopped(kept),
        Ok(Err(JobError::Hook(hook))) if hook.stopped() => {
            Ended::Stopped("the run was not begun".to_owned())
        }
        Ok(Err(JobError::Refused(refusal))) => {
            Ended::Refused { why: refusal.why, what_to_do: refusal.what_to_do }
        }
        Ok(Err(error)) => Ended::Failed(in_words(&error)),
        Err(_) => Ended::Failed(
            "an error inside bkm-agent (see the log); the backup made so far is kept".to_owned(),
        ),
    }
}

/// Lets go of a drive. `mounted` is what is still open of it, `place` where it was mounted.
pub(crate) fn release(
    mounted: Option<Mounted>,
    place: Option<&Place>,
    device: &Device,
    how: Release,
    may_unmount: bool,
) -> Released {
    let done = |removal, error| Released { removal, error };
    if how == Release::Gone {
        drop(mounted);
        let error = place.and_then(|place| mount::unmount_lazily(place).err());
        return done(Removal::Gone, error.map(|error| in_words(&error)));
    }
    let Some(mounted) = mounted else {
        // A run was lost with its handle: nothing is known of what is synced.
        let error = place.and_then(|place| mount::unmount_lazily(place).err());
        return done(Removal::EjectFirst, error.map(|error| in_words(&error)));
    };
    let unmount = match how {
        Release::AsFound => mounted.ours,
        Release::Unmount | Release::PowerOff => mounted.ours || may_unmount,
        Release::Keep | Release::Pause | Release::Gone => false,
    };
    // Errors of writing show here or never: unmounting does not report them.
    let synced = rustix::fs::syncfs(&mounted.root);
    let error = synced.err().map(|errno| format!("syncing failed: {errno}"));
    if unmount && let Err(error) = mount::unmount_any(mounted) {
        return done(Removal::EjectFirst, Some(in_words(&error)));
    }
    // Also when the desktop unmounted it meanwhile.
    let removal = match (mount::is_released(device), &error) {
        (false, _) => Removal::EjectFirst,
        (true, None) => Removal::Safe,
        (true, Some(_)) => Removal::Doubtful,
    };
    done(removal, error)
}
