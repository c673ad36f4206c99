//! The backed-up tree at a point in time: from the index for now, from the catalogs for then.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::fs::tree::handle::Tree;
use crate::model::budget;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{
    Catalog, CatalogEntry, CatalogFolder, EntryCategory, xattrs_of,
};
use crate::repository::catalog::file::catalog_of;
use crate::repository::error::RepositoryError;
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::index::record::{Content, Record};
use crate::repository::layout;

/// One path as it was at a point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What it is.
    pub body: Body,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// How far its content is known to be the one of then.
    pub proof: Proof,
}

/// How far the content of a version is known to be the one that was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A hash was recorded.
    Recorded,
    /// The Python tool may have overwritten it.
    Unproven,
    /// The Python tool did overwrite it.
    Overwritten,
}

/// What a version is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A file.
    File {
        /// Length in bytes.
        size: u64,
        /// BLAKE3, where it was recorded.
        hash: Option<[u8; 32]>,
        /// Where its content lies, relative to the repository; the first that has it is taken.
        places: Vec<PathBuf>,
        /// Equal for hard links to one inode of the source.
        linked: Option<String>,
    },
    /// A symbolic link and its target.
    Link(Vec<u8>),
    /// A folder.
    Folder,
}

/// The tree at a point in time.
pub type Versions = BTreeMap<RelPath, Version>;

/// The tree as the last run left it: tracked and mirrored files.
pub fn now(index: &Index) -> Versions {
    let version = |(path, record): (&RelPath, &Record)| {
        let increment = index.increment_name(record.brought_by);
        let body = match &record.content {
            Content::File { size, hash, .. } => Body::File {
                size: *size,
                hash: Some(*hash),
                // An interrupted run may have left the mirror a step behind the index.
                places: std::iter::once(layout::mirror(record.place(path)))
                    .chain(increment.map(|name| layout::track(name, record.place(path))))
                    .collect(),
                linked: record.meta.linked.then(|| record.meta.ino.to_string()),
            },
            Content::Link { target, .. } => Body::Link(target.clone()),
            Content::Folder => Body::Folder,
        };
        let meta = &record.meta;
        let version = Version {
            body,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime_ns: meta.mtime_ns,
            xattrs: meta.xattrs.to_vec(),
            proof: Proof::Recorded,
        };
        (path.clone(), version)
    };
    index.records().iter().map(version).collect()
}

/// Catalogs are read together up to this many bytes of text: most have a few kilobytes.
const TOGETHER: u64 = 4 << 20;

/// So many at most, however small they are.
const MOST_TOGETHER: usize = 256;

/// The tracked tree as the increment with `sequence` left it.
pub fn at(tree: &Tree, index: &Index, sequence: u64) -> Result<Versions, RepositoryError> {
    let mut known = HashMap::new();
    let increments = index.increments().iter().rev().filter(|i| i.sequence <= sequence);
    let all: Vec<&Increment> = increments.collect();
    let mut left = all.as_slice();
    let mut read: Vec<Result<Catalog, RepositoryError>> = Vec::new();
    loop {
        let (group, rest) = left.split_at(together(tree, left));
        // While some are folded the next ones are read, which takes longer.
        let (folded, next) = rayon::join(
            || read.into_iter().try_for_each(|catalog| fold(&mut known, &catalog?)),
            || group.par_iter().map(|one| catalog_of(tree, index, one)).collect::<Vec<_>>(),
        );
        folded?;
        if next.is_empty() {
            break;
        }
        (read, left) = (next, rest);
    }
    let there = |(path, version): (RelPath, Option<Version>)| Some((path, version?));
    let mut versions = known.into_iter().filter_map(there).collect();
    look_where_they_were(&mut versions, index);
    Ok(versions)
}

