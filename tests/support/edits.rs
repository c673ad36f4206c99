//! Edits of a source: what people and programs do to their files between two backups.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

/// One edit; the numbers pick what it is done to among what is there.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Create {
        folder: u8,
        name: u8,
        size: u16,
    },
    Sparse {
        folder: u8,
        name: u8,
    },
    Overwrite {
        file: u8,
    },
    /// Other bytes, but size and time stay: as by a container that hides its changes.
    OverwriteInSecret {
        file: u8,
    },
    Resize {
        file: u8,
        size: u16,
    },
    Append {
        file: u8,
    },
    /// As editors do: a new file takes the old one's place.
    ReplaceBySave {
        file: u8,
    },
    Chmod {
        any: u8,
        mode: u16,
    },
    Chown {
        any: u8,
        owner: u8,
    },
    Touch {
        any: u8,
        time: i32,
    },
    Xattr {
        any: u8,
        value: u8,
    },
    Rename {
        any: u8,
        folder: u8,
        name: u8,
    },
    Swap {
        one: u8,
        two: u8,
    },
    Delete {
        any: u8,
    },
    DeleteFolder {
        folder: u8,
    },
    MakeFolder {
        folder: u8,
        name: u8,
    },
    Turn {
        any: u8,
        into: u8,
    },
    Link {
        folder: u8,
        name: u8,
        target: u8,
    },
    HardLink {
        file: u8,
        folder: u8,
        name: u8,
    },
    BreakLink {
        file: u8,
    },
}

/// Any edit, the usual ones more often.
pub(crate) fn any_edit() -> impl Strategy<Value = Edit> {
    let n = any::<u8>;
    prop_oneof![
        4 => (n(), n(), any::<u16>()).prop_map(|(folder, name, size)| Edit::Create { folder, name, size }),
        1 => (n(), n()).prop_map(|(folder, name)| Edit::Sparse { folder, name }),
        2 => n().prop_map(|file| Edit::Overwrite { file }),
        1 => n().prop_map(|file| Edit::OverwriteInSecret { file }),
        1 => (n(), any::<u16>()).prop_map(|(file, size)| Edit::Resize { file, size }),
        1 => n().prop_map(|file| Edit::Append { file }),
        1 => n().prop_map(|file| Edit::ReplaceBySave { file }),
        1 => (n(), any::<u16>()).prop_map(|(any, mode)| Edit::Chmod { any, mode }),
        1 => (n(), n()).prop_map(|(any, owner)| Edit::Chown { any, owner }),
        1 => (n(), any::<i32>()).prop_map(|(any, time)| Edit::Touch { any, time }),
        1 => (n(), n()).prop_map(|(any, value)| Edit::Xattr { any, value }),
        3 => (n(), n(), n()).prop_map(|(any, folder, name)| Edit::Rename { any, folder, name }),
        1 => (n(), n()).prop_map(|(one, two)| Edit::Swap { one, two }),
        2 => n().prop_map(|any| Edit::Delete { any }),
        1 => n().prop_map(|folder| Edit::DeleteFolder { folder }),
        2 => (n(), n()).prop_map(|(folder, name)| Edit::MakeFolder { folder, name }),
        2 => (n(), n()).prop_map(|(any, into)| Edit::Turn { any, into }),
        1 => (n(), n(), n()).prop_map(|(folder, name, target)| Edit::Link { folder, name, target }),
        2 => (n(), n(), n()).prop_map(|(file, folder, name)| Edit::HardLink { file, folder, name }),
        1 => n().prop_map(|file| Edit::BreakLink { file }),
    ]
}

/// Names that files and folders get: few, so that edits meet.
const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"f1",
    b"f2",
    b"f3",
    b"f4",
    b"two\nlines",
    b"caf\xe9",
    b"a b\\c",
];

/// Names that FAT and exFAT refuse, or take for one another, or that escaped names could meet.
pub(crate) const NASTY: [&[u8]; 16] = [
    b"a",
    b"A",
    b"f1",
    b"F1",
    b"a:",
    b"A:",
    b"dot.",
    b"DOT",
    b"LONGFI~1.TXT",
    b"longfile name.txt",
    b"caf\xe9",
    "\u{e9}".as_bytes(),
    "\u{c9}".as_bytes(),
    // What "a" and "a:" are called where their own names are taken or refused.
    b"a~17762fdd",
    b"a_~b6174c7a",
    b"aux",
];

