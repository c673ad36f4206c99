//! What becomes of each attach of a drive: a state machine without I/O.
//!
//! Inputs are what happened (udev events, mounts, timers, runs that ended); outputs are actions for
//! the event loop in `agent`. One attach runs each matching profile once, however many events tell
//! of it. It must never start a run of a profile while another uses the same source or the same file
//! system, nor any after a stop. Time and memory come in as values, so captures of real plug-ins are
//! replayed in its tests.

use std::collections::VecDeque;

use super::due;
use super::event::{Action, AttachId, Input, Release, State, Timer, World, drive_of};
use crate::drive::device::Device;
use crate::drive::monitor::Action as Happened;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nothing to do now.
    Idle,
    /// For somebody to mount it.
    Waiting,
    /// Being mounted or opened.
    Mounting,
    /// Open; the next run may start when its source is free.
    Ready,
    /// This profile runs.
    Running(String),
    /// Being let go of.
    Releasing,
}

#[derive(Debug)]
struct Attach {
    id: AttachId,
    device: Device,
    /// Profiles that were considered since the attach; each once.
    considered: Vec<String>,
    /// Profiles that are to run.
    queue: VecDeque<String>,
    /// Profiles that ran since the drive was mounted.
    ran: Vec<String>,
    phase: Phase,
    /// Whether it was told that the next run waits for its source.
    queued: bool,
    /// The device is not there any more; only what was begun is brought to its end.
    gone: bool,
}

impl Attach {
    /// Whether a handle on the drive is or will be held.
    fn holds_drive(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Waiting)
    }
}

/// All attaches.
#[derive(Debug, Default)]
pub struct Attaches {
    list: Vec<Attach>,
    last_id: u64,
    stopping: bool,
}

