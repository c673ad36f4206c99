//! The increments on the drive, their order, and the catalogs of those that lost theirs.
//!
//! It only reads: what it rebuilds is written with the index, by `repository::rebuild`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::fs::walk::walk;
use crate::integrity::repair::error::RepairError;
use crate::integrity::repair::repairer::{Mirror, Repair, shown};
use crate::model::entry::Kind;
use crate::repository::catalog::document::{Catalog, CatalogFolder, EntryCategory};
use crate::repository::catalog::file::read_catalog;
use crate::repository::index::increment::Increment;
use crate::repository::index::open::Entry;
use crate::repository::index::record::{Content, Record};
use crate::repository::rebuild::{Listed, catalog_of, increment_by_name, order};
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;

impl Repair<'_> {
    /// Finds out the increments and their order, rebuilds their catalogs where needed, and folds them.
    pub(super) fn increments(&mut self) -> Result<(), RepairError> {
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
                    self.done.notes.push(crate::text::error_chain::in_words(&e));
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
            for (path, record) in self.old.records().iter() {
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
}

fn folder(record: &Record) -> CatalogFolder {
    let meta = &record.meta;
    CatalogFolder {
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime_ns: meta.mtime_ns,
        xattrs: crate::repository::catalog::document::xattrs_text(&meta.xattrs),
    }
}
