//! From a profile as written to a valid one: what the fields mean, and which of them go together.
//!
//! Pure: what it needs of this computer (home, user, host name) comes in as a value.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::json::Given;
use crate::config::profile::{
    After, Dist, Hooks, MassChange, OnBattery, Pairing, Profile, Retention,
};
use crate::config::raw::{RawDrive, RawHooks, RawMassChange, RawProfile, RawRetention, RawUnlock};
use crate::model::drive_match::DriveMatch;
use crate::source::pattern::RuleField;
use crate::source::rules::{DirectoryPriority, RawRules, Rules};

/// Reads and checks the text of a profile, on a computer that is always the same.
#[cfg(any(fuzzing, test))]
pub(crate) fn check_text(text: &str) -> Result<Profile, ConfigError> {
    let here = Surroundings {
        home: Some(PathBuf::from("/home/anna")),
        user: "anna".to_owned(),
        host: "host".to_owned(),
    };
    check(std::path::Path::new("/p.json"), "p".to_owned(), text, &here)
}

/// What a profile's meaning depends on.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// What `~` stands for.
    pub(super) home: Option<PathBuf>,
    /// For the default `dist`.
    pub(super) user: String,
    /// For the default `dist`.
    pub(super) host: String,
}

/// Reads and checks the profile called `name` in `file`.
pub(super) fn check(
    file: &Path,
    name: String,
    text: &str,
    here: &Surroundings,
) -> Result<Profile, ConfigError> {
    let raw = RawProfile::parse(file, text)?;
    let missing = |field: &str, hint: &str| ConfigError::File {
        file: file.to_owned(),
        reason: format!("{field:?} is missing: {hint}"),
    };
    let Some(src) = &raw.src else {
        return Err(missing("src", "the folder to back up"));
    };
    let source = absolute(src, here)?;
    let given = match (&raw.dist, &raw.dst) {
        (Some(_), Some(dst)) => {
            return Err(dst
                .place
                .error("is another name for \"dist\"; only one of them can be given"));
        }
        (given, other_name) => given.as_ref().or(other_name.as_ref()),
    };
    let dist = match (drive(&raw.drive)?, given) {
        (Some(drive), Some(dist)) => Dist::Drive { drive, path: on_drive(dist)?, given: true },
        (Some(drive), None) => {
            Dist::Drive { drive, path: default_place(&name, here), given: false }
        }
        (None, Some(dist)) => {
            let folder = absolute(dist, here)?;
            if folder.parent().is_none() {
                return Err(dist.place.error("must name a folder of its own"));
            }
            if folder == source {
                return Err(dist.place.error("is the same folder as \"src\""));
            }
            Dist::Folder(folder)
        }
        (None, None) => {
            let hint = "the folder to back up to; or name a drive, as in \
                        \"drive\": { \"label\": \"PHOTOS\" }";
            return Err(missing("dist", hint));
        }
    };
    let max_workers = match &raw.max_workers {
        None => None,
        Some(given) => Some(
            usize::try_from(given.value)
                .ok()
                .filter(|count| (1..=64).contains(count))
                .ok_or_else(|| given.place.error("must be from 1 to 64"))?,
        ),
    };
    let every = raw.every.as_ref().map(duration).transpose()?;
    if let (Some(given), Some(Duration::ZERO)) = (&raw.every, every) {
        return Err(given.place.error("must be longer than nothing"));
    }
    Ok(Profile {
        file: file.to_owned(),
        source,
        dist,
        every,
        min_interval: raw.min_interval.as_ref().map(duration).transpose()?,
        after: after(raw.after.as_ref())?,
        pairing: pairing(raw.pairing.as_ref())?,
        on_battery: on_battery(raw.on_battery.as_ref())?,
        remind_after: raw.remind_after.as_ref().map(duration).transpose()?,
        keyfile: keyfile(&raw.unlock, here)?,
        hooks: hooks(&raw.hooks)?,
        max_workers,
        one_file_system: raw.one_file_system.as_ref().is_none_or(|given| given.value),
        private: raw.private.as_ref().is_none_or(|given| given.value),
        browse: raw.browse.as_ref().is_none_or(|given| given.value),
        mass_change: mass_change(&raw.mass_change)?,
        retention: retention(&raw.retention)?,
        rules: rules(file, raw)?,
        name,
    })
}

