//! The source: one folder, opened once, and everything below it reached through that handle.
//!
//! It only reads. No symbolic link below the root is ever followed, and no path leads outside: every
//! name is resolved by openat2 beneath the root, with links refused.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::fs::beneath;
use crate::model::entry::{Kind, Stat};
use crate::model::relpath::RelPath;

/// Everything that one statx is asked for: the same for a scan and for a single path, so that both
/// give the same record.
pub(super) const STATX: StatxFlags =
    StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// How much of a path goes into one system call (the kernel takes 4096 bytes with the NUL).
const MAX_CALL: usize = 4000;

/// The kernel's own limit for one value and for the list of names.
const XATTR_MAX: usize = 64 * 1024;

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is nothing at the path.
    #[error("the source {} is not there; is its disk mounted?", .0.display())]
    Missing(PathBuf),
    /// There is something else at the path.
    #[error("the source {} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// It is there and cannot be opened.
    #[error("the source {} cannot be opened", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// An open source.
#[derive(Debug)]
pub struct Source {
    root: OwnedFd,
    path: PathBuf,
    mount_id: Option<u64>,
    dev: u64,
    stable_inodes: bool,
    has_birth_time: bool,
}

impl Source {
    /// Opens the folder at `path`; `path` itself may be a symbolic link.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |errno: Errno| match errno {
            Errno::NOENT => SourceError::Missing(path.to_owned()),
            Errno::NOTDIR => SourceError::NotAFolder(path.to_owned()),
            errno => SourceError::Unreadable { path: path.to_owned(), source: errno.into() },
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let statx = statx_handle(&root).map_err(failed)?;
        let kind = rustix::fs::fstatfs(&root).map_err(failed)?.f_type;
        Ok(Self {
            root,
            path: path.to_owned(),
            mount_id: mount_id(&statx),
            dev: device(&statx),
            stable_inodes: !has_passing_inodes(kind.cast_unsigned()),
            has_birth_time: statx.stx_mask & StatxFlags::BTIME.bits() != 0,
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's number of the mount it lies on; `None` before Linux 5.8.
    pub fn mount_id(&self) -> Option<u64> {
        self.mount_id
    }

    /// Device of its file system, as in [`Stat::dev`].
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// Whether a file keeps its inode number from one mount to the next. Where not (FUSE, FAT, exFAT),
    /// another inode or ctime says nothing about a file.
    pub fn stable_inodes(&self) -> bool {
        self.stable_inodes
    }

    /// Whether its file system knows when a file was born.
    pub fn has_birth_time(&self) -> bool {
        self.has_birth_time
    }

    /// Opens a file for reading. It does not wait (a FIFO opens at once): the caller looks at the
    /// handle with [`Source::stat_fd`] before it reads.
    pub fn open_file(&self, path: &RelPath) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(self.beneath(path, flags)?)
    }

    /// What lies at `path`; a link itself, not where it leads. An error of kind
    /// [`io::ErrorKind::Unsupported`] says that it is a socket, FIFO or device.
    pub fn stat(&self, path: &RelPath) -> io::Result<Stat> {
        self.stat_fd(&self.handle(path)?)
    }

    /// What an open handle is; errors as for [`Source::stat`].
    pub fn stat_fd(&self, handle: impl AsFd) -> io::Result<Stat> {
        let statx = statx_handle(handle)?;
        let Some(kind) = kind(&statx) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "not a file, link or folder"));
        };
        Ok(stat(&statx, kind))
    }

    /// Where the symbolic link at `path` leads.
    pub fn read_link(&self, path: &RelPath) -> io::Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(self.handle(path)?, c"", Vec::new())?;
        Ok(target.into_bytes())
    }

    /// The extended attributes of a file or folder opened for reading that are worth keeping: `user.*`,
    /// ACLs and capabilities. Sorted by name; empty where the file system has none.
    pub fn xattrs_fd(&self, handle: impl AsFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        xattrs_of(handle)
    }

    /// As [`Source::xattrs_fd`], for whatever lies at `path`; a link's own.
    pub fn xattrs(&self, path: &RelPath) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let handle = self.handle(path)?;
        // Handles of this kind (links have no other) are refused by flistxattr, but their entry in
        // /proc leads to the very inode, link or not.
        let through_proc = format!("/proc/self/fd/{}", handle.as_raw_fd());
        read_xattrs(
            rustix::fs::listxattr_query(&*through_proc),
            |list| rustix::fs::listxattr(&*through_proc, list),
            |name, value| rustix::fs::getxattr(&*through_proc, name, value),
        )
    }

    /// Opens the folder at `path` (`None`: the source itself) for listing.
    pub(super) fn open_folder(&self, path: Option<&RelPath>) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match path {
            Some(path) => self.beneath(path, flags),
            // A handle of its own: the position in the listing belongs to the open file.
            None => rustix::fs::openat(&self.root, c".", flags | OFlags::CLOEXEC, Mode::empty()),
        }
    }

    /// A handle that only stands for what lies at `path`, whatever it is.
    fn handle(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        self.beneath(path, OFlags::PATH | OFlags::NOFOLLOW)
    }

    fn beneath(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut rest = path.as_bytes();
        let mut folder: Option<OwnedFd> = None;
        while let Some((head, tail)) = split_long(rest) {
            let at = folder.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            folder = Some(open_beneath(at, head, OFlags::PATH | OFlags::DIRECTORY)?);
            rest = tail;
        }
        let at = folder.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        open_beneath(at, rest, flags)
    }
}

