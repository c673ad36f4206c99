//! What the agent knows of each profile and drive, kept on this computer: one small file for each
//! pair, below the state folder.
//!
//! It is a memory, not a record: losing it costs a backup that comes too early, never data. A file
//! that cannot be read is reported and counts as absent.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::report::RunReport;
use crate::drive::device::Device;
use crate::host::dirs::at_depth;
use crate::host::names::file_name;

/// The largest file that is read; a report with a thousand problems is far below.
const MAX_BYTES: u64 = 16 << 20;

/// What is known of one profile on one drive; `status --json` prints it as one object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The profile's name.
    pub profile: String,
    /// The drive.
    pub drive: Drive,
    /// Where it stands, in words.
    pub state: String,
    /// When the drive was last plugged in or used; RFC 3339 with offset.
    pub last_seen: Option<String>,
    /// When the last complete run ended; RFC 3339 with offset.
    pub last_complete: Option<String>,
    /// When the repository was last verified.
    pub last_verified: Option<String>,
    /// The last run that was complete.
    pub last_run: Option<RunReport>,
}

/// Which drive is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// Label of the file system.
    pub label: Option<String>,
    /// UUID of the file system.
    pub uuid: Option<String>,
    /// Serial number of the device.
    pub serial: Option<String>,
    /// Its node when it was last seen.
    pub node: String,
}

impl Memory {
    /// When the last complete run ended.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.last_complete.as_deref()?.parse().ok()
    }

    /// Takes in a complete run that ended now.
    pub fn complete(&mut self, report: RunReport) {
        self.last_complete = Some(now());
        self.last_run = Some(report);
    }
}

/// The files below `<state folder>/drives`.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The memory in the state folder `state`.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("drives") }
    }

    /// What is known of `profile` on `device`; fresh if nothing is.
    pub fn load(&self, profile: &str, device: &Device) -> Memory {
        let mut memory = load(&self.path(profile, device)).unwrap_or_default();
        profile.clone_into(&mut memory.profile);
        memory.drive = Drive {
            label: device.label.clone(),
            uuid: device.uuid.clone(),
            serial: device.serial.clone().or_else(|| device.serial_long.clone()),
            node: device.node.to_string_lossy().into_owned(),
        };
        memory
    }

    /// Changes what is known of `profile` on `device`, which was seen now. A memory that cannot be
    /// written is reported and nothing else: the run counts. The disk is not waited for: that is [`Store::settle`].
    pub fn update(&self, profile: &str, device: &Device, change: impl FnOnce(&mut Memory)) {
        let mut memory = self.load(profile, device);
        memory.last_seen = Some(now());
        change(&mut memory);
        let path = self.path(profile, device);
        let text = serde_json::to_vec_pretty(&memory).map_err(io::Error::from);
        if let Err(error) =
            text.and_then(|text| crate::host::atomic_file::replace_soon(&path, &text))
        {
            tracing::warn!("{}: cannot be written: {error}", path.display());
        }
    }

    /// Waits until what is known of `profile` on `device` is on this computer's disk: worth it at the end of a
    /// run, not for where a plug-in stands.
    pub fn settle(&self, profile: &str, device: &Device) {
        let path = self.path(profile, device);
        if let Err(error) = crate::host::atomic_file::settle(&path) {
            tracing::warn!("{}: cannot be synced: {error}", path.display());
        }
    }

    /// When the last complete run of `profile` ended, on whichever drive.
    pub fn last_complete(&self, profile: &str) -> Option<Timestamp> {
        let of_drives = at_depth(&self.folder.join(file_name(profile)), 1);
        of_drives.iter().filter_map(|file| load(file)?.completed_at()).max()
    }

    /// What is known of `profile` on the drive with this [`key_of`].
    pub fn of(&self, profile: &str, key: &str) -> Option<Memory> {
        load(&self.file(profile, key))
    }

    /// Of which backup's age the user was reminded last: when that was complete, or its profile made.
    pub fn reminded(&self, profile: &str) -> Option<Timestamp> {
        let text = std::fs::read_to_string(self.reminder(profile)).ok()?;
        text.trim().parse().ok()
    }

    /// Remembers that the user was reminded.
    pub fn set_reminded(&self, profile: &str, of: Timestamp) {
        let path = self.reminder(profile);
        if let Err(error) = crate::host::atomic_file::replace(&path, of.to_string().as_bytes()) {
            tracing::warn!("{}: cannot be written: {error}", path.display());
        }
    }

    fn reminder(&self, profile: &str) -> PathBuf {
        self.folder.with_file_name("reminders").join(file_name(profile))
    }

    /// Everything that is known, by profile and drive.
    pub fn all(&self) -> Vec<Memory> {
        let mut all: Vec<Memory> = at_depth(&self.folder, 2)
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "json"))
            .filter_map(|file| load(file))
            .collect();
        all.sort_by(|a, b| {
            let key = |m: &Memory| (m.profile.clone(), m.drive.label.clone(), m.drive.uuid.clone());
            key(a).cmp(&key(b))
        });
        all
    }

    fn path(&self, profile: &str, device: &Device) -> PathBuf {
        self.file(profile, &key_of(device))
    }

    fn file(&self, profile: &str, key: &str) -> PathBuf {
        self.folder.join(file_name(profile)).join(format!("{}.json", file_name(key)))
    }
}

