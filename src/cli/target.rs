//! Finds what a command works on: the profile, its drive, its repository.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::backup::place::{Place, check_leads_there};
use crate::cli::error::{CliError, Exit};
use crate::config::profile::{Dist, Profile, drive_of};
use crate::config::{error, load};
use crate::drive::device::{self, Device, DeviceError};
use crate::drive::mounted::Mounted;
use crate::drive::{mount, unmount};
use crate::fs::tree::handle::Tree;
use crate::host::dirs;
use crate::pairing::admission;
use crate::pairing::store::{Paired, Pairings};
use crate::pairing::verdict::{self, How};
use crate::repository::error::RepositoryError;
use crate::repository::handle::{Reading, Repository};
use crate::repository::index::contents::Index;

/// Which repository.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The repository's folder itself
    #[arg(long, value_name = "DIR", conflicts_with_all = ["profile", "device", "config"])]
    pub repo: Option<PathBuf>,
    /// The profile with this name
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub profile: Option<String>,
    /// The drive at this device node, e.g. /dev/sdb1
    #[arg(long, value_name = "DEV")]
    pub device: Option<PathBuf>,
    /// The profile in this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A repository's open folder.
pub(super) struct Opened {
    pub(super) tree: Tree,
    pub(super) profile: Option<Profile>,
    /// The profile's drive.
    pub(super) device: Option<Device>,
    mounted: Option<Mounted>,
}

/// An open repository to read from.
pub(super) struct Located {
    pub(super) tree: Tree,
    pub(super) index: Index,
    pub(super) profile: Option<Profile>,
    mounted: Option<Mounted>,
}

/// A repository that is read while nothing can change it.
pub(super) struct Held {
    pub(super) reading: Reading,
    pub(super) opened: Opened,
}

impl Which {
    /// Opens the repository for reading, with a reader's part in its lock: no run changes it meanwhile, and a
    /// run that is at work is an error. A drive that is not mounted is mounted read-only as root.
    pub(super) fn hold(&self) -> Result<Held, CliError> {
        let opened = self.open_folder(true)?;
        match Repository::read_to_check(&opened.tree) {
            Ok(reading) => Ok(Held { reading, opened }),
            Err(error) => {
                let error = unreadable(&error, opened.profile.is_some());
                opened.close();
                Err(error)
            }
        }
    }

    /// Opens the repository for reading. A drive that is not mounted is mounted read-only as root.
    pub(super) fn open(&self) -> Result<Located, CliError> {
        Ok(Located::read(self.open_folder(true)?)?)
    }

    /// Opens the repository's folder, whatever is in it. A drive that is not mounted is mounted as root.
    pub(super) fn open_folder(&self, read_only: bool) -> Result<Opened, CliError> {
        if let Some(repo) = &self.repo {
            let tree = Tree::open(repo).map_err(|e| CliError::new(&e, Exit::Failed))?;
            return Ok(Opened { tree, profile: None, device: None, mounted: None });
        }
        let profile = self.one_profile()?;
        let wanted = drive_of(&profile).is_some();
        let device = wanted.then(|| drive_for(&profile, self.device.as_deref())).transpose()?;
        Ok(open_at(profile, device, read_only)?)
    }

    /// The one profile that is meant.
    fn one_profile(&self) -> Result<Profile, CliError> {
        let (mut profiles, _) = named_profiles(self.profile.as_deref(), self.config.as_deref())?;
        if self.profile.is_none()
            && self.config.is_none()
            && let Some(node) = &self.device
        {
            let device = device_at(node)?;
            profiles.retain(|profile| is_for(profile, &device).is_some());
            if profiles.is_empty() {
                return Err(no_profile_for(&device));
            }
        }
        match <[Profile; 1]>::try_from(profiles) {
            Ok([profile]) => Ok(profile),
            Err(several) if several.is_empty() => Err(no_profiles(&dirs::profile_dirs())),
            Err(several) => {
                let names: Vec<_> = several.iter().map(|p| p.name.as_str()).collect();
                let names = names.join(", ");
                Err(CliError::usage(format!("which profile? Name one with --profile: {names}")))
            }
        }
    }
}

