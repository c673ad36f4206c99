//! `.bkm/reserve`: room on the drive that is taken in good time and given up when the drive is full, so that
//! what is in the index can be published, taken back and closed.
//!
//! It is made with the repository and grows with what the run in hand has yet to write. That it cannot grow
//! fails a run only where what it is for would not fit either. It is never given up for content: who calls
//! [`with_room`] sees to it that nothing is being staged, which would take the room before its purpose does.

use std::path::Path;

use rustix::io::Errno;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::fs::writer::DriveFile;
use crate::repository::error::RepositoryError;
use crate::repository::layout;

/// Bytes that are held between runs: enough to end an increment of some two thousand files.
pub const LEAST: u64 = 1 << 20;

/// It grows by multiples of this, in bytes.
const STEP: u64 = 64 << 10;

/// Does `act`; where the drive is full, gives up the reserve and does it once more. `act` must take being
/// done again after it failed halfway.
pub fn with_room<T>(
    tree: &Tree,
    mut act: impl FnMut() -> Result<T, RepositoryError>,
) -> Result<T, RepositoryError> {
    match act() {
        Err(e) if e.is_full() && give_up(tree)? => act(),
        other => other,
    }
}

/// Bytes that are held; 0 if there is no reserve.
pub fn held(tree: &Tree) -> Result<u64, TreeError> {
    open(tree)?.map_or(Ok(0), |file| length(tree, &file))
}

/// Makes the reserve [`LEAST`] bytes long, or as long as the drive has the room for.
pub fn make(tree: &Tree) -> Result<(), TreeError> {
    grow_to_any(tree, LEAST, STEP)
}

/// Gives back what is held beyond [`LEAST`] bytes, or makes the reserve anew. To be called when nothing is
/// on its way.
pub fn settle(tree: &Tree) -> Result<(), TreeError> {
    match open(tree)? {
        Some(mut file) if length(tree, &file)? > LEAST => file.set_len(LEAST),
        _ => make(tree),
    }
}

/// Sees to it that `bytes` and `inodes` can be had when the reserve is given up. An error if the drive is
/// too full for them.
pub fn cover(tree: &Tree, bytes: u64, inodes: u64) -> Result<(), TreeError> {
    let full = || TreeError {
        action: "take the room for what is next on",
        path: tree.shown().to_owned(),
        source: Errno::NOSPC.into(),
    };
    let least = bytes.div_ceil(STEP).saturating_mul(STEP);
    if held(tree)? < bytes {
        // More than that where it can be had: file systems do not use each block that is free.
        grow_to_any(tree, least.max(LEAST), least)?;
        // No matter who has the room as long as there is enough.
        let space = tree.space()?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if space.f_blocks != 0 && free.saturating_add(held(tree)?) < bytes {
            return Err(full());
        }
    }
    let space = tree.space()?;
    // The reserve's own is one of them.
    if space.f_files != 0 && space.f_favail.saturating_add(1) < inodes {
        return Err(full());
    }
    Ok(())
}

/// Gives the reserve up; `false` if there is none. What was freed can be used when this returns.
fn give_up(tree: &Tree) -> Result<bool, RepositoryError> {
    let path = Path::new(layout::RESERVE);
    let is_file = tree.stat(path)?.is_some_and(|found| found.file_type.is_file());
    // Xfs frees what a file had when it is cut off, but some time after it was removed.
    let cut = open(tree)?.map_or(Ok(()), |mut file| file.set_len(0));
    cut.or_else(|e| if e.is_full() { Ok(()) } else { Err(e) })?;
    if !is_file || !tree.remove_file(path)? {
        return Ok(false);
    }
    // Some file systems only let go of blocks when their journal is written. An error is not swallowed: it
    // may be told this once, and of any file.
    tree.sync()?;
    Ok(true)
}

/// Makes it `most` bytes long, or less where there is no room for that, `least` being the last that is tried.
fn grow_to_any(tree: &Tree, most: u64, least: u64) -> Result<(), TreeError> {
    let mut to = most;
    loop {
        match grow(tree, to) {
            Err(e) if e.is_full() && to > least => to = (to / 2).max(least),
            Err(e) if e.is_full() => return Ok(()),
            other => return other,
        }
    }
}

fn grow(tree: &Tree, to: u64) -> Result<(), TreeError> {
    let path = Path::new(layout::RESERVE);
    let found = tree.stat(path)?;
    if found.is_some_and(|found| !found.file_type.is_file()) {
        return Ok(());
    }
    // Somebody gave it another name, and may want to keep what is there.
    if found.is_some_and(|found| found.nlink > 1) {
        tree.remove_file(path)?;
    }
    let mut file = tree.open_record_file(path, true)?;
    let before = length(tree, &file)?;
    if before >= to {
        return Ok(());
    }
    if let Err(e) = file.take_room(before, to) {
        // What it got before the drive was full is for others.
        if before == 0 {
            drop(file);
            tree.remove_file(path)?;
        } else {
            file.set_len(before)?;
        }
        return Err(e);
    }
    if tree.syncs_each_file() {
        file.sync()?;
    }
    Ok(())
}

fn open(tree: &Tree) -> Result<Option<DriveFile<'_>>, TreeError> {
    let path = Path::new(layout::RESERVE);
    let usable = |found: crate::fs::stat::Found| found.file_type.is_file() && found.nlink == 1;
    if !tree.stat(path)?.is_some_and(usable) {
        return Ok(None);
    }
    tree.open_record_file(path, false).map(Some)
}

/// How much a reserve holds. A copy of it may be one hole.
fn length(tree: &Tree, file: &DriveFile<'_>) -> Result<u64, TreeError> {
    let size = file.stat()?.size;
    // Some FUSE drivers do not tell what is allocated, and none of them has holes that matter here.
    if tree.syncs_each_file() { Ok(size) } else { Ok(size.min(file.allocated()?)) }
}
