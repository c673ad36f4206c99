//! Profiles: which drive, which source, which files.
//!
//! A profile file is parsed to a raw form and then checked once into [`Profile`]; nothing else of the
//! program sees the raw form. Called by `cli` and `agent`.

use std::path::PathBuf;
use std::time::Duration;

/// A valid profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name: the file's name without `.json`.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// The source, absolute, `~` expanded.
    pub source: PathBuf,
    /// Where the repository is.
    pub dist: Dist,
    /// Whether a drive that stays attached is backed up again, and after how long.
    pub every: Option<Duration>,
    /// A plug-in sooner than this after the last complete run starts none.
    pub min_interval: Option<Duration>,
    /// What becomes of the drive after a run.
    pub after: After,
    /// Threads that read and hash the source; `None`: chosen by the program.
    pub max_workers: Option<usize>,
    /// Whether other mounts below the source are left out.
    pub one_file_system: bool,
    /// Whether the repository is closed to other users (0700).
    pub private: bool,
    /// Which files.
    pub rules: crate::select::Rules,
    /// What the profile asks for that this version does not act on yet, worded for the user.
    pub warnings: Vec<String>,
}

/// Where a profile's repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dist {
    /// On a drive, at this path relative to its mount point.
    Drive {
        /// Which drive.
        drive: DriveMatch,
        /// Where on it.
        path: PathBuf,
    },
    /// A folder, absolute.
    Folder(PathBuf),
}

/// What a drive must be to be the profile's; every field that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriveMatch {
    /// UUID of the file system.
    pub uuid: Option<String>,
    /// Label of the file system, in plain characters.
    pub label: Option<String>,
    /// UUID of the partition.
    pub partuuid: Option<String>,
    /// Name of the partition (GPT).
    pub partlabel: Option<String>,
    /// Serial number of the device.
    pub serial: Option<String>,
}

/// What becomes of the drive after a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum After {
    /// A drive that we mounted is unmounted, one that was mounted stays.
    #[default]
    AsFound,
    /// Unmounted in any case.
    Unmount,
    /// Unmounted and powered off.
    PowerOff,
    /// Left mounted in any case.
    Keep,
}

/// Why a profile is not valid. Stand-in.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub why: String,
}

/// Stand-in until the real reader lands: just enough of a profile for the agent's tests.
pub fn load_all(dirs: &[PathBuf]) -> Vec<Result<Profile, ConfigError>> {
    let files = dirs
        .iter()
        .flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten());
    files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|e| e == "json"))
        .map(|file| {
            read(&file).map_err(|error| ConfigError {
                file,
                why: error.to_string(),
            })
        })
        .collect()
}

fn read(file: &std::path::Path) -> std::io::Result<Profile> {
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let text = |value: Option<&serde_json::Value>| Some(value?.as_str()?.to_owned());
    let drive = value.get("drive");
    let field = |name: &str| text(drive.and_then(|d| d.get(name)));
    Ok(Profile {
        name: file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        file: file.to_owned(),
        source: text(value.get("src")).unwrap_or_default().into(),
        dist: match drive {
            Some(_) => Dist::Drive {
                drive: DriveMatch {
                    uuid: field("uuid"),
                    label: field("label"),
                    partuuid: field("partuuid"),
                    partlabel: field("partlabel"),
                    serial: field("serial"),
                },
                path: "Backups".into(),
            },
            None => Dist::Folder("/nowhere".into()),
        },
        every: None,
        min_interval: None,
        after: match text(value.get("after")).as_deref() {
            Some("keep") => After::Keep,
            Some("unmount") => After::Unmount,
            _ => After::AsFound,
        },
        max_workers: None,
        one_file_system: true,
        private: true,
        rules: crate::select::Rules {},
        warnings: Vec::new(),
    })
}
