//! Rebuilds the records of a repository from what lies on the drive: the index, `format.json` and catalogs
//! that are lost, broken, or not in line with the files.
//!
//! No file of the user's is changed or removed; where the mirror lacks a file that an increment has, it gets
//! that one's name back. What still is readable is used: first the old index as far as it is sound, then
//! sound catalogs, then the files themselves. The rules by which a record is chosen: the next run must go
//! through, copy nothing that is unchanged, and list what no increment lists yet. Called by `cli`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::verify::hash_files;
use super::walk::walk;
use crate::drive::tree::{Found, Tree, TreeError};
use crate::relpath::RelPath;
use crate::repository::catalog::{Catalog, CatalogEntry, CatalogFolder, EntryCategory, xattrs_of};
use crate::repository::format::Keeping;
use crate::repository::index::{Change, Entry, Increment, Index};
use crate::repository::rebuild::{
    Listed, Rebuilt, Salvage, Workshop, catalog_of, increment_by_name, order,
};
use crate::repository::record::{Content, Meta, Record};
use crate::repository::{RepositoryError, Status, layout, read_catalog};
use crate::select::source::xattrs_of as xattrs_on_drive;
use crate::select::{Category, Kind};

/// Why it could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Told to stop.
    #[error("stopped; the records are as they were")]
    Stopped,
    /// Worker threads cannot be started.
    #[error("cannot start the worker threads")]
    Workers(#[source] rayon::ThreadPoolBuildError),
    /// The drive cannot be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<TreeError> for RepairError {
    fn from(e: TreeError) -> Self {
        Self::Repository(e.into())
    }
}

/// What a repair did.
#[derive(Debug, Default, Serialize)]
pub struct Repaired {
    /// What was rebuilt; empty if everything was in line.
    pub done: Vec<String>,
    /// What could not be recovered.
    pub problems: Vec<String>,
    /// What is worth a word.
    pub notes: Vec<String>,
}

/// How to repair, and whom to tell.
pub struct Tools<'a> {
    /// Becomes true when it is to stop.
    pub stop: &'a AtomicBool,
    /// Hears of bytes that are to be read, as they are found.
    pub planned: &'a (dyn Fn(u64) + Sync),
    /// Hears of bytes that were read.
    pub told: &'a (dyn Fn(u64) + Sync),
}

/// Repairs the repository in `tree`.
pub fn repair(tree: &Tree, tools: &Tools<'_>) -> Result<Repaired, RepairError> {
    let workshop = Workshop::open(tree)?;
    let salvage = workshop.salvage()?;
    let can_link = workshop.probe()? == Keeping::Hardlink;
    let mut repair = Repair {
        tree,
        tools,
        salvage: &salvage,
        old: &salvage.index,
        keeping: Keeping::Hardlink,
        done: Repaired::default(),
        fold: Fold::default(),
        increments: Vec::new(),
        catalogs: Vec::new(),
        whole: salvage.broken.is_none(),
        hashes: HashMap::new(),
        pending: BTreeMap::new(),
    };
    if let Some(why) = &salvage.broken {
        repair.done.notes.push(why.clone());
    }
    if salvage.index.is_unclosed() {
        repair.done.notes.push("an interrupted backup was ended as it was".to_owned());
    }
    repair.learn_pending();
    let mirror = repair.look_at_mirror();
    repair.keeping = repair.decide_keeping(&mirror, can_link);
    repair.increments()?;
    repair.infer_deletions(&mirror);
    let records = repair.records(&mirror)?;
    let mut done = std::mem::take(&mut repair.done);
    let last = repair.increments.last().map_or(0, |i| i.sequence);
    let new = Rebuilt {
        keeping: repair.keeping,
        records,
        next_sequence: salvage.index.next_sequence().max(last.saturating_add(1)),
        increments: repair.increments,
        catalogs: repair.catalogs,
    };
    done.done.extend(workshop.write(&salvage, new)?);
    Ok(done)
}

/// The tracked tree as the increments' catalogs tell it.
#[derive(Default)]
struct Fold {
    files: BTreeMap<RelPath, Folded>,
    folders: BTreeMap<RelPath, CatalogFolder>,
    /// True paths of places that are not the path itself.
    paths: HashMap<RelPath, RelPath>,
}