/// Why a repository cannot be read.
pub(super) enum Unopened {
    /// It is not here, or there is none yet.
    Away(CliError),
    /// It is here.
    Failed(CliError),
}

impl Unopened {
    /// What is wrong, and whether that is only that it is not here.
    pub(super) fn into_parts(self) -> (CliError, bool) {
        match self {
            Self::Away(error) => (error, true),
            Self::Failed(error) => (error, false),
        }
    }
}

impl From<Unopened> for CliError {
    fn from(unopened: Unopened) -> Self {
        unopened.into_parts().0
    }
}

/// Opens the folder of a profile's repository on this drive, if it has one, whatever is in the folder. A drive that is
/// not mounted is mounted.
pub(super) fn open_at(
    mut profile: Profile,
    device: Option<Device>,
    read_only: bool,
) -> Result<Opened, Unopened> {
    let failed = |e: &dyn std::error::Error| Unopened::Failed(CliError::new(e, Exit::Failed));
    let mut mounted = None;
    if let Some(device) = &device {
        mounted = Some(open_mount(device, read_only).map_err(Unopened::Away)?);
        let place = admission::place_of(&profile, device, &known(&profile));
        profile = admission::with_place(&profile, &place);
    }
    let place = place_of(&profile, mounted.as_ref()).map_err(Unopened::Away);
    let opened = place.and_then(|place| {
        if let Place::Folder(dist) = place {
            check_leads_there(&profile, dist).map_err(|e| failed(&e))?;
        }
        let found = place.existing().map_err(|e| failed(&e))?;
        found.ok_or_else(|| Unopened::Away(missing(&place.shown())))
    });
    match opened {
        Ok(tree) => Ok(Opened { tree, profile: Some(profile), device, mounted }),
        Err(error) => {
            release(mounted);
            Err(error)
        }
    }
}

impl Opened {
    /// What the agent's memory knows the repository's place by; `None` where only a folder was named.
    pub(super) fn remembered(&self) -> Option<(&Profile, Device)> {
        let profile = self.profile.as_ref()?;
        let folder =
            || Device { node: crate::backup::place::folder_of(profile), ..Device::default() };
        Some((profile, self.device.clone().unwrap_or_else(folder)))
    }

    /// Lets go of the folder, and unmounts the drive if it was mounted for this.
    pub(super) fn close(self) {
        drop(self.tree);
        release(self.mounted);
    }
}

impl Located {
    /// Reads what is in an open folder.
    pub(super) fn read(opened: Opened) -> Result<Self, Unopened> {
        let Opened { tree, profile, mounted, .. } = opened;
        match Repository::read_index(&tree) {
            Ok((index, _)) => Ok(Self { tree, index, profile, mounted }),
            Err(error) => {
                let error = match &error {
                    // A folder that was named is not one that a run would make.
                    RepositoryError::Missing(path) if profile.is_some() => {
                        Unopened::Away(missing(path))
                    }
                    _ => Unopened::Failed(CliError::new(&error, Exit::Failed)),
                };
                drop(tree);
                release(mounted);
                Err(error)
            }
        }
    }

    /// Whether its drive is mounted for this alone, where nobody else finds it.
    pub(super) fn is_mounted_for_this(&self) -> bool {
        self.mounted.as_ref().is_some_and(Mounted::is_ours)
    }

    /// Lets go of the repository, and unmounts the drive if it was mounted for this.
    pub(super) fn close(self) {
        let Self { tree, mounted, .. } = self;
        drop(tree);
        release(mounted);
    }
}

impl Held {
    /// Lets go of the repository, and unmounts the drive if it was mounted for this.
    pub(super) fn close(self) {
        drop(self.reading);
        self.opened.close();
    }
}

