//! What became of the last plug-ins, step by step: kept on this computer for `bkm-agent why`.
//!
//! One small file with the last [`KEPT`] attaches. It is a memory, not a record: a file that cannot be
//! read counts as empty, and writing it is not waited for.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agent::event::AttachId;
use crate::agent::state::{Mark, State};
use crate::drive::device::Device;
use crate::state::memory::now;

/// Attaches that are kept: enough for a week of plug-ins beside the computer's own disks.
const KEPT: usize = 40;

/// Steps that are kept of one attach; a drive that stays plugged in for months gathers many.
const STEPS: usize = 60;

/// The largest file that is read, in bytes; what is kept stays far below.
const MAX_BYTES: u64 = 4 << 20;

/// One attach.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// Names the attach while the agent runs that made it.
    #[serde(skip)]
    id: Option<AttachId>,
    /// Node of the device.
    pub node: String,
    /// Label of its file system.
    pub label: Option<String>,
    /// UUID of its file system.
    pub uuid: Option<String>,
    /// How it is connected: `usb`, `ata`.
    pub bus: Option<String>,
    /// When it was seen first; RFC 3339 with offset.
    pub since: String,
    /// Whether it was there already when the agent started.
    pub at_start: bool,
    /// What became of it, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When; RFC 3339 with offset.
    pub at: String,
    /// Which profile; `None` if it concerns the drive as such.
    pub profile: Option<String>,
    /// The state's word.
    pub state: String,
    /// What it means for the backup.
    pub mark: Mark,
    /// What is to be said with it, safe to show; empty if nothing.
    pub detail: String,
    /// What the user can do.
    pub remedy: Option<String>,
}

impl Record {
    /// An attach of `device` that is seen now.
    pub fn new(id: AttachId, device: &Device, at_start: bool) -> Self {
        let mut record = Self { id: Some(id), since: now(), at_start, ..Self::default() };
        record.describe(device);
        record
    }

    /// Takes in what the device is now.
    pub(super) fn describe(&mut self, device: &Device) {
        self.node = device.node.to_string_lossy().into_owned();
        self.label.clone_from(&device.label);
        self.uuid.clone_from(&device.uuid);
        let own = device.bus.as_ref();
        self.bus = own.or_else(|| device.container.as_ref()?.bus.as_ref()).cloned();
    }

    /// Takes in one more state.
    pub fn add(&mut self, profile: Option<&str>, state: &State) {
        let fill = |text: &str| {
            let text = text.replace("{device}", &self.node);
            text.replace("{profile}", profile.unwrap_or("NAME"))
        };
        let step = Step {
            at: now(),
            profile: profile.map(str::to_owned),
            state: state.word().to_owned(),
            mark: state.mark(),
            detail: state.detail(),
            remedy: state.remedy().map(fill),
        };
        self.steps.push(step);
        if self.steps.len() > STEPS {
            // The first says what the drive is.
            self.steps.remove(1);
        }
    }

    /// Whether it is one that somebody plugged in, as far as can be told, or that a profile wants.
    pub fn matters(&self) -> bool {
        !self.at_start
            || self.bus.as_deref() == Some("usb")
            || self.steps.iter().any(|step| step.profile.is_some())
    }
}

/// The last attaches, and where they are kept.
#[derive(Debug)]
pub struct Trail {
    file: PathBuf,
    records: VecDeque<Record>,
    unsaved: bool,
}

impl Trail {
    /// What is kept in the state folder `state`.
    pub fn load(state: &Path) -> Self {
        let file = state.join("attaches.json");
        let records = read(&file).unwrap_or_default();
        Self { file, records, unsaved: false }
    }

    /// The attaches, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.iter()
    }

    /// Takes in a state of an attach; `at_start`: the drive was there before the agent.
    pub fn add(
        &mut self,
        id: AttachId,
        device: &Device,
        at_start: bool,
        profile: Option<&str>,
        state: &State,
    ) {
        if !self.records.iter().any(|record| record.id == Some(id)) {
            if self.records.len() >= KEPT {
                self.records.pop_front();
            }
            self.records.push_back(Record::new(id, device, at_start));
        }
        if let Some(record) = self.records.iter_mut().rfind(|record| record.id == Some(id)) {
            record.describe(device);
            record.add(profile, state);
            self.unsaved = true;
        }
    }

    /// Writes what came since the last time. What cannot be written is reported and nothing else.
    pub fn save(&mut self) {
        if !std::mem::take(&mut self.unsaved) {
            return;
        }
        let written = serde_json::to_vec(&self.records)
            .map_err(std::io::Error::from)
            .and_then(|text| crate::host::atomic_file::replace_soon(&self.file, &text));
        if let Err(error) = written {
            tracing::warn!("{}: cannot be written: {error}", self.file.display());
        }
    }
}

fn read(file: &Path) -> Option<VecDeque<Record>> {
    let mut text = Vec::new();
    std::fs::File::open(file).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    match serde_json::from_slice(&text) {
        Ok(records) => Some(records),
        Err(error) => {
            tracing::warn!("{}: cannot be read, taken as empty: {error}", file.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attaches_are_kept_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let device = Device { node: "/dev/sdb1".into(), ..Device::default() };
        let mut trail = Trail::load(dir.path());
        for id in 0..50 {
            let id = AttachId(id);
            trail.add(id, &device, false, None, &State::Seen("ext4".to_owned()));
            trail.add(id, &device, false, Some("docs"), &State::NotDue("later".to_owned()));
        }
        trail.save();
        let mut again = Trail::load(dir.path());
        assert_eq!(again.records().count(), KEPT);
        let last = again.records().next_back().unwrap();
        assert_eq!(last.steps[1].mark, Mark::Out);
        let remedy = last.steps[1].remedy.as_deref().unwrap();
        assert!(remedy.starts_with("bkm-agent run --profile docs backs up now"), "{remedy}");
        // A number that a run before used is another attach.
        again.add(AttachId(49), &device, true, None, &State::NotOurs);
        let last = again.records().next_back().unwrap();
        assert_eq!(last.steps.len(), 1);
        assert!(!last.matters(), "a disk of the computer that nobody asked for");
    }

    #[test]
    fn attaches_are_written_as_before() {
        let step = Step {
            at: "2026-11-23T09:15:00+01:00".to_owned(),
            profile: Some("docs".to_owned()),
            state: "not due".to_owned(),
            mark: Mark::Out,
            detail: "later".to_owned(),
            remedy: None,
        };
        let record = Record {
            node: "/dev/sdb1".to_owned(),
            uuid: Some("B4C4-F001".to_owned()),
            since: step.at.clone(),
            steps: vec![step.clone()],
            ..Record::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let mut trail = Trail::load(dir.path());
        trail.records.push_back(record);
        trail.unsaved = true;
        trail.save();
        let written = std::fs::read_to_string(&trail.file).unwrap();
        let before = crate::fixtures::same_as("attaches.json", &written);
        std::fs::write(&trail.file, before).unwrap();
        let again = Trail::load(dir.path());
        assert_eq!(again.records().next().unwrap().steps, [step]);
    }

    #[test]
    fn a_long_stay_keeps_its_first_and_its_last_steps() {
        let device = Device { node: "/dev/sdb1".into(), ..Device::default() };
        let mut record = Record::new(AttachId(1), &device, false);
        record.add(None, &State::Seen(String::new()));
        for n in 0..100 {
            record.add(Some("d"), &State::Flushed(n.to_string()));
        }
        assert_eq!(record.steps.len(), STEPS);
        assert_eq!(record.steps[0].state, "seen");
        assert_eq!(record.steps[STEPS - 1].detail, "99");
    }
}
