//! The order of a repair. It changes records alone, never a file of the user's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::fs::tree::handle::Tree;
use crate::fs::walk::walk;
use crate::integrity::repair::error::RepairError;
use crate::integrity::repair::repairer::{Fold, Mirror, Repair, Repaired, Tools, shown};
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::EntryCategory;
use crate::repository::catalog::file::read_catalog;
use crate::repository::index::change::Change;
use crate::repository::index::record::Content;
use crate::repository::layout;
use crate::repository::rebuild::{Rebuilt, Workshop};
use crate::repository::versioning::Keeping;

/// Repairs the repository in `tree`.
pub fn repair(tree: &Tree, tools: &Tools<'_>) -> Result<Repaired, RepairError> {
    let workshop = Workshop::open(tree)?;
    let salvage = workshop.salvage()?;
    if salvage.broken.is_none() && salvage.index.pruning().is_some() {
        return Err(RepairError::Pruning);
    }
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

impl Repair<'_> {
    fn learn_pending(&mut self) {
        for (path, record) in self.old.records().iter() {
            if let Some(stored) = &record.stored {
                self.fold.paths.insert(RelPath::clone(stored), path.clone());
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
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let names = self.tree.list(Path::new(""), 1_000_000).unwrap_or_default();
        layout::increment_names(names)
            .filter(|name| {
                let found = self.tree.stat(Path::new(name));
                matches!(found, Ok(Some(found)) if found.file_type.is_dir())
            })
            .collect()
    }
}