/// Does edits to the tree at `root`.
pub(crate) struct Editor {
    root: PathBuf,
    names: &'static [&'static [u8]],
    counter: u64,
    is_root: bool,
}

impl Editor {
    pub(crate) fn new(root: &Path) -> Self {
        Self::with_names(root, &NAMES)
    }

    /// One that gives other names.
    pub(crate) fn with_names(root: &Path, names: &'static [&'static [u8]]) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self { root: root.to_owned(), names, counter: 0, is_root }
    }

    fn content(&mut self, size: usize) -> Vec<u8> {
        self.counter += 1;
        let mut bytes = vec![0; size];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.counter.to_le_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }

    /// All paths below the root: files and links, and folders (the root itself among them).
    fn list(&self) -> (Vec<PathBuf>, Vec<PathBuf>, Vec<PathBuf>) {
        let (mut files, mut links, mut folders) = (Vec::new(), Vec::new(), vec![self.root.clone()]);
        let mut at = 0;
        while let Some(folder) = folders.get(at).cloned() {
            at += 1;
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_symlink() {
                    links.push(entry.path());
                } else {
                    files.push(entry.path());
                }
            }
        }
        files.sort();
        links.sort();
        folders.sort();
        (files, links, folders)
    }

    fn file(&self, pick: u8) -> Option<PathBuf> {
        pick_of(&self.list().0, pick)
    }

    fn folder(&self, pick: u8) -> PathBuf {
        pick_of(&self.list().2, pick).unwrap()
    }

    /// Anything but the root.
    fn any(&self, pick: u8) -> Option<PathBuf> {
        let (files, links, folders) = self.list();
        let all: Vec<_> =
            files.into_iter().chain(links).chain(folders).filter(|p| *p != self.root).collect();
        pick_of(&all, pick)
    }

    /// A free path, if that name is free there and the tree does not become too deep.
    fn free(&self, folder: u8, name: u8) -> Option<PathBuf> {
        let name = self.names[usize::from(name) % self.names.len()];
        let path = self.folder(folder).join(OsStr::from_bytes(name));
        let deep = path.strip_prefix(&self.root).unwrap().components().count();
        (deep <= 6 && fs::symlink_metadata(&path).is_err()).then_some(path)
    }

    /// Does one edit; one that fits nothing here does nothing.
    pub(crate) fn edit(&mut self, edit: &Edit) {
        let _done = self.try_edit(edit);
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each edit")]
    fn try_edit(&mut self, edit: &Edit) -> Option<()> {
        match *edit {
            Edit::Create { folder, name, size } => {
                let path = self.free(folder, name)?;
                let bytes = self.content(usize::from(size % 5000));
                fs::write(path, bytes).unwrap();
            }
            Edit::Sparse { folder, name } => {
                let path = self.free(folder, name)?;
                let bytes = self.content(100);
                let file = File::create(path).unwrap();
                file.set_len(300_000).unwrap();
                file.write_all_at(&bytes, 150_000).unwrap();
            }
            Edit::Overwrite { file } => {
                let path = self.file(file)?;
                let bytes = self.content(size_of(&path));
                write_in_place(&path, &bytes);
            }
            Edit::OverwriteInSecret { file } => {
                let path = self.file(file)?;
                let time = mtime(&path);
                let bytes = self.content(size_of(&path));
                write_in_place(&path, &bytes);
                set_mtime(&path, time);
            }
            Edit::Resize { file, size } => {
                let path = self.file(file)?;
                open(&path).set_len(u64::from(size % 9000)).unwrap();
            }
            Edit::Append { file } => {
                let path = self.file(file)?;
                let bytes = self.content(33);
                open(&path).write_all_at(&bytes, size_of(&path) as u64).unwrap();
            }
            Edit::ReplaceBySave { file } => {
                let path = self.file(file)?;
                let bytes = self.content(size_of(&path));
                let other = path.with_file_name("saved~");
                fs::write(&other, bytes).unwrap();
                rustix::fs::rename(&other, &path).unwrap();
            }
            Edit::Chmod { any, mode } => {
                let path = self.any(any)?;
                if !path.is_symlink() {
                    let least = if path.is_dir() { 0o700 } else { 0o600 };
                    let mode = u32::from(mode) & 0o777 | if self.is_root { 0 } else { least };
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            Edit::Chown { any, owner } => {
                let path = self.any(any)?;
                if self.is_root {
                    let owner = u32::from(owner % 3) * 1000;
                    std::os::unix::fs::lchown(path, Some(owner), Some(owner + 1)).unwrap();
                }
            }
            Edit::Touch { any, time } => {
                let path = self.any(any)?;
                set_mtime(&path, (i64::from(time), i64::from(time.unsigned_abs() % 1_000_000_000)));
            }
            Edit::Xattr { any, value } => {
                let path = self.any(any)?;
                if !path.is_symlink() {
                    let name = if value % 2 == 0 { "user.one" } else { "user.two" };
                    let _unless_unknown_here =
                        rustix::fs::setxattr(&path, name, &[value], XattrFlags::empty());
                }
            }
            Edit::Rename { any, folder, name } => {
                let (from, to) = (self.any(any)?, self.free(folder, name)?);
                if !to.starts_with(&from) {
                    rustix::fs::rename(from, to).unwrap();
                }
            }
            Edit::Swap { one, two } => {
                let (one, two) = (self.any(one)?, self.any(two)?);
                if !one.starts_with(&two) && !two.starts_with(&one) {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(CWD, one, CWD, two, flags).unwrap();
                }
            }
            Edit::Delete { any } => {
                delete(&self.any(any).filter(|path| path.is_symlink() || !path.is_dir())?);
            }
            Edit::DeleteFolder { folder } => {
                let folder = self.folder(folder);
                if folder != self.root {
                    delete(&folder);
                }
            }
            Edit::MakeFolder { folder, name } => fs::create_dir(self.free(folder, name)?).unwrap(),
            Edit::Turn { any, into } => {
                let path = self.any(any)?;
                delete(&path);
                match into % 4 {
                    0 => {
                        let bytes = self.content(77);
                        fs::write(&path, bytes).unwrap();
                    }
                    1 => symlink("some where", &path).unwrap(),
                    2 => fs::create_dir(&path).unwrap(),
                    _ => {
                        let bytes = self.content(99);
                        fs::create_dir_all(path.join("a/b")).unwrap();
                        fs::write(path.join("a/f1"), &bytes).unwrap();
                        fs::write(path.join("f2"), &bytes).unwrap();
                    }
                }
            }
            Edit::Link { folder, name, target } => {
                let path = self.free(folder, name)?;
                let targets = ["a", "../b", "/etc/hostname", "no/such", "."];
                symlink(targets[usize::from(target) % targets.len()], path).unwrap();
            }
            Edit::HardLink { file, folder, name } => {
                let (from, to) = (self.file(file)?, self.free(folder, name)?);
                fs::hard_link(from, to).unwrap();
            }
            Edit::BreakLink { file } => {
                let path = self.file(file)?;
                let (time, bytes) = (mtime(&path), fs::read(&path).unwrap());
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
                set_mtime(&path, time);
            }
        }
        Some(())
    }
}

/// Has a file at `name` in the source, whatever an edit made of it: an empty source is refused, as it should be.
pub(crate) fn keep(source: &Path, name: &str) {
    let path = source.join(name);
    if path.is_file() {
        return;
    }
    if path.symlink_metadata().is_ok() {
        delete(&path);
    }
    fs::write(path, "stays").unwrap();
}

fn pick_of(paths: &[PathBuf], pick: u8) -> Option<PathBuf> {
    (!paths.is_empty()).then(|| paths[usize::from(pick) % paths.len()].clone())
}

fn size_of(path: &Path) -> usize {
    usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
}

fn open(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

fn write_in_place(path: &Path, bytes: &[u8]) {
    open(path).write_all_at(bytes, 0).unwrap();
}

/// Seconds and nanoseconds of the last change.
pub(crate) fn mtime(path: &Path) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.mtime(), meta.mtime_nsec())
}

/// Sets the time of the last change; of a link itself.
pub(crate) fn set_mtime(path: &Path, (seconds, nanoseconds): (i64, i64)) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Deletes whatever is at `path`, with everything below.
pub(crate) fn delete(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            delete(&entry.unwrap().path());
        }
        fs::remove_dir(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}