fn unreadable(error: &RepositoryError, of_profile: bool) -> CliError {
    match error {
        // A folder that was named is not one that a run would make.
        RepositoryError::Missing(path) if of_profile => missing(path),
        _ => CliError::new(error, Exit::Failed),
    }
}

fn missing(path: &Path) -> CliError {
    let path = crate::text::sanitize::line(&path.to_string_lossy());
    CliError::failed(format!("there is no backup at {path} yet; `bkm-agent run` makes one"))
}

/// Unmounts the drive if it was mounted for this.
pub(super) fn release(mounted: Option<Mounted>) {
    if let Some(Err(error)) = mounted.map(unmount::unmount) {
        crate::cli::output::say(&crate::text::error_chain::in_words(&error));
    }
}

/// What this computer remembers of paired drives.
pub(super) fn pairings() -> Pairings {
    Pairings::new(&dirs::state_dir())
}

/// The drives that are paired with the profile. That they cannot be read is told where it matters: by `run`.
pub(super) fn known(profile: &Profile) -> Vec<Paired> {
    pairings().of(&profile.name).unwrap_or_default()
}

/// Whether the drive is for the profile, and why.
pub(super) fn is_for(profile: &Profile, device: &Device) -> Option<How> {
    verdict::matches(profile, device, &known(profile))
}

/// The profiles that `--profile` or `--config` name. If neither is given, all valid ones: those that are
/// not are said, and the second value is then [`Exit::Usage`].
pub(super) fn named_profiles(
    name: Option<&str>,
    file: Option<&Path>,
) -> Result<(Vec<Profile>, Exit), CliError> {
    let invalid = |e: error::ConfigError| CliError::new(&e, Exit::Usage);
    let dirs = dirs::profile_dirs();
    if let Some(file) = file {
        return Ok((vec![load::load_file(file).map_err(invalid)?], Exit::Done));
    }
    if let Some(name) = name {
        return Ok((vec![load::find(&dirs, name).map_err(invalid)?], Exit::Done));
    }
    let (mut valid, mut exit) = (Vec::new(), Exit::Done);
    for profile in load::load_all(&dirs) {
        match profile {
            Ok(profile) => valid.push(profile),
            Err(error) => {
                crate::cli::output::say(&crate::text::error_chain::in_words(&error));
                exit = Exit::Usage;
            }
        }
    }
    if exit == Exit::Usage && valid.is_empty() {
        // Said already; alone it is why there is nothing to do.
        return Err(CliError::usage("no profile is valid; `bkm-agent check` says more"));
    }
    Ok((valid, exit))
}

/// No profile in any of `dirs`.
pub(super) fn no_profiles(dirs: &[PathBuf]) -> CliError {
    let dir = dirs.first().cloned().unwrap_or_default();
    CliError::usage(format!(
        "there is no profile yet. Write one, e.g. {}:\n{{ \"drive\": {{ \"label\": \"PHOTOS\" }}, \"src\": \"~/Pictures\" }}",
        dir.join("pictures.json").display()
    ))
}

/// The device at a node, with what udev knows of it.
pub(super) fn device_at(node: &Path) -> Result<Device, CliError> {
    Device::from_node(node).map_err(|e| {
        let exit = match e {
            DeviceError::NotBlock(_) => Exit::Usage,
            DeviceError::Missing(_) | DeviceError::Io { .. } => Exit::Failed,
        };
        CliError::new(&e, exit)
    })
}

