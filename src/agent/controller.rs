//! What becomes of each attach of a drive: a state machine without I/O.
//!
//! Inputs are what happened (udev events, mounts, timers, runs that ended, what the user asks for); outputs
//! are actions for the event loop in `agent`. One attach runs each matching profile once, however many
//! events tell of it; an encrypted drive is one attach, locked or not. It must never start a run of a
//! profile while another uses the same source or the same file system, nor any after a stop. Time and
//! memory come in as values, so recordings of real plug-ins are replayed, in its tests and by `why`.

use std::time::Duration;

use crate::agent::attach::{
    Attach, Phase, WaitsFor, container_path, give_up, is_container_of, is_of, mount,
    opened_container, release, release_as, runs_same_source, same_attach, state, what_it_is,
};
use crate::agent::consider::{consider, match_profiles};
use crate::agent::due;
use crate::agent::event::{Action, AttachId, Input, MountOutcome, RunOutcome, Timer, Wish, World};
use crate::agent::state::State;
use crate::drive::device::Device;
use crate::drive::monitor::Action as Happened;
use crate::job::drive::{Release, Unopened};

/// How long udev is given to tell that a drive was pulled, after a run failed. A write fails within 0.1 s
/// of the pull, and udev tells within another.
const SETTLE: Duration = Duration::from_secs(1);

/// All attaches.
#[derive(Debug, Default)]
pub struct Attaches {
    list: Vec<Attach>,
    last_id: u64,
    stopping: bool,
    asleep: bool,
}

