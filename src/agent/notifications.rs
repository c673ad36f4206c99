//! What the user sees of a plug-in, and what he answers by a notification's buttons.
//!
//! It chooses texts and hands them over; nothing here waits for the notification service. All of it runs on
//! the event loop's thread.

use std::path::PathBuf;
use std::time::Duration;

use crate::agent::event::{AttachId, Input, Wish};
use crate::agent::jobs::{Progress, Stage};
use crate::agent::profiles::Broken;
use crate::agent::session::{Agent, DoneRun};
use crate::agent::state::State;
use crate::desktop::folder;
use crate::job::drive::Released;
use crate::notify::texts::ended::{self, Ended, Removal, Run, Trouble};
use crate::notify::texts::text::{Act, Text};
use crate::notify::texts::{progress, trouble, waiting};

/// Notifications beside the one that each plug-in has: numbers of attaches stay far below.
const BESIDE: u64 = 1 << 40;

/// About profiles.
const OF_PROFILES: u64 = 1 << 41;

impl Agent {
    fn show(&self, id: AttachId, text: Text) {
        self.notifications.show(id.0, text);
    }

    /// The attach is over: nothing that is chosen in its notifications counts any more.
    pub(super) fn forget_shown(&self, id: AttachId) {
        self.notifications.forget(id.0);
        self.notifications.forget(id.0 | BESIDE);
    }

    /// A state about which the user may want to do something.
    pub(super) fn show_state(&self, id: AttachId, profile: Option<&str>, state: &State) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let (language, drive) = (self.notifications.language(), session.device.name());
        let profile = profile.unwrap_or_default();
        let text = match state {
            State::OnBattery { asks: true } => waiting::ask_battery(language, profile, &drive),
            State::Locked(_) => waiting::waiting_unlock(language, &drive),
            State::Refused { why, remedy } => {
                let node = session.device.node.to_string_lossy();
                let remedy = remedy.replace("{device}", &node).replace("{profile}", profile);
                trouble::refused(language, profile, &drive, why, &remedy)
            }
            _ => return,
        };
        self.show(id, text);
    }

    /// A profile that cannot be used any more.
    pub(super) fn show_broken(&self, broken: &Broken) {
        let file = broken.file.to_string_lossy();
        let text = trouble::profile_broken(
            self.notifications.language(),
            &file,
            broken.why.strip_prefix(&*file).unwrap_or(&broken.why).trim_start_matches(':'),
            broken.kept,
        );
        self.notifications.show(key_of(&file), text);
    }

    /// The last complete run of a profile is this old; `None`: there was none.
    pub(super) fn show_overdue(&self, profile: &str, age: Option<Duration>) {
        tracing::warn!(profile, "the last complete backup has become old");
        let text = waiting::overdue(self.notifications.language(), profile, age);
        self.notifications.show(key_of(profile), text);
    }

    /// A run begins.
    pub(super) fn show_started(&self, id: AttachId, profile: &str) {
        if let Some(session) = self.sessions.get(&id) {
            let drive = session.device.name();
            self.show(id, progress::started(self.notifications.language(), profile, &drive));
        }
    }

    /// How far a run is.
    pub(super) fn show_progress(&self, id: AttachId, profile: &str, progress: &Progress) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let how_far = match progress.stage {
            Stage::Planned => return,
            Stage::Copying => progress::Progress::Copying {
                bytes: progress.bytes_done,
                of_bytes: progress.bytes,
                files: progress.files_done,
                of_files: progress.files,
            },
            Stage::Syncing => progress::Progress::Syncing,
        };
        let (language, drive) = (self.notifications.language(), session.device.name());
        self.show(id, progress::progress(language, profile, &drive, &how_far));
    }

    /// The drive cannot be used at all.
    pub(super) fn show_not_usable(&self, id: AttachId, why: &str) {
        if let Some(session) = self.sessions.get(&id) {
            let (language, drive) = (self.notifications.language(), session.device.name());
            self.show(id, trouble::not_usable(language, &session.due, &drive, why));
        }
    }

    /// All runs of a plug-in are over, and the drive was let go of.
    pub(super) fn show_ended(&self, id: AttachId, runs: &[DoneRun], released: &Released) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let (language, drive) = (self.notifications.language(), session.device.name());
        let (unusable, made): (Vec<_>, Vec<_>) =
            runs.iter().partition(|run| matches!(run.ended, Ended::Unusable(_)));
        for run in &unusable {
            let text = match &run.ended {
                Ended::Unusable(Trouble::Refused { why, what_to_do }) => {
                    trouble::refused(language, &run.profile, &drive, why, what_to_do)
                }
                Ended::Unusable(Trouble::RootOwned { command, .. }) => {
                    trouble::root_owned(language, &drive, command)
                }
                _ => continue,
            };
            let key = if made.is_empty() { id.0 } else { id.0 | BESIDE };
            self.notifications.show(key, text);
        }
        if made.is_empty() {
            return;
        }
        let told: Vec<Run<'_>> = made
            .iter()
            .map(|run| Run { profile: &run.profile, ended: &run.ended, known: &run.known })
            .collect();
        let mut text = ended::ended(language, &drive, &told, released.removal);
        for run in &made {
            if matches!(&run.ended, Ended::Complete(report) if report.first_use) {
                let paired = waiting::first_use(language, &run.profile, &drive).body;
                // The last line is what to do with the drive.
                let (before, last) = text.body.rsplit_once('\n').unwrap_or(("", &text.body));
                text.body = format!("{before}\n{paired}\n{last}");
            }
        }
        self.show(id, text);
    }

    /// The drive was let go of at the user's wish.
    pub(super) fn show_ejected(&self, id: AttachId, released: &Released) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let (language, drive) = (self.notifications.language(), session.device.name());
        let text = if released.removal == Removal::EjectFirst && !released.holders.is_empty() {
            ended::busy(language, &drive, &released.holders)
        } else {
            ended::ejected(language, &drive, released.removal)
        };
        self.show(id, text);
    }

    /// The user chose something. Who can forge that can do the same by the command line.
    pub(super) fn chosen(&mut self, key: u64, act: Act) {
        let id = AttachId(key & (BESIDE - 1));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let wish = match act {
            Act::OpenFolder => {
                if let Some(folder) = session.repository.clone() {
                    open(folder);
                }
                return;
            }
            Act::Eject => {
                session.ejecting = true;
                Wish::Eject
            }
            Act::RunNow => Wish::RunNow,
            Act::Stop => Wish::Stop,
        };
        tracing::info!(device = %session.device.node.display(), "asked for: {wish:?}");
        self.give(Input::Asked(id, wish));
    }
}

/// A notification of its own for each profile.
fn key_of(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let bytes = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    OF_PROFILES | (u64::from_le_bytes(bytes) & (BESIDE - 1))
}

fn open(folder: PathBuf) {
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = folder::show(&folder) {
            tracing::warn!("{}: cannot be shown: {error}", folder.display());
        }
    }));
}
