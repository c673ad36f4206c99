//! The single steps that every change of a repository is made of; each checks what is there first.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;

use crate::fs::content;
use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::Change;
use crate::repository::index::contents::Index;
use crate::repository::index::record::{Content, Identity, Record};
use crate::repository::layout;

/// Whether the file at `place` has the content that `record` says.
pub(crate) fn is_content(
    tree: &Tree,
    place: &Path,
    record: &Record,
) -> Result<bool, RepositoryError> {
    match &record.content {
        Content::File { size, hash, .. } => has_content(tree, place, *size, hash),
        Content::Link { .. } | Content::Folder => Ok(false),
    }
}

/// Whether the file at `place` has this content.
pub(crate) fn has_content(
    tree: &Tree,
    place: &Path,
    size: u64,
    hash: &[u8; 32],
) -> Result<bool, RepositoryError> {
    let like = |found: Found| found.file_type.is_file() && found.size == size;
    if !tree.stat(place)?.is_some_and(like) {
        return Ok(false);
    }
    let Ok(Some(file)) = tree.open_file(place) else {
        return Ok(false);
    };
    // What cannot be read is not sound; the run goes on without it.
    let found = content::hash(&file, size, false, &AtomicBool::new(false));
    Ok(found.is_ok_and(|found| found == Some(*hash)))
}

/// What a file of a drive that has links is recognised by.
pub(crate) fn identity_of(found: &Found) -> Identity {
    Identity { ino: found.ino, size: found.size }
}

/// Makes or removes a folder of the mirror. Returns its path if it could not be removed.
pub(super) fn folder(
    tree: &Tree,
    index: &Index,
    change: &Change,
    set_owner: bool,
) -> Result<Option<RelPath>, TreeError> {
    let mirror = layout::mirror(change.place(index));
    match change {
        Change::Folder { record, .. } => {
            let owner = set_owner.then_some((record.meta.uid, record.meta.gid));
            let mode = (record.meta.mode & 0o777) | 0o700;
            with_parents(tree, &mirror, || tree.create_folder(&mirror, mode, owner))?;
        }
        Change::RemoveFolder { path } => match tree.remove_folder(&mirror) {
            Err(e) if e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) || e.is(Errno::NOTDIR) => {
                return Ok(Some(path.clone()));
            }
            other => {
                other?;
            }
        },
        _ => {}
    }
    Ok(None)
}

/// Gives the file at `from`, which is known to be `identity`, a second name.
pub(crate) fn link(
    tree: &Tree,
    from: &Path,
    to: &Path,
    identity: Identity,
) -> Result<(), RepositoryError> {
    match with_parents(tree, to, || tree.link(from, to)) {
        Err(e) if e.is(Errno::EXIST) => expect(tree, to, identity),
        other => Ok(other?),
    }
}

/// Does `act`, which creates `path`; makes the folders above it if they are missing.
pub(crate) fn with_parents<T>(
    tree: &Tree,
    path: &Path,
    act: impl Fn() -> Result<T, TreeError>,
) -> Result<T, TreeError> {
    match act() {
        Err(e) if e.is(Errno::NOENT) => {
            if let Some(parent) = path.parent() {
                tree.create_folders(parent, 0o755)?;
            }
            act()
        }
        other => other,
    }
}

pub(crate) fn expect(tree: &Tree, path: &Path, identity: Identity) -> Result<(), RepositoryError> {
    match tree.stat(path)? {
        Some(found) if identity.is(&found) => Ok(()),
        other => Err(mismatch(tree, path, other.as_ref())),
    }
}

/// The error for something else than what was recorded.
pub(super) fn mismatch(tree: &Tree, path: &Path, found: Option<&Found>) -> RepositoryError {
    RepositoryError::Mismatch { path: tree.shown().join(path), found: description(found) }
}

pub(crate) fn description(found: Option<&Found>) -> String {
    match found {
        None => "it is missing".to_owned(),
        Some(found) if found.file_type.is_file() => {
            format!("there is another file, of {} bytes", found.size)
        }
        Some(found) if found.file_type.is_dir() => "there is a folder".to_owned(),
        Some(_) => "there is something that is no regular file".to_owned(),
    }
}
