//! What the agent does on blocking threads: mounting, running, letting go of a drive.
//!
//! Each function may block for as long as a dying drive does, so none is called on the event loop's
//! thread.

use std::io::Read as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::event::{Release, Unopened};
use crate::backup::{Monitor, Options, RunError};
use crate::config::Profile;
use crate::desktop::secrets;
use crate::drive::device::Device;
use crate::drive::luks::{self, LuksError};
use crate::drive::mount::{self, MountError, Mounted, Place};
use crate::drive::{udisks, unmount};
use crate::in_words::in_words;
use crate::job::{self, JobError};
use crate::notify::texts::{Ended, Removal, Trouble};
use crate::pairing::Pairings;

/// How a drive was let go of.
#[derive(Debug)]
pub(crate) struct Released {
    /// Whether it can be pulled.
    pub(crate) removal: Removal,
    /// What went wrong on the way, for the log.
    pub(crate) error: Option<String>,
    /// Programs that keep it mounted.
    pub(crate) holders: Vec<String>,
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

/// Opens `device` where it is mounted; if it is not, mounts it when `make` says so. `known`: it is a profile's
/// drive as far as this computer can tell.
pub(super) fn mount(device: &Device, make: bool, known: bool) -> Result<Mounted, NotMounted> {
    let opened = if make && known {
        mount::find_or_mount_known(device)
    } else if make {
        mount::find_or_mount(device, false)
    } else {
        // It may have been unmounted again between the event and now.
        let gone = || MountError::NotTheDrive {
            point: Path::new("its former mount point").to_owned(),
            node: device.node.clone(),
        };
        mount::find(device)
            .and_then(|entry| entry.ok_or_else(gone))
            .and_then(|entry| mount::open(device, &entry))
    };
    let mounted = opened.map_err(|error| match error {
        MountError::NotAuthorised { .. } => NotMounted::NotAuthorised,
        MountError::Nobody { why, .. } => {
            tracing::info!("drives cannot be mounted from here: {}", crate::sanitize::line(&why));
            NotMounted::Nobody
        }
        error => NotMounted::Failed(in_words(&error)),
    })?;
    if mounted.read_only() {
        let point = crate::sanitize::line(&mounted.point.to_string_lossy());
        let why = format!(
            "the drive is mounted read-only at {point} (write protection, or errors: check it with fsck)"
        );
        // Nothing was written: an error here has nothing to lose.
        let _left = unmount::unmount(mounted);
        return Err(NotMounted::Failed(why));
    }
    Ok(mounted)
}

/// Opens the encrypted `container` with the key that the profile names, else with the passphrase that was
/// stored for it.
pub(crate) fn unlock(container: &Device, profile: &Profile) -> Result<Box<Device>, Unopened> {
    let key = if let Some(file) = &profile.keyfile {
        read_key(file).map_err(|error| {
            Unopened::No(format!("its key {} cannot be read: {error}", file.display()))
        })?
    } else {
        match secrets::lookup(container.uuid.as_deref().unwrap_or_default()) {
            Ok(Some(passphrase)) => passphrase.bytes().to_vec(),
            Ok(None) => return Err(Unopened::No("no key is known for it".to_owned())),
            Err(error) => return Err(Unopened::No(error.to_string())),
        }
    };
    match luks::unlock(container, &key) {
        Ok(device) => Ok(Box::new(device)),
        Err(LuksError::NotAuthorised { .. }) => Err(Unopened::NotAuthorised),
        Err(error) => Err(Unopened::No(in_words(&error))),
    }
}

/// The largest key file, in bytes: what cryptsetup takes.
const MAX_KEY: u64 = 8 << 20;

fn read_key(file: &Path) -> std::io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a FIFO would wait.
    if !std::fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("not a file"));
    }
    let mut key = Vec::new();
    std::fs::File::open(file)?.take(MAX_KEY).read_to_end(&mut key)?;
    Ok(key)
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
        // What is wrong with a hook was logged.
        job::run(profile, Some((device, mounted)), pairings, &options).ran
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

