//! The Python tool's increments as increments of ours: what their JSON files say, compared with what lies
//! there.
//!
//! It only reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::backup::adopt::mirror::Files;
use crate::backup::error::RunError;
use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{
    Catalog, CatalogEntry, EntryCategory, Statistics, Summary,
};
use crate::repository::index::increment::Increment;
use crate::repository::python::said::Said;
use crate::repository::python::{json, reader};
use crate::repository::rebuild::increment_by_name;
use crate::repository::status::Status;

/// What is said of a version whose file has a name outside of the repository.
const SHARED: &str =
    "shares its file with a name outside of the backup: what changes there changes it, too";

/// One increment on its way to be ours.
#[derive(Debug)]
pub(super) struct Taken {
    head: Increment,
    /// Entries, with what lies there.
    files: BTreeMap<RelPath, (CatalogEntry, Option<Found>)>,
    /// Files that are gone without a word.
    gone: Vec<RelPath>,
    notes: Vec<Problem>,
    /// Whether the tool wrote no list of it.
    unlisted: bool,
    /// Paths that are none.
    refused: u64,
}

impl Taken {
    /// Of an increment with these files in its folder.
    pub(super) fn new(
        tree: &Tree,
        increment: reader::Increment,
        sequence: u64,
        lies: &Files,
    ) -> Result<Self, RunError> {
        let mut head = increment_by_name(
            &increment.name,
            sequence,
            increment.folder_ns.div_euclid(1_000_000_000),
        );
        let unlisted = increment.told.is_none();
        let told = increment.told.unwrap_or_default();
        if let Some(time) = told.timestamp.as_deref().and_then(json::parse_time) {
            head.timestamp = time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        }
        // The list is the last that the tool writes: without one its run did not go through.
        head.status = if unlisted { Status::Interrupted } else { Status::Complete };
        let mut said = told.files;
        for (part, category) in
            [("track", EntryCategory::Tracked), ("deleted", EntryCategory::Deleted)]
        {
            // What lies there and is not listed is a version all the same.
            for place in lies.keys().filter(|place| place.as_path().starts_with(part)) {
                let Some(path) = below(place, part) else { continue };
                let nothing = Said { category, size: None, time: None, lies_at: None };
                said.entry(path).or_insert(nothing);
            }
        }
        let zone = TimeZone::system();
        let mut files = BTreeMap::new();
        for (path, said) in said {
            let at = place_of(&path, &said, lies);
            let found = at.as_ref().and_then(|at| lies.get(at)).copied();
            if found.is_some_and(|found| found.file_type.is_dir()) {
                continue;
            }
            if let Some(entry) = entry(tree, &head.name, &path, &said, at, found, &zone)? {
                files.insert(path, (entry, found));
            }
        }
        let (gone, notes) = (Vec::new(), Vec::new());
        Ok(Self { head, files, gone, notes, unlisted, refused: told.refused })
    }

    pub(super) fn name(&self) -> &str {
        &self.head.name
    }

    /// How many versions nobody has hashed.
    pub(super) fn unproven(&self) -> u64 {
        self.files.values().filter(|(entry, _)| entry.unproven).count() as u64
    }

    /// Names the versions whose file `is_shared`; returns how many there are.
    pub(super) fn mark_shared(&mut self, is_shared: impl Fn(&Found) -> bool) -> u64 {
        let shared =
            self.files.iter().filter(|(_, (_, found))| found.as_ref().is_some_and(&is_shared));
        self.notes.extend(shared.map(|(path, _)| Problem::new(path.clone(), SHARED)));
        self.notes.len() as u64
    }

    /// What the report is to say of it.
    pub(super) fn warning(&mut self) -> Option<String> {
        let overwritten = self.files.values().filter(|(entry, _)| entry.overwritten).count();
        let missing = self.files.values().filter(|(_, found)| found.is_none()).count();
        let mut words = Vec::new();
        if self.unlisted {
            words.push("has no list that can be read: its files were looked at".to_owned());
        }
        if self.refused > 0 {
            words.push(format!("{} of its list are no paths", self.refused));
        }
        let version = |n: usize| crate::text::human::count(n as u64, "version", "versions");
        if overwritten > 0 {
            let n = version(overwritten);
            words.push(format!("the Python backup-manager overwrote {n} with later ones"));
        }
        if missing > 0 {
            words.push(format!("{} are missing", version(missing)));
        }
        (!words.is_empty()).then(|| format!("{}: {}", self.head.name, words.join("; ")))
    }

    /// As the index and the catalog have it.
    pub(super) fn finish(self) -> (Increment, Catalog) {
        let files: BTreeMap<RelPath, CatalogEntry> =
            self.files.into_iter().map(|(path, (entry, _))| (path, entry)).collect();
        let tracked = |entry: &&CatalogEntry| entry.category == EntryCategory::Tracked;
        let new = files.values().filter(tracked).count() as u64;
        let all = files.len() as u64;
        let summary = Summary {
            new_or_changed_tracked: new,
            deleted_tracked: all.saturating_sub(new),
            total_operations: all,
        };
        let total_size =
            files.values().filter(tracked).fold(0, |sum, e| u64::saturating_add(sum, e.size));
        let catalog = Catalog {
            version: "1.0".to_owned(),
            backup_type: "incremental".to_owned(),
            backup_name: self.head.name.clone(),
            backup_timestamp: self.head.timestamp.clone(),
            sequence: self.head.sequence,
            status: self.head.status,
            file_catalog: files,
            folders: BTreeMap::new(),
            removed_folders: Vec::new(),
            ended: Vec::new(),
            gone: self.gone,
            problems: Vec::new(),
            notes: self.notes,
            summary,
            statistics: Statistics { total_files: all, total_size },
        };
        (self.head, catalog)
    }
}

