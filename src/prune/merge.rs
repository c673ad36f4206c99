//! Puts the catalogs of increments that go together with the one of the increment that stays after them, so
//! that every later point in time is what it was. Pure.
//!
//! An entry of an increment that goes survives where a later point in time shows it; an increment that stays
//! keeps all that it lists.

use std::collections::{BTreeMap, HashSet};

use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, CatalogEntry, CatalogFolder, EntryCategory};

/// What a path is at the end of a group of increments.
enum Last {
    /// With the number of the increment in the group.
    File(Box<CatalogEntry>, usize),
    Folder(CatalogFolder),
    Left,
}

/// Adds to `into` what `group` (oldest first) says and `into` does not. `was_there`: whether a path is part of
/// the point in time before the group that stays; what comes and goes within the group leaves no trace.
/// Returns the files that were added, each with the number of the increment in the group that lists it.
pub(super) fn take_over(
    group: Vec<Catalog>,
    into: &mut Catalog,
    was_there: impl Fn(&RelPath) -> bool,
) -> Vec<(RelPath, usize)> {
    let mut last: BTreeMap<RelPath, Last> = BTreeMap::new();
    for (number, catalog) in group.into_iter().enumerate() {
        last.extend(catalog.leaving().map(|path| (path.clone(), Last::Left)));
        last.extend(catalog.folders.into_iter().map(|(path, folder)| (path, Last::Folder(folder))));
        let files = catalog.file_catalog.into_iter();
        let files = files.filter(|(_, entry)| entry.category == EntryCategory::Tracked);
        last.extend(files.map(|(path, entry)| (path, Last::File(Box::new(entry), number))));
    }
    for path in into.leaving().chain(into.folders.keys()).chain(into.file_catalog.keys()) {
        last.remove(path);
    }
    let mut added = Vec::new();
    for (path, last) in last {
        match last {
            Last::File(entry, number) => {
                added.push((path.clone(), number));
                into.file_catalog.insert(path, *entry);
            }
            Last::Folder(folder) => {
                into.folders.insert(path, folder);
            }
            Last::Left if was_there(&path) => into.gone.push(path),
            Last::Left => {}
        }
    }
    into.gone.sort_unstable();
    added
}

/// Which paths are part of the tracked tree; the fold of the catalogs so far.
#[derive(Default)]
pub(crate) struct Alive(HashSet<RelPath>);

impl Alive {
    pub(super) fn apply(&mut self, catalog: &Catalog) {
        for path in catalog.leaving() {
            self.0.remove(path);
        }
        self.0.extend(catalog.folders.keys().cloned());
        let files = catalog.file_catalog.iter();
        let files = files.filter(|(_, entry)| entry.category == EntryCategory::Tracked);
        self.0.extend(files.map(|(path, _)| path.clone()));
    }

    pub(super) fn has(&self, path: &RelPath) -> bool {
        self.0.contains(path)
    }
}

/// Says of each file that brought its content itself that it did, by the increment's own name.
pub(super) fn name_bringer(catalog: &mut Catalog) {
    for entry in catalog.file_catalog.values_mut() {
        if entry.content_in.is_none() {
            entry.content_in = Some(catalog.backup_name.clone());
        }
    }
}

/// Lets `content_in` name the increments of now: `heir_of` has the one that took over, for the path, its entry
/// and the name that it has. Says whether anything changed.
pub(super) fn rename_references(
    catalog: &mut Catalog,
    heir_of: impl Fn(&RelPath, &CatalogEntry, &str) -> Option<String>,
) -> bool {
    let mut changed = false;
    for (path, entry) in &mut catalog.file_catalog {
        let Some(name) = &entry.content_in else { continue };
        let heir = heir_of(path, entry, name);
        let now = heir.as_ref().unwrap_or(name);
        // What is in the increment itself needs no reference.
        if *now == catalog.backup_name {
            entry.content_in = None;
            changed = true;
        } else if heir.is_some() {
            entry.content_in = heir;
            changed = true;
        }
    }
    changed
}
