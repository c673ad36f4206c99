//! Rebuilds the records of a repository from what lies on the drive: the index, `format.json` and catalogs
//! that are lost, broken, or not in line with the files.
//!
//! No file of the user's is changed or removed; where the mirror lacks a file that an increment has, it gets
//! that one's name back. What still is readable is used: first the old index as far as it is sound, then
//! sound catalogs, then the files themselves. The rules by which a record is chosen: the next run must go
//! through, copy nothing that is unchanged, and list what no increment lists yet.

mod files;
mod fold;
mod increments;
mod mirror;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use fold::Fold;

use crate::drive::tree::{Found, Tree, TreeError};
use crate::drive::walk::walk;
use crate::relpath::RelPath;
use crate::repository::catalog::{Catalog, EntryCategory};
use crate::repository::format::Keeping;
use crate::repository::index::{Change, Increment, Index};
use crate::repository::rebuild::{Rebuilt, Salvage, Workshop};
use crate::repository::record::{Content, Record};
use crate::repository::{RepositoryError, layout, read_catalog};

/// Why it could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Told to stop.
    #[error("stopped; the records are as they were")]
    Stopped,
    /// A removal has to be ended first: what it moves is in no record yet that could be rebuilt.
    #[error(
        "increments were being removed when the drive was pulled out or the program was stopped; `bkm-agent run` finishes that, then repair"
    )]
    Pruning,
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
    fn names(&self) -> BTreeSet<String> {
        let names = self.tree.list(Path::new(""), 1_000_000).unwrap_or_default();
        layout::increment_names(names)
            .filter(|name| {
                let found = self.tree.stat(Path::new(name));
                matches!(found, Ok(Some(found)) if found.file_type.is_dir())
            })
            .collect()
    }
}

fn shown(place: &Path) -> String {
    crate::sanitize::line(&place.to_string_lossy())
}