/// The paths that the increments say are in the tracked tree, as far as the mirror has them. The history of
/// the others ends with the last increment.
pub(super) fn fold(taken: &mut [Taken], mirror: &Files) -> BTreeSet<RelPath> {
    let mut tracked = BTreeSet::new();
    for one in taken.iter() {
        for (path, (entry, _)) in &one.files {
            match entry.category {
                EntryCategory::Tracked => tracked.insert(path.clone()),
                EntryCategory::Deleted => tracked.remove(path),
            };
        }
    }
    let is_there = |path: &RelPath| mirror.get(path).is_some_and(|f| !f.file_type.is_dir());
    let (tracked, gone): (BTreeSet<_>, BTreeSet<_>) = tracked.into_iter().partition(is_there);
    if let Some(last) = taken.last_mut() {
        // A version of its own is a point of its history yet.
        last.gone = gone.into_iter().filter(|path| !last.files.contains_key(path)).collect();
    }
    tracked
}

/// The rest of a place below the folder `part`.
fn below(place: &RelPath, part: &str) -> Option<RelPath> {
    let bytes = place.as_bytes().strip_prefix(part.as_bytes())?.strip_prefix(b"/")?;
    RelPath::new(bytes).ok()
}

/// Where a file lies in the increment: where it is said to, else where the tool puts such files, else below
/// any one folder.
fn place_of(path: &RelPath, said: &Said, lies: &Files) -> Option<RelPath> {
    let parts: [&[u8]; 3] = match said.category {
        EntryCategory::Tracked => [b"track/", b"", b"deleted/"],
        EntryCategory::Deleted => [b"deleted/", b"", b"track/"],
    };
    let usual =
        parts.iter().filter_map(|part| RelPath::new(&[part, path.as_bytes()].concat()).ok());
    let tops = lies.iter().filter(|(at, f)| f.file_type.is_dir() && at.parent().is_none());
    let any = tops.filter_map(|(top, _)| {
        RelPath::new(&[top.as_bytes(), b"/", path.as_bytes()].concat()).ok()
    });
    said.lies_at.iter().cloned().chain(usual).chain(any).find(|at| lies.contains_key(at))
}

/// The entry of a file; `None` if nothing is known of it.
fn entry(
    tree: &Tree,
    increment: &str,
    path: &RelPath,
    said: &Said,
    at: Option<RelPath>,
    found: Option<Found>,
    zone: &TimeZone,
) -> Result<Option<CatalogEntry>, RunError> {
    let usual_part = match said.category {
        EntryCategory::Tracked => "track",
        EntryCategory::Deleted => "deleted",
    };
    let usual = RelPath::new(&[usual_part.as_bytes(), b"/", path.as_bytes()].concat()).ok();
    let at = at.or(usual.clone());
    let (Some(at), Some(size)) = (at, said.size.or(found.map(|found| found.size))) else {
        return Ok(None);
    };
    let target = match found {
        Some(found) if found.file_type.is_symlink() => {
            tree.read_link(&Path::new(increment).join(at.as_path()))?
        }
        _ => None,
    };
    let is_link = target.is_some();
    let same_time = |found: &Found| said.time.is_none_or(|time| time.is(found.mtime_ns));
    let is_other = |f: &Found| !f.file_type.is_file() || f.size != size || !same_time(f);
    let overwritten = !is_link && found.as_ref().is_some_and(is_other);
    let exact = found.filter(|found| !overwritten && same_time(found)).map(|found| found.mtime_ns);
    let mtime_ns = exact.or(said.time.map(|time| time.ns)).unwrap_or(0);
    let time = Timestamp::from_nanosecond(i128::from(mtime_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.to_zoned_datetime(zone.clone());
    let key = path.to_key();
    let hexed = |bytes: &[u8]| crate::repository::catalog::document::hex(bytes);
    Ok(Some(CatalogEntry {
        size: target.as_ref().map_or(size, |target| target.len() as u64),
        mtime: mtime_ns as f64 / 1e9,
        mtime_iso: time.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
        mtime_date: time.strftime("%Y-%m-%d").to_string(),
        category: said.category,
        backup_path: at.to_key().trim_start_matches('/').to_owned(),
        blake3: None,
        mode: found.map_or(0o100_600, |found| found.mode),
        uid: found.map_or(0, |found| found.uid),
        gid: found.map_or(0, |found| found.gid),
        mtime_ns,
        path_bytes: key.starts_with('/').then(|| hexed(path.as_bytes())),
        content_in: None,
        link_target: target.as_ref().map(|t| String::from_utf8_lossy(t).into_owned()),
        link_target_bytes: target.filter(|t| std::str::from_utf8(t).is_err()).map(|t| hexed(&t)),
        xattrs: BTreeMap::new(),
        hardlink: None,
        moved_from: None,
        unsettled: false,
        stored_as: None,
        unproven: !is_link && !overwritten && found.is_some(),
        overwritten,
        lies_at: (Some(&at) != usual.as_ref()).then_some(at),
    }))
}
