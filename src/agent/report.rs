//! What is said of each plug-in: to the log, to what is remembered, and to the user.
//!
//! One line of log for each state. Names and labels come from drives and are sanitised here. All of it
//! runs on the event loop's thread.

use crate::agent::event::{AttachId, MountOutcome};
use crate::agent::jobs::{Progress, Stage};
use crate::agent::session::{Agent, DoneRun};
use crate::agent::state::{Mark, State};
use crate::drive::mounted::Mounted;
use crate::job::drive::{NotMounted, Release, Released};
use crate::notify::texts::ended::{Ended, Removal, Trouble};
use crate::text::human;

impl Agent {
    /// Says a state of the attach, of one profile or of all that it concerns.
    pub(super) fn state(&mut self, id: AttachId, profile: Option<&str>, state: &State) {
        self.state_unseen(id, profile, state);
        self.show_state(id, profile, state);
    }

    /// The same to everybody but the screen.
    fn state_unseen(&mut self, id: AttachId, profile: Option<&str>, state: &State) {
        let session = self.sessions.entry(id).or_default();
        match (state, profile) {
            (State::Matched(_), Some(profile)) => session.matched.push(profile.to_owned()),
            (State::Due(_), Some(profile)) => session.due.push(profile.to_owned()),
            _ => {}
        }
        let concerned = match (profile, state) {
            (Some(profile), _) => vec![profile.to_owned()],
            (None, State::Removed) => session.matched.clone(),
            (None, _) => session.due.clone(),
        };
        self.trail.add(id, &session.device, self.at_start, profile, state);
        self.log(id, profile, state);
        // What follows at once says more; a plug-in costs few writes.
        if !state.is_passing() {
            let detail = state.detail();
            let dash = if detail.is_empty() { "" } else { ": " };
            self.remember(id, &concerned, &format!("{}{dash}{detail}", state.word()));
        }
    }

