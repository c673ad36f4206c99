//! What is said of each plug-in: to the log, to the memory, and to the user.
//!
//! One line of log for each state. Names and labels come from drives and are sanitised here. Called
//! by `session`, on the event loop's thread.

use super::event::{AttachId, State};
use super::jobs::Released;
use super::session::Agent;
use crate::drive::device::Device;
use crate::drive::mount::Mounted;
use crate::notify::texts::{self, Ended, Removal};

impl Agent {
    pub(super) fn state(
        &mut self,
        id: AttachId,
        device: Device,
        profile: Option<&str>,
        state: &State,
    ) {
        let session = self.sessions.entry(id).or_default();
        session.device = device;
        match (state, profile) {
            (State::Matched, Some(profile)) => session.matched.push(profile.to_owned()),
            (State::Due, Some(profile)) => session.due.push(profile.to_owned()),
            _ => {}
        }
        let (shown, detail) = match state {
            State::Seen => ("seen", ""),
            State::Matched => ("matched", ""),
            State::Due => ("due", ""),
            State::NotDue(why) => ("not due", why.as_str()),
            State::WaitingForMount => ("waiting for it to be mounted", ""),
            State::Queued => ("waiting for another run of the same source", ""),
            State::Removed => ("unplugged", ""),
        };
        let concerned = match (profile, state) {
            (Some(profile), _) => vec![profile.to_owned()],
            (None, State::Removed) => session.matched.clone(),
            (None, _) => session.due.clone(),
        };
        self.log(id, profile, shown, detail);
        if matches!(state, State::Seen | State::Matched | State::Due) {
            // What follows at once says more; a plug-in costs few writes.
            return;
        }
        self.remember(id, &concerned, shown);
    }

    /// One log line for a state of a plug-in.
    pub(super) fn log(&self, id: AttachId, profile: Option<&str>, state: &str, detail: &str) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let device = session.device.node.display();
        let label = crate::sanitize::line(session.device.label.as_deref().unwrap_or_default());
        let dash = if detail.is_empty() { "" } else { ": " };
        if let Some(profile) = profile {
            tracing::info!(%device, label, profile, "{state}{dash}{detail}");
        } else {
            tracing::info!(%device, label, "{state}{dash}{detail}");
        }
    }

    pub(super) fn remember(&self, id: AttachId, profiles: &[String], state: &str) {
        if let Some(session) = self.sessions.get(&id) {
            for profile in profiles {
                self.store.update(profile, &session.device, |memory| {
                    state.clone_into(&mut memory.state);
                });
            }
        }
    }

    pub(super) fn mounted(&mut self, id: AttachId, result: Result<Mounted, String>) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        match result {
            Ok(mounted) => {
                let point = crate::sanitize::line(&mounted.point.to_string_lossy());
                let by = if mounted.ours { "by us" } else { "already" };
                session.place = Some(mounted.place());
                session.mounted = Some(mounted);
                self.log(id, None, "mounted", &format!("{by}, at {point}"));
                true
            }
            Err(why) => {
                let due = std::mem::take(&mut session.due);
                let device = session.device.node.display().to_string();
                tracing::error!(%device, "no backup: {}", crate::sanitize::line(&why));
                let text = texts::not_usable(&due, &session.device.name(), &why);
                self.notifications.show(id.0, text);
                self.remember(id, &due, &format!("failed: {why}"));
                false
            }
        }
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
        let device = session.device.node.display().to_string();
        let (state, report) = match &ended {
            Ended::Complete(report) => {
                tracing::info!(
                    %device,
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
                    let reason = crate::sanitize::line(&problem.reason);
                    tracing::warn!(profile, "{}: {reason}", problem.path);
                }
                let state = match report.problems.len() as u64 {
                    0 => "complete".to_owned(),
                    n => {
                        let many = crate::human::count(n, "problem", "problems");
                        format!("complete with {many}")
                    }
                };
                (state, Some(report.as_ref().clone()))
            }
            Ended::Stopped(kept) => {
                tracing::info!(%device, profile, "stopped; {}", crate::sanitize::line(kept));
                (format!("stopped; {kept}"), None)
            }
            Ended::Failed(why) => {
                tracing::error!(%device, profile, "failed: {}", crate::sanitize::line(why));
                (format!("failed: {why}"), None)
            }
        };
        self.store.update(&profile, &session.device, |memory| {
            memory.state = state;
            if let Some(report) = report {
                memory.complete(report);
            }
        });
        session.runs.push((profile, ended));
    }

    pub(super) fn released(&mut self, id: AttachId, released: &Released) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.place = None;
        session.due.clear();
        let runs = std::mem::take(&mut session.runs);
        let name = session.device.name();
        if let Some(error) = &released.error {
            let device = session.device.node.display().to_string();
            tracing::warn!(%device, "{}", crate::sanitize::line(error));
        }
        if runs.is_empty() {
            return;
        }
        let state = match released.removal {
            Removal::Safe => {
                self.log(id, None, "unmounted", "");
                "safe to remove"
            }
            Removal::EjectFirst => "finished, eject before you pull",
            Removal::Doubtful => "unmounted, but writing to it failed",
            Removal::Gone => "unplugged",
        };
        self.log(id, None, state, "");
        for (profile, run) in &runs {
            // What went wrong stays to be read.
            if matches!(run, Ended::Complete(_)) && released.removal != Removal::Gone {
                self.remember(id, std::slice::from_ref(profile), state);
            }
        }
        self.notifications.show(id.0, texts::ended(&name, &runs, released.removal));
    }
}