/// What a drive is known by on this computer.
pub fn key_of(device: &Device) -> String {
    // An encrypted drive is known locked as well.
    let device = device.container.as_deref().unwrap_or(device);
    // A serial number tells the stick but not its partitions: the number of the partition does.
    match (&device.uuid, &device.serial_long) {
        (Some(uuid), _) => uuid.clone(),
        (None, Some(serial)) => {
            format!("{serial}-{}", device.partuuid.as_deref().unwrap_or("disk"))
        }
        (None, None) => device.node.to_string_lossy().into_owned(),
    }
}

/// The time now, with this computer's offset.
pub fn now() -> String {
    jiff::ZonedDateTime::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn load(path: &Path) -> Option<Memory> {
    let read = || -> io::Result<Memory> {
        let mut text = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    };
    match read() {
        Ok(memory) => Some(memory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("{}: cannot be read, taken as absent: {error}", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device {
            node: "/dev/sdb1".into(),
            uuid: Some("B4C4-F001".to_owned()),
            label: Some("PHOTOS".to_owned()),
            ..Device::default()
        }
    }

    #[test]
    fn remembers_a_complete_run() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert_eq!(store.load("docs", &device()).completed_at(), None);
        store.update("docs", &device(), |memory| {
            memory.state = "safe to remove".to_owned();
            memory.complete(RunReport::default());
        });
        let memory = store.load("docs", &device());
        let ago = Timestamp::now().duration_since(memory.completed_at().unwrap());
        assert!(ago.as_secs().abs() < 5, "{ago:?}");
        assert_eq!(memory.drive.label.as_deref(), Some("PHOTOS"));
        store.update("a/../b", &device(), |_| {});
        let all = store.all();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].profile, "a/../b", "a name stays inside the folder");
    }

    #[test]
    fn a_memory_is_written_as_before() {
        let report = RunReport {
            profile: "docs".to_owned(),
            device: Some("/dev/sdb1".to_owned()),
            repository: "/media/PHOTOS/Backups".into(),
            increment: Some("backup_20261123_091500".to_owned()),
            new: u64::MAX,
            problems: vec![crate::model::problem::Problem::new(
                crate::model::relpath::RelPath::new(b"caf\xe9").unwrap(),
                "cannot be read",
            )],
            warnings: vec!["Füße".to_owned()],
            duration_s: 0.1,
            ..RunReport::default()
        };
        let memory = Memory {
            profile: "docs".to_owned(),
            drive: Drive { uuid: device().uuid, node: "/dev/sdb1".to_owned(), ..Drive::default() },
            state: "safe to remove".to_owned(),
            last_complete: Some("2026-11-23T09:15:00+01:00".to_owned()),
            last_run: Some(report.clone()),
            ..Memory::default()
        };
        let written = serde_json::to_string_pretty(&memory).unwrap();
        let before = crate::fixtures::same_as("memory.json", &written);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.update("docs", &device(), |_| {});
        std::fs::write(store.path("docs", &device()), before).unwrap();
        let read = store.load("docs", &device());
        assert_eq!(read.completed_at().map(Timestamp::as_second), Some(1_795_421_700));
        assert_eq!(read.last_run, Some(report));
        // When the user was reminded.
        store.set_reminded("docs", Timestamp::from_nanosecond(1_795_421_700_042_000_000).unwrap());
        let reminder = std::fs::read_to_string(store.reminder("docs")).unwrap();
        assert_eq!(reminder, "2026-11-23T08:15:00.042Z");
    }

    #[test]
    fn a_broken_file_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.update("docs", &device(), |memory| memory.state = "x".to_owned());
        std::fs::write(store.path("docs", &device()), b"{ torn").unwrap();
        assert_eq!(store.load("docs", &device()).state, "");
        assert!(store.all().is_empty());
        store.update("docs", &device(), |memory| memory.state = "y".to_owned());
        assert_eq!(store.load("docs", &device()).state, "y");
    }

    #[test]
    fn file_names_are_injective() {
        assert_eq!(file_name("a/b%2F."), "a%2Fb%252F%2E");
    }
}
