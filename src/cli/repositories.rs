//! The repositories that a question about the past is put to: those that are here, and those that this computer
//! keeps the catalogs of.
//!
//! It brings what is kept up to date where it can; a question is never refused because that did not work.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::backup::place::folder_of;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::say;
use crate::cli::target::{
    self, Located, Unopened, Which, device_at, drive_for, is_for, named_profiles,
};
use crate::config::profile::{Profile, drive_of};
use crate::drive::device::Device;
use crate::history::reader::{Here, Past};
use crate::host::dirs;
use crate::repository::format;
use crate::repository::index::history::history_of;
use crate::repository::versioning::Keeping;
use crate::state::catalogs::file::Whose;
use crate::state::catalogs::store::{self, Catalogs, KeepError, Kept, New};
use crate::state::memory::{Store, key_of};
use crate::text::sanitize::line;

/// Which repository it is, as JSON tells it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Label {
    /// The profile's name; `None` where only a folder was named.
    pub(super) profile: Option<String>,
    /// Label of the drive; `None` without one.
    pub(super) drive: Option<String>,
    /// UUID of the drive's file system.
    pub(super) drive_uuid: Option<String>,
    /// When the drive was last seen; RFC 3339 with offset.
    pub(super) last_seen: Option<String>,
    /// Whether it is here now.
    pub(super) here: bool,
    /// The repository's folder: where it is now, else its place on the drive.
    pub(super) repository: String,
}

/// A repository on the shelf.
pub(super) struct Shelved {
    pub(super) label: Label,
    /// What the drive is known by; empty where only a folder was named.
    key: String,
    located: Option<Located>,
    kept: Option<Kept>,
    keeping: Keeping,
    /// The profile's source.
    source: Option<PathBuf>,
}

/// All that are meant, and whether something was wrong with profiles that were not named.
pub(super) struct Shelf {
    pub(super) all: Vec<Shelved>,
    pub(super) exit: Exit,
}

impl Shelf {
    /// Finds what `which` means: one repository, or without a word all that are known.
    pub(super) fn open(which: &Which) -> Result<Self, CliError> {
        if which.repo.is_some() {
            let all = vec![Shelved::of_folder(which.open()?)?];
            return Ok(Self { all, exit: Exit::Done });
        }
        let one = which.profile.is_some() || which.config.is_some();
        let device = which.device.as_deref().map(device_at).transpose()?;
        let (mut profiles, exit) =
            named_profiles(which.profile.as_deref(), which.config.as_deref())?;
        if let Some(device) = device.as_ref().filter(|_| !one) {
            profiles.retain(|profile| is_for(profile, device).is_some());
            if profiles.is_empty() {
                return Err(target::no_profile_for(device));
            }
        }
        let mut shelf = Self { all: Vec::new(), exit };
        // Why a repository is not here.
        let mut away = None;
        let single = profiles.len() == 1;
        for profile in &profiles {
            let opened = shelf.open_profile(profile, device.as_ref(), single, &mut away);
            if let Err(error) = opened {
                shelf.close();
                return Err(error);
            }
        }
        let is_meant = |kept: &Kept| {
            let whose = kept.whose();
            let of_profile = profiles.iter().any(|profile| profile.name == whose.profile);
            (of_profile || (!one && device.is_none()))
                && device.as_ref().is_none_or(|device| key_of(device) == whose.key)
        };
        for kept in Catalogs::new(&dirs::state_dir()).all().into_iter().filter(is_meant) {
            let whose = kept.whose();
            if !shelf.all.iter().any(|shelved| shelved.is_of(whose)) {
                let profile = profiles.iter().find(|profile| profile.name == whose.profile);
                let source = profile.map(|profile| profile.source.clone());
                shelf.all.push(Shelved::of_kept(kept, source));
            }
        }
        let order =
            |shelved: &Shelved| (shelved.label.profile.clone(), shelved.label.drive.clone());
        shelf.all.sort_by_key(order);
        match (shelf.all.is_empty(), away) {
            (true, Some(why)) => Err(why),
            (true, None) if profiles.is_empty() => Err(target::no_profiles(&dirs::profile_dirs())),
            _ => Ok(shelf),
        }
    }