/// How many of the first increments are small enough to be read at the same time; one at least.
fn together(tree: &Tree, increments: &[&Increment]) -> usize {
    let mut bytes = 0_u64;
    for (at, increment) in increments.iter().enumerate().take(MOST_TOGETHER) {
        // What cannot be looked at is told when it is read, in the words for a record.
        let found = tree.stat(&layout::catalog(&increment.name)).ok().flatten();
        bytes = bytes.saturating_add(found.map_or(0, |found| found.size));
        if bytes > TOGETHER {
            return at.max(1);
        }
    }
    increments.len().min(MOST_TOGETHER)
}

/// While increments are being removed, a version that moves may still be where it was.
fn look_where_they_were(versions: &mut Versions, index: &Index) {
    let Some((prune, _)) = index.pruning() else { return };
    let moves = prune.moves.iter().filter_map(|version| prune.places(index, version));
    let were: HashMap<PathBuf, PathBuf> = moves.map(|(from, to)| (to, from)).collect();
    for version in versions.values_mut() {
        if let Body::File { places, .. } = &mut version.body {
            let more: Vec<_> = places.iter().filter_map(|to| were.get(to).cloned()).collect();
            places.extend(more);
        }
    }
}

/// Applies one increment's catalog under those of all later ones: what they say of a path stands, also that it
/// is gone (`None`). So of a long history no more is held than what is left of it. What leaves comes last here,
/// first in time: a folder that took a file's place stays.
fn fold(
    known: &mut HashMap<RelPath, Option<Version>>,
    catalog: &Catalog,
) -> Result<(), RepositoryError> {
    let mut say = |path: &RelPath, version: &dyn Fn() -> Option<Version>| {
        if !known.contains_key(path) {
            known.insert(path.clone(), version());
        }
    };
    for (path, entry) in &catalog.file_catalog {
        if entry.category == EntryCategory::Tracked {
            say(path, &|| Some(file_version(&catalog.backup_name, path, entry)));
        }
    }
    for (path, folder) in &catalog.folders {
        say(path, &|| Some(folder_version(folder)));
    }
    for path in catalog.leaving() {
        say(path, &|| None);
    }
    Ok(budget::check_paths(known.len(), "the history up to then")?)
}

fn folder_version(folder: &CatalogFolder) -> Version {
    Version {
        body: Body::Folder,
        mode: folder.mode,
        uid: folder.uid,
        gid: folder.gid,
        mtime_ns: folder.mtime_ns,
        xattrs: xattrs_of(&folder.xattrs),
        proof: Proof::Recorded,
    }
}

/// Where a version can lie: in the increment that lists it, in the one that brought it, or, on drives
/// without hard links, in the mirror as long as it is current. Only a hash tells them apart.
fn places(increment: &str, path: &RelPath, entry: &CatalogEntry) -> Vec<PathBuf> {
    if let Some(place) = &entry.lies_at {
        return vec![Path::new(increment).join(place.as_path())];
    }
    let place = entry.stored_as.as_ref().unwrap_or(path);
    let mut places = vec![layout::track(increment, place)];
    if entry.blake3.is_some() {
        let brought_in = entry.content_in.as_deref().filter(|name| layout::is_increment_name(name));
        places.extend(brought_in.map(|name| layout::track(name, place)));
        places.push(layout::mirror(place));
    }
    places
}

fn file_version(increment: &str, path: &RelPath, entry: &CatalogEntry) -> Version {
    let body = match entry.target() {
        Some(target) => Body::Link(target),
        None => Body::File {
            size: entry.size,
            hash: entry.hash(),
            places: places(increment, path, entry),
            linked: entry.hardlink.clone(),
        },
    };
    Version {
        body,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime_ns: entry.mtime_ns,
        xattrs: xattrs_of(&entry.xattrs),
        proof: match entry {
            CatalogEntry { overwritten: true, .. } => Proof::Overwritten,
            CatalogEntry { unproven: true, .. } => Proof::Unproven,
            _ => Proof::Recorded,
        },
    }
}
