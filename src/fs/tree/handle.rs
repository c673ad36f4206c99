//! Every operation on the drive's files: the one module that touches them, with `writer` for
//! what is open for writing.
//!
//! A [`Tree`] works from an open handle on a folder (the repository) and never leaves it: each path is
//! resolved beneath that handle without following symbolic links and without crossing a mount
//! (openat2), and the last component is acted on in its opened parent folder. Paths are relative to the
//! handle. It never resolves a path from `/`, never opens a published file for writing, and never
//! replaces a file unless asked by name ([`Tree::rename_over`]). Tests inject faults here
//! (`faults`).

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::fs::attributes::{self, Attributes, tolerate};
use crate::fs::beneath;
use crate::fs::context::Context;
use crate::fs::faults::Faults;
use crate::fs::stat::{Found, found_of};
use crate::fs::statfs::is_fuse;
use crate::fs::tree::error::TreeError;
use crate::fs::write_rate::Pace;
use crate::fs::writer::DriveFile;

/// How many parent folders are kept open: those of the staging area (64), and beside them a few of mirror and
/// increment for each thread, since runs go through paths in order.
const OPEN_FOLDERS: usize = 256;

/// What is said of a FIFO, a device, or a folder where a file belongs.
const NOT_REGULAR: &str = "not a regular file";

/// A folder on the drive, and everything beneath it.
#[derive(Debug)]
pub struct Tree {
    pub(crate) root: OwnedFd,
    pub(crate) context: Context,
    pub(crate) folders: Mutex<HashMap<PathBuf, Arc<OwnedFd>>>,
    /// Where a sync of the file system says nothing (FUSE): the folders that were changed since the last
    /// one, each of which has to be synced by itself.
    pub(crate) unsynced: Option<Mutex<BTreeSet<PathBuf>>>,
}

