//! Gets a drive ready for a backup (unlocks, mounts) and lets go of it afterwards, as the profile wants.

use std::io::Read as _;
use std::path::Path;

use crate::config::profile::{After, Profile};
use crate::desktop::secrets;
use crate::drive::device::Device;
use crate::drive::luks::{self, LuksError};
use crate::drive::mount::{self, MountError};
use crate::drive::mounted::{Mounted, Place};
use crate::drive::{udisks, unmount};
use crate::notify::texts::ended::Removal;
use crate::text::error_chain::in_words;

/// Why a locked drive was not unlocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unopened {
    /// It may not be done now.
    NotAuthorised,
    /// There is no key, or it does not fit; in words.
    No(String),
}

/// How to let go of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Unmount it if we mounted it.
    AsFound,
    /// Unmount it whoever mounted it, as far as we may.
    Unmount,
    /// The same, and cut its power.
    PowerOff,
    /// Leave it mounted.
    Keep,
    /// Leave it mounted for now: the run goes on later.
    Pause,
    /// It is gone: take a mount of ours away at once.
    Gone,
}

impl From<After> for Release {
    fn from(after: After) -> Self {
        match after {
            After::Keep => Self::Keep,
            After::Unmount => Self::Unmount,
            After::PowerOff => Self::PowerOff,
            After::AsFound => Self::AsFound,
        }
    }
}

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
pub(crate) enum NotMounted {
    /// It may not be mounted now.
    NotAuthorised,
    /// There is nobody who mounts for this user.
    Nobody,
    /// It cannot be used; why, in words.
    Failed(String),
}

/// Opens `device` where it is mounted; if it is not, mounts it when `make` says so. `known`: it is a profile's
/// drive as far as this computer can tell.
pub(crate) fn mount(device: &Device, make: bool, known: bool) -> Result<Mounted, NotMounted> {
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
            tracing::info!(
                "drives cannot be mounted from here: {}",
                crate::text::sanitize::line(&why)
            );
            NotMounted::Nobody
        }
        error => NotMounted::Failed(in_words(&error)),
    })?;
    if mounted.read_only() {
        let point = crate::text::sanitize::line(&mounted.point.to_string_lossy());
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