fn retention(raw: &RawRetention<'_>) -> Result<Retention, ConfigError> {
    let count = |given: &Option<Given<'_, u64>>| given.as_ref().map_or(0, |given| given.value);
    Ok(Retention {
        last: count(&raw.last),
        within: raw.within.as_ref().map(duration).transpose()?,
        hourly: count(&raw.hourly),
        daily: count(&raw.daily),
        weekly: count(&raw.weekly),
        monthly: count(&raw.monthly),
        yearly: count(&raw.yearly),
    })
}

/// An absolute path without `..`, `~` expanded.
fn absolute(given: &Given<'_, String>, here: &Surroundings) -> Result<PathBuf, ConfigError> {
    let text = given.value.as_str();
    let path = if text == "~" || text.starts_with("~/") {
        let Some(home) = &here.home else {
            return Err(given
                .place
                .error("starts with \"~\", but HOME is not set; write the whole path"));
        };
        home.join(text.trim_start_matches(['~', '/']))
    } else if text.starts_with('~') {
        return Err(given.place.error("can use \"~\" only for your own home"));
    } else {
        PathBuf::from(text)
    };
    if !path.is_absolute() {
        return Err(given.place.error("must be an absolute path, or start with \"~/\""));
    }
    plain(given, &path)
}

/// The path without `.` and doubled `/`; an error for what has no place in one.
fn plain(given: &Given<'_, String>, path: &Path) -> Result<PathBuf, ConfigError> {
    if given.value.contains('\0') {
        return Err(given.place.error("must not contain a NUL character"));
    }
    let mut parts = path.components();
    if parts.any(|part| part == Component::ParentDir) {
        return Err(given.place.error("must not contain \"..\""));
    }
    Ok(path.components().collect())
}

/// `dist` of a profile with a drive: a folder on it.
fn on_drive(given: &Given<'_, String>) -> Result<PathBuf, ConfigError> {
    if given.value.starts_with(['/', '~']) {
        return Err(given.place.error(
            "must be relative: with \"drive\" it is a folder on the drive, wherever that is mounted",
        ));
    }
    let path = plain(given, Path::new(&given.value))?;
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if path.as_os_str().is_empty() {
        return Err(given.place.error("must name a folder on the drive, not the drive itself"));
    }
    Ok(path)
}

/// `Backups/<user>@<host>/<profile>`.
fn default_place(name: &str, here: &Surroundings) -> PathBuf {
    // Each is to be one plain folder on any file system, FAT too.
    let part = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
                c if c.is_control() => '_',
                c => c,
            })
            .collect()
    };
    Path::new("Backups").join(format!("{}@{}", part(&here.user), part(&here.host))).join(part(name))
}

fn drive(raw: &RawDrive<'_>) -> Result<Option<DriveMatch>, ConfigError> {
    let Some(place) = &raw.place else {
        return Ok(None);
    };
    let text = |given: &Option<Given<'_, String>>| match given {
        Some(given) if given.value.is_empty() => Err(given.place.error("must not be empty")),
        given => Ok(given.as_ref().map(|given| given.value.clone())),
    };
    let drive = DriveMatch {
        uuid: text(&raw.uuid)?,
        label: text(&raw.label)?,
        partuuid: text(&raw.partuuid)?,
        partlabel: text(&raw.partlabel)?,
        serial: text(&raw.serial)?,
    };
    if drive == DriveMatch::default() {
        return Err(place.error(
            "must say which drive, by one or more of \"uuid\", \"label\", \"partuuid\", \
             \"partlabel\", \"serial\"",
        ));
    }
    Ok(Some(drive))
}

fn after(given: Option<&Given<'_, String>>) -> Result<After, ConfigError> {
    let Some(given) = given else {
        return Ok(After::default());
    };
    match given.value.as_str() {
        "as-found" => Ok(After::AsFound),
        "unmount" => Ok(After::Unmount),
        "power-off" => Ok(After::PowerOff),
        "keep" => Ok(After::Keep),
        _ => Err(given.place.error("must be \"as-found\", \"unmount\", \"power-off\" or \"keep\"")),
    }
}

fn pairing(given: Option<&Given<'_, String>>) -> Result<Pairing, ConfigError> {
    let Some(given) = given else {
        return Ok(Pairing::default());
    };
    match given.value.as_str() {
        "first-use" => Ok(Pairing::FirstUse),
        "required" => Ok(Pairing::Required),
        "off" => Ok(Pairing::Off),
        _ => Err(given.place.error("must be \"first-use\", \"required\" or \"off\"")),
    }
}

