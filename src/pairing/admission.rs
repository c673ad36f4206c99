//! Whether a mounted drive is a profile's.
//!
//! [`admit`] looks at it before a run and writes nothing; [`Admission::confirm`] writes the mark on first use, and
//! what this computer remembers, after it. A drive that is refused is not written to.

use std::path::{Path, PathBuf};

use crate::config::load;
use crate::config::profile::{Dist, Pairing, Profile};
use crate::drive::device::Device;
use crate::drive::mounted::Mounted;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::pairing::messages::{self, Refusal};
use crate::pairing::store::{Origin, Paired, Pairings, StoreError};
use crate::pairing::verdict::{self, Kind, OnDrive, Verdict, paired};
use crate::pairing::{secret, uuid};
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::mark::{self, Found};
use crate::text::error_chain::in_words;

/// A drive that is used.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Where the repository is or is to be, relative to the mount point.
    pub place: PathBuf,
    /// Why it is used.
    pub verdict: Verdict,
    /// What the user should know of that; for a notification and the command line.
    pub note: Option<String>,
    profile: String,
    device: Device,
    /// The mark that was found valid at `place`.
    id: Option<[u8; 16]>,
}

/// Why a pairing could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// To this computer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// To the drive.
    #[error(transparent)]
    Drive(#[from] TreeError),
    /// To the repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Nothing random could be had for it.
    #[error("cannot make a new mark")]
    Random(#[source] std::io::Error),
    /// It was replaced between the admission and now.
    #[error("the mark in {} changed meanwhile; it was left as it is", crate::text::sanitize::line(&.0.to_string_lossy()))]
    Changed(PathBuf),
}

/// Whether a run of `profile` may use the drive that is mounted. Writes nothing, neither to the drive nor
/// to this computer.
pub fn admit(
    profile: &Profile,
    device: &Device,
    mounted: &Mounted,
    pairings: &Pairings,
) -> Result<Admission, Refusal> {
    match mounted.tree() {
        Ok(root) => admit_on(profile, device, &root, pairings),
        Err(e) => Err(messages::unreadable(device, Kind::Unreadable, &e)),
    }
}

/// The same on the drive whose content is `root`.
pub fn admit_on(
    profile: &Profile,
    device: &Device,
    root: &Tree,
    pairings: &Pairings,
) -> Result<Admission, Refusal> {
    let admission = |place: &Path, verdict, note, id| Admission {
        place: place.to_owned(),
        verdict,
        note,
        profile: profile.name.clone(),
        device: device.clone(),
        id,
    };
    let known = match pairings.of(&profile.name) {
        Ok(known) => known,
        Err(_) if profile.pairing == Pairing::Off => Vec::new(),
        Err(e) => return Err(messages::unreadable(device, Kind::Memory, &e)),
    };
    let place = place_of(profile, device, &known);
    if profile.pairing == Pairing::Off {
        return Ok(admission(&place, Verdict::Off, None, None));
    }
    let look = |place: &Path| look(profile, root, place, pairings, device);
    let (mut on_drive, mut runs) = look(&place)?;
    let before = paired(&known, device.uuid.as_deref()).map(|paired| paired.place.as_path());
    // The profile names another place than before: then the mark at the old one proves the drive.
    let moved = before.filter(|before| on_drive == OnDrive::Blank && *before != place);
    if let Some(before) = moved {
        (on_drive, runs) = look(before)?;
    }
    match verdict::verdict(profile.pairing, &known, device.uuid.as_deref(), &on_drive, runs) {
        Verdict::Refused(kind) => Err(messages::refusal(kind, profile, device)),
        verdict => {
            let note =
                messages::note(&verdict, profile, device, moved.map(|before| (before, &*place)));
            let id = match on_drive {
                OnDrive::Ours { id, .. } if moved.is_none() => Some(id),
                _ => None,
            };
            Ok(admission(&place, verdict, note, id))
        }
    }
}

/// Where the repository of `profile` is on `device`: where it was when the drive was paired, unless the
/// profile itself names a place. So a new host name, which the default place depends on, does not start a
/// second backup.
pub fn place_of(profile: &Profile, device: &Device, known: &[Paired]) -> PathBuf {
    match &profile.dist {
        Dist::Folder(path) => path.clone(),
        Dist::Drive { path, given, .. } => match paired(known, device.uuid.as_deref()) {
            Some(paired) if !given => paired.place.clone(),
            _ => path.clone(),
        },
    }
}

/// The profile with its repository at `place` on the drive.
pub fn with_place(profile: &Profile, place: &Path) -> Profile {
    let mut profile = profile.clone();
    if let Dist::Drive { path, .. } = &mut profile.dist {
        place.clone_into(path);
    }
    profile
}

/// What lies at `place`, and how many finished runs it tells of.
fn look(
    profile: &Profile,
    root: &Tree,
    place: &Path,
    pairings: &Pairings,
    device: &Device,
) -> Result<(OnDrive, u64), Refusal> {
    let unreadable = |e: &TreeError| messages::unreadable(device, Kind::Unreadable, e);
    let Some(tree) = root.subtree(place).map_err(|e| unreadable(&e))? else {
        return Ok((OnDrive::Blank, 0));
    };
    let runs = mark::runs(&tree).map_err(|e| unreadable(&e))?;
    let on_drive = match mark::read(&tree).map_err(|e| unreadable(&e))? {
        Found::None if mark::has_repository(&tree).map_err(|e| unreadable(&e))? => {
            OnDrive::Unmarked
        }
        Found::None => OnDrive::Blank,
        Found::Damaged(why) => OnDrive::Damaged(why),
        Found::Mark(mark) => {
            let judged = judge(profile, mark, pairings);
            judged.map_err(|e| messages::unreadable(device, Kind::Memory, &e))?
        }
    };
    Ok((on_drive, runs))
}

fn judge(profile: &Profile, mark: mark::Mark, pairings: &Pairings) -> Result<OnDrive, StoreError> {
    let secret = pairings.secret()?;
    Ok(match secret {
        Some(secret) if secret.made(&mark) => {
            if pairings.was_dropped(&profile.name, &mark.id)? {
                OnDrive::Unmarked
            } else {
                OnDrive::Ours { id: mark.id, bound_to: mark.file_system }
            }
        }
        Some(secret) if secret.computer() == mark.computer => OnDrive::Forged,
        _ if mark.computer_name == load::computer_name() => OnDrive::SameName(mark.computer_name),
        _ => OnDrive::Foreign(mark.computer_name),
    })
}

impl Admission {
    /// The profile as it is to be run: with the repository at the admitted place.
    pub fn profile(&self, profile: &Profile) -> Profile {
        with_place(profile, &self.place)
    }

    /// Writes down that the drive was used: to be called after each run, also one that failed or was stopped.
    /// On first use the repository gets its mark; the computer remembers how many finished runs the drive
    /// tells of now. Without a repository, or with `"pairing": "off"`, it does nothing. The order makes it
    /// safe to be cut off: the mark is durable before the computer relies on it.
    ///
    /// `complete`: the run completed. After another one what the drive says of its runs may not be durable on
    /// it, and is not relied on: a drive that lacks it later would pass for a copy.
    pub fn confirm(
        &self,
        mounted: &Mounted,
        pairings: &Pairings,
        complete: bool,
    ) -> Result<(), PairingError> {
        self.confirm_on(&mounted.tree()?, pairings, complete)
    }

    /// The same on the drive whose content is `root`.
    pub fn confirm_on(
        &self,
        root: &Tree,
        pairings: &Pairings,
        complete: bool,
    ) -> Result<(), PairingError> {
        let (Some(uuid), false) = (&self.device.uuid, self.verdict == Verdict::Off) else {
            return Ok(());
        };
        let Some(tree) = root.subtree(&self.place)? else {
            return Ok(());
        };
        let id = match self.id {
            Some(id) => id,
            None => match self.mark(&tree, uuid, pairings)? {
                Some(id) => id,
                None => return Ok(()),
            },
        };
        let origin = match self.verdict {
            Verdict::Returned => Origin::Returned,
            _ => Origin::FirstUse,
        };
        self.remember(&tree, uuid, id, origin, pairings, complete)
    }

    /// The mark of the repository in `tree`, written now if there is none; `None` without a repository.
    fn mark(
        &self,
        tree: &Tree,
        uuid: &str,
        pairings: &Pairings,
    ) -> Result<Option<[u8; 16]>, PairingError> {
        if !mark::has_repository(tree)? {
            return Ok(None);
        }
        let secret = pairings.secret_or_make()?;
        match mark::read(tree)? {
            Found::None => {}
            Found::Mark(mark) if secret.made(&mark) => {
                let dropped = pairings.was_dropped(&self.profile, &mark.id)?;
                if !dropped && uuid::same_uuid(&mark.file_system, uuid) {
                    return Ok(Some(mark.id));
                }
            }
            Found::Mark(_) | Found::Damaged(_) => {
                return Err(PairingError::Changed(tree.shown().to_owned()));
            }
        }
        let Some(mut repository) = Repository::open(tree)? else {
            return Ok(None);
        };
        new_mark(&mut repository, &secret, uuid).map(Some)
    }

    fn remember(
        &self,
        tree: &Tree,
        uuid: &str,
        id: [u8; 16],
        origin: Origin,
        pairings: &Pairings,
        complete: bool,
    ) -> Result<(), PairingError> {
        let known = pairings.of(&self.profile)?;
        let same = paired(&known, Some(uuid)).filter(|known| known.id == id);
        let runs = if complete { mark::runs(tree)? } else { 0 };
        let paired = Paired {
            uuid: uuid.to_owned(),
            container: container_of(&self.device),
            label: self.device.label.clone(),
            id,
            place: self.place.clone(),
            // A stamp that was lost meanwhile must not make an older copy pass.
            runs: same.map_or(runs, |known| known.runs.max(runs)),
            since: same.map_or_else(now, |known| known.since.clone()),
            origin: same.map_or(origin, |known| known.origin),
        };
        if same != Some(&paired) {
            pairings.remember(&self.profile, paired)?;
        }
        Ok(())
    }
}

/// Pairs the drive with `profile`, whatever it was before: its repository, which lies at `place`, gets a new
/// mark, by which no copy of it passes for it. For `bkm-agent pair`, once the user said so.
pub fn pair(
    profile: &Profile,
    device: &Device,
    place: &Path,
    mut repository: Repository<'_>,
    pairings: &Pairings,
) -> Result<Paired, PairingError> {
    let uuid = device.uuid.clone().unwrap_or_default();
    // Read first: a mark whose pairing cannot be remembered would only be in the way.
    pairings.of(&profile.name)?;
    let secret = pairings.secret_or_make()?;
    let id = new_mark(&mut repository, &secret, &uuid)?;
    let paired = Paired {
        uuid,
        container: container_of(device),
        label: device.label.clone(),
        id,
        place: place.to_owned(),
        runs: repository.stamp().counter,
        since: now(),
        origin: Origin::Pair,
    };
    pairings.remember(&profile.name, paired.clone())?;
    Ok(paired)
}

/// Takes the mark `id` off the repository at `place` of a drive; `false` if it is not there.
pub fn remove_mark(root: &Tree, place: &Path, id: [u8; 16]) -> Result<bool, PairingError> {
    let Some(tree) = root.subtree(place)? else {
        return Ok(false);
    };
    match mark::read(&tree)? {
        Found::Mark(mark) if mark.id == id => {}
        _ => return Ok(false),
    }
    let Some(mut repository) = Repository::open(&tree)? else {
        return Ok(false);
    };
    repository.set_mark(None)?;
    Ok(true)
}

fn new_mark(
    repository: &mut Repository<'_>,
    secret: &secret::Secret,
    uuid: &str,
) -> Result<[u8; 16], PairingError> {
    let mark = secret.mark(uuid, load::computer_name()).map_err(PairingError::Random)?;
    repository.set_mark(Some(&mark))?;
    Ok(mark.id)
}

/// UUID of the encrypted volume that the device is in.
fn container_of(device: &Device) -> Option<String> {
    device.container.as_ref()?.uuid.clone()
}

fn now() -> String {
    jiff::ZonedDateTime::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// An error of pairing as a line for people.
pub fn failed(device: &Device, error: &PairingError) -> String {
    format!("{} could not be paired: {}", device.name(), in_words(error))
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
