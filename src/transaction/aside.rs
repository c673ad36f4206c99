//! Sets aside what stands in the way on the drive and holds nothing that would be lost.
//!
//! A drive without a journal can show, long after an unclean end, an empty or cut off file that no record knows:
//! one that could not be read then, or the second of two entries of one name, of which it shows the first alone.
//! To leave such a thing alone would mean that its path is never backed up again. It is told from what a person
//! put there by its content: it has none, or none that is not about to come to this very place. Everything else
//! is somebody's and stays.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::fs::content;
use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::repository::catalog::document::EntryCategory;
use crate::repository::catalog::file::read_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::index::contents::Index;
use crate::repository::index::record::Content;
use crate::repository::layout;
use crate::repository::versioning::Keeping;
use crate::transaction::steps::{has_content, with_parents};

/// How often one name is looked at again: a folder that is torn in two places has it three times at most.
pub(crate) const MOST_OF_A_NAME: u32 = 8;

/// Staging name of what is removed at once.
const OUT: &str = "aside";

/// Takes away what is at `path`, if that loses nothing; `coming` is what is to take its place. Says whether it
/// did. Without links it is not unlinked: its space may be that of another file until the file system was checked.
pub(crate) fn clear(
    tree: &Tree,
    keeping: Keeping,
    path: &Path,
    coming: Option<&Path>,
) -> Result<bool, TreeError> {
    let found = match tree.stat(path) {
        Ok(Some(found)) => found,
        // What cannot be read is for a check of the file system.
        Ok(None) => return Ok(false),
        Err(e) if e.is(Errno::IO) => return Ok(false),
        Err(e) => return Err(e),
    };
    let nothing_lost = match found.file_type {
        FileType::RegularFile => is_beginning(tree, path, &found, coming),
        FileType::Directory => tree.list(path, 0).is_ok(),
        _ => false,
    };
    if !nothing_lost {
        return Ok(false);
    }
    match (keeping, found.file_type.is_dir()) {
        // It fails where something came into it meanwhile.
        (Keeping::Hardlink, true) => match tree.remove_folder(path) {
            Err(e) if e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) => Ok(false),
            other => other,
        },
        (Keeping::Hardlink, false) => {
            let out = layout::staged(OUT);
            tree.remove_file(&out)?;
            tree.rename_new(path, &out)?;
            tree.remove_file(&out)
        }
        (Keeping::Displace, is_folder) => {
            let to = free_place(tree)?;
            if is_folder {
                tree.rename_folder(path, &to)?;
            } else {
                tree.rename_new(path, &to)?;
            }
            Ok(true)
        }
    }
}

/// Whether all that the file has is the beginning of what is to come. What cannot be read is not known to be.
fn is_beginning(tree: &Tree, path: &Path, found: &Found, coming: Option<&Path>) -> bool {
    if found.size == 0 {
        return true;
    }
    let hash = |path: &Path| {
        let file = tree.open_file(path).ok()??;
        content::hash(&file, found.size, false, &AtomicBool::new(false)).ok()?
    };
    let is_as_long = |coming: &&Path| {
        let coming = tree.stat(coming).ok().flatten();
        coming.is_some_and(|coming| coming.file_type.is_file() && coming.size >= found.size)
    };
    let Some(coming) = coming.filter(is_as_long) else { return false };
    hash(path).is_some_and(|there| hash(coming) == Some(there))
}

/// A free name where things wait for a check of the file system.
fn free_place(tree: &Tree) -> Result<PathBuf, TreeError> {
    let mut number = 1;
    while tree.stat(&layout::unchecked(number + 1))?.is_some() {
        number += 1;
    }
    let folder = layout::unchecked(number);
    tree.create_folder(&folder, 0o700, None)?;
    let mut next = 1_u64;
    loop {
        let to = folder.join(format!("left-{next}"));
        if tree.stat(&to)?.is_none() {
            return Ok(to);
        }
        next += 1;
    }
}

/// A version, and where it should be.
struct Version {
    size: u64,
    hash: [u8; 32],
    place: PathBuf,
}

/// Before `folders` of what was set aside are removed: puts back each version that is nowhere else any more.
pub(crate) fn rescue(
    tree: &Tree,
    index: &Index,
    folders: &[PathBuf],
) -> Result<(), RepositoryError> {
    let mut there = files(tree, folders)?;
    if there.is_empty() {
        return Ok(());
    }
    let mut rescued = false;
    for version in versions(tree, index, |size| there.contains_key(&size)) {
        let Version { size, hash, place } = version;
        let found = tree.stat(&place)?;
        // The check cuts off and writes no content: what is as long as it was is whole.
        if found.is_some_and(|found| found.file_type.is_file() && found.size == size) {
            continue;
        }
        let Some(same_size) = there.get_mut(&size) else { continue };
        let is_it = |file: &PathBuf| matches!(has_content(tree, file, size, &hash), Ok(true));
        let Some(at) = same_size.iter().position(is_it) else { continue };
        let from = same_size.swap_remove(at);
        if found.is_some() {
            tree.rename_new(&place, &free_place(tree)?)?;
        }
        with_parents(tree, &place, || tree.rename_new(&from, &place))?;
        rescued = true;
    }
    if rescued {
        tree.sync()?;
    }
    Ok(())
}

/// The files that were set aside and have something in them, by their sizes.
fn files(tree: &Tree, folders: &[PathBuf]) -> Result<HashMap<u64, Vec<PathBuf>>, TreeError> {
    let mut files: HashMap<u64, Vec<PathBuf>> = HashMap::new();
    let mut left: Vec<(PathBuf, bool)> = folders.iter().map(|f| (f.clone(), true)).collect();
    while let Some((folder, is_top)) = left.pop() {
        for name in tree.list(&folder, 1_000_000)? {
            let path = folder.join(&name);
            match tree.stat(&path)? {
                Some(found) if found.file_type.is_file() && found.size > 0 => {
                    files.entry(found.size).or_default().push(path);
                }
                // The staging area has its files on shelves.
                Some(found) if found.file_type.is_dir() && is_top => left.push((path, false)),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// The versions of the mirror and of all increments whose size is among those asked for. Of an increment without a
/// readable catalog nothing is known; that is told elsewhere.
fn versions(tree: &Tree, index: &Index, is_asked_for: impl Fn(u64) -> bool) -> Vec<Version> {
    let mut versions = Vec::new();
    for (path, record) in index.records().iter() {
        if let Content::File { size, hash, .. } = record.content
            && is_asked_for(size)
        {
            versions.push(Version { size, hash, place: layout::mirror(record.place(path)) });
        }
    }
    for increment in index.increments() {
        let Ok(catalog) = read_catalog(tree, &increment.name) else { continue };
        for (path, entry) in &catalog.file_catalog {
            // What the Python tool placed was in no batch.
            let is_ours = entry.lies_at.is_none();
            let Some(hash) = entry.hash().filter(|_| is_ours && is_asked_for(entry.size)) else {
                continue;
            };
            let brought = match (&entry.content_in, entry.category) {
                (Some(brought), _) => brought,
                (None, EntryCategory::Tracked) => &increment.name,
                // It lies in `deleted`, as a drive with links has it.
                (None, EntryCategory::Deleted) => continue,
            };
            // While it is current it lies in the mirror.
            let record = index.records().get(path);
            let current = record.and_then(|record| index.increment_name(record.brought_by));
            if current != Some(brought.as_str()) {
                let place = layout::track(brought, entry.stored_as.as_ref().unwrap_or(path));
                versions.push(Version { size: entry.size, hash, place });
            }
        }
    }
    versions
}
