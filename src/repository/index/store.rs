//! Reads the index from the drive, and writes it anew beside the old one.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::fs::tree::handle::Tree;
use crate::repository::error::{RepositoryError, record_error};
use crate::repository::index::contents::Index;
use crate::repository::index::frame::Frame;
use crate::repository::index::log::{self, LogWriter};
use crate::repository::index::stamp::{self, Stamp};
use crate::repository::layout;
use crate::repository::staging::remove_all;

/// Staging name of an index that is written anew.
pub(crate) const BASE: &str = "index";

/// Reads index and stamp; says which file the index is. Where two are there (`compact`), it is the one that the
/// stamp knows: a newer one may look whole and lie where the drive has room for others.
pub(crate) fn read_records(
    tree: &Tree,
) -> Result<(Index, log::LogEnd, Stamp, &'static str), RepositoryError> {
    let stamp = stamp::read(tree).map_err(record_error)?.unwrap_or_default();
    let rank = |end: &log::LogEnd| (end.generation == stamp.generation, end.generation);
    let (mut best, mut failed) = (None, None);
    for name in layout::INDEX_PLACES {
        let Some(file) = tree.open_file(Path::new(name)).map_err(record_error)? else { continue };
        match Index::read(&file, Some((stamp.generation, stamp.synced))) {
            Ok((index, end)) => {
                let is_better = |other: &(_, log::LogEnd, _)| rank(&other.1) < rank(&end);
                if best.as_ref().is_none_or(is_better) {
                    best = Some((index, end, name));
                }
            }
            Err(e) => failed = Some(e),
        }
    }
    match best {
        Some((index, end, name)) if end.generation >= stamp.generation => {
            Ok((index, end, stamp, name))
        }
        // One that was replaced does not stand in for the one after it: it knows nothing of the runs since.
        _ => {
            Err(failed
                .unwrap_or_else(|| RepositoryError::Damaged("its index is missing".to_owned())))
        }
    }
}

/// Removes the index at `place` with the folder that it has for itself. That is durable before anything can
/// take the room: a torn removal leaves it a name.
pub(crate) fn remove_index(tree: &Tree, place: &str) -> Result<(), RepositoryError> {
    let entry = layout::index_entry(place);
    // A FUSE driver keeps a file that is open somewhere under another name until it is closed (as in a program
    // that is just being started). What is there after that waits for a check.
    for _ in 0..2 {
        match tree.stat(entry)? {
            None => return Ok(()),
            Some(found) if found.file_type.is_dir() => match remove_all(tree, entry, 0) {
                Err(RepositoryError::Drive(e)) if e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) => {}
                other => other?,
            },
            Some(_) => drop(tree.remove_file(entry)?),
        }
        tree.sync()?;
    }
    Ok(())
}

/// Writes a new index to a place with a folder of its own, where nothing may be, and makes it durable.
pub(crate) fn write_base_apart<'t>(
    tree: &'t Tree,
    index: &Index,
    generation: u64,
    place: &str,
) -> Result<LogWriter<'t>, RepositoryError> {
    tree.create_folder(layout::index_entry(place), 0o700, None)?;
    let mut log = write_base_at(tree, index, generation, Path::new(place))?;
    // A file of exFAT that grows where others lie gets a list of all its clusters, and is lost with that.
    log.take_room()?;
    log.sync()?;
    tree.sync()?;
    Ok(log)
}

/// Writes a new index beside the old one and puts it in its place.
pub(crate) fn write_base<'t>(
    tree: &'t Tree,
    index: &Index,
    generation: u64,
) -> Result<LogWriter<'t>, RepositoryError> {
    let staged = layout::staged(BASE);
    tree.remove_file(&staged)?;
    let mut log = write_base_at(tree, index, generation, &staged)?;
    log.sync()?;
    tree.rename_over(&staged, Path::new(layout::INDEX))?;
    tree.sync()?;
    Ok(log)
}

/// Writes a new index to a file that must not be there; durable only after [`LogWriter::sync`].
fn write_base_at<'t>(
    tree: &'t Tree,
    index: &Index,
    generation: u64,
    path: &Path,
) -> Result<LogWriter<'t>, RepositoryError> {
    let mut log = LogWriter::start(tree.create_file(path, 0o600)?, generation)?;
    for frame in index.base_frames() {
        log.append(&encode(&frame)?)?;
    }
    Ok(log)
}

pub(crate) fn encode(frame: &Frame) -> Result<Vec<u8>, RepositoryError> {
    postcard::to_stdvec(frame).map_err(|e| RepositoryError::Read(io::Error::other(e)))
}
