//! What the event loop holds for each attach, and how it carries out the actions of `controller`.
//!
//! All of it runs on the event loop's one thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::agent::attach_log::Trail;
use crate::agent::controller::Attaches;
use crate::agent::event::{Action, AttachId, Input, RunOutcome, Timer, World};
use crate::agent::jobs::{self, Progress};
use crate::agent::profiles::Profiles;
use crate::agent::reminder::{Reminder, reminder};
use crate::agent::settings::Settings;
use crate::agent::state::State;
use crate::config::profile::Profile;
use crate::desktop::power;
use crate::drive::device::Device;
use crate::drive::mounted::{By, Mounted, Place};
use crate::drive::{mount, unmount};
use crate::job::drive::{self, NotMounted, Release, Released, Unopened};
use crate::model::problem::Problem;
use crate::notify::notifications::Notifications;
use crate::notify::texts::ended::{Ended, Removal, Trouble};
use crate::pairing::store::Pairings;
use crate::pairing::wanted::{Tie, wanted};
use crate::state::memory::Store;

/// The longest sleep until an `every` is over. The kernel's timer stands still while the computer
/// sleeps, so the clock is looked at once in a while; only where a profile has `every`.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// What jobs and timers report to the event loop.
#[derive(Debug)]
pub(super) enum Message {
    Timer(AttachId, Timer),
    Remind,
    Unlocked(AttachId, Result<Box<Device>, Unopened>),
    Mounted(AttachId, Result<Mounted, NotMounted>),
    Progress(AttachId, Progress),
    RunEnded(AttachId, String, Option<Mounted>, Ended),
    NotRun(AttachId),
    Released(AttachId, Release, Released),
}

/// What is held for one attach.
#[derive(Default)]
pub(super) struct Session {
    pub(super) device: Device,
    /// Profiles that are for it.
    pub(super) matched: Vec<String>,
    /// Those of them that are to run.
    pub(super) due: Vec<String>,
    pub(super) mounted: Option<Mounted>,
    /// Where it is mounted, also while a run holds `mounted`.
    pub(super) place: Option<Place>,
    /// The profile that runs, and what makes it stop.
    pub(super) running: Option<(String, Arc<AtomicBool>)>,
    /// Runs since it was mounted.
    pub(super) runs: Vec<DoneRun>,
    /// The folder of the last repository that was backed up to.
    pub(super) repository: Option<PathBuf>,
    /// Whether the user wants the drive ejected.
    pub(super) ejecting: bool,
    /// How far the present run is.
    pub(super) progress: Progress,
    timers: Vec<JoinHandle<()>>,
}

/// A run that is over.
pub(super) struct DoneRun {
    /// The profile's name.
    pub(super) profile: String,
    pub(super) ended: Ended,
    /// Problems of the complete run before.
    pub(super) known: Vec<Problem>,
}

/// The agent's state.
pub(super) struct Agent {
    settings: Settings,
    profiles: Profiles,
    pub(super) store: Store,
    pub(super) trail: Trail,
    pairings: Pairings,
    attaches: Attaches,
    pub(super) sessions: BTreeMap<AttachId, Session>,
    pub(super) notifications: Notifications,
    /// Whether what udev tells is of drives that were there before the agent.
    pub(super) at_start: bool,
    reminding: Option<JoinHandle<()>>,
    tell: UnboundedSender<Message>,
}

impl Agent {
    pub(super) fn new(
        settings: Settings,
        notifications: Notifications,
        tell: UnboundedSender<Message>,
    ) -> Self {
        let mut agent = Self {
            profiles: Profiles::default(),
            store: Store::new(&settings.state_dir),
            trail: Trail::load(&settings.state_dir),
            pairings: Pairings::new(&settings.state_dir),
            settings,
            attaches: Attaches::default(),
            sessions: BTreeMap::new(),
            notifications,
            at_start: true,
            reminding: None,
            tell,
        };
        agent.load_profiles();
        agent
    }

    /// Reads the profiles anew.
    pub(super) fn reload(&mut self) {
        tracing::info!("reading the profiles anew");
        self.load_profiles();
        self.give(Input::Reloaded);
    }

    fn load_profiles(&mut self) {
        let mut dirs = self.settings.profile_dirs.clone();
        if !self.settings.system && crate::agent::lock::system_is_held() {
            // They are that agent's: two would back up to one drive in turn.
            dirs.retain(|dir| dir != crate::host::dirs::system_profiles());
        }
        for broken in self.profiles.load(&dirs) {
            self.show_broken(&broken);
        }
        self.remind();
    }