impl Attaches {
    /// Takes in what happened and tells what to do, in this order.
    pub fn handle(&mut self, input: Input, world: &World<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Device(Happened::Remove, device) => self.removed(&device, &mut out),
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
            Input::Login => self.login(),
            Input::Sleep(asleep) => self.sleep(asleep, &mut out),
            Input::Timer(id, timer) => self.timer(id, timer, world, &mut out),
            Input::Unlocked(id, result) => self.unlocked(id, result, world, &mut out),
            Input::Mounted(id, outcome) => self.mounted(id, outcome, world, &mut out),
            Input::RunEnded(id, outcome) => self.run_ended(id, outcome, world, &mut out),
            Input::Released(id) => self.released(id),
            Input::Asked(id, wish) => self.asked(id, wish, world, &mut out),
            Input::Reloaded => {
                for attach in self.list.iter_mut().filter(|attach| !attach.gone) {
                    let device = attach.device.clone();
                    let is_wanted = |name: &String| {
                        let profile = world.profile(name);
                        profile.is_some_and(|p| (world.wanted)(p, &device).is_some())
                    };
                    attach.queue.retain(is_wanted);
                    // One that is changed back is considered anew.
                    attach.considered.retain(is_wanted);
                    // A key may be named now.
                    if attach.phase == Phase::Waiting(WaitsFor::Key) {
                        attach.phase = Phase::Idle;
                    }
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
        let usable = device.has_file_system() || device.is_luks();
        if usable
            && let Some(attach) =
                self.list.iter_mut().find(|a| !a.gone && is_of(&a.device, &device))
        {
            if self.stopping {
                return;
            }
            if is_container_of(&device, &attach.device) {
                // It is open, and what is in it is looked at.
                return;
            }
            let opened = attach.device.is_luks() && !device.is_luks();
            // It may have got another label, and with it another profile.
            attach.device = device;
            if opened {
                // udev may tell of it before we are told that it is open.
                let ours = attach.phase == Phase::Unlocking;
                let by = if ours { "by us" } else { "by the desktop, or by hand" };
                opened_container(attach, by, out);
            }
            match_profiles(attach, world, out);
            return;
        }
        // Something else is at its place: another medium in a card reader, a new file system, or
        // nothing. A loop device that is detached tells only so.
        self.vanished(out, |attach| {
            attach.device.devpath == device.devpath
                || container_path(attach) == Some(&device.devpath)
        });
        if !usable || self.stopping {
            return;
        }
        self.last_id += 1;
        let mut attach = Attach::new(AttachId(self.last_id), device);
        out.push(state(&attach, None, State::Seen(what_it_is(&attach.device))));
        match_profiles(&mut attach, world, out);
        if attach.considered.is_empty() {
            out.push(state(&attach, None, State::NotOurs));
        }
        self.list.push(attach);
    }

    /// udev says that this device is not there any more.
    fn removed(&mut self, device: &Device, out: &mut Vec<Action>) {
        let is_it = |of: &Device| of.devpath == device.devpath && of.diskseq == device.diskseq;
        for attach in self.list.iter_mut().filter(|attach| is_it(&attach.device) && !attach.gone) {
            // A volume that was locked: its container is still plugged in.
            if let Some(container) = attach.device.container.take() {
                if let Phase::Running(_) = attach.phase {
                    out.push(Action::Cancel(attach.id));
                }
                attach.device = *container;
                attach.unlocked = false;
            }
        }
        self.vanished(out, |attach| {
            is_it(&attach.device) || attach.device.container.as_deref().is_some_and(is_it)
        });
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

    /// What was not authorised may be now.
    fn login(&mut self) {
        for attach in &mut self.list {
            if let Phase::Waiting(WaitsFor::Login | WaitsFor::LoginToUnlock) = attach.phase {
                attach.phase = Phase::Idle;
            }
        }
    }

    /// Before the computer sleeps, runs stop where the next one goes on.
    fn sleep(&mut self, asleep: bool, out: &mut Vec<Action>) {
        self.asleep = asleep;
        for attach in self.list.iter_mut().filter(|attach| asleep && !attach.gone) {
            if let Phase::Running(name) = &attach.phase {
                attach.resumes = true;
                out.push(state(attach, Some(name.clone()), State::Asleep));
                out.push(Action::Cancel(attach.id));
            }
        }
    }

    fn timer(&mut self, id: AttachId, timer: Timer, world: &World<'_>, out: &mut Vec<Action>) {
        let Some(attach) = self.list.iter_mut().find(|a| a.id == id && !a.gone) else {
            return;
        };
        match timer {
            Timer::Mount if attach.phase == Phase::Waiting(WaitsFor::Mount) => {
                attach.phase = Phase::Mounting;
                out.push(mount(attach, true));
            }
            Timer::Settled if attach.phase == Phase::Settling => attach.phase = Phase::Ready,
            Timer::Mount | Timer::Settled => {}
            Timer::Every(profile) => {
                let last = (world.last_complete)(&profile, &attach.device);
                let rules = world.profile(&profile);
                let left = rules.and_then(|rules| due::every_after(rules, last, world.now));
                match left.filter(|left| !left.is_zero()) {
                    // A run was made meanwhile for another reason.
                    Some(left) => out.push(Action::SetTimer(id, Timer::Every(profile), left)),
                    None => consider(attach, &profile, false, world, out),
                }
            }
            Timer::Mains => {
                for profile in std::mem::take(&mut attach.await_mains) {
                    consider(attach, &profile, true, world, out);
                }
            }
        }
    }

    fn unlocked(
        &mut self,
        id: AttachId,
        result: Result<Box<Device>, Unopened>,
        world: &World<'_>,
        out: &mut Vec<Action>,
    ) {
        let stopping = self.stopping;
        let Some(attach) = self.get(id) else {
            return;
        };
        match result {
            Ok(device) => {
                // udev may have told of it before we were told that it is open.
                if attach.device.is_luks() {
                    attach.device = *device;
                    opened_container(attach, "by us", out);
                }
                attach.unlocked = true;
                if stopping || attach.gone {
                    // What we opened is closed again.
                    attach.phase = Phase::Releasing;
                    let how = if attach.gone { Release::Gone } else { Release::AsFound };
                    out.push(release_as(attach, how));
                    return;
                }
                if attach.phase == Phase::Unlocking {
                    attach.phase = Phase::Idle;
                }
                match_profiles(attach, world, out);
            }
            // Somebody else was quicker.
            Err(_) if !attach.device.is_luks() => {
                if attach.phase == Phase::Unlocking {
                    attach.phase = Phase::Idle;
                }
            }
            Err(Unopened::NotAuthorised) => {
                attach.phase = Phase::Waiting(WaitsFor::LoginToUnlock);
                out.push(state(attach, None, State::NotAuthorised));
            }
            Err(Unopened::No(why)) => {
                attach.phase = Phase::Waiting(WaitsFor::Key);
                out.push(state(attach, None, State::Locked(why)));
            }
        }
    }

    fn mounted(
        &mut self,
        id: AttachId,
        outcome: MountOutcome,
        world: &World<'_>,
        out: &mut Vec<Action>,
    ) {
        let Some(attach) = self.get(id) else {
            return;
        };
        attach.phase = match outcome {
            MountOutcome::Open => Phase::Ready,
            MountOutcome::NotAuthorised => {
                out.push(state(attach, None, State::NotAuthorised));
                Phase::Waiting(WaitsFor::Login)
            }
            MountOutcome::Nobody => Phase::Waiting(WaitsFor::Mount),
            MountOutcome::Failed => {
                // The reason was told; it is tried again at the next plug-in or `every`.
                give_up(attach, world, out);
                out.push(release_as(attach, Release::AsFound));
                Phase::Releasing
            }
        };
    }

    fn run_ended(
        &mut self,
        id: AttachId,
        outcome: RunOutcome,
        world: &World<'_>,
        out: &mut Vec<Action>,
    ) {
        let stopping = self.stopping;
        let Some(attach) = self.get(id) else {
            return;
        };
        let resumes = std::mem::take(&mut attach.resumes) && !stopping;
        if let Phase::Running(name) = std::mem::replace(&mut attach.phase, Phase::Ready) {
            if resumes && outcome == RunOutcome::Stopped && !attach.gone {
                attach.queue.push_front(name);
                return;
            }
            // From the end of the run, whatever came of it: a run that fails is not tried in a loop.
            if let Some(every) = world.profile(&name).and_then(|profile| profile.every)
                && !attach.gone
                && outcome != RunOutcome::Refused
            {
                out.push(Action::SetTimer(id, Timer::Every(name.clone()), every));
            }
            attach.ran.push(name);
            if outcome == RunOutcome::Failed && !attach.gone && !stopping {
                attach.phase = Phase::Settling;
                out.push(Action::SetTimer(id, Timer::Settled, SETTLE));
            }
        }
    }

    fn released(&mut self, id: AttachId) {
        let asleep = self.asleep;
        if let Some(attach) = self.get(id) {
            attach.phase = Phase::Idle;
            attach.eject = false;
            if !asleep || attach.queue.is_empty() {
                attach.ran.clear();
            }
        }
    }

    /// What the user asked for by a button: never more than the command line can do.
    fn asked(&mut self, id: AttachId, wish: Wish, world: &World<'_>, out: &mut Vec<Action>) {
        let Some(attach) = self.list.iter_mut().find(|a| a.id == id && !a.gone) else {
            return;
        };
        match wish {
            Wish::RunNow => {
                let running = match &attach.phase {
                    Phase::Running(name) => Some(name.clone()),
                    _ => None,
                };
                attach.await_mains.clear();
                if attach.phase == Phase::Waiting(WaitsFor::Key) {
                    attach.phase = Phase::Idle;
                }
                for name in attach.considered.clone() {
                    let profile = world.profile(&name);
                    if profile.is_none_or(|p| (world.wanted)(p, &attach.device).is_none()) {
                        continue;
                    }
                    if Some(&name) != running.as_ref() && !attach.queue.contains(&name) {
                        let why = "you asked for it".to_owned();
                        out.push(state(attach, Some(name.clone()), State::Due(why)));
                        attach.queue.push_back(name);
                    }
                }
            }
            Wish::Stop => {
                give_up(attach, world, out);
                if let Phase::Running(_) = attach.phase {
                    out.push(Action::Cancel(id));
                }
            }
            Wish::Eject => {
                attach.eject = true;
                if let Phase::Idle | Phase::Waiting(_) = attach.phase {
                    attach.queue.clear();
                    attach.phase = Phase::Releasing;
                    out.push(release_as(attach, Release::PowerOff));
                }
            }
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
            let (stopping, asleep) = (self.stopping, self.asleep);
            let Some(attach) = self.list.get_mut(at) else {
                break;
            };
            if attach.gone && !attach.holds_drive() {
                continue;
            }
            if attach.phase == Phase::Settling && (attach.gone || stopping) {
                attach.phase = Phase::Ready;
            }
            match attach.phase {
                Phase::Idle | Phase::Waiting(_) if asleep || stopping => {}
                Phase::Waiting(_) if attach.queue.is_empty() && attach.unlocked => {
                    attach.phase = Phase::Releasing;
                    out.push(release_as(attach, Release::AsFound));
                }
                Phase::Waiting(_) if attach.queue.is_empty() => attach.phase = Phase::Idle,
                Phase::Idle if attach.queue.is_empty() || busy_drive => {}
                Phase::Idle if attach.device.is_luks() => {
                    if let Some(next) = attach.queue.front().cloned() {
                        attach.phase = Phase::Unlocking;
                        let device = Box::new(attach.device.clone());
                        out.push(Action::Unlock(attach.id, device, next));
                    }
                }
                Phase::Idle | Phase::Waiting(WaitsFor::Mount | WaitsFor::Login)
                    if (world.is_mounted)(&attach.device) =>
                {
                    attach.phase = Phase::Mounting;
                    out.push(mount(attach, false));
                }
                Phase::Idle if attach.unlocked => {
                    // What we opened, nobody else is about to mount.
                    attach.phase = Phase::Mounting;
                    out.push(mount(attach, true));
                }
                Phase::Idle => {
                    attach.phase = Phase::Waiting(WaitsFor::Mount);
                    out.push(state(attach, None, State::WaitingForMount));
                    out.push(Action::SetTimer(attach.id, Timer::Mount, world.mount_wait));
                }
                Phase::Ready if attach.queue.is_empty() || stopping || asleep || attach.gone => {
                    attach.phase = Phase::Releasing;
                    let how = match attach {
                        _ if attach.gone => Release::Gone,
                        _ if asleep && !attach.queue.is_empty() => Release::Pause,
                        _ if attach.eject => Release::PowerOff,
                        _ => release(&attach.ran, world),
                    };
                    out.push(release_as(attach, how));
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

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
