//! Sets aside what stands in the way on the drive and holds nothing that would be lost.
//!
//! A drive without a journal can show, long after an unclean end, an empty or cut off file that no record knows:
//! one that could not be read then, or the second of two entries of one name, of which it shows the first alone.
//! To leave such a thing alone would mean that its path is never backed up again. It is told from what a person
//! put there by its content: it has none, or none that is not about to come to this very place. Everything else
//! is somebody's and stays.

use std::collections::{BTreeSet, HashMap, HashSet};
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
use crate::transaction::steps::with_parents;

/// How often one name is looked at again: a folder that is torn in two places has it three times at most.
pub(crate) const MOST_OF_A_NAME: u32 = 8;

/// How many files can be set aside. More is an error, as in one folder: the drive is not trusted to be sane.
const MOST_FILES: usize = 1_000_000;

/// Staging name of what is removed at once.
const OUT: &str = "aside";

/// Where among what was set aside those files lie, by their places in the mirror, that no record knows.
pub(crate) const FOUND: &str = "found";

/// Where little is left to read, and much waits for it.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// Takes away what is at `path`, if that loses nothing; `coming` is what is to take its place. Says whether it
/// did. Without links it is not unlinked: its space may be that of another file until the file system was checked.
/// What cannot be taken away, or is not known to be so when told to stop, stays.
pub(crate) fn clear(
    tree: &Tree,
    keeping: Keeping,
    path: &Path,
    coming: Option<&Path>,
    stop: &AtomicBool,
) -> Result<bool, TreeError> {
    let found = match tree.stat(path) {
        Ok(Some(found)) => found,
        // What cannot be read is for a check of the file system.
        Ok(None) => return Ok(false),
        Err(e) if e.is(Errno::IO) => return Ok(false),
        Err(e) => return Err(e),
    };
    if !holds_nothing(tree, path, &found, coming, stop) {
        return Ok(false);
    }
    if keeping == Keeping::Hardlink && found.file_type.is_dir() {
        // It fails where something came into it meanwhile.
        return match tree.remove_folder(path) {
            Err(e) if stays(&e) || e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) => Ok(false),
            other => other,
        };
    }
    let to = match keeping {
        Keeping::Hardlink => layout::staged(OUT),
        Keeping::Displace => free_place(tree)?,
    };
    if keeping == Keeping::Hardlink {
        tree.remove_file(&to)?;
    }
    let is_folder = found.file_type.is_dir();
    let rename = |from: &Path, to: &Path| {
        if is_folder { tree.rename_folder(from, to) } else { tree.rename_new(from, to) }
    };
    match rename(path, &to) {
        Err(e) if stays(&e) => return Ok(false),
        other => other?,
    }
    // Somebody may have written to it since it was looked at.
    let still = tree.stat(&to)?.is_some_and(|now| {
        let is_same = now.file_type == found.file_type
            && (now.size, now.mtime_ns) == (found.size, found.mtime_ns)
            && now.file_type.is_file();
        is_same || holds_nothing(tree, &to, &now, coming, stop)
    });
    if !still {
        rename(&to, path)?;
        return Ok(false);
    }
    if keeping == Keeping::Hardlink {
        tree.remove_file(&to)?;
    }
    Ok(true)
}

/// Whether an error says that what is at a path may not be taken away, or is only remembered by a FUSE driver, which
/// is a matter of that path alone. (A drive that is gone fails at the next sync.)
fn stays(error: &TreeError) -> bool {
    let errors = [Errno::PERM, Errno::ACCESS, Errno::BUSY, Errno::IO, Errno::NOENT];
    errors.iter().any(|e| error.is(*e))
}

/// Whether it is an empty file or folder, or a file all of which is the beginning of what is to come.
fn holds_nothing(
    tree: &Tree,
    path: &Path,
    found: &Found,
    coming: Option<&Path>,
    stop: &AtomicBool,
) -> bool {
    match found.file_type {
        FileType::RegularFile => is_beginning(tree, path, found, coming, stop),
        FileType::Directory => tree.list(path, 0).is_ok(),
        _ => false,
    }
}

