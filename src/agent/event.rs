//! What goes into the state machine of `attach` and what comes out of it: plain values.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::{After, Dist, DriveMatch, Profile};
use crate::drive::device::Device;
use crate::drive::monitor::Action as Happened;

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
    /// A timer that was asked for is over.
    Timer(AttachId, Timer),
    /// The drive was mounted (or opened where it was), or not.
    Mounted(AttachId, bool),
    /// A run ended, or could not be started.
    RunEnded(AttachId),
    /// The drive was let go of.
    Released(AttachId),
    /// The profiles were read anew.
    Reloaded,
    /// The agent is to end.
    Stop,
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timer {
    /// The desktop had its time to mount the drive.
    Mount,
    /// A profile's `every` is over.
    Every(String),
}

/// What the event loop is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Log and remember a state; of one profile or of all that matched.
    State(AttachId, Box<Device>, Option<String>, State),
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
    Release(AttachId, Release),
    /// Answer with [`Input::Timer`] after this time.
    SetTimer(AttachId, Timer, Duration),
    /// The attach is over: forget what is held for it.
    Forget(AttachId),
}

/// How to let go of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Unmount it if we mounted it.
    AsFound,
    /// Unmount it whoever mounted it, as far as we may.
    Unmount,
    /// Leave it mounted.
    Keep,
    /// It is gone: take a mount of ours away at once.
    Gone,
}

impl From<After> for Release {
    fn from(after: After) -> Self {
        match after {
            After::Keep => Self::Keep,
            After::Unmount | After::PowerOff => Self::Unmount,
            After::AsFound => Self::AsFound,
        }
    }
}

/// Where a plug-in stands, in the words of log and `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A device with a file system is there.
    Seen,
    /// A profile is for it.
    Matched,
    /// A run is to be done.
    Due,
    /// The last complete run is too recent.
    NotDue(String),
    /// Nobody has mounted it yet.
    WaitingForMount,
    /// Another run uses the source or the drive.
    Queued,
    /// The drive was pulled.
    Removed,
}

/// What the state machine may know beside its inputs.
pub struct World<'a> {
    /// The valid profiles.
    pub profiles: &'a [Profile],
    /// The time now.
    pub now: Timestamp,
    /// When the last complete run of a profile on a drive was.
    pub last_complete: &'a dyn Fn(&str, &Device) -> Option<Timestamp>,
    /// Whether somebody has mounted the device.
    pub is_mounted: &'a dyn Fn(&Device) -> bool,
    /// Whether this process may mount by itself (it is root).
    pub may_mount: bool,
    /// How long the desktop is given to mount a drive.
    pub mount_wait: Duration,
}

impl World<'_> {
    pub(super) fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

/// Which drive a profile is for; `None` for one without a drive.
pub fn drive_of(profile: &Profile) -> Option<&DriveMatch> {
    match &profile.dist {
        Dist::Drive { drive, .. } => Some(drive),
        Dist::Folder(_) => None,
    }
}