    /// One log line for a state of a plug-in.
    fn log(&self, id: AttachId, profile: Option<&str>, state: &State) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let device = session.device.node.display();
        let label =
            crate::text::sanitize::line(session.device.label.as_deref().unwrap_or_default());
        let (profile, word, detail) = (profile.unwrap_or_default(), state.word(), state.detail());
        let dash = if detail.is_empty() { "" } else { ": " };
        if state.mark() == Mark::Out && !matches!(state, State::NotOurs | State::NotDue(_)) {
            tracing::warn!(%device, label, profile, state = word, "{word}{dash}{detail}");
        } else {
            tracing::info!(%device, label, profile, state = word, "{word}{dash}{detail}");
        }
    }

    fn remember(&self, id: AttachId, profiles: &[String], state: &str) {
        if let Some(session) = self.sessions.get(&id) {
            for profile in profiles {
                self.store.update(profile, &session.device, |memory| {
                    state.clone_into(&mut memory.state);
                });
            }
        }
    }

    pub(super) fn mounted(
        &mut self,
        id: AttachId,
        result: Result<Mounted, NotMounted>,
    ) -> MountOutcome {
        let Some(session) = self.sessions.get_mut(&id) else {
            return MountOutcome::Failed;
        };
        match result {
            Ok(mounted) => {
                let point = mounted.point.to_string_lossy();
                let by = if mounted.is_ours() { "by us" } else { "already" };
                let where_and_by = format!("{by}, at {point}");
                session.place = Some(mounted.place());
                session.mounted = Some(mounted);
                self.state(id, None, &State::Mounted(where_and_by));
                MountOutcome::Open
            }
            Err(NotMounted::NotAuthorised) => MountOutcome::NotAuthorised,
            Err(NotMounted::Nobody) => MountOutcome::Nobody,
            Err(NotMounted::Failed(why)) => {
                self.show_not_usable(id, &why);
                self.state(id, None, &State::Failed(why));
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.due.clear();
                }
                MountOutcome::Failed
            }
        }
    }

    /// How far the run is.
    pub(super) fn progress(&mut self, id: AttachId, progress: Progress) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some((profile, _)) = &session.running else {
            return;
        };
        let profile = profile.clone();
        let before = std::mem::replace(&mut session.progress, progress);
        if progress.stage == Stage::Planned {
            let files = human::count(progress.files, "file", "files");
            let text = format!("{files}, {} to copy", human::size(progress.bytes));
            self.state(id, Some(&profile), &State::Planned(text));
        } else if progress.stage == Stage::Copying && before.stage == Stage::Planned {
            self.state(id, Some(&profile), &State::Copying);
        }
        self.show_progress(id, &profile, &progress);
        self.trail.save();
    }

    pub(super) fn run_ended(
        &mut self,
        id: AttachId,
        profile: String,
        mounted: Option<Mounted>,
        ended: Ended,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.mounted = mounted;
        session.running = None;
        let device = session.device.clone();
        let mut known = Vec::new();
        match &ended {
            Ended::Complete(report) => {
                session.repository = Some(report.repository.clone());
                known = self.store.load(&profile, &device).last_run.unwrap_or_default().problems;
                tracing::info!(
                    device = %device.node.display(),
                    profile,
                    new = report.new,
                    changed = report.changed,
                    moved = report.moved,
                    deleted = report.deleted,
                    bytes_copied = report.bytes_copied,
                    problems = report.problems.len(),
                    duration_s = report.duration_s,
                    "complete"
                );
                for problem in &report.problems {
                    let reason = crate::text::sanitize::line(&problem.reason);
                    tracing::warn!(profile, "{}: {reason}", problem.path);
                }
                let problems = match report.problems.len() as u64 {
                    0 => String::new(),
                    n => format!(" with {}", human::count(n, "problem", "problems")),
                };
                self.store.update(&profile, &device, |memory| {
                    memory.state = format!("complete{problems}");
                    memory.complete(report.as_ref().clone());
                });
                let files = human::count(report.new + report.changed, "file", "files");
                let size = human::size(report.bytes_copied);
                let time = human::duration(report.duration_s);
                let text = format!("{files}, {size} copied in {time}{problems}");
                self.state(id, Some(&profile), &State::Flushed(text));
            }
            Ended::Stopped(kept) => self.state(id, Some(&profile), &State::Stopped(kept.clone())),
            // The screen says it when the drive was let go of.
            Ended::Unusable(Trouble::Refused { why, what_to_do }) => {
                let (why, remedy) = (why.clone(), what_to_do.clone());
                self.state_unseen(id, Some(&profile), &State::Refused { why, remedy });
            }
            Ended::Unusable(Trouble::RootOwned { why, .. }) => {
                self.state(id, Some(&profile), &State::Failed(why.clone()));
            }
            Ended::Failed(why) => self.state(id, Some(&profile), &State::Failed(why.clone())),
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.runs.push(DoneRun { profile, ended, known });
        }
    }

    pub(super) fn released(&mut self, id: AttachId, how: Release, released: &Released) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.place = None;
        if how == Release::Pause {
            // The run that was stopped for it goes on.
            session.runs.retain(|run| !matches!(run.ended, Ended::Stopped(_)));
            return;
        }
        session.due.clear();
        let runs = std::mem::take(&mut session.runs);
        let ejecting = std::mem::take(&mut session.ejecting);
        let why = released.error.clone().unwrap_or_default();
        if !why.is_empty() {
            let device = session.device.node.display().to_string();
            tracing::warn!(%device, "{}", crate::text::sanitize::line(&why));
        }
        if runs.is_empty() && !ejecting {
            return;
        }
        let state = match released.removal {
            Removal::Safe => {
                self.state(id, None, &State::Unmounted);
                Some(State::SafeToRemove)
            }
            Removal::EjectFirst => Some(State::EjectFirst(why)),
            Removal::Doubtful => Some(State::Doubtful(why)),
            // That was told when it happened.
            Removal::Gone => None,
        };
        if let Some(state) = state {
            let session = self.sessions.entry(id).or_default();
            self.trail.add(id, &session.device, self.at_start, None, &state);
            self.log(id, None, &state);
            for run in &runs {
                // What went wrong stays to be read.
                if matches!(run.ended, Ended::Complete(_)) {
                    self.remember(id, std::slice::from_ref(&run.profile), state.word());
                }
            }
        }
        if runs.is_empty() {
            self.show_ejected(id, released);
        } else {
            self.show_ended(id, &runs, released);
            self.settle(id, &runs);
        }
    }

    /// Sees to it that what is remembered of these runs comes to the disk. The user, who was told that the
    /// drive can go, does not wait for the computer's own.
    fn settle(&self, id: AttachId, runs: &[DoneRun]) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let (store, device) = (self.store.clone(), session.device.clone());
        let complete = runs.iter().filter(|run| matches!(run.ended, Ended::Complete(_)));
        let profiles: Vec<String> = complete.map(|run| run.profile.clone()).collect();
        drop(tokio::task::spawn_blocking(move || {
            for profile in profiles {
                store.settle(&profile, &device);
            }
        }));
    }
}