/// A file or link as the newest catalog that lists it has it.
struct Folded {
    entry: CatalogEntry,
    /// Sequence of the increment that brought its content.
    brought_by: u64,
    /// Name of the one that lists it.
    listed_in: String,
}

struct Repair<'a> {
    tree: &'a Tree,
    tools: &'a Tools<'a>,
    salvage: &'a Salvage,
    old: &'a Index,
    keeping: Keeping,
    done: Repaired,
    fold: Fold,
    increments: Vec<Increment>,
    /// Catalogs to be written.
    catalogs: Vec<Catalog>,
    /// Whether the old index says all of the mirror.
    whole: bool,
    /// Contents that were read, by place.
    hashes: HashMap<PathBuf, [u8; 32]>,
    /// What a batch that was cut off was to make of paths; `None`: it removes them.
    pending: BTreeMap<RelPath, Option<Record>>,
}

/// What lies in the mirror, by place.
type Mirror = BTreeMap<RelPath, Found>;

impl Repair<'_> {
    fn learn_pending(&mut self) {
        for (path, record) in self.old.records() {
            if let Some(stored) = &record.stored {
                self.fold.paths.insert(stored.clone(), path.clone());
            }
        }
        for change in self.old.pending().iter().flat_map(|batch| &batch.changes) {
            let record = match change {
                Change::Put { record, .. }
                | Change::Note { record, .. }
                | Change::Folder { record, .. } => Some(record.clone()),
                Change::Remove { .. } | Change::RemoveFolder { .. } => None,
                Change::Heal { .. } => continue,
            };
            self.pending.insert(change.path().clone(), record);
        }
    }

    fn look_at_mirror(&mut self) -> Mirror {
        let mut mirror = Mirror::new();
        let problems = &mut self.done.problems;
        let root = Path::new(layout::MIRROR);
        if !matches!(self.tree.stat(root), Ok(Some(found)) if found.file_type.is_dir()) {
            problems.push("the mirror is missing".to_owned());
            return mirror;
        }
        walk(
            self.tree,
            root,
            |place, found| {
                mirror.insert(place, found);
            },
            |place, e| problems.push(format!("{}: {e}: {}", shown(&place), e.source)),
        );
        mirror
    }

    /// How versions were kept, and can be kept from now on.
    fn decide_keeping(&self, mirror: &Mirror, can_link: bool) -> Keeping {
        if !can_link {
            return Keeping::Displace;
        }
        if let Some(format) = &self.salvage.format {
            return format.keeps_versions;
        }
        let linked = mirror.values().any(|found| found.file_type.is_file() && found.nlink > 1);
        let mut placed = self.old.records().values().filter_map(|record| match record.content {
            Content::File { placed, .. } => Some(placed != 0),
            _ => None,
        });
        match placed.next() {
            Some(false) if !linked => Keeping::Displace,
            None if !linked && self.lies_in_the_mirror_alone(mirror) => Keeping::Displace,
            _ => Keeping::Hardlink,
        }
    }

    /// Whether a version that a catalog lists is in the mirror and not in the increment.
    fn lies_in_the_mirror_alone(&self, mirror: &Mirror) -> bool {
        self.names().iter().filter_map(|name| read_catalog(self.tree, name).ok()).any(|catalog| {
            let name = &catalog.backup_name;
            catalog.file_catalog.iter().any(|(path, entry)| {
                let place = entry.stored_as.as_ref().unwrap_or(path);
                let here = mirror.get(place).is_some_and(|found| found.size == entry.size);
                let brought = entry.category == EntryCategory::Tracked
                    && entry.content_in.is_none()
                    && entry.blake3.is_some();
                brought && here && matches!(self.tree.stat(&layout::track(name, place)), Ok(None))
            })
        })
    }

    /// The increments' folders on the drive.
    fn names(&self) -> BTreeSet<String> {
        let names = self.tree.list(Path::new(""), 1_000_000).unwrap_or_default();
        layout::increment_names(names)
            .filter(|name| {
                let found = self.tree.stat(Path::new(name));
                matches!(found, Ok(Some(found)) if found.file_type.is_dir())
            })
            .collect()
    }

    /// Finds out the increments and their order, rebuilds their catalogs where needed, and folds them.
    fn increments(&mut self) -> Result<(), RepairError> {
        let mut heads: BTreeMap<String, Increment> = BTreeMap::new();
        let old: BTreeMap<String, Increment> =
            self.old.increments().iter().map(|i| (i.name.clone(), i.clone())).collect();
        let open = self.old.open();
        // One whose first batch was cut off is not open yet.
        let begun = self.old.pending().and_then(|batch| batch.run.as_ref());
        let in_hand = open.map(|open| &open.mark).or(begun);
        let mut names = self.names();
        // Where versions lie in the mirror alone, an increment in hand has no folder yet.
        names.extend(open.filter(|open| !open.is_empty()).map(|open| open.mark.name.clone()));
        for (name, increment) in &old {
            if names.contains(name) {
                heads.insert(name.clone(), increment.clone());
            } else {
                let line = format!("{name}: the increment is gone, with the versions in it");
                self.done.problems.push(line);
            }
        }
        let mut lost = BTreeSet::new();
        for name in &names {
            let folder_time_s = self.folder_time(name);
            match read_catalog(self.tree, name) {
                Ok(catalog) => {
                    let folder_time_s = old.get(name).map_or(folder_time_s, |i| i.folder_time_s);
                    heads.insert(
                        name.clone(),
                        Increment {
                            sequence: catalog.sequence,
                            name: name.clone(),
                            timestamp: catalog.backup_timestamp,
                            status: catalog.status,
                            folder_time_s,
                        },
                    );
                }
                Err(e) => {
                    self.done.notes.push(crate::in_words::in_words(&e));
                    lost.insert(name.clone());
                    if let Some(mark) = in_hand.filter(|mark| mark.name == *name) {
                        let closing = open.and_then(|open| open.closing.as_ref());
                        let increment = Increment {
                            sequence: mark.sequence,
                            name: name.clone(),
                            timestamp: mark.timestamp.clone(),
                            status: closing.map_or(Status::Interrupted, |closing| closing.status),
                            folder_time_s,
                        };
                        heads.insert(name.clone(), increment);
                    }
                }
            }
        }
        // An index that lacks a finished increment is an old one.
        let finished = names.iter().filter(|name| !lost.contains(*name));
        let in_hand = in_hand.map(|mark| mark.name.as_str());
        let mut unlisted = finished.filter(|name| !old.contains_key(*name));
        if unlisted.any(|name| in_hand != Some(name.as_str())) {
            self.whole = false;
        }
        let known = heads.iter().map(|(name, head)| (name.clone(), head.sequence)).collect();
        let unknown = lost.iter().filter(|name| !heads.contains_key(*name)).cloned().collect();
        let (sequences, homeless) = order(&known, &unknown);
        for name in homeless {
            let line = format!("{name}: another increment has the same place in their order");
            self.done.problems.push(line);
        }
        for (name, sequence) in sequences {
            let by_name = || increment_by_name(&name, sequence, self.folder_time(&name));
            let head = heads.remove(&name).unwrap_or_else(by_name);
            self.increments.push(head);
        }
        self.increments.sort_by_key(|increment| increment.sequence);
        // Without an index nothing tells that the run of the newest went through: then it has a catalog.
        if !self.whole
            && let Some(newest) = self.increments.last_mut()
            && lost.contains(&newest.name)
        {
            newest.status = Status::Interrupted;
        }
        // The Python tool sorts by the folders' times. Even, since FAT keeps even seconds only.
        let mut before = i64::MIN;
        for increment in &mut self.increments {
            if increment.folder_time_s <= before {
                increment.folder_time_s = before.saturating_add(2);
            }
            before = increment.folder_time_s;
        }
        for increment in self.increments.clone() {
            let catalog = if lost.contains(&increment.name) {
                let catalog = self.rebuilt_catalog(&increment)?;
                self.catalogs.push(catalog.clone());
                catalog
            } else {
                read_catalog(self.tree, &increment.name)?
            };
            self.fold(increment.sequence, catalog);
        }
        Ok(())
    }

    fn folder_time(&self, name: &str) -> i64 {
        let folder = self.tree.subtree(Path::new(name)).ok().flatten();
        let stat = folder.and_then(|folder| rustix::fs::fstat(folder.handle()).ok());
        stat.map_or(0, |stat| stat.st_mtime)
    }

    /// Applies a catalog as `timeline` does.
    fn fold(&mut self, sequence: u64, catalog: Catalog) {
        let fold = &mut self.fold;
        let gone = |entry: &CatalogEntry| entry.category == EntryCategory::Deleted;
        for (path, _) in catalog.file_catalog.iter().filter(|(_, entry)| gone(entry)) {
            fold.files.remove(path);
        }
        for path in catalog.removed_folders.iter().chain(&catalog.ended) {
            fold.files.remove(path);
            fold.folders.remove(path);
        }
        for (path, folder) in catalog.folders {
            fold.files.remove(&path);
            fold.folders.insert(path, folder);
        }
        let sequence_of =
            |name: &String| self.increments.iter().find(|i| i.name == *name).map(|i| i.sequence);
        for (path, entry) in catalog.file_catalog {
            // What the index knows already is newer.
            if let Some(stored) = &entry.stored_as {
                let above = stored.ancestors().zip(path.ancestors());
                let all = above.chain([(stored.clone(), path.clone())]);
                for (place, path) in all.filter(|(place, path)| place != path) {
                    fold.paths.entry(place).or_insert(path);
                }
            }
            if !gone(&entry) {
                fold.folders.remove(&path);
                let brought = entry.content_in.as_ref().and_then(sequence_of);
                let brought_by = brought.unwrap_or(sequence);
                let listed_in = catalog.backup_name.clone();
                fold.files.insert(path, Folded { entry, brought_by, listed_in });
            }
        }
    }

    /// What the catalogs list and neither the mirror nor the index has left with an increment whose catalog
    /// is lost: the last such one that is not older than the listing is taken for it.
    fn infer_deletions(&mut self, mirror: &Mirror) {
        let whole = self.whole;
        let sequence_of = |name: &str| {
            self.increments
                .iter()
                .find(|i| i.name == name)
                .map_or(0, |increment| increment.sequence)
        };
        let mut gone = Vec::new();
        for (path, folded) in &self.fold.files {
            let place = folded.entry.stored_as.as_ref().unwrap_or(path);
            let displaced = || {
                let track = layout::track(self.name_of(folded.brought_by), place);
                self.keeping == Keeping::Displace && matches!(self.tree.stat(&track), Ok(Some(_)))
            };
            let left = if whole { !self.old.records().contains_key(path) } else { displaced() };
            if left && !mirror.contains_key(place) && !self.pending.contains_key(path) {
                gone.push((path.clone(), sequence_of(&folded.listed_in)));
            }
        }
        for (path, listed) in gone {
            let by = self.catalogs.iter_mut().rev().find(|catalog| catalog.sequence > listed);
            let Some(catalog) = by else { continue };
            let Some(folded) = self.fold.files.remove(&path) else { continue };
            let brought = self.increments.iter().find(|i| i.sequence == folded.brought_by);
            let entry = CatalogEntry {
                category: EntryCategory::Deleted,
                content_in: brought.map(|increment| increment.name.clone()),
                ..folded.entry
            };
            catalog.file_catalog.insert(path, entry);
            catalog.summary.deleted_tracked += 1;
            catalog.summary.total_operations += 1;
            catalog.statistics.total_files += 1;
        }
        let Some(catalog) = self.catalogs.last_mut() else { return };
        let folders = self.fold.folders.keys().filter(|path| {
            !(mirror.contains_key(*path) || whole && self.old.records().contains_key(*path))
        });
        let removed: Vec<RelPath> = folders.cloned().collect();
        for path in &removed {
            self.fold.folders.remove(path);
        }
        catalog.removed_folders.extend(removed);
    }

    fn name_of(&self, sequence: u64) -> &str {
        let increment = self.increments.iter().find(|i| i.sequence == sequence);
        increment.map_or("", |increment| increment.name.as_str())
    }

    /// Makes the catalog of an increment from its files, and from what the index knows of it.
    fn rebuilt_catalog(&mut self, increment: &Increment) -> Result<Catalog, RepairError> {
        let name = &increment.name;
        let mut listed = Listed::default();
        for (part, category) in
            [("deleted", EntryCategory::Deleted), ("track", EntryCategory::Tracked)]
        {
            let root = Path::new(name).join(part);
            let mut found = Mirror::new();
            let problems = &mut self.done.problems;
            if matches!(self.tree.stat(&root), Ok(Some(folder)) if folder.file_type.is_dir()) {
                walk(
                    self.tree,
                    &root,
                    |place, file| {
                        found.insert(place, file);
                    },
                    |place, e| problems.push(format!("{}: {e}: {}", shown(&place), e.source)),
                );
            }
            let files = found.iter().filter(|(_, found)| found.file_type.is_file());
            self.hash(files.map(|(place, found)| (root.join(place.as_path()), *found)).collect())?;
            for (place, file) in &found {
                let path = self.path_at(place);
                if let Some(mut record) = self.record_of(&root, place, &path, file) {
                    record.brought_by = increment.sequence;
                    listed.files.insert(path, (record, category, None));
                }
            }
        }
        let displace = self.keeping == Keeping::Displace;
        if let Some(open) = self.old.open().filter(|open| open.mark.name == *name) {
            for (path, entry) in &open.entries {
                let (record, category) = match entry {
                    Entry::Version { .. } => (self.old.records().get(path), EntryCategory::Tracked),
                    Entry::Deleted(record) => (Some(&**record), EntryCategory::Deleted),
                };
                let Some(record) = record else { continue };
                if displace || matches!(record.content, Content::Link { placed: 0, .. }) {
                    let content_in = (record.brought_by != increment.sequence)
                        .then(|| self.old.increment_name(record.brought_by).map(str::to_owned))
                        .flatten();
                    listed.files.insert(path.clone(), (record.clone(), category, content_in));
                }
            }
            let folders = open.folders.iter();
            listed.folders = folders.map(|(path, record)| (path.clone(), folder(record))).collect();
            listed.removed_folders.clone_from(&open.removed_folders);
            listed.ended.clone_from(&open.ended);
        } else {
            // What is current lies in the mirror alone, or, a link, nowhere.
            for (path, record) in self.old.records() {
                let alone = displace || matches!(record.content, Content::Link { placed: 0, .. });
                let brought = record.brought_by == increment.sequence && record.is_tracked();
                if alone && brought && record.kind() != Kind::Folder {
                    let entry = (record.clone(), EntryCategory::Tracked, None);
                    listed.files.entry(path.clone()).or_insert(entry);
                }
            }
            let begun = self.old.pending().and_then(|batch| batch.run.as_ref());
            if begun.is_none_or(|mark| mark.name != *name) {
                let what = if displace { "deletions, folders" } else { "folders" };
                self.done.problems.push(format!(
                    "{name}: its catalog was rebuilt from its files; {what} and true attributes of \
                     files that are not current may be missing from it"
                ));
            }
        }
        Ok(catalog_of(increment, listed, self.keeping))
    }

    /// The true path of what lies at `place`.
    fn path_at(&self, place: &RelPath) -> RelPath {
        if let Some(path) = self.fold.paths.get(place) {
            return path.clone();
        }
        place.clone()
    }

    /// Hashes files of the drive; those that cannot be read stay without.
    fn hash(&mut self, files: Vec<(PathBuf, Found)>) -> Result<(), RepairError> {
        let links = self.keeping == Keeping::Hardlink;
        let mut first: HashMap<u64, PathBuf> = HashMap::new();
        let mut same: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut to_read = Vec::new();
        for (place, found) in files {
            if self.hashes.contains_key(&place) {
                continue;
            }
            if links && let Some(read) = first.get(&found.ino) {
                same.push((place, read.clone()));
                continue;
            }
            first.insert(found.ino, place.clone());
            to_read.push((place, found.size));
        }
        (self.tools.planned)(to_read.iter().map(|(_, size)| size).sum());
        let read = hash_files(self.tree, &to_read, self.tools.stop, self.tools.told)
            .map_err(RepairError::Workers)?
            .ok_or(RepairError::Stopped)?;
        for (place, hash) in read {
            match hash {
                Ok(hash) => {
                    self.hashes.insert(place, hash);
                }
                Err(why) => {
                    self.done.problems.push(format!("{}: cannot be read: {why}", shown(&place)));
                }
            }
        }
        for (place, read) in same {
            if let Some(hash) = self.hashes.get(&read).copied() {
                self.hashes.insert(place, hash);
            }
        }
        Ok(())
    }

    /// The record of a file or link at a place below `root`, whose content was read: as it is known for the
    /// path if that had this content, else as the file itself tells. `None` for all else.
    fn record_of(
        &self,
        root: &Path,
        place: &RelPath,
        path: &RelPath,
        found: &Found,
    ) -> Option<Record> {
        let at = root.join(place.as_path());
        let content = self.content_at(&at, found)?;
        let known = self.known(path).find(|record| same_content(&record.content, &content));
        let stored = (place != path).then(|| place.clone());
        if let Some(mut record) = known {
            record.content = content;
            record.stored = stored;
            return Some(record);
        }
        let meta = self.meta_on_drive(&at, found);
        let category = Category::Tracked;
        Some(Record { category, content, meta, brought_by: 0, listed: true, stored })
    }

    /// The content of a file that was read, or of a link.
    fn content_at(&self, at: &Path, found: &Found) -> Option<Content> {
        let ino = if self.keeping == Keeping::Hardlink { found.ino } else { 0 };
        if found.file_type.is_symlink() {
            let target = self.tree.read_link(at).ok().flatten()?;
            return Some(Content::Link { target, placed: ino });
        }
        let hash = *self.hashes.get(at)?;
        Some(Content::File { size: found.size, hash, placed: ino, unsettled: false })
    }

    /// What is known of a path: by the batch in flight, by the index, by the catalogs.
    fn known(&self, path: &RelPath) -> impl Iterator<Item = Record> + '_ {
        let pending = self.pending.get(path).cloned().flatten();
        let old = self.old.records().get(path).cloned();
        let folded = self.fold.files.get(path).map(folded_record);
        pending.into_iter().chain(old).chain(folded)
    }

    /// Attributes as the drive's own file has them.
    fn meta_on_drive(&self, at: &Path, found: &Found) -> Meta {
        let mut meta = Meta {
            mtime_ns: found.mtime_ns,
            // The next run looks again.
            ctime_ns: 0,
            btime_ns: None,
            ino: 0,
            linked: false,
            mode: if found.file_type.is_symlink() { 0o120_777 } else { 0o100_600 },
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            xattrs: Vec::new(),
        };
        if let Ok(Some(file)) = self.tree.open_file(at)
            && let Ok(stat) = file.metadata()
        {
            meta.mode = stat.mode();
            meta.uid = stat.uid();
            meta.gid = stat.gid();
            meta.xattrs = xattrs_on_drive(&file).unwrap_or_default();
        }
        meta
    }
}