impl Tree {
    /// Opens the folder at `path` of this computer. Symbolic links in `path` itself are followed: it
    /// is the user's word.
    pub fn open(path: &Path) -> Result<Self, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(root) => Ok(Self::from_handle(root, path)),
            Err(e) => Err(TreeError {
                action: "open the folder",
                path: path.to_owned(),
                source: e.into(),
            }),
        }
    }

    /// Takes an open folder handle; `shown` is how messages name it.
    pub fn from_handle(root: OwnedFd, shown: &Path) -> Self {
        let unsynced = is_fuse(&root).then(Mutex::default);
        Self {
            root,
            context: Context { shown: shown.to_owned(), faults: None, pace: Pace::default() },
            folders: Mutex::default(),
            unsynced,
        }
    }

    /// The tree of the folder `path` beneath this one; `None` if there is none.
    pub fn subtree(&self, path: &Path) -> Result<Option<Self>, TreeError> {
        match self.open2(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(root) => {
                let mut tree = Self::from_handle(root, &self.context.shown.join(path));
                tree.context.faults.clone_from(&self.context.faults);
                Ok(Some(tree))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.context.error("open the folder", path, e)),
        }
    }

    /// Makes operations fail as `faults` says.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<Faults>) -> Self {
        self.context.faults = Some(faults);
        self
    }

    /// The folder as messages name it.
    pub fn shown(&self) -> &Path {
        &self.context.shown
    }

    /// The handle on the folder itself.
    pub fn handle(&self) -> &OwnedFd {
        &self.root
    }

    /// How fast the drive writes, as those who write to it measure.
    pub fn pace(&self) -> &Pace {
        &self.context.pace
    }

    /// What is at `path`; `None` if nothing. The last component is not followed.
    pub fn stat(&self, path: &Path) -> Result<Option<Found>, TreeError> {
        let found = match self.split(path) {
            Ok((folder, name)) => rustix::fs::statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(e) => Err(e),
        };
        match found {
            Ok(stat) => Ok(Some(found_of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(self.context.error("look at", path, e)),
        }
    }

    /// Opens the regular file at `path` for reading; `None` if nothing is there. Anything but a
    /// regular file is an error, and a FIFO does not make it wait.
    pub fn open_file(&self, path: &Path) -> Result<Option<File>, TreeError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.refuse_special(path)?;
        match self.open2(path, flags) {
            Ok(fd) => self.regular(fd, path).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.context.error("open", path, e)),
        }
    }

    /// Where the symbolic link at `path` points; `None` if nothing is there. An error if it is no link.
    pub fn read_link(&self, path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
        let read = self
            .split(path)
            .and_then(|(folder, name)| rustix::fs::readlinkat(&*folder, name, Vec::new()));
        match read {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(self.context.error("read the link", path, e)),
        }
    }

    /// Opens one of the repository's own record files for reading and writing in place, and makes it
    /// if `create`. Never for mirror or increment files.
    pub fn open_record_file(&self, path: &Path, create: bool) -> Result<DriveFile<'_>, TreeError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        if create {
            self.context.step("create", path)?;
        }
        let flags = if create { flags | OFlags::CREATE } else { flags };
        self.refuse_special(path)?;
        let fd = self.open2(path, flags).map_err(|e| self.context.error("open", path, e))?;
        let file = self.regular(fd, path)?;
        // Writing in place to a file with another name would change that one, perhaps not even ours.
        let links =
            rustix::fs::fstat(&file).map_err(|e| self.context.error("look at", path, e))?.st_nlink;
        if links > 1 {
            return Err(self.foreign("open", path, "it has a second name (a hard link)"));
        }
        Ok(DriveFile { file, context: &self.context, path: path.to_owned() })
    }

    /// Opens the regular file at `path` to set its attributes: what is in it cannot be written through that.
    /// `None` if nothing is there.
    pub fn open_for_attributes(&self, path: &Path) -> Result<Option<DriveFile<'_>>, TreeError> {
        let file = self.open_file(path)?;
        Ok(file.map(|file| DriveFile { file, context: &self.context, path: path.to_owned() }))
    }

    /// Creates a file that must not exist yet, open for reading and writing. It gets at most the
    /// permission bits of `mode`.
    pub fn create_file(&self, path: &Path, mode: u32) -> Result<DriveFile<'_>, TreeError> {
        self.context.step("create", path)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (folder, name) = self.split(path).map_err(|e| self.context.error("create", path, e))?;
        let fd = rustix::fs::openat(&*folder, name, flags, Mode::from_raw_mode(mode & 0o777))
            .map_err(|e| self.context.error("create", path, e))?;
        self.changed(path);
        Ok(DriveFile { file: File::from(fd), context: &self.context, path: path.to_owned() })
    }

    /// Creates a symbolic link that must not exist yet.
    pub fn create_link(
        &self,
        path: &Path,
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TreeError> {
        let at = |action| move |e| self.context.error(action, path, e);
        self.context.step("create the link", path)?;
        self.changed(path);
        let (folder, name) = self.split(path).map_err(at("create the link"))?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), &*folder, name)
            .map_err(at("create the link"))?;
        if let Some((uid, gid)) = attributes.owner {
            let (uid, gid) = attributes::ids(uid, gid);
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            tolerate(rustix::fs::chownat(&*folder, name, uid, gid, nofollow))
                .map_err(at("set the owner of"))?;
        }
        let times = attributes.times();
        tolerate(rustix::fs::utimensat(&*folder, name, &times, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(at("set the time of"))
    }

    /// Gives the file at `from` a second name; nothing may be at `to`.
    pub fn link(&self, from: &Path, to: &Path) -> Result<(), TreeError> {
        self.context.step("link", to)?;
        if self.context.faults.as_ref().is_some_and(|faults| faults.refuses_links()) {
            return Err(self.context.error("link", to, Errno::PERM));
        }
        self.changed(to);
        let linked = (|| {
            let (from_folder, from_name) = self.split(from)?;
            let (to_folder, to_name) = self.split(to)?;
            rustix::fs::linkat(&*from_folder, from_name, &*to_folder, to_name, AtFlags::empty())
        })();
        linked.map_err(|e| self.context.error("link", to, e))
    }

    /// Renames; nothing may be at `to` (EEXIST).
    pub fn rename_new(&self, from: &Path, to: &Path) -> Result<(), TreeError> {
        self.rename(from, to, RenameFlags::NOREPLACE)
    }

    /// Renames, replacing a file at `to`.
    pub fn rename_over(&self, from: &Path, to: &Path) -> Result<(), TreeError> {
        self.rename(from, to, RenameFlags::empty())
    }

    fn rename(&self, from: &Path, to: &Path, flags: RenameFlags) -> Result<(), TreeError> {
        self.context.step("rename", to)?;
        self.changed(from);
        self.changed(to);
        let renamed = (|| {
            let (from_folder, from_name) = self.split(from)?;
            let (to_folder, to_name) = self.split(to)?;
            match rustix::fs::renameat_with(&*from_folder, from_name, &*to_folder, to_name, flags) {
                // Some file systems know no flags; what is at the target is then looked at first.
                Err(Errno::INVAL) if flags == RenameFlags::NOREPLACE => {
                    match rustix::fs::statat(&*to_folder, to_name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(_) => Err(Errno::EXIST),
                        Err(Errno::NOENT) => {
                            rustix::fs::renameat(&*from_folder, from_name, &*to_folder, to_name)
                        }
                        Err(e) => Err(e),
                    }
                }
                other => other,
            }
        })();
        renamed.map_err(|e| self.context.error("rename a file to", to, e))
    }

    /// Removes the file or link at `path`; `false` if nothing is there.
    pub fn remove_file(&self, path: &Path) -> Result<bool, TreeError> {
        self.remove(path, AtFlags::empty(), "remove")
    }

    pub(crate) fn remove(
        &self,
        path: &Path,
        flags: AtFlags,
        action: &'static str,
    ) -> Result<bool, TreeError> {
        self.context.step(action, path)?;
        self.changed(path);
        let removed =
            self.split(path).and_then(|(folder, name)| rustix::fs::unlinkat(&*folder, name, flags));
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(self.context.error(action, path, e)),
        }
    }

    fn regular(&self, fd: OwnedFd, path: &Path) -> Result<File, TreeError> {
        let stat = rustix::fs::fstat(&fd).map_err(|e| self.context.error("look at", path, e))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(self.foreign("open", path, NOT_REGULAR));
        }
        Ok(File::from(fd))
    }

    /// Opening a device is an act of its own (a tape rewinds, a watchdog starts), so devices and their
    /// like are told by their looks.
    fn refuse_special(&self, path: &Path) -> Result<(), TreeError> {
        let looks = self.split(path).and_then(|(folder, name)| {
            rustix::fs::statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW)
        });
        let kind = looks.map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::RegularFile | FileType::Directory | FileType::Symlink) | Err(_) => Ok(()),
            Ok(_) => Err(self.foreign("open", path, NOT_REGULAR)),
        }
    }

    fn foreign(&self, action: &'static str, path: &Path, what: &'static str) -> TreeError {
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        TreeError { action, path: self.context.shown.join(path), source }
    }

    fn open2(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        // Reading must not write: without NOATIME each file and folder that is looked into costs the
        // drive an inode. It is only allowed to the owner.
        match beneath::open(&self.root, path, flags | OFlags::NOATIME, false) {
            Err(Errno::PERM) => beneath::open(&self.root, path, flags, false),
            other => other,
        }
    }

    pub(crate) fn open_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.open2(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// An open handle on a folder, kept for the next operation there.
    pub(crate) fn folder(&self, path: &Path) -> rustix::io::Result<Arc<OwnedFd>> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fd) = folders.get(path) {
            return Ok(Arc::clone(fd));
        }
        let fd = Arc::new(self.open_folder(path)?);
        if folders.len() >= OPEN_FOLDERS {
            folders.clear();
        }
        folders.insert(path.to_owned(), Arc::clone(&fd));
        Ok(fd)
    }

    /// The opened parent folder and the last component.
    pub(crate) fn split<'p>(
        &self,
        path: &'p Path,
    ) -> rustix::io::Result<(Arc<OwnedFd>, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.folder(path.parent().unwrap_or(Path::new("")))?, name))
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
