//! What this computer remembers of pairings: its secret, and for each profile its paired drives.
//!
//! Below `<state folder>/pairing`: `secret` and one `<profile>.json` each, for this user alone. Unlike the
//! agent's memory it is no cache: what cannot be read is an error, never taken as absent, since that would
//! pair whatever is plugged in next.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pairing::secret::Secret;
use crate::pairing::uuid::same_uuid;

/// The version of the files that this program writes.
const VERSION: u64 = 1;

/// Largest file that is read, in bytes: some thousand drives.
const MAX_BYTES: u64 = 1 << 20;

/// How a drive came to be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was the first that matched.
    FirstUse,
    /// By `bkm-agent pair`.
    Pair,
    /// It had this computer's mark already.
    Returned,
}

/// A drive that is paired with a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// UUID of its file system.
    pub uuid: String,
    /// UUID of the encrypted volume that it is in, by which it is known when that is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its label when it was last used, for people.
    pub label: Option<String>,
    /// Which mark is on it.
    pub id: [u8; 16],
    /// The repository's place, relative to the mount point.
    pub place: PathBuf,
    /// How many finished runs it told of when it was last used.
    pub runs: u64,
    /// Since when; RFC 3339 with offset.
    pub since: String,
    /// How it came to be.
    pub origin: Origin,
}

/// Why what is remembered cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is there and cannot be read.
    #[error("what this computer remembers of paired drives cannot be read: {}: {reason}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be written.
    #[error("{}: cannot be written", file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A profile's file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    version: u64,
    drives: Vec<Paired>,
    /// Marks that still lie on drives which were unpaired while they were away.
    #[serde(default)]
    dropped: Vec<[u8; 16]>,
}

/// The pairings of this computer.
#[derive(Debug, Clone)]
pub struct Pairings {
    folder: PathBuf,
}

impl Pairings {
    /// Those in the state folder `state`.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("pairing") }
    }

    /// The drives that are paired with the profile of this name.
    pub fn of(&self, profile: &str) -> Result<Vec<Paired>, StoreError> {
        Ok(self.read(profile)?.drives)
    }

    /// All profiles that have pairings, by name, also those that are no more.
    pub fn all(&self) -> Result<Vec<(String, Vec<Paired>)>, StoreError> {
        let unreadable = |e: &io::Error| unreadable(&self.folder, e);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unreadable(&e)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| unreadable(&e))?.file_name();
            if let Some(profile) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                all.push((profile.to_owned(), self.of(profile)?));
            }
        }
        all.retain(|(_, drives)| !drives.is_empty());
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// Whether the mark was given up while its drive was away.
    pub(super) fn was_dropped(&self, profile: &str, id: &[u8; 16]) -> Result<bool, StoreError> {
        Ok(self.read(profile)?.dropped.contains(id))
    }

    /// Remembers a pairing in the place of what was known of the same file system.
    pub(super) fn remember(&self, profile: &str, paired: Paired) -> Result<(), StoreError> {
        self.change(profile, |remembered| {
            remembered.dropped.retain(|id| *id != paired.id);
            match remembered.drives.iter_mut().find(|old| same_uuid(&old.uuid, &paired.uuid)) {
                Some(old) => *old = paired,
                None => remembered.drives.push(paired),
            }
        })
    }

    /// Forgets the pairing with a mark; `mark_stays`: the mark is still on the drive, and is not to count any
    /// more.
    pub fn forget(&self, profile: &str, id: [u8; 16], mark_stays: bool) -> Result<(), StoreError> {
        self.change(profile, |remembered| {
            remembered.drives.retain(|paired| paired.id != id);
            if mark_stays && !remembered.dropped.contains(&id) {
                remembered.dropped.push(id);
            }
        })
    }

    /// This computer's secret; `None` if it has none yet.
    pub(super) fn secret(&self) -> Result<Option<Secret>, StoreError> {
        let file = self.folder.join("secret");
        match read(&file)? {
            None => Ok(None),
            Some(bytes) => Secret::from_bytes(&bytes).map(Some).ok_or_else(|| {
                StoreError::Unreadable { file, reason: "it does not have 32 bytes".to_owned() }
            }),
        }
    }

    /// This computer's secret, made now if it has none.
    pub(super) fn secret_or_make(&self) -> Result<Secret, StoreError> {
        let _lock = self.lock()?;
        if let Some(secret) = self.secret()? {
            return Ok(secret);
        }
        let file = self.folder.join("secret");
        let made = Secret::new().and_then(|secret| {
            crate::host::atomic_file::replace(&file, secret.bytes())?;
            Ok(secret)
        });
        made.map_err(|source| StoreError::Write { file, source })
    }

    fn change(
        &self,
        profile: &str,
        change: impl FnOnce(&mut Remembered),
    ) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        let before = self.read(profile)?;
        let mut after = self.read(profile)?;
        change(&mut after);
        if before == after {
            return Ok(());
        }
        after.version = VERSION;
        let file = self.file(profile);
        let written = serde_json::to_vec_pretty(&after)
            .map_err(io::Error::from)
            .and_then(|text| crate::host::atomic_file::replace(&file, &text));
        written.map_err(|source| StoreError::Write { file, source })
    }

    fn read(&self, profile: &str) -> Result<Remembered, StoreError> {
        let file = self.file(profile);
        let Some(bytes) = read(&file)? else {
            return Ok(Remembered::default());
        };
        match serde_json::from_slice::<Remembered>(&bytes) {
            Ok(remembered) if remembered.version == VERSION => Ok(remembered),
            Ok(newer) => Err(StoreError::Unreadable {
                file,
                reason: format!("it has version {}, of another bkm-agent", newer.version),
            }),
            Err(e) => Err(StoreError::Unreadable { file, reason: e.to_string() }),
        }
    }

    /// A profile's name is the name of a file without its ending, so it stays in the folder.
    fn file(&self, profile: &str) -> PathBuf {
        self.folder.join(format!("{}.json", profile.replace('/', "_")))
    }

    /// Held while one process reads and then writes: the agent and `run` may both be at work.
    fn lock(&self) -> Result<File, StoreError> {
        let locked = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        let locked = locked.and_then(|()| {
            let folder = File::open(&self.folder)?;
            folder.lock()?;
            Ok(folder)
        });
        locked.map_err(|source| StoreError::Write { file: self.folder.clone(), source })
    }
}