/// Whether all that the file has is the beginning of what is to come. What cannot be read is not known to be.
fn is_beginning(
    tree: &Tree,
    path: &Path,
    found: &Found,
    coming: Option<&Path>,
    stop: &AtomicBool,
) -> bool {
    if found.size == 0 {
        return true;
    }
    let is_as_long = |coming: &&Path| {
        let coming = tree.stat(coming).ok().flatten();
        coming.is_some_and(|coming| coming.file_type.is_file() && coming.size >= found.size)
    };
    let Some(coming) = coming.filter(is_as_long) else { return false };
    let (Ok(Some(there)), Ok(Some(coming))) = (tree.open_file(path), tree.open_file(coming)) else {
        return false;
    };
    content::begin_alike(&there, &coming, found.size, stop).unwrap_or(false)
}

/// A free name where things wait for a check of the file system.
fn free_place(tree: &Tree) -> Result<PathBuf, TreeError> {
    let mut number = 1;
    while tree.stat(&layout::unchecked(number + 1))?.is_some() {
        number += 1;
    }
    let folder = layout::unchecked(number);
    tree.create_folder(&folder, 0o700, None)?;
    let name = |number: u64| folder.join(format!("left-{number}"));
    // There may be thousands: the steps become wider until one is free, and narrower from there.
    let (mut taken, mut free) = (0, 1_u64);
    while tree.stat(&name(free))?.is_some() {
        (taken, free) = (free, free.saturating_mul(2));
    }
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        if tree.stat(&name(middle))?.is_some() {
            taken = middle;
        } else {
            free = middle;
        }
    }
    Ok(name(free))
}

/// A version, and where it should be.
struct Version {
    size: u64,
    hash: [u8; 32],
    place: PathBuf,
}

/// Files that were set aside, by what is in them.
#[derive(Default)]
struct SetAside {
    /// Those that nobody asked for yet.
    by_size: HashMap<u64, Vec<PathBuf>>,
    /// The others: each is read once, however many versions are as long as it is.
    by_content: HashMap<(u64, [u8; 32]), Vec<PathBuf>>,
    /// Those among them that could not be read.
    unreadable: Vec<PathBuf>,
}

impl SetAside {
    /// One that has this content.
    fn find(
        &mut self,
        tree: &Tree,
        size: u64,
        hash: [u8; 32],
        stop: &AtomicBool,
    ) -> Option<PathBuf> {
        for path in self.by_size.remove(&size).unwrap_or_default() {
            let file = tree.open_file(&path).ok().flatten();
            match file.map(|file| content::hash(&file, size, false, stop)) {
                Some(Ok(Some(found))) => {
                    self.by_content.entry((size, found)).or_default().push(path);
                }
                // It may be the version that is looked for.
                _ => self.unreadable.push(path),
            }
        }
        self.by_content.get(&(size, hash))?.last().cloned()
    }

    /// It is set aside no more.
    fn took(&mut self, size: u64, hash: [u8; 32]) {
        self.by_content.entry((size, hash)).and_modify(|same| drop(same.pop()));
    }
}

/// Before `folders` of what was set aside are removed: puts back each version that is nowhere else any more. Returns
/// what has to wait: something that somebody may need stands where it belongs, or it cannot be read now. When told
/// to stop it does not know of all: then nothing may be removed.
pub(crate) fn rescue(
    tree: &Tree,
    index: &Index,
    folders: &[PathBuf],
    stop: &AtomicBool,
) -> Result<BTreeSet<PathBuf>, RepositoryError> {
    let mut waiting = BTreeSet::new();
    let mut there = files(tree, folders)?;
    let sizes: HashSet<u64> = there.by_size.keys().copied().collect();
    if sizes.is_empty() {
        return Ok(waiting);
    }
    let mut rescued = false;
    each_version(tree, index, &sizes, &mut |Version { size, hash, place }| {
        let found = tree.stat(&place).ok().flatten();
        // The check cuts off and writes no content: what is as long as it was is whole.
        if found.is_some_and(|found| found.file_type.is_file() && found.size == size) {
            return Ok(());
        }
        let Some(from) = there.find(tree, size, hash, stop) else { return Ok(()) };
        match put_back(tree, &from, &place, stop) {
            Ok(true) => {
                there.took(size, hash);
                waiting.remove(&from);
                rescued = true;
            }
            Err(e) if e.is_full() || e.is(Errno::NODEV) => return Err(e),
            // A file or a link in the place of a folder above it, say: that concerns this version alone.
            Ok(false) | Err(_) => drop(waiting.insert(from)),
        }
        Ok(())
    })?;
    if rescued {
        tree.sync()?;
    }
    waiting.extend(there.unreadable);
    Ok(waiting)
}