/// A record that says what a catalog's entry says.
fn folded_record(folded: &Folded) -> Record {
    let entry = &folded.entry;
    let content = match entry.target() {
        Some(target) => Content::Link { target, placed: 0 },
        None => Content::File {
            size: entry.size,
            hash: entry.hash().unwrap_or_default(),
            placed: 0,
            unsettled: entry.unsettled,
        },
    };
    let meta = Meta {
        mtime_ns: entry.mtime_ns,
        ctime_ns: 0,
        btime_ns: None,
        ino: entry.hardlink.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0),
        linked: entry.hardlink.is_some(),
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        xattrs: xattrs_of(&entry.xattrs),
    };
    let (category, stored) = (Category::Tracked, entry.stored_as.clone());
    Record { category, content, meta, brought_by: folded.brought_by, listed: true, stored }
}

fn folder(record: &Record) -> CatalogFolder {
    let meta = &record.meta;
    CatalogFolder {
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime_ns: meta.mtime_ns,
        xattrs: crate::repository::catalog::xattrs_text(&meta.xattrs),
    }
}

/// Whether two contents are the same, wherever they lie.
fn same_content(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (
            Content::File { size: a_size, hash: a, .. },
            Content::File { size: b_size, hash: b, .. },
        ) => a_size == b_size && a == b,
        (Content::Link { target: a, .. }, Content::Link { target: b, .. }) => a == b,
        (Content::Folder, Content::Folder) => true,
        _ => false,
    }
}

fn shown(place: &Path) -> String {
    crate::sanitize::line(&place.to_string_lossy())
}

mod mirror;
