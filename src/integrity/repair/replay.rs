//! The tracked tree as the increments' catalogs tell it, and the deletions that follow from what it lacks.
//!
//! It works on catalogs in memory: nothing of the drive is changed.

use crate::integrity::repair::repairer::{Folded, Mirror, Repair};
use crate::model::entry::Category;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, CatalogEntry, EntryCategory, xattrs_of};
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::layout;
use crate::repository::versioning::Keeping;

impl Repair<'_> {
    /// Applies a catalog as `timeline` does.
    pub(super) fn fold(&mut self, sequence: u64, catalog: Catalog) {
        let fold = &mut self.fold;
        for path in catalog.leaving() {
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
            if entry.category == EntryCategory::Tracked {
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
    pub(super) fn infer_deletions(&mut self, mirror: &Mirror) {
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
            !(mirror.contains_key(*path) || whole && self.old.records().contains_key(path))
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

    /// The true path of what lies at `place`.
    pub(super) fn path_at(&self, place: &RelPath) -> RelPath {
        if let Some(path) = self.fold.paths.get(place) {
            return path.clone();
        }
        place.clone()
    }
}

/// A record that says what a catalog's entry says.
pub(super) fn folded_record(folded: &Folded) -> Record {
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
        xattrs: xattrs_of(&entry.xattrs).into(),
    };
    let (category, stored) = (Category::Tracked, entry.stored_as.clone());
    Record {
        category,
        content,
        meta,
        brought_by: folded.brought_by,
        listed: true,
        stored: stored.map(Box::new),
    }
}