impl Attaches {
    /// Takes in what happened and tells what to do, in this order.
    pub fn handle(&mut self, input: Input, world: &World<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Device(Happened::Remove, device) => {
                self.vanished(&mut out, |attach| {
                    attach.device.devpath == device.devpath
                        && attach.device.diskseq == device.diskseq
                });
            }
            Input::Device(Happened::Add | Happened::Change, device) => {
                self.seen(*device, world, &mut out);
            }
            Input::Present(devices) => {
                self.vanished(&mut out, |attach| {
                    !devices.iter().any(|d| same_attach(d, &attach.device))
                });
                for device in devices {
                    self.seen(device, world, &mut out);
                }
            }
            // What waits for a mount looks for it below, whatever happened.
            Input::Device(Happened::Other, _) | Input::Mounts => {}
            Input::Timer(id, Timer::Mount) => {
                if let Some(attach) = self.get(id)
                    && attach.phase == Phase::Waiting
                {
                    attach.phase = Phase::Mounting;
                    out.push(mount(attach, true));
                }
            }
            Input::Timer(id, Timer::Every(profile)) => {
                if let Some(attach) = self.get(id)
                    && !attach.gone
                {
                    consider(attach, &profile, world, &mut out);
                }
            }
            Input::Mounted(id, ok) => self.mounted(id, ok, &mut out),
            Input::RunEnded(id) => self.run_ended(id, world, &mut out),
            Input::Released(id) => {
                if let Some(attach) = self.get(id) {
                    attach.phase = Phase::Idle;
                    attach.ran.clear();
                }
            }
            Input::Reloaded => {
                for attach in self.list.iter_mut().filter(|attach| !attach.gone) {
                    match_profiles(attach, world, &mut out);
                }
            }
            Input::Stop => {
                self.stopping = true;
                for attach in &mut self.list {
                    attach.queue.clear();
                    if let Phase::Running(_) = attach.phase {
                        out.push(Action::Cancel(attach.id));
                    }
                }
            }
        }
        self.advance(world, &mut out);
        out
    }

    /// Whether nothing is held or under way, so that the agent may end.
    pub fn quiet(&self) -> bool {
        !self.list.iter().any(Attach::holds_drive)
    }

    /// How many drives with profiles are attached, and how many runs are under way.
    pub fn figures(&self) -> (usize, usize) {
        let attached = |attach: &&Attach| !attach.gone && !attach.considered.is_empty();
        let running = |attach: &&Attach| matches!(attach.phase, Phase::Running(_));
        (self.list.iter().filter(attached).count(), self.list.iter().filter(running).count())
    }

    fn get(&mut self, id: AttachId) -> Option<&mut Attach> {
        self.list.iter_mut().find(|attach| attach.id == id)
    }

    /// A device was told of, for the first time or again.
    fn seen(&mut self, device: Device, world: &World<'_>, out: &mut Vec<Action>) {
        let known = self.list.iter_mut().find(|attach| same_attach(&attach.device, &device));
        if device.has_file_system()
            && let Some(attach) = known
        {
            // It may have got another label, and with it another profile.
            if !attach.gone && !self.stopping {
                attach.device = device;
                match_profiles(attach, world, out);
            }
            return;
        }
        // Something else is at its place: another medium in a card reader, a new file system, or
        // nothing. A loop device that is detached tells only so.
        self.vanished(out, |attach| attach.device.devpath == device.devpath);
        if !device.has_file_system() || self.stopping {
            return;
        }
        self.last_id += 1;
        let mut attach = Attach {
            id: AttachId(self.last_id),
            device,
            considered: Vec::new(),
            queue: VecDeque::new(),
            ran: Vec::new(),
            phase: Phase::Idle,
            queued: false,
            gone: false,
        };
        out.push(state(&attach, None, State::Seen));
        match_profiles(&mut attach, world, out);
        self.list.push(attach);
    }

    /// The attaches that `which` picks are gone: what runs on them is stopped.
    fn vanished(&mut self, out: &mut Vec<Action>, which: impl Fn(&Attach) -> bool) {
        for attach in &mut self.list {
            if attach.gone || !which(attach) {
                continue;
            }
            attach.gone = true;
            attach.queue.clear();
            if !attach.considered.is_empty() {
                out.push(state(attach, None, State::Removed));
            }
            if let Phase::Running(_) = attach.phase {
                out.push(Action::Cancel(attach.id));
            }
        }
    }

    fn mounted(&mut self, id: AttachId, ok: bool, out: &mut Vec<Action>) {
        let Some(attach) = self.get(id) else {
            return;
        };
        if ok {
            attach.phase = Phase::Ready;
        } else {
            // The reason was told; it is tried again at the next plug-in or `every`.
            attach.queue.clear();
            attach.phase = Phase::Releasing;
            out.push(Action::Release(id, Release::AsFound));
        }
    }

    fn run_ended(&mut self, id: AttachId, world: &World<'_>, out: &mut Vec<Action>) {
        let Some(attach) = self.get(id) else {
            return;
        };
        if let Phase::Running(name) = std::mem::replace(&mut attach.phase, Phase::Ready) {
            // From the end of the run, whatever came of it: a run that fails is not tried in a loop.
            if let Some(every) = world.profile(&name).and_then(|profile| profile.every)
                && !attach.gone
            {
                out.push(Action::SetTimer(id, Timer::Every(name.clone()), every));
            }
            attach.ran.push(name);
        }
    }

    /// Starts what can start now.
    fn advance(&mut self, world: &World<'_>, out: &mut Vec<Action>) {
        for at in 0..self.list.len() {
            let Some((busy_source, busy_drive)) = self.list.get(at).map(|attach| {
                let others = || self.list.iter().filter(|other| other.id != attach.id);
                (
                    attach.queue.front().is_some_and(|next| {
                        others().any(|other| runs_same_source(other, next, world))
                    }),
                    // A drive that was pulled and plugged in again while its run still ends.
                    others().any(|other| {
                        other.holds_drive()
                            && other.device.uuid.is_some()
                            && other.device.uuid == attach.device.uuid
                    }),
                )
            }) else {
                break;
            };
            let stopping = self.stopping;
            let Some(attach) = self.list.get_mut(at) else {
                break;
            };
            match attach.phase {
                Phase::Idle if !attach.queue.is_empty() && !busy_drive => {
                    if (world.is_mounted)(&attach.device) {
                        attach.phase = Phase::Mounting;
                        out.push(mount(attach, false));
                    } else {
                        attach.phase = Phase::Waiting;
                        out.push(state(attach, None, State::WaitingForMount));
                        if world.may_mount {
                            let wait = world.mount_wait;
                            out.push(Action::SetTimer(attach.id, Timer::Mount, wait));
                        }
                    }
                }
                Phase::Waiting if attach.queue.is_empty() => attach.phase = Phase::Idle,
                Phase::Waiting if (world.is_mounted)(&attach.device) => {
                    attach.phase = Phase::Mounting;
                    out.push(mount(attach, false));
                }
                Phase::Ready if attach.queue.is_empty() || stopping => {
                    attach.phase = Phase::Releasing;
                    let how = if attach.gone { Release::Gone } else { release(&attach.ran, world) };
                    out.push(Action::Release(attach.id, how));
                }
                Phase::Ready if busy_source && attach.queued => {}
                Phase::Ready if busy_source => {
                    attach.queued = true;
                    let next = attach.queue.front().cloned();
                    out.push(state(attach, next, State::Queued));
                }
                Phase::Ready => {
                    attach.queued = false;
                    if let Some(next) = attach.queue.pop_front() {
                        attach.phase = Phase::Running(next.clone());
                        out.push(Action::Run(attach.id, next));
                    }
                }
                _ => {}
            }
        }
        self.list.retain(|attach| {
            let over = attach.gone && !attach.holds_drive();
            if over {
                out.push(Action::Forget(attach.id));
            }
            !over
        });
    }
}

