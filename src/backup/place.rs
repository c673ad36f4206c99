//! Where a profile's repository is: found and made beneath an open handle, so that a drive that is not
//! there is never replaced by a folder of the same name.
//!
//! It creates the repository's folder and nothing in it (that is `repository`), and remembers on this
//! computer which file system a folder without a drive was on.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backup::error::RunError;
use crate::config::profile::Profile;
use crate::drive::device;
use crate::drive::mounted::Mounted;
use crate::fs::tree::handle::Tree;
use crate::host::{atomic_file, dirs};
use crate::repository::readme;

/// Where the repository is or is to be.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// On a mounted drive, at this path beneath its mount point.
    Drive(&'a Mounted, &'a Path),
    /// A folder of this computer (or of a drive that somebody mounted there).
    Folder(&'a Path),
}

impl Place<'_> {
    /// The repository's folder as messages name it.
    pub fn shown(&self) -> PathBuf {
        match self {
            Self::Drive(mounted, path) => mounted.point.join(path),
            Self::Folder(path) => (*path).to_owned(),
        }
    }

    /// Whether the file system is known to have been in order when it was mounted.
    pub(super) fn is_checked(&self) -> bool {
        matches!(self, Self::Drive(mounted, _) if mounted.checked)
    }

    /// Opens the folder; `None` if there is none.
    pub fn existing(&self) -> Result<Option<Tree>, RunError> {
        match self {
            Self::Drive(mounted, path) => Ok(mounted.tree()?.subtree(path)?),
            Self::Folder(path) => match Tree::open(path) {
                Ok(tree) => Ok(Some(tree)),
                Err(e) if e.is(rustix::io::Errno::NOENT) => Ok(None),
                Err(e) => Err(e.into()),
            },
        }
    }

    /// Free space where the folder is or is to be made.
    pub(super) fn space(&self) -> Result<rustix::fs::StatVfs, RunError> {
        match self {
            Self::Drive(mounted, _) => Ok(mounted.tree()?.space()?),
            Self::Folder(path) => Ok(above(path)?.0.space()?),
        }
    }

    /// Opens the folder, and makes it if there is none: on a drive with the folders above it, elsewhere
    /// only itself.
    pub fn create(&self, private: bool) -> Result<Tree, RunError> {
        let mode = if private { 0o700 } else { 0o755 };
        let (parent, folder) = match self {
            Self::Drive(mounted, path) => (mounted.tree()?, *path),
            Self::Folder(path) => above(path)?,
        };
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            parent.create_folders(above, 0o755)?;
        }
        parent.create_folder(folder, mode, None)?;
        if let (Self::Drive(..), Some(name)) = (self, folder.file_name()) {
            let beside = match folder.parent() {
                Some(above) if !above.as_os_str().is_empty() => parent.subtree(above)?,
                _ => None,
            };
            readme::write_beside(beside.as_ref().unwrap_or(&parent), &name.to_string_lossy())?;
        }
        parent.subtree(folder)?.ok_or_else(|| RunError::NoParent { dist: self.shown() })
    }
}

/// The folder above `path`, which must be there, and the name in it.
fn above(path: &Path) -> Result<(Tree, &Path), RunError> {
    let missing = || RunError::NoParent { dist: path.to_owned() };
    let parent = path.parent().ok_or_else(missing)?;
    let name = path.file_name().ok_or_else(missing)?;
    let parent = Tree::open(parent)
        .map_err(|e| if e.is(rustix::io::Errno::NOENT) { missing() } else { e.into() })?;
    Ok((parent, Path::new(name)))
}

/// The folder of a profile without a drive; for one with a drive, its place on the drive.
pub fn folder_of(profile: &Profile) -> PathBuf {
    match &profile.dist {
        crate::config::profile::Dist::Folder(path)
        | crate::config::profile::Dist::Drive { path, .. } => path.clone(),
    }
}