    /// Reminds of backups that became old, and sees to it that the next one is looked at in time.
    pub(super) fn remind(&mut self) {
        if let Some(timer) = self.reminding.take() {
            timer.abort();
        }
        let now = Timestamp::now();
        let mut next: Option<Duration> = None;
        for profile in self.profiles.list().to_vec() {
            let Some(after) = profile.remind_after else {
                continue;
            };
            let last = self.store.last_complete(&profile.name);
            // One that never ran counts from when it was written.
            let Some(since) = last.or_else(|| made(&profile)) else {
                continue;
            };
            match reminder(after, since, self.store.reminded(&profile.name), now) {
                Reminder::Later(wait) => next = Some(next.map_or(wait, |next| next.min(wait))),
                Reminder::Now(age) => {
                    self.show_overdue(&profile.name, last.map(|_| age));
                    self.store.set_reminded(&profile.name, since);
                }
                Reminder::Silent => {}
            }
        }
        self.reminding = next.map(|wait| {
            let tell = self.tell.clone();
            tokio::spawn(async move {
                sleep_by_the_clock(wait).await;
                let _ended = tell.send(Message::Remind);
            })
        });
    }

    pub(super) fn quiet(&self) -> bool {
        self.attaches.quiet()
    }

    /// One line for `systemctl status`.
    pub(super) fn status(&self) -> String {
        let (attached, running) = self.attaches.figures();
        let drives = crate::text::human::count(attached as u64, "drive", "drives");
        match running {
            0 => format!("Waiting; {drives} with a profile attached"),
            n => {
                let runs = crate::text::human::count(n as u64, "backup", "backups");
                format!("{runs} running; {drives} with a profile attached")
            }
        }
    }

