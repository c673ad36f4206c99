//! One run per repository at a time: a lock that dies with its holder.
//!
//! The lock file stays empty, so that taking it writes nothing to the drive; who holds it is read
//! from `/proc/locks`.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::fs::writer::DriveFile;
use crate::repository::error::RepositoryError;
use crate::repository::layout;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock<'t>(DriveFile<'t>);

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
    let file =
        tree.open_record_file(path, missing).map_err(crate::repository::error::record_error)?;
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
    let Ok(stat) = rustix::fs::fstat(file) else { return ANOTHER.to_owned() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let of = |device| locks.lines().find_map(|line| pid_of(line, device, stat.st_ino));
    // Drives of one kind have the same inode numbers. Where none is of this device, it is btrfs, of which a
    // file tells another device than the kernel's list does.
    match of(Some(stat.st_dev)).or_else(|| of(None)) {
        Some(pid) => {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid} ({})", crate::text::sanitize::line(name.trim()))
        }
        None => ANOTHER.to_owned(),
    }
}

const ANOTHER: &str = "another process";

/// The process in a line of `/proc/locks`: `1: FLOCK ADVISORY WRITE 1234 08:01:131 0 EOF`, where the device is in
/// hexadecimal. Without `device` the inode alone counts.
pub(super) fn pid_of(line: &str, device: Option<u64>, ino: u64) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    (fields.next() == Some("FLOCK")).then_some(())?;
    let pid = fields.nth(2)?.parse().ok()?;
    let (on, inode) = fields.next()?.rsplit_once(':')?;
    let (major, minor) = on.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let on = rustix::fs::makedev(number(major)?, number(minor)?);
    (device.is_none_or(|device| device == on) && inode.parse() == Ok(ino)).then_some(pid)
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
    fn a_lock_on_another_drive_with_the_same_inode_is_another_one() {
        let line = "1: FLOCK  ADVISORY  WRITE 1234 08:1f:131 0 EOF";
        let device = rustix::fs::makedev(8, 31);
        assert_eq!(pid_of(line, Some(device), 131), Some(1234));
        assert_eq!(pid_of(line, Some(rustix::fs::makedev(8, 17)), 131), None);
        assert_eq!(pid_of(line, Some(device), 132), None);
        assert_eq!(pid_of(line, None, 131), Some(1234));
        assert_eq!(pid_of("1: POSIX  ADVISORY  WRITE 1234 08:1f:131 0 EOF", None, 131), None);
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