/// The content of a file; `None` if there is none.
fn read(file: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(file, &e)),
    }
}

fn unreadable(file: &Path, e: &io::Error) -> StoreError {
    StoreError::Unreadable { file: file.to_owned(), reason: e.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    pub(crate) fn paired(uuid: &str, id: u8) -> Paired {
        Paired {
            container: None,
            uuid: uuid.to_owned(),
            label: Some("PHOTOS".to_owned()),
            id: [id; 16],
            place: "Backups/docs".into(),
            runs: 3,
            since: "2026-11-23T09:15:00+01:00".to_owned(),
            origin: Origin::Pair,
        }
    }

    #[test]
    fn remembers_replaces_and_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let pairings = Pairings::new(dir.path());
        assert_eq!(pairings.of("docs").unwrap(), []);
        assert_eq!(pairings.all().unwrap(), []);
        assert!(!dir.path().join("pairing").exists(), "reading makes nothing");
        pairings.remember("docs", paired("B4C4-F001", 1)).unwrap();
        pairings.remember("docs", paired("B4C4-F002", 2)).unwrap();
        pairings.remember("docs", paired("b4c4-f001", 3)).unwrap();
        let ids = |pairings: &Pairings| -> Vec<u8> {
            pairings.of("docs").unwrap().iter().map(|paired| paired.id[0]).collect()
        };
        assert_eq!(ids(&pairings), [3, 2]);
        pairings.forget("docs", [3; 16], true).unwrap();
        assert_eq!(ids(&pairings), [2]);
        assert!(pairings.was_dropped("docs", &[3; 16]).unwrap());
        pairings.remember("docs", paired("B4C4-F001", 3)).unwrap();
        assert!(!pairings.was_dropped("docs", &[3; 16]).unwrap());
        assert_eq!(pairings.all().unwrap().len(), 1);
    }

    #[test]
    fn pairings_are_written_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let pairings = Pairings::new(dir.path());
        let first = Paired {
            container: Some("0f1e2d3c".to_owned()),
            label: None,
            origin: Origin::FirstUse,
            ..paired("B4C4-F001", 255)
        };
        for paired in [first.clone(), paired("B4C4-F002", 2), paired("B4C4-F003", 3)] {
            pairings.remember("docs", paired).unwrap();
        }
        pairings.forget("docs", [2; 16], true).unwrap();
        let file = pairings.file("docs");
        let written = std::fs::read_to_string(&file).unwrap();
        let before = crate::fixtures::same_as("paired-drives.json", &written);
        std::fs::write(&file, before).unwrap();
        assert_eq!(pairings.of("docs").unwrap(), [first, paired("B4C4-F003", 3)]);
    }

    #[test]
    fn the_secret_is_made_once_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let pairings = Pairings::new(&dir.path().join("state"));
        assert!(pairings.secret().unwrap().is_none());
        let made = pairings.secret_or_make().unwrap();
        assert_eq!(pairings.secret_or_make().unwrap().bytes(), made.bytes());
        let mode = |path: &str| {
            let meta = std::fs::metadata(dir.path().join("state/pairing").join(path)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!((mode(""), mode("secret")), (0o700, 0o600));
    }

    #[test]
    fn what_cannot_be_read_is_never_taken_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let pairings = Pairings::new(dir.path());
        pairings.remember("docs", paired("B4C4-F001", 1)).unwrap();
        let file = pairings.file("docs");
        for broken in ["", "{ torn", "{ \"version\": 2, \"drives\": [] }"] {
            std::fs::write(&file, broken).unwrap();
            let said = pairings.of("docs").unwrap_err().to_string();
            assert!(said.contains("docs.json"), "{said}");
            assert!(pairings.remember("docs", paired("B4C4-F001", 1)).is_err());
            assert_eq!(std::fs::read_to_string(&file).unwrap(), broken, "it stays as it is");
        }
        std::fs::write(pairings.folder.join("secret"), b"short").unwrap();
        assert!(pairings.secret_or_make().is_err());
    }
}