    /// Takes in what a job or timer reports.
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Timer(id, timer) => self.give(Input::Timer(id, timer)),
            Message::Remind => self.remind(),
            Message::Unlocked(id, result) => self.give(Input::Unlocked(id, result)),
            Message::Mounted(id, result) => {
                let outcome = self.mounted(id, result);
                self.give(Input::Mounted(id, outcome));
            }
            Message::Progress(id, progress) => self.progress(id, progress),
            Message::RunEnded(id, profile, mounted, ended) => {
                let outcome = match &ended {
                    Ended::Stopped(_) => RunOutcome::Stopped,
                    Ended::Failed(_) => RunOutcome::Failed,
                    Ended::Unusable(Trouble::Refused { .. }) => RunOutcome::Refused,
                    // What root owns can be mended while it stays plugged in.
                    Ended::Unusable(Trouble::RootOwned { .. }) | Ended::Complete(_) => {
                        RunOutcome::Over
                    }
                };
                self.run_ended(id, profile, mounted, ended);
                self.give(Input::RunEnded(id, outcome));
                self.remind();
            }
            Message::NotRun(id) => self.give(Input::RunEnded(id, RunOutcome::Over)),
            Message::Released(id, how, released) => {
                self.released(id, how, &released);
                self.give(Input::Released(id));
            }
        }
    }

    /// Gives an input to the state machine and carries out what it asks for.
    pub(super) fn give(&mut self, input: Input) {
        let (store, pairings) = (&self.store, &self.pairings);
        let world = World {
            profiles: self.profiles.list(),
            now: Timestamp::now(),
            wanted: &|profile, device| wanted(profile, device, pairings),
            last_complete: &|profile, device| store.load(profile, device).completed_at(),
            is_mounted: &|device| matches!(mount::find(device), Ok(Some(_))),
            on_battery: &power::on_battery,
            mount_wait: self.settings.mount_wait,
        };
        for action in self.attaches.handle(input, &world) {
            self.carry_out(action);
        }
        self.trail.save();
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::State(id, device, profile, state) => {
                self.sessions.entry(id).or_default().device = *device;
                self.state(id, profile.as_deref(), &state);
            }
            Action::Unlock(id, device, name) => {
                let profile = self.profile(&name);
                self.start(
                    move || {
                        let gone = || Unopened::No("its profile was taken away".to_owned());
                        let unlocked = profile.ok_or_else(gone);
                        Message::Unlocked(id, unlocked.and_then(|p| drive::unlock(&device, &p)))
                    },
                    move || Message::Unlocked(id, Err(Unopened::No(LOST.to_owned()))),
                );
            }
            Action::Mount { attach, device, make } => {
                let ties = self.profiles.list().iter();
                let mut ties = ties.filter_map(|p| wanted(p, &device, &self.pairings));
                let known = ties.any(|wanted| matches!(wanted.tie, Tie::Known(_) | Tie::Off));
                self.start(
                    move || Message::Mounted(attach, drive::mount(&device, make, known)),
                    move || Message::Mounted(attach, Err(NotMounted::Failed(LOST.to_owned()))),
                );
            }
            Action::Run(id, name) => self.start_run(id, &name),
            Action::Cancel(id) => {
                let running = self.sessions.get(&id).and_then(|s| s.running.as_ref());
                if let Some((_, stop)) = running {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Action::Release { attach, how, lock } => self.start_release(attach, how, lock),
            Action::SetTimer(id, timer, after) => self.set_timer(id, timer, after),
            Action::Forget(id) => {
                self.forget_shown(id);
                for timer in self.sessions.remove(&id).into_iter().flat_map(|s| s.timers) {
                    timer.abort();
                }
            }
        }
    }

    fn profile(&self, name: &str) -> Option<Profile> {
        self.profiles.list().iter().find(|profile| profile.name == name).cloned()
    }

    /// Runs `job` on a thread where it may block; `lost` is reported if it panics.
    fn start(
        &self,
        job: impl FnOnce() -> Message + Send + 'static,
        lost: impl FnOnce() -> Message + Send + 'static,
    ) {
        let tell = self.tell.clone();
        drop(tokio::spawn(async move {
            let message = tokio::task::spawn_blocking(job).await;
            let _ended = tell.send(message.unwrap_or_else(|_| lost()));
        }));
    }

    fn start_run(&mut self, id: AttachId, name: &str) {
        let profile = self.profile(name);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.due.retain(|due| due != name);
        // The profile was taken away since it was queued, or a run lost the handle.
        let Some(profile) = profile else {
            let _ended = self.tell.send(Message::NotRun(id));
            return;
        };
        let Some(mounted) = session.mounted.take() else {
            let _ended = self.tell.send(Message::NotRun(id));
            return;
        };
        let stop = Arc::new(AtomicBool::new(false));
        session.running = Some((name.to_owned(), Arc::clone(&stop)));
        session.progress = Progress::default();
        // One that was stopped for sleep goes on.
        session.runs.retain(|run| run.profile != name || !matches!(run.ended, Ended::Stopped(_)));
        let device = session.device.clone();
        self.state(id, Some(name), &State::Running);
        self.show_started(id, name);
        let (name, lost) = (name.to_owned(), name.to_owned());
        let (tell, pairings) = (self.tell.clone(), self.pairings.clone());
        let progress = move |progress| {
            let _ended = tell.send(Message::Progress(id, progress));
        };
        self.start(
            move || {
                let ended = jobs::run(&profile, &device, &mounted, &pairings, &stop, progress);
                Message::RunEnded(id, name, Some(mounted), ended)
            },
            move || Message::RunEnded(id, lost, None, Ended::Failed(LOST.to_owned())),
        );
    }

    fn start_release(&mut self, id: AttachId, how: Release, lock: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let mounted = session.mounted.take();
        let place = session.place.clone();
        let device = session.device.clone();
        self.start(
            move || {
                let released = drive::release(mounted, place.as_ref(), &device, how, lock);
                Message::Released(id, how, released)
            },
            move || {
                let removal = Removal::EjectFirst;
                let error = Some(LOST.to_owned());
                Message::Released(id, how, Released { removal, error, holders: Vec::new() })
            },
        );
    }

    fn set_timer(&mut self, id: AttachId, timer: Timer, after: Duration) {
        let tell = self.tell.clone();
        let task = tokio::spawn(async move {
            match timer {
                Timer::Mount | Timer::Settled => tokio::time::sleep(after).await,
                Timer::Every(_) | Timer::Mains => sleep_by_the_clock(after).await,
            }
            let _ended = tell.send(Message::Timer(id, timer));
        });
        let session = self.sessions.entry(id).or_default();
        session.timers.retain(|timer| !timer.is_finished());
        session.timers.push(task);
    }

    /// Leaves what could not be brought to its end: mounts of ours are taken away as they are, and
    /// what was to be shown is given a moment.
    pub(super) async fn abandon(&mut self, limit: Duration) {
        let places: Vec<Place> = self
            .sessions
            .values_mut()
            .filter_map(|session| session.place.take())
            .filter(|place| place.by == By::Root)
            .collect();
        for session in self.sessions.values() {
            if let Some((profile, _)) = &session.running {
                self.store.update(profile, &session.device, |memory| {
                    "interrupted; the next run goes on".clone_into(&mut memory.state);
                });
            }
        }
        let unmounting = tokio::task::spawn_blocking(move || {
            for place in places {
                if let Err(error) = unmount::unmount_lazily(&place) {
                    tracing::warn!("{error}");
                }
            }
        });
        let _late = tokio::time::timeout(limit, unmounting).await;
        self.notifications.flush(limit).await;
    }
}

/// When the profile was written last.
fn made(profile: &Profile) -> Option<Timestamp> {
    let time = std::fs::metadata(&profile.file).and_then(|meta| meta.modified()).ok()?;
    Timestamp::try_from(time).ok()
}

/// What is said of a job that panicked.
const LOST: &str = "an error inside bkm-agent (see the log)";

/// Sleeps until `after` is over by the clock, also when the computer sleeps in between.
async fn sleep_by_the_clock(after: Duration) {
    let start = Timestamp::now();
    loop {
        let since = Duration::try_from(Timestamp::now().duration_since(start)).unwrap_or_default();
        match after.checked_sub(since).filter(|left| !left.is_zero()) {
            Some(left) => tokio::time::sleep(left.min(LONGEST_SLEEP)).await,
            None => return,
        }
    }
}
