//! The operations on folders of the drive: making, listing and removing them, and their attributes.
//!
//! As all operations of a tree they stay beneath its handle and follow no link.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::PoisonError;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::fs::attributes::{self, Attributes, tolerate};
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;

impl Tree {
    /// Creates a folder with exactly these permission bits, whatever the umask (the service's would close
    /// all of a repository that is to be open); one that is there already is left as it is (`false`).
    pub fn create_folder(
        &self,
        path: &Path,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<bool, TreeError> {
        if !self.make_folder(path, mode)? {
            return Ok(false);
        }
        let at = |e| self.context.error("create the folder", path, e);
        let (folder, name) = self.split(path).map_err(at)?;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = owner {
            let (uid, gid) = attributes::ids(uid, gid);
            tolerate(rustix::fs::chownat(&*folder, name, uid, gid, nofollow)).map_err(at)?;
        }
        let made = rustix::fs::statat(&*folder, name, nofollow).map_err(at)?.st_mode;
        if made & 0o777 != mode {
            let mode = Mode::from_raw_mode(mode | (made & 0o7000));
            let folder = self.open_folder(path).map_err(at)?;
            tolerate(rustix::fs::fchmod(&folder, mode)).map_err(at)?;
        }
        Ok(true)
    }

    /// Creates a folder with these permission bits less the umask; `false` if one is there already.
    fn make_folder(&self, path: &Path, mode: u32) -> Result<bool, TreeError> {
        let at = |e| self.context.error("create the folder", path, e);
        self.context.step("create the folder", path)?;
        let (folder, name) = self.split(path).map_err(at)?;
        self.changed(path);
        match rustix::fs::mkdirat(&*folder, name, Mode::from_raw_mode(mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => match self.stat(path)? {
                Some(found) if found.file_type.is_dir() => Ok(false),
                _ => Err(at(Errno::NOTDIR)),
            },
            Err(e) => Err(at(e)),
        }
    }

    /// Creates a folder and those above it, down from the tree's own folder, each as by
    /// [`Tree::create_folder`].
    pub fn create_folders(&self, path: &Path, mode: u32) -> Result<(), TreeError> {
        self.each_missing(path, |folder| self.create_folder(folder, mode, None))
    }

    /// Creates a folder and those above it where they are not ours to open: 0755 less the umask.
    pub fn create_folders_by_umask(&self, path: &Path) -> Result<(), TreeError> {
        self.each_missing(path, |folder| self.make_folder(folder, 0o755))
    }

    fn each_missing(
        &self,
        path: &Path,
        make: impl Fn(&Path) -> Result<bool, TreeError>,
    ) -> Result<(), TreeError> {
        let mut above: Vec<&Path> =
            path.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            if self.stat(folder)?.is_none_or(|found| !found.file_type.is_dir()) {
                make(folder)?;
            }
        }
        Ok(())
    }

    /// Renames a folder; nothing may be at `to`.
    pub fn rename_folder(&self, from: &Path, to: &Path) -> Result<(), TreeError> {
        // The open handles would lead to the new place under the old name.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.rename_new(from, to)
    }

    /// Removes the empty folder at `path`; `false` if nothing is there.
    pub fn remove_folder(&self, path: &Path) -> Result<bool, TreeError> {
        let removed = self.remove(path, AtFlags::REMOVEDIR, "remove the folder");
        // All of them: the drive may know this folder by names in other case as well, and nothing can be
        // made in one that is gone.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
        removed
    }

    /// The names in a folder, at most `limit` of them (more is an error: the drive is not trusted to
    /// be sane); an empty list if there is no such folder.
    pub fn list(&self, path: &Path, limit: usize) -> Result<Vec<OsString>, TreeError> {
        let at = |e| self.context.error("list the folder", path, e);
        let fd = match self.open_folder(path) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(e) => return Err(at(e)),
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                if names.len() == limit {
                    return Err(at(Errno::TOOBIG));
                }
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Sets the modification time of a folder.
    pub fn set_folder_time(&self, path: &Path, mtime_ns: i64) -> Result<(), TreeError> {
        self.context.step("set the time of", path)?;
        let set = self
            .folder(path)
            .and_then(|fd| rustix::fs::futimens(&*fd, &attributes::times(mtime_ns)));
        tolerate(set).map_err(|e| self.context.error("set the time of", path, e))
    }

    /// Closes the tree's own folder to all but its owner; a file system without modes is left as it is.
    pub fn close_to_others(&self) -> Result<(), TreeError> {
        let path = Path::new("");
        self.context.step("set the mode of", path)?;
        tolerate(rustix::fs::fchmod(self.handle(), Mode::RWXU))
            .map_err(|e| self.context.error("set the mode of", path, e))
    }

    /// Sets owner, time and mode of a folder. The mode comes last: by it a restore knows what is done.
    pub fn set_folder_attributes(
        &self,
        path: &Path,
        attributes: &Attributes,
    ) -> Result<(), TreeError> {
        let at = |e| self.context.error("set the attributes of", path, e);
        self.context.step("set the attributes of", path)?;
        let folder = self.open_folder(path).map_err(at)?;
        if let Some((uid, gid)) = attributes.owner {
            let (uid, gid) = attributes::ids(uid, gid);
            tolerate(rustix::fs::fchown(&folder, uid, gid)).map_err(at)?;
        }
        tolerate(rustix::fs::futimens(&folder, &attributes.times())).map_err(at)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o7777);
        tolerate(rustix::fs::fchmod(&folder, mode)).map_err(at)
    }

    /// Sets an extended attribute of a folder; `false` where the file system cannot hold it.
    pub fn set_folder_xattr(
        &self,
        path: &Path,
        name: &[u8],
        value: &[u8],
    ) -> Result<bool, TreeError> {
        let at = |e| self.context.error("set an attribute of", path, e);
        self.context.step("set an attribute of", path)?;
        attributes::set_xattr(&self.open_folder(path).map_err(at)?, name, value).map_err(at)
    }

    /// Takes away a folder's extended attributes of the kinds that are recorded, but those among `xattrs`.
    pub fn remove_other_folder_xattrs(
        &self,
        path: &Path,
        xattrs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), TreeError> {
        let at = |e| self.context.error("set an attribute of", path, e);
        self.context.step("set an attribute of", path)?;
        attributes::remove_other_xattrs(&self.open_folder(path).map_err(at)?, xattrs).map_err(at)
    }
}