/// A drive that no profile is for: what to write into one.
pub(super) fn no_profile_for(device: &Device) -> CliError {
    let dir = dirs::profile_dirs().into_iter().next().unwrap_or_default();
    let by = match (&device.label, &device.uuid) {
        (Some(label), _) => format!("\"label\": {}", json_text(label)),
        (None, Some(uuid)) => format!("\"uuid\": {}", json_text(uuid)),
        (None, None) => {
            return CliError::usage(format!(
                "{} has no file system that is known here",
                device.node.display()
            ));
        }
    };
    CliError::usage(format!(
        "no profile is for {} ({}). To back up to it: bkm-agent pair {} --src ~/Documents\nOr write e.g. {}:\n{{ \"drive\": {{ {by} }}, \"src\": \"~/Documents\" }}",
        device.node.display(),
        crate::text::sanitize::line(&device.name()),
        device.node.display(),
        dir.join("documents.json").display()
    ))
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The drive of a profile: the one that is named, if it matches, else the one that is plugged in.
pub(super) fn drive_for(profile: &Profile, node: Option<&Path>) -> Result<Device, CliError> {
    let Some(wanted) = drive_of(profile) else {
        return Err(CliError::usage(format!(
            "the profile {} has no \"drive\", so --device does not go with it",
            profile.name
        )));
    };
    if let Some(node) = node {
        let device = device_at(node)?;
        if is_for(profile, &device).is_none() {
            return Err(CliError::usage(format!(
                "{} ({}) is not the drive of the profile {}, which is for {wanted}",
                node.display(),
                crate::text::sanitize::line(&device.name()),
                profile.name
            )));
        }
        return Ok(device);
    }
    let (present, locked) = present_for(profile)?;
    match present.as_slice() {
        [device] => Ok(device.clone()),
        [] if let Some(locked) = locked => Ok(locked),
        [] => Err(CliError::failed(format!(
            "the drive of the profile {} is not plugged in ({wanted})",
            profile.name
        ))),
        [one, other, ..] => Err(CliError::failed(format!(
            "both {} and {} match the profile {}; name one with --device",
            one.node.display(),
            other.node.display(),
            profile.name
        ))),
    }
}

/// The profile's drives that are plugged in, also one that is locked; an error if none is.
pub(super) fn drives_of(profile: &Profile) -> Result<Vec<Device>, CliError> {
    match present_for(profile)? {
        (present, _) if present.len() > 1 => Ok(present),
        _ => Ok(vec![drive_for(profile, None)?]),
    }
}

/// Drives for the profile that are plugged in, and one that is locked.
fn present_for(profile: &Profile) -> Result<(Vec<Device>, Option<Device>), CliError> {
    let mut present = device::present().map_err(|e| CliError::new(&e, Exit::Failed))?;
    present.retain(|device| is_for(profile, device).is_some());
    let locked = present.iter().find(|device| device.is_luks()).cloned();
    present.retain(Device::has_file_system);
    // One that only looks right is not taken for the paired one beside it.
    if present.iter().any(|device| is_for(profile, device) == Some(How::Paired)) {
        present.retain(|device| is_for(profile, device) == Some(How::Paired));
    }
    Ok((present, locked))
}

/// The drive's mount; one is made if there is none.
pub(super) fn open_mount(device: &Device, read_only: bool) -> Result<Mounted, CliError> {
    if device.is_luks() {
        return Err(CliError::failed(format!(
            "{} ({}) is encrypted and locked; unlock it in the file manager, then try again",
            device.node.display(),
            device.name()
        )));
    }
    mount::find_or_mount(device, read_only).map_err(|e| CliError::new(&e, Exit::Failed))
}

/// Where the profile's repository is.
pub(super) fn place_of<'a>(
    profile: &'a Profile,
    mounted: Option<&'a Mounted>,
) -> Result<Place<'a>, CliError> {
    match (&profile.dist, mounted) {
        (Dist::Folder(path), _) => Ok(Place::Folder(path)),
        (Dist::Drive { path, .. }, Some(mounted)) => Ok(Place::Drive(mounted, path)),
        (Dist::Drive { .. }, None) => Err(CliError::failed(format!(
            "the drive of the profile {} is not mounted",
            profile.name
        ))),
    }
}