fn on_battery(given: Option<&Given<'_, String>>) -> Result<OnBattery, ConfigError> {
    let Some(given) = given else {
        return Ok(OnBattery::default());
    };
    match given.value.as_str() {
        "run" => Ok(OnBattery::Run),
        "ask" => Ok(OnBattery::Ask),
        "skip" => Ok(OnBattery::Skip),
        _ => Err(given.place.error("must be \"run\", \"ask\" or \"skip\"")),
    }
}

fn keyfile(raw: &RawUnlock<'_>, here: &Surroundings) -> Result<Option<PathBuf>, ConfigError> {
    match (&raw.place, &raw.keyfile) {
        (Some(place), None) => Err(place.error("must name a \"keyfile\"")),
        (_, given) => given.as_ref().map(|given| absolute(given, here)).transpose(),
    }
}

fn hooks(raw: &RawHooks<'_>) -> Result<Hooks, ConfigError> {
    let command = |given: &Option<Given<'_, Vec<String>>>| match given {
        Some(given) if given.value.first().is_none_or(String::is_empty) => Err(given
            .place
            .error("must be a program and its arguments, such as [\"/usr/bin/logger\", \"done\"]")),
        Some(given) if given.value.iter().any(|argument| argument.contains('\0')) => {
            Err(given.place.error("must not contain a NUL character"))
        }
        given => Ok(given.as_ref().map(|given| given.value.clone()).unwrap_or_default()),
    };
    let timeout = match &raw.timeout {
        None => Hooks::default().timeout,
        Some(given) => match duration(given)? {
            Duration::ZERO => return Err(given.place.error("must be longer than nothing")),
            timeout => timeout,
        },
    };
    Ok(Hooks {
        before: command(&raw.before)?,
        after: command(&raw.after)?,
        failed: command(&raw.failed)?,
        timeout,
    })
}

fn mass_change(raw: &RawMassChange<'_>) -> Result<MassChange, ConfigError> {
    let usual = MassChange::default();
    let percent = match &raw.percent {
        Some(given) if !(1..=100).contains(&given.value) => {
            return Err(given.place.error("must be from 1 to 100"));
        }
        given => given.as_ref().map_or(usual.percent, |given| given.value),
    };
    Ok(MassChange { percent, files: raw.files.as_ref().map_or(usual.files, |given| given.value) })
}

/// A time such as `90s`, `30m`, `6h`, `1d` or `2w`.
pub(super) fn duration(given: &Given<'_, String>) -> Result<Duration, ConfigError> {
    let text = given.value.as_str();
    let seconds = text.char_indices().next_back().and_then(|(at, unit)| {
        let unit = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            'w' => 7 * 24 * 3600,
            _ => return None,
        };
        let digits = text.get(..at)?;
        let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(unit)
    });
    // A bound that keeps sums with any date far from overflow: a century.
    match seconds {
        Some(seconds) if seconds <= 100 * 366 * 24 * 3600 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(given.place.error("must not be longer than a century")),
        None => Err(given.place.error(
            "must be a whole number and a unit, such as \"90s\", \"30m\", \"6h\", \"1d\" or \"2w\"",
        )),
    }
}

fn rules(file: &Path, raw: RawProfile<'_>) -> Result<Rules, ConfigError> {
    let priority = match &raw.directory_priority {
        None => DirectoryPriority::default(),
        Some(given) => match given.value.as_str() {
            "track" => DirectoryPriority::Track,
            "include" => DirectoryPriority::Include,
            _ => return Err(given.place.error("must be \"track\" or \"include\"")),
        },
    };
    let mut places = Vec::new();
    let mut list = |field: RuleField, given: Option<Given<'_, Vec<String>>>| match given {
        None => Vec::new(),
        Some(given) => {
            places.push((field, given.place.line()));
            given.value
        }
    };
    let raw_rules = RawRules {
        include_dirs: list(RuleField::IncludeDirs, raw.include_dirs),
        track_dirs: list(RuleField::TrackDirs, raw.track_dirs),
        include_files: list(RuleField::IncludeFiles, raw.include_files),
        track_files: list(RuleField::TrackFiles, raw.track_files),
        exclude_dirs: list(RuleField::ExcludeDirs, raw.exclude_dirs),
        exclude_files: list(RuleField::ExcludeFiles, raw.exclude_files),
        directory_priority: priority,
    };
    Rules::new(&raw_rules).map_err(|error| ConfigError::Value {
        file: file.to_owned(),
        line: places.iter().find(|(field, _)| *field == error.field).map_or(1, |(_, line)| *line),
        field: error.field.name().to_owned(),
        reason: format!(
            "holds the pattern {:?}, which cannot be used: {}",
            error.pattern, error.reason
        ),
    })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