/// Whether both tell of one attach: `add`, later `change` events and an enumeration do.
fn same_attach(a: &Device, b: &Device) -> bool {
    a.devpath == b.devpath && a.diskseq == b.diskseq && a.uuid == b.uuid
}

fn runs_same_source(attach: &Attach, profile: &str, world: &World<'_>) -> bool {
    let Phase::Running(running) = &attach.phase else {
        return false;
    };
    match (world.profile(running), world.profile(profile)) {
        (Some(a), Some(b)) => a.source == b.source,
        // The profile was taken away while it runs; its name is all that is left of it.
        _ => running == profile,
    }
}

/// Considers every profile that matches and was not considered since the attach.
fn match_profiles(attach: &mut Attach, world: &World<'_>, out: &mut Vec<Action>) {
    for profile in world.profiles {
        let matches = drive_of(profile).is_some_and(|drive| attach.device.matches(drive));
        if !matches || attach.considered.contains(&profile.name) {
            continue;
        }
        attach.considered.push(profile.name.clone());
        out.push(state(attach, Some(profile.name.clone()), State::Matched));
        consider(attach, &profile.name, world, out);
    }
}

/// Queues a profile if it is due; else waits for its `every`.
fn consider(attach: &mut Attach, name: &str, world: &World<'_>, out: &mut Vec<Action>) {
    let Some(profile) = world.profile(name) else {
        return;
    };
    let busy = matches!(&attach.phase, Phase::Running(running) if running == name);
    if busy || attach.queue.iter().any(|queued| queued == name) {
        return;
    }
    let last = (world.last_complete)(name, &attach.device);
    match due::not_before(profile, last, world.now) {
        None => {
            out.push(state(attach, Some(name.to_owned()), State::Due));
            attach.queue.push_back(name.to_owned());
        }
        Some(wait) => {
            let when = crate::human::duration(wait.as_secs_f64());
            let not_due = State::NotDue(format!("next backup in {when} at the earliest"));
            out.push(state(attach, Some(name.to_owned()), not_due));
            if let Some(after) = due::every_after(profile, last, world.now) {
                let timer = Timer::Every(name.to_owned());
                out.push(Action::SetTimer(attach.id, timer, after));
            }
        }
    }
}

/// How to let go of a drive on which these profiles ran. One that is to stay mounted outweighs one
/// that is to be unmounted: "eject before you pull" is said then, which is never wrong.
fn release(ran: &[String], world: &World<'_>) -> Release {
    let mut wishes =
        ran.iter().filter_map(|name| world.profile(name)).map(|profile| profile.after.into());
    let first = wishes.next().unwrap_or(Release::AsFound);
    wishes.fold(first, |so_far, wish| match (so_far, wish) {
        (Release::Keep, _) | (_, Release::Keep) => Release::Keep,
        (Release::Unmount, _) | (_, Release::Unmount) => Release::Unmount,
        _ => Release::AsFound,
    })
}

fn mount(attach: &Attach, make: bool) -> Action {
    Action::Mount { attach: attach.id, device: Box::new(attach.device.clone()), make }
}

fn state(attach: &Attach, profile: Option<String>, state: State) -> Action {
    Action::State(attach.id, Box::new(attach.device.clone()), profile, state)
}

#[cfg(test)]
#[path = "attach_tests.rs"]
mod tests;
