//! What goes into the state machine of `controller` and what comes out of it: plain values.

use std::time::Duration;

use jiff::Timestamp;

use crate::agent::state::State;
use crate::config::profile::Profile;
use crate::drive::device::Device;
use crate::drive::monitor::Action as Happened;
use crate::job::drive::{Release, Unopened};
use crate::pairing::wanted::Wanted;

/// Names one attach for as long as the agent runs; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// udev told of one device.
    Device(Happened, Box<Device>),
    /// These and no other devices with file systems are present.
    Present(Vec<Device>),
    /// The mount table changed.
    Mounts,
    /// A session became active or inactive: what was not authorised may be now.
    Login,
    /// The computer is about to sleep, or woke up.
    Sleep(bool),
    /// A timer that was asked for is over.
    Timer(AttachId, Timer),
    /// The drive was unlocked and is this device now, or was not.
    Unlocked(AttachId, Result<Box<Device>, Unopened>),
    /// The drive was mounted (or opened where it was), or not.
    Mounted(AttachId, MountOutcome),
    /// A run ended, or could not be started.
    RunEnded(AttachId, RunOutcome),
    /// The drive was let go of.
    Released(AttachId),
    /// The user asked for it.
    Asked(AttachId, Wish),
    /// The profiles were read anew.
    Reloaded,
    /// The agent is to end.
    Stop,
}

/// What came of mounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountOutcome {
    /// It is open.
    Open,
    /// It may not be mounted now.
    NotAuthorised,
    /// There is nobody who mounts for this user.
    Nobody,
    /// It cannot be used; the reason was told.
    Failed,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// It is over.
    Over,
    /// It failed, maybe since the drive was pulled, which udev tells a moment later.
    Failed,
    /// It stopped where the next one goes on.
    Stopped,
    /// The drive was refused: another try would end the same.
    Refused,
}

/// What the user may ask for by a notification's buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Back up though it is not due, or on battery.
    RunNow,
    /// Stop what runs.
    Stop,
    /// Unmount the drive and cut its power.
    Eject,
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timer {
    /// The desktop had its time to mount the drive.
    Mount,
    /// A profile's `every` is over.
    Every(String),
    /// The computer may be on mains again.
    Mains,
    /// udev had its time to tell that the drive was pulled.
    Settled,
}

/// What the event loop is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Say a state; of one profile or of all that matched.
    State(AttachId, Box<Device>, Option<String>, State),
    /// Unlock the drive as this profile says. Answer: [`Input::Unlocked`].
    Unlock(AttachId, Box<Device>, String),
    /// Open the drive where it is mounted; else, if `make`, mount it. Answer: [`Input::Mounted`].
    Mount {
        /// Which attach.
        attach: AttachId,
        /// The drive.
        device: Box<Device>,
        /// Whether to mount it if nobody did.
        make: bool,
    },
    /// Run one profile. Answer: [`Input::RunEnded`].
    Run(AttachId, String),
    /// Make the run stop at its next safe point.
    Cancel(AttachId),
    /// Let go of the drive. Answer: [`Input::Released`].
    Release {
        /// Which attach.
        attach: AttachId,
        /// What becomes of it.
        how: Release,
        /// Whether its encrypted container is to be locked afterwards.
        lock: bool,
    },
    /// Answer with [`Input::Timer`] after this time.
    SetTimer(AttachId, Timer, Duration),
    /// The attach is over: forget what is held for it.
    Forget(AttachId),
}

/// What the state machine may know beside its inputs.
pub struct World<'a> {
    /// The valid profiles.
    pub profiles: &'a [Profile],
    /// The time now.
    pub now: Timestamp,
    /// Whether a profile is for a device, and how they are tied.
    pub wanted: &'a dyn Fn(&Profile, &Device) -> Option<Wanted>,
    /// When the last complete run of a profile on a drive was.
    pub last_complete: &'a dyn Fn(&str, &Device) -> Option<Timestamp>,
    /// Whether somebody has mounted the device.
    pub is_mounted: &'a dyn Fn(&Device) -> bool,
    /// Whether the computer runs on battery.
    pub on_battery: &'a dyn Fn() -> bool,
    /// How long the desktop is given to mount a drive.
    pub mount_wait: Duration,
}

impl World<'_> {
    pub(super) fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}