/// The extended attributes of anything opened for reading, as [`Source::xattrs_fd`].
pub(crate) fn xattrs_of(handle: impl AsFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let handle = handle.as_fd();
    read_xattrs(
        rustix::fs::flistxattr_query(handle),
        |list| rustix::fs::flistxattr(handle, list),
        |name, value| rustix::fs::fgetxattr(handle, name, value),
    )
}

/// Cuts a path that is too long for one system call at a `/`.
fn split_long(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= MAX_CALL {
        return None;
    }
    let cut = path.get(..MAX_CALL)?.iter().rposition(|&b| b == b'/')?;
    Some((path.get(..cut)?, path.get(cut + 1..)?))
}

fn open_beneath(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    match beneath::open(at, Path::new(OsStr::from_bytes(path)), flags, true) {
        // No path leads outside and links are refused: a folder on the way was moved out of the source
        // just now, so the path is gone from it.
        Err(Errno::XDEV) => Err(Errno::NOENT),
        other => other,
    }
}

/// File systems that number inodes anew with each mount, by their `f_type`: FUSE (also NTFS through
/// ntfs-3g), FAT, exFAT.
fn has_passing_inodes(kind: u64) -> bool {
    // Some architectures sign-extend it.
    matches!(kind & 0xffff_ffff, 0x6573_5546 | 0x4d44 | 0x2011_bab0)
}

fn statx_handle(handle: impl AsFd) -> Result<Statx, Errno> {
    rustix::fs::statx(handle, c"", AtFlags::EMPTY_PATH, STATX)
}

pub(super) fn device(statx: &Statx) -> u64 {
    rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor)
}

pub(super) fn mount_id(statx: &Statx) -> Option<u64> {
    (statx.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(statx.stx_mnt_id)
}

pub(super) fn file_type(statx: &Statx) -> FileType {
    FileType::from_raw_mode(statx.stx_mode.into())
}

/// What is kept of its kind; `None` for sockets, FIFOs and devices.
pub(super) fn kind(statx: &Statx) -> Option<Kind> {
    match file_type(statx) {
        FileType::RegularFile => Some(Kind::File),
        FileType::Symlink => Some(Kind::Link),
        FileType::Directory => Some(Kind::Folder),
        _ => None,
    }
}

pub(super) fn stat(statx: &Statx, kind: Kind) -> Stat {
    let time = |time: &rustix::fs::StatxTimestamp| {
        time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into())
    };
    let has_birth = statx.stx_mask & StatxFlags::BTIME.bits() != 0;
    Stat {
        kind,
        size: statx.stx_size,
        mtime_ns: time(&statx.stx_mtime),
        ctime_ns: time(&statx.stx_ctime),
        btime_ns: has_birth.then(|| time(&statx.stx_btime)),
        dev: device(statx),
        ino: statx.stx_ino,
        nlink: statx.stx_nlink,
        mode: statx.stx_mode.into(),
        uid: statx.stx_uid,
        gid: statx.stx_gid,
        blocks: statx.stx_blocks,
    }
}

fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || matches!(
            name,
            b"system.posix_acl_access" | b"system.posix_acl_default" | b"security.capability"
        )
}

/// Lists and reads by the given calls, each of which fills a buffer and gives the length; `listed` is
/// how long the list is.
fn read_xattrs(
    listed: Result<usize, Errno>,
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // Nearly every file has none: that is found out without a buffer.
    match listed {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut names = vec![0; XATTR_MAX];
    let length = list(&mut names)?;
    names.truncate(length);
    let mut value = vec![0; XATTR_MAX];
    let mut kept = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| is_kept(name)) {
        match get(name, &mut value) {
            Ok(length) => {
                kept.push((name.to_vec(), value.get(..length).unwrap_or_default().to_vec()));
            }
            // Taken away since it was listed, or not for this user to read though it is listed.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    kept.sort_unstable();
    Ok(kept)
}