/// Puts a version where it belongs, if nothing stands there but what the check left of it.
fn put_back(tree: &Tree, from: &Path, place: &Path, stop: &AtomicBool) -> Result<bool, TreeError> {
    if tree.stat(place)?.is_some() && !clear(tree, Keeping::Displace, place, Some(from), stop)? {
        return Ok(false);
    }
    with_parents(tree, place, || tree.rename_new(from, place))?;
    Ok(true)
}

/// Removes what was found in the mirror and is there again by now: what a pulled plug had cut off and a run copied
/// since. What else is in `folder`, a [`FOUND`], is somebody's and stays.
pub(crate) fn remove_found(tree: &Tree, folder: &Path, stop: &AtomicBool) -> Result<(), TreeError> {
    let mut most = MOST_FILES;
    let mut left = vec![folder.to_owned()];
    while let Some(within) = left.pop() {
        let names = tree.list(&within, most)?;
        most -= names.len();
        for name in names {
            let path = within.join(name);
            let Some(found) = tree.stat(&path)? else { continue };
            if found.file_type.is_dir() {
                left.push(path);
                continue;
            }
            let Ok(place) = path.strip_prefix(folder) else { continue };
            let there = Path::new(layout::MIRROR).join(place);
            let is_file = found.file_type.is_file();
            if is_file && is_beginning(tree, &path, &found, Some(&there), stop) {
                tree.remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// The files that were set aside and have something in them.
fn files(tree: &Tree, folders: &[PathBuf]) -> Result<SetAside, TreeError> {
    let mut most = MOST_FILES;
    let mut files = SetAside::default();
    let mut left: Vec<(PathBuf, bool)> = folders.iter().map(|f| (f.clone(), true)).collect();
    while let Some((folder, is_top)) = left.pop() {
        let names = tree.list(&folder, most)?;
        most -= names.len();
        for name in names {
            let path = folder.join(&name);
            match tree.stat(&path)? {
                Some(found) if found.file_type.is_file() && found.size > 0 => {
                    files.by_size.entry(found.size).or_default().push(path);
                }
                // The staging area has its files on shelves.
                Some(found) if found.file_type.is_dir() && is_top => left.push((path, false)),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// The versions of the mirror and of all increments whose size is among those asked for, one after the other: there
/// can be many more of them than files. Of an increment without a readable catalog nothing is known; that is told
/// elsewhere.
fn each_version(
    tree: &Tree,
    index: &Index,
    sizes: &HashSet<u64>,
    take: &mut dyn FnMut(Version) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    for (path, record) in index.records().iter() {
        if let Content::File { size, hash, .. } = record.content
            && sizes.contains(&size)
        {
            take(Version { size, hash, place: layout::mirror(record.place(path)) })?;
        }
    }
    for increment in index.increments() {
        let Ok(catalog) = read_catalog(tree, &increment.name) else { continue };
        for (path, entry) in &catalog.file_catalog {
            // What the Python tool placed was in no batch.
            let is_ours = entry.lies_at.is_none();
            let Some(hash) = entry.hash().filter(|_| is_ours && sizes.contains(&entry.size)) else {
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
                take(Version { size: entry.size, hash, place })?;
            }
        }
    }
    Ok(())
}