/// Lets go of a drive. `mounted` is what is still open of it, `place` where it was mounted; `lock` closes
/// the container that it is in.
pub(crate) fn release(
    mounted: Option<Mounted>,
    place: Option<&Place>,
    device: &Device,
    how: Release,
    lock: bool,
) -> Released {
    let mut released = unmount(mounted, place, device, how);
    let unmounted = matches!(released.removal, Removal::Safe | Removal::Doubtful);
    let mut and_then = |done: Result<(), String>| {
        if let Err(why) = done {
            // What is unmounted can be pulled all the same.
            released.error.get_or_insert(why);
        }
    };
    // Also where it could not be mounted, or is gone.
    if lock
        && (how == Release::Gone || unmount::is_released(device))
        && let Some(container) = &device.container
    {
        and_then(luks::lock(container).map_err(|error| in_words(&error)));
    }
    if unmounted && how == Release::PowerOff {
        let whole = device.container.as_deref().unwrap_or(device);
        and_then(
            udisks::power_off(whole)
                .map(|_off| ())
                .map_err(|error| format!("its power could not be cut: {}", in_words(&error))),
        );
    }
    released
}

fn unmount(
    mounted: Option<Mounted>,
    place: Option<&Place>,
    device: &Device,
    how: Release,
) -> Released {
    let done = |removal, error| Released { removal, error, holders: Vec::new() };
    if how == Release::Gone {
        drop(mounted);
        let error = place.and_then(|place| unmount::unmount_lazily(place).err());
        return done(Removal::Gone, error.map(|error| in_words(&error)));
    }
    let mounted = match mounted {
        Some(mounted) => mounted,
        // The user wants it ejected, and no run has it open.
        None if how == Release::PowerOff => {
            let opened = mount::find(device)
                .and_then(|entry| entry.map(|entry| mount::open(device, &entry)).transpose());
            match opened {
                Ok(Some(mounted)) => mounted,
                // Not mounted as a whole; a part of it, or of the disk, may be.
                Ok(None) if unmount::is_released(device) => return done(Removal::Safe, None),
                Ok(None) => return done(Removal::EjectFirst, None),
                Err(error) => return done(Removal::EjectFirst, Some(in_words(&error))),
            }
        }
        None => {
            // A run was lost with its handle: nothing is known of what is synced.
            let error = place.and_then(|place| unmount::unmount_lazily(place).err());
            return done(Removal::EjectFirst, error.map(|error| in_words(&error)));
        }
    };
    let unmount = match how {
        Release::AsFound => mounted.is_ours(),
        Release::Unmount | Release::PowerOff => true,
        Release::Keep | Release::Pause | Release::Gone => false,
    };
    // Errors of writing show here or never: unmounting does not report them.
    let synced = rustix::fs::syncfs(&mounted.root);
    let error = synced.err().map(|errno| format!("syncing failed: {errno}"));
    if error.is_some() && device.is_gone() {
        drop(mounted);
        let error = place.and_then(|place| unmount::unmount_lazily(place).err());
        return done(Removal::Gone, error.map(|error| in_words(&error)));
    }
    if unmount && let Err(error) = unmount::unmount_any(mounted) {
        let holders = match &error {
            MountError::Busy { by, .. } => by.iter().map(|holder| holder.name.clone()).collect(),
            _ => Vec::new(),
        };
        let error = Some(in_words(&error));
        return Released { removal: Removal::EjectFirst, error, holders };
    }
    // Also when the desktop unmounted it meanwhile.
    let removal = match (unmount::is_released(device), &error) {
        (false, _) => Removal::EjectFirst,
        (true, None) => Removal::Safe,
        (true, Some(_)) => Removal::Doubtful,
    };
    done(removal, error)
}
