//! One attach: what is known of it, which devices are of it, and the actions that are made from that.
//!
//! Plain values and functions; when what happens is decided by `controller` and `consider`, which call them.

use std::collections::VecDeque;

use crate::agent::event::{Action, AttachId, Timer, World};
use crate::agent::state::State;
use crate::drive::device::Device;
use crate::job::drive::Release;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing to do now.
    Idle,
    /// Its container is being opened.
    Unlocking,
    /// For somebody to do something.
    Waiting(WaitsFor),
    /// Being mounted or opened.
    Mounting,
    /// Open; the next run may start when its source is free.
    Ready,
    /// This profile runs.
    Running(String),
    /// A run failed: whether the drive was pulled is known in a moment.
    Settling,
    /// Being let go of.
    Releasing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// For a mount; the desktop has its time, or nobody here can make one.
    Mount,
    /// For the right to mount.
    Login,
    /// For somebody who opens the container.
    Key,
    /// For the right to open it.
    LoginToUnlock,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other and of the phase"
)]
pub(super) struct Attach {
    pub(super) id: AttachId,
    pub(super) device: Device,
    /// Profiles that were considered since the attach; each once.
    pub(super) considered: Vec<String>,
    /// Profiles that are to run.
    pub(super) queue: VecDeque<String>,
    /// Profiles that wait for mains power.
    pub(super) await_mains: Vec<String>,
    /// Profiles that ran since the drive was mounted.
    pub(super) ran: Vec<String>,
    pub(super) phase: Phase,
    /// Whether it was told that the next run waits for its source.
    pub(super) queued: bool,
    /// Whether the run that is being stopped goes on when the computer is awake again.
    pub(super) resumes: bool,
    /// Whether we opened its container.
    pub(super) unlocked: bool,
    /// Whether the user wants it ejected.
    pub(super) eject: bool,
    /// The device is not there any more; only what was begun is brought to its end.
    pub(super) gone: bool,
}

impl Attach {
    /// A device that is seen for the first time.
    pub(super) fn new(id: AttachId, device: Device) -> Self {
        Self {
            id,
            device,
            considered: Vec::new(),
            queue: VecDeque::new(),
            await_mains: Vec::new(),
            ran: Vec::new(),
            phase: Phase::Idle,
            queued: false,
            resumes: false,
            unlocked: false,
            eject: false,
            gone: false,
        }
    }

    /// Whether a handle on the drive is or will be held.
    pub(super) fn holds_drive(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Waiting(_))
    }
}

/// Whether both tell of one attach: `add`, later `change` events and an enumeration do.
pub(super) fn same_attach(a: &Device, b: &Device) -> bool {
    a.devpath == b.devpath && a.diskseq == b.diskseq && a.uuid == b.uuid
}

/// Whether `told` is of the attach that `known` is: the same device, what is in it, or what it is in.
pub(super) fn is_of(known: &Device, told: &Device) -> bool {
    same_attach(known, told) || is_container_of(told, known) || is_container_of(known, told)
}

pub(super) fn is_container_of(container: &Device, volume: &Device) -> bool {
    volume.container.as_deref().is_some_and(|own| same_attach(own, container))
}

pub(super) fn container_path(attach: &Attach) -> Option<&std::path::PathBuf> {
    attach.device.container.as_ref().map(|container| &container.devpath)
}

/// The attach has an open container now: whatever waited for that goes on.
pub(super) fn opened_container(attach: &mut Attach, by: &str, out: &mut Vec<Action>) {
    out.push(state(attach, None, State::Unlocked(by.to_owned())));
    if let Phase::Waiting(_) = attach.phase {
        attach.phase = Phase::Idle;
    }
}

/// Takes out of the queue what waits in it; it is tried again after its `every`.
pub(super) fn give_up(attach: &mut Attach, world: &World<'_>, out: &mut Vec<Action>) {
    for name in attach.queue.drain(..) {
        if let Some(every) = world.profile(&name).and_then(|profile| profile.every) {
            out.push(Action::SetTimer(attach.id, Timer::Every(name), every));
        }
    }
}

pub(super) fn runs_same_source(attach: &Attach, profile: &str, world: &World<'_>) -> bool {
    let Phase::Running(running) = &attach.phase else {
        return false;
    };
    match (world.profile(running), world.profile(profile)) {
        (Some(a), Some(b)) => a.source == b.source,
        // The profile was taken away while it runs; its name is all that is left of it.
        _ => running == profile,
    }
}

/// How to let go of a drive on which these profiles ran. One that is to stay mounted outweighs one
/// that is to be unmounted: "eject before you pull" is said then, which is never wrong.
pub(super) fn release(ran: &[String], world: &World<'_>) -> Release {
    let wishes = ran.iter().filter_map(|name| world.profile(name)).map(|p| Release::from(p.after));
    let rank = |wish: &Release| match wish {
        Release::Keep => 3,
        Release::PowerOff => 2,
        Release::Unmount => 1,
        Release::AsFound | Release::Pause | Release::Gone => 0,
    };
    wishes.max_by_key(rank).unwrap_or(Release::AsFound)
}

/// Lets go of a drive; one that we unlocked is locked again, unless it stays in use.
pub(super) fn release_as(attach: &Attach, how: Release) -> Action {
    let lock = match how {
        Release::Keep | Release::Pause => false,
        Release::PowerOff => attach.device.container.is_some(),
        Release::AsFound | Release::Unmount | Release::Gone => attach.unlocked,
    };
    Action::Release { attach: attach.id, how, lock }
}

pub(super) fn mount(attach: &Attach, make: bool) -> Action {
    Action::Mount { attach: attach.id, device: Box::new(attach.device.clone()), make }
}

pub(super) fn state(attach: &Attach, profile: Option<String>, state: State) -> Action {
    Action::State(attach.id, Box::new(attach.device.clone()), profile, state)
}

/// `ext4, 128 MB`
pub(super) fn what_it_is(device: &Device) -> String {
    let kind = if device.is_luks() { Some("LUKS, locked") } else { device.fs_type.as_deref() };
    let size = device.size.map(crate::text::human::size);
    let parts: Vec<&str> = kind.into_iter().chain(size.as_deref()).collect();
    parts.join(", ")
}
