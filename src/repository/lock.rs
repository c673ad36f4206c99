//! One run per repository at a time: a lock that dies with its holder.
//!
//! The lock file stays empty, so that taking it writes nothing to the drive; who holds it is read
//! from `/proc/locks`. Called by `repository`.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::{RepositoryError, layout};
use crate::drive::drive_file::DriveFile;
use crate::drive::tree::{Tree, TreeError};

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock<'t>(DriveFile<'t>);

impl Drop for Lock<'_> {
    /// Closing the file alone would not end it while a program that another thread is starting has a copy of
    /// the handle: until it is executed.
    fn drop(&mut self) {
        let _ends_with_the_process = self.0.file().unlock();
    }
}

/// Takes the lock.
pub(super) fn take(tree: &Tree) -> Result<Lock<'_>, RepositoryError> {
    let path = Path::new(layout::LOCK);
    let missing = tree.stat(path)?.is_none();
    let file = tree.open_record_file(path, missing).map_err(super::record_error)?;
    match file.file().try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => {
            Err(RepositoryError::Locked { holder: holder(file.file()) })
        }
        Err(TryLockError::Error(source)) => Err(file.error("lock", source).into()),
    }
}

/// A reader's part in the lock: while it lives no run can begin.
#[derive(Debug)]
pub(super) struct Watch(File);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ends_with_the_process = self.0.unlock();
    }
}

/// Takes a reader's part in the lock, which works on a drive that is mounted read-only as well; `None` if
/// no run ever made the lock file, or none can hold what is in its place.
pub(super) fn watch(tree: &Tree) -> Result<Option<Watch>, RepositoryError> {
    let path = Path::new(layout::LOCK);
    let file = match tree.open_file(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        // Files can be got back from a drive whose lock is spoilt.
        Err(e) if e.is_foreign() => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(Watch(file))),
        Err(TryLockError::WouldBlock) => Err(RepositoryError::Locked { holder: holder(&file) }),
        Err(TryLockError::Error(source)) => {
            let path = tree.shown().join(path);
            Err(TreeError { action: "lock", path, source }.into())
        }
    }
}

/// Who holds the lock on `file`, in words.
fn holder(file: &File) -> String {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid =
        rustix::fs::fstat(file).ok().and_then(|stat| pid_in(&locks, stat.st_dev, stat.st_ino));
    match pid {
        Some(pid) => {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid} ({})", crate::sanitize::line(name.trim()))
        }
        None => "another process".to_owned(),
    }
}

/// The process that `/proc/locks` has for a file. Inode numbers of FUSE drives are small and alike, so the device
/// counts where the list has it; btrfs tells programs of another device than the list does.
fn pid_in(locks: &str, dev: u64, ino: u64) -> Option<u32> {
    let file = format!("{:02x}:{:02x}:{ino}", rustix::fs::major(dev), rustix::fs::minor(dev));
    let is_its = |line: &&str| line.split_ascii_whitespace().any(|field| field == file);
    let exactly = locks.lines().filter(is_its).find_map(|line| pid_of(line, ino));
    exactly.or_else(|| locks.lines().find_map(|line| pid_of(line, ino)))
}

/// The process in a line of `/proc/locks`: `1: FLOCK ADVISORY WRITE 1234 08:01:131 0 EOF`.
pub(super) fn pid_of(line: &str, ino: u64) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    (fields.next() == Some("FLOCK")).then_some(())?;
    let pid = fields.nth(2)?.parse().ok()?;
    let (_, inode) = fields.next()?.rsplit_once(':')?;
    (inode.parse() == Ok(ino)).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.create_folder(Path::new(layout::META), 0o700, None).unwrap();
        let held = take(&tree).unwrap();
        let refused = take(&tree).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        take(&tree).unwrap();
    }

    #[test]
    fn of_two_drives_with_the_same_inode_numbers_the_right_one_is_named() {
        let locks = "1: FLOCK  ADVISORY  WRITE 10 07:01:9 0 EOF\n2: FLOCK  ADVISORY  WRITE 20 07:0a:9 0 EOF\n";
        let dev = |minor| rustix::fs::makedev(7, minor);
        assert_eq!(pid_in(locks, dev(10), 9), Some(20));
        assert_eq!(pid_in(locks, dev(1), 9), Some(10));
        assert_eq!(pid_in(locks, dev(2), 9), Some(10), "as on btrfs");
        assert_eq!(pid_in(locks, dev(1), 8), None);
    }

    #[test]
    fn a_copy_of_the_handle_in_a_program_that_is_being_started_does_not_hold_it() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.create_folder(Path::new(layout::META), 0o700, None).unwrap();
        let held = take(&tree).unwrap();
        let copy = held.0.file().try_clone().unwrap();
        drop(held);
        take(&tree).unwrap();
        drop(copy);
    }
}