    /// Opens the profile's repositories that are here.
    fn open_profile(
        &mut self,
        profile: &Profile,
        device: Option<&Device>,
        single: bool,
        away: &mut Option<CliError>,
    ) -> Result<(), CliError> {
        let devices = match (drive_of(profile), device) {
            (None, None) => vec![None],
            (_, Some(device)) => vec![Some(drive_for(profile, Some(&device.node))?)],
            (Some(_), None) => match target::drives_of(profile) {
                Ok(devices) => devices.into_iter().map(Some).collect(),
                Err(error) => {
                    away.get_or_insert(error);
                    return Ok(());
                }
            },
        };
        for device in devices {
            let opened = target::open_at(profile.clone(), device.clone(), true);
            let shelved = opened.and_then(Located::read).and_then(|located| {
                Shelved::of_profile(profile, device, located).map_err(Unopened::Failed)
            });
            match shelved.map_err(Unopened::into_parts) {
                Ok(shelved) => self.all.push(shelved),
                Err((error, true)) => {
                    away.get_or_insert(error);
                }
                Err((error, false)) if single => return Err(error),
                Err((error, false)) => {
                    say(&format!("{}: {}", line(&profile.name), error.message));
                    self.exit = self.exit.and(error.exit);
                }
            }
        }
        Ok(())
    }

    /// Lets go of all of it, and unmounts what was mounted for this.
    pub(super) fn close(self) {
        for shelved in self.all {
            if let Some(located) = shelved.located {
                located.close();
            }
        }
    }
}

impl Shelved {
    /// A folder that was named: nothing of it is kept.
    fn of_folder(located: Located) -> Result<Self, CliError> {
        let label = Label {
            profile: None,
            drive: None,
            drive_uuid: None,
            last_seen: None,
            here: true,
            repository: located.tree.shown().to_string_lossy().into_owned(),
        };
        let keeping = keeping(&located)?;
        let key = String::new();
        Ok(Self { label, key, located: Some(located), kept: None, keeping, source: None })
    }

    /// A profile's repository that is here; what is kept of it is brought up to date.
    fn of_profile(
        profile: &Profile,
        device: Option<Device>,
        located: Located,
    ) -> Result<Self, CliError> {
        let place = located.profile.as_ref().map_or_else(|| folder_of(profile), folder_of);
        let drive = device.is_some();
        let device =
            device.unwrap_or_else(|| Device { node: folder_of(profile), ..Device::default() });
        let state = dirs::state_dir();
        let kept = Catalogs::new(&state).keep(
            &profile.name,
            &device,
            &place,
            &located.tree,
            &New { history: &history_of(&located.index), made: None },
            &AtomicBool::new(false),
        );
        let read = match kept {
            Ok(kept) => keeping(&located).map(|keeping| (Some(kept), keeping)),
            Err(KeepError::Repository(error)) => Err(CliError::new(&error, Exit::Failed)),
            // The drive knows it as well.
            Err(_) => keeping(&located).map(|keeping| (None, keeping)),
        };
        let (kept, keeping) = match read {
            Ok(read) => read,
            Err(error) => {
                located.close();
                return Err(error);
            }
        };
        let key = key_of(&device);
        let memory = Store::new(&state).of(&profile.name, &key);
        let repository =
            if located.is_mounted_for_this() { place } else { located.tree.shown().to_owned() };
        let label = Label {
            profile: Some(profile.name.clone()),
            drive: device.label.clone(),
            drive_uuid: device.uuid.clone().filter(|_| drive),
            last_seen: memory.and_then(|memory| memory.last_seen),
            here: true,
            repository: repository.to_string_lossy().into_owned(),
        };
        let source = Some(profile.source.clone());
        Ok(Self { label, key, located: Some(located), kept, keeping, source })
    }