/// Which file system a profile's folder was on when it was first used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// The repository's folder.
    dist: PathBuf,
    /// Where that leads, symbolic links resolved: one on a drive must not lead it elsewhere later.
    #[serde(default)]
    real: Option<String>,
    /// UUID of the file system, where udev knows it.
    uuid: Option<String>,
    /// The file system's own id (`f_fsid`), where it means something.
    fsid: Option<u64>,
}

/// Refuses a folder that symbolic links lead to another place than at the first run: they may be a drive's.
pub fn check_leads_there(profile: &Profile, dist: &Path) -> Result<(), RunError> {
    let memory = memory_file(profile);
    let Some(known) = remembered(&memory).filter(|known| known.dist == dist) else {
        return Ok(());
    };
    match (known.real, identify(dist).real) {
        (Some(then), Some(leads_to)) if then != leads_to => {
            Err(RunError::OtherPlace { dist: dist.to_owned(), leads_to, memory })
        }
        _ => Ok(()),
    }
}

/// Refuses a folder that is on another file system than at the first run: an empty mount point looks
/// like a folder.
pub(super) fn check_file_system(profile: &Profile, dist: &Path) -> Result<(), RunError> {
    let file = memory_file(profile);
    let Some(known) = remembered(&file) else {
        return Ok(());
    };
    let now = identify(dist);
    let other = match (&known.uuid, &now.uuid, known.fsid, now.fsid) {
        (Some(then), Some(now), ..) => then != now,
        (_, _, Some(then), Some(now)) => then != now,
        // Nothing to compare by: then the repository itself must be there.
        _ => !dist.join(crate::repository::layout::FORMAT).is_file(),
    };
    if known.dist == dist && other {
        return Err(RunError::OtherFileSystem { dist: dist.to_owned(), memory: file });
    }
    Ok(())
}

/// Remembers the file system that the folder is on now.
pub(super) fn remember_file_system(profile: &Profile, dist: &Path) -> Result<(), RunError> {
    let file = memory_file(profile);
    let now = identify(dist);
    let known = remembered(&file);
    if known.as_ref() == Some(&now) {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(&now).unwrap_or_default();
    atomic_file::replace(&file, &text).map_err(|source| RunError::Memory { file, source })
}

fn remembered(file: &Path) -> Option<Remembered> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// The file system of the folder, or of the one above it while it does not exist.
fn identify(dist: &Path) -> Remembered {
    let there = if dist.is_dir() { dist } else { dist.parent().unwrap_or(dist) };
    let uuid = rustix::fs::stat(there).ok().and_then(|stat| device::uuid_of(stat.st_dev));
    // XFS makes its id from the device's number, which means nothing tomorrow.
    let xfs = rustix::fs::statfs(there).is_ok_and(|fs| fs.f_type == 0x5846_5342);
    let fsid = rustix::fs::statvfs(there).ok().map(|fs| fs.f_fsid);
    let real = std::fs::canonicalize(dist).ok().map(|real| real.to_string_lossy().into_owned());
    Remembered { dist: dist.to_owned(), real, uuid, fsid: fsid.filter(|id| *id != 0 && !xfs) }
}

/// One file per profile file: profiles of the same name may come from several folders.
fn memory_file(profile: &Profile) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let hash = blake3::hash(profile.file.as_os_str().as_bytes()).to_hex();
    let name = format!("{}-{}.json", profile.name, hash.get(..8).unwrap_or_default());
    dirs::state_dir().join("folders").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_file_system_is_remembered_as_before() {
        let known = Remembered {
            dist: "/mnt/Füße".into(),
            real: Some("/media/a".to_owned()),
            uuid: None,
            fsid: Some(u64::MAX),
        };
        let written = serde_json::to_string_pretty(&known).unwrap();
        let before = crate::fixtures::same_as("folder.json", &written);
        assert_eq!(serde_json::from_str::<Remembered>(&before).unwrap(), known);
    }
}