    /// One that is not here.
    fn of_kept(kept: Kept, source: Option<PathBuf>) -> Self {
        let whose = kept.whose();
        let (last_seen, drive) = store::seen(&Store::new(&dirs::state_dir()), whose);
        let label = Label {
            profile: Some(whose.profile.clone()),
            drive,
            drive_uuid: whose.uuid.clone(),
            last_seen,
            here: false,
            repository: whose.place.clone(),
        };
        let (keeping, key) = (whose.keeping, whose.key.clone());
        Self { label, key, located: None, kept: Some(kept), keeping, source }
    }

    /// What can be asked.
    pub(super) fn past(&self) -> Option<Past<'_>> {
        let here = self.located.as_ref();
        let here = here.map(|located| Here { tree: &located.tree, index: &located.index });
        match (&self.kept, here) {
            (Some(kept), here) => Some(Past::kept(kept, here)),
            (None, Some(here)) => Some(Past::here(here, self.keeping)),
            (None, None) => None,
        }
    }

    /// The profile's source, where it is known.
    pub(super) fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    fn is_of(&self, whose: &Whose) -> bool {
        self.label.profile.as_ref() == Some(&whose.profile) && self.key == whose.key
    }

    /// Says what of the kept catalogs turned out to be damaged, and takes it out. How the program ends.
    pub(super) fn settle(&self, past: &Past<'_>) -> Exit {
        let damaged = past.damaged();
        let (false, Some(kept)) = (damaged.is_empty(), &self.kept) else { return Exit::Done };
        if let Err(error) = Catalogs::new(&dirs::state_dir()).mend(kept) {
            tracing::debug!("the kept catalogs stay as they are: {error}");
        }
        if self.label.here {
            return Exit::Done;
        }
        let names: Vec<_> = damaged.iter().map(|increment| increment.name.as_str()).collect();
        say(&format!(
            "what this computer keeps of {} is damaged; it is read again when {} is plugged in",
            names.join(", "),
            self.name()
        ));
        Exit::Problems
    }

    /// What the drive or folder is called.
    pub(super) fn name(&self) -> String {
        let Label { drive, drive_uuid, repository, .. } = &self.label;
        line(drive.as_ref().or(drive_uuid.as_ref()).unwrap_or(repository))
    }

    /// Which repository it is, for people.
    pub(super) fn heading(&self) -> String {
        let profile = line(self.label.profile.as_deref().unwrap_or("repository"));
        if self.label.here {
            return format!("{profile} → {}", line(&self.label.repository));
        }
        let seen = self
            .label
            .last_seen
            .as_deref()
            .map_or_else(|| "not here".to_owned(), |seen| format!("last seen {}", minute(seen)));
        format!("{profile} on {}, {seen} (from what this computer keeps)", self.name())
    }

    /// The path of what lies at `place` in the repository.
    pub(super) fn full_path(&self, place: &Path) -> PathBuf {
        Path::new(&self.label.repository).join(place)
    }
}

fn keeping(located: &Located) -> Result<Keeping, CliError> {
    let format = format::read(&located.tree).map_err(|e| CliError::new(&e, Exit::Failed))?;
    Ok(format.map_or(Keeping::Hardlink, |format| format.keeps_versions))
}

/// A time with day and minute, as people read it.
pub(super) fn minute(time: &str) -> String {
    let text: String = time.chars().take("2026-11-20T18:03".len()).collect();
    line(&text.replacen('T', " ", 1))
}

/// The same with its second.
pub(super) fn second(time: &str) -> String {
    let text: String = time.chars().take("2026-11-20T18:03:11".len()).collect();
    line(&text.replacen('T', " ", 1))
}
