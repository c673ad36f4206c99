//! Goes through all catalogs in their order and looks at the files of what goes.
//!
//! What lies in an increment that goes and was not put there by the backup ends it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;

use crate::fs::stat::Found;
use crate::model::relpath::RelPath;
use crate::prune::error::PruneError;
use crate::prune::merge::{self, Alive};
use crate::prune::plan::work::{Files, Going, Part, Plan, Planner, What, Work};
use crate::repository::catalog::document::{Catalog, CatalogEntry, EntryCategory};
use crate::repository::catalog::file::{read_catalog, stage_catalog};
use crate::repository::index::increment::Increment;
use crate::repository::index::prune::{Dropped, Move, Removed, Rewritten};
use crate::repository::layout;
use crate::repository::versioning::Keeping;

impl Planner<'_> {
    pub(crate) fn plan(&self, what: &What<'_>) -> Result<Plan, PruneError> {
        let going: BTreeSet<u64> = match what {
            What::Increments(sequences) => (*sequences).clone(),
            What::Versions(sequence, _) => BTreeSet::from([*sequence]),
        };
        let mut work = Work::new(self, &going);
        for increment in self.index.increments() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(PruneError::Stopped);
            }
            let catalog = read_catalog(self.tree, &increment.name)?;
            match what {
                What::Increments(_) if going.contains(&increment.sequence) => {
                    work.whole(increment, catalog)?;
                }
                What::Versions(sequence, selects) if *sequence == increment.sequence => {
                    work.part(increment, catalog, *selects)?;
                }
                _ => work.stays(increment, catalog)?,
            }
        }
        work.end()
    }
}

impl<'a> Work<'a> {
    fn new(by: &'a Planner<'a>, going: &BTreeSet<u64>) -> Self {
        let mut owned: HashMap<u64, Vec<&RelPath>> = HashMap::new();
        for (path, record) in by.index.records().iter() {
            if going.contains(&record.brought_by) {
                owned.entry(record.brought_by).or_default().push(path);
            }
        }
        Self {
            by,
            keeping: by.format.keeps_versions,
            plan: Plan::default(),
            group: Vec::new(),
            whole: true,
            heirs: HashMap::new(),
            only: None,
            taken: HashMap::new(),
            late: HashMap::new(),
            gone: Vec::new(),
            owners: BTreeMap::new(),
            alive: Alive::default(),
            any_stays: false,
            names: HashMap::new(),
            owned,
        }
    }

    /// An increment that goes.
    fn whole(&mut self, increment: &Increment, catalog: Catalog) -> Result<(), PruneError> {
        let files = self.files(increment, &catalog, true)?;
        self.check_strangers(increment)?;
        self.group.push((catalog, files));
        Ok(())
    }

    /// An increment of which versions go: its catalog lacks them from now on.
    fn part(
        &mut self,
        increment: &Increment,
        mut catalog: Catalog,
        selects: &dyn Fn(&RelPath) -> bool,
    ) -> Result<(), PruneError> {
        let is_last = self.by.index.increments().last().map(|i| i.sequence);
        let is_last = is_last == Some(increment.sequence);
        let mut part = Catalog { file_catalog: BTreeMap::new(), ..catalog.clone() };
        (part.folders, part.removed_folders, part.ended) = Default::default();
        part.gone.clear();
        let all = std::mem::take(&mut catalog.file_catalog);
        for (path, entry) in all {
            // What the newest increment brought is what the source has.
            let is_current = is_last && entry.category == EntryCategory::Tracked;
            if selects(&path) && !is_current {
                part.file_catalog.insert(path, entry);
            } else {
                catalog.file_catalog.insert(path, entry);
            }
        }
        if part.file_catalog.is_empty() {
            return Err(PruneError::NothingMatches { current: is_last });
        }
        let there = part.file_catalog.keys().filter(|path| self.alive.has(path));
        catalog.gone.extend(there.cloned());
        catalog.gone.sort_unstable();
        let paths = part.file_catalog.keys().cloned().collect();
        let hashes = part.file_catalog.values().filter_map(|entry| entry.blake3.clone());
        self.only = Some((paths, hashes.collect()));
        let files = self.files(increment, &part, false)?;
        self.whole = false;
        self.alive.apply(&catalog);
        self.any_stays = true;
        self.rewrite(increment, catalog)?;
        if is_last {
            self.gone.push((files, None));
        } else {
            self.group.push((part, files));
        }
        Ok(())
    }

    /// An increment that stays: it takes over what is needed of those that go before it.
    fn stays(&mut self, increment: &Increment, mut catalog: Catalog) -> Result<(), PruneError> {
        if !self.group.is_empty() {
            return self.inherit(increment, catalog);
        }
        let late = self.be_late_heir(increment, &mut catalog)?;
        if self.rename(&mut catalog) || late {
            self.alive.apply(&catalog);
            self.rewrite(increment, catalog)?;
        } else {
            self.alive.apply(&catalog);
        }
        self.any_stays = true;
        Ok(())
    }

    /// The heir of the group.
    fn inherit(&mut self, heir: &Increment, mut catalog: Catalog) -> Result<(), PruneError> {
        let (mut catalogs, files): (Vec<Catalog>, Vec<Files>) =
            std::mem::take(&mut self.group).into_iter().unzip();
        catalogs.iter_mut().for_each(merge::name_bringer);
        let any_stays = self.any_stays;
        let alive = &self.alive;
        let was_there = |path: &RelPath| any_stays && alive.has(path);
        let added = merge::take_over(catalogs, &mut catalog, was_there);
        let moves = match self.keeping {
            Keeping::Hardlink => self.linked_moves(heir, &catalog, &added, &files)?,
            Keeping::Displace => self.displaced_moves(heir, &mut catalog, &files)?,
        };
        for gone in &files {
            self.heirs.insert(gone.increment.name.clone(), heir.name.clone());
        }
        if self.keeping == Keeping::Displace {
            let is_ours = |entry: &CatalogEntry| match &entry.content_in {
                None => true,
                Some(name) => files.iter().any(|files| files.increment.name == *name),
            };
            let listed = catalog.file_catalog.iter().filter(|(_, entry)| is_ours(entry));
            self.taken.extend(listed.map(|(path, entry)| (path.clone(), entry.hash())));
        }
        self.owners(heir, &catalog, &files);
        self.be_late_heir(heir, &mut catalog)?;
        self.rename(&mut catalog);
        self.alive.apply(&catalog);
        self.any_stays = true;
        self.rewrite(heir, catalog)?;
        self.plan.prune.moves.extend(moves);
        self.gone.extend(files.into_iter().map(|files| (files, Some(heir.clone()))));
        Ok(())
    }

    /// Versions that the heir lists from now on, where a version has a name in each increment that lists it.
    fn linked_moves(
        &self,
        heir: &Increment,
        catalog: &Catalog,
        added: &[(RelPath, usize)],
        files: &[Files],
    ) -> Result<Vec<Move>, PruneError> {
        let mut moves = Vec::new();
        for (path, number) in added {
            let (Some(entry), Some(files)) = (catalog.file_catalog.get(path), files.get(*number))
            else {
                continue;
            };
            moves.extend(self.one_move(heir, path, entry, files)?);
        }
        Ok(moves)
    }

    pub(crate) fn ino(&self, found: &Found) -> u64 {
        if self.keeping == Keeping::Hardlink { found.ino } else { 0 }
    }

    /// Whose the content of the mirror's files is from now on.
    fn owners(&mut self, heir: &Increment, catalog: &Catalog, files: &[Files]) {
        for gone in files {
            let owned = self.owned.remove(&gone.increment.sequence).unwrap_or_default();
            for path in owned {
                let Some(record) = self.by.index.records().get(path) else { continue };
                let is_heirs = catalog.file_catalog.get(path).is_some_and(|entry| {
                    entry.category == EntryCategory::Tracked && entry.size == record.size()
                });
                // By links a version is known under its path of now, which may be another one.
                let is_kept =
                    is_heirs || (self.keeping == Keeping::Hardlink && record.is_tracked());
                let went =
                    self.whole || self.only.as_ref().is_some_and(|(paths, _)| paths.contains(path));
                let owner = if is_kept { heir.sequence } else { 0 };
                if went && (owner == 0 || !self.whole) {
                    self.owners.insert(path.clone(), owner);
                }
            }
        }
    }

    /// What does not move goes.
    fn end(mut self) -> Result<Plan, PruneError> {
        if !self.group.is_empty() {
            return Err(PruneError::Newest);
        }
        let moves = std::mem::take(&mut self.plan.prune.moves);
        self.check_ways(&moves)?;
        let moving: HashSet<(u64, &RelPath)> = moves.iter().map(|m| (m.from, &m.place)).collect();
        for (Files { increment, found }, heir) in std::mem::take(&mut self.gone) {
            let (mut moved, mut dropped, mut frees) = (0, 0, 0_u64);
            for ((part, place), found) in found {
                if part == Part::Track && moving.contains(&(increment.sequence, &place)) {
                    moved += 1;
                    continue;
                }
                dropped += 1;
                if self.is_last_name(&found) {
                    frees = frees.saturating_add(found.size);
                }
                let (within, ino) = (part.of(increment.sequence), self.ino(&found));
                self.plan.prune.drops.push(Dropped { within, place, ino, size: found.size });
            }
            self.plan.frees = self.plan.frees.saturating_add(frees);
            let Increment { sequence, name, timestamp, .. } = increment;
            let into = heir.as_ref().map(|heir| heir.name.clone());
            self.plan.going.push(Going {
                name: name.clone(),
                timestamp,
                into,
                moved,
                dropped,
                frees,
            });
            if let (true, Some(heir)) = (self.whole, heir) {
                self.plan.prune.removed.push(Removed { sequence, name, into: heir.sequence });
            }
        }
        self.plan.prune.moves = moves;
        self.plan.prune.owners = self.owners.into_iter().collect();
        Ok(self.plan)
    }

    /// Whether the content goes with this name, which goes.
    fn is_last_name(&mut self, found: &Found) -> bool {
        match self.keeping {
            Keeping::Displace => true,
            Keeping::Hardlink => {
                let (all, gone) = self.names.entry(found.ino).or_insert((found.nlink.into(), 0));
                *gone += 1;
                gone == all
            }
        }
    }

    /// Lets a catalog name the heirs of what went.
    fn rename(&self, catalog: &mut Catalog) -> bool {
        merge::rename_references(catalog, |path, entry, name| {
            let heir = self.heirs.get(name).filter(|_| self.went(path, entry))?;
            let late = self.late.get(&(name.to_owned(), path.clone()));
            Some(late.unwrap_or(heir).clone())
        })
    }

    /// Whether the version at a path is one that went, if it is of an increment of which something did.
    pub(crate) fn went(&self, path: &RelPath, entry: &CatalogEntry) -> bool {
        self.only.as_ref().is_none_or(|(paths, hashes)| {
            let moved = entry.moved_from.is_some() && self.keeping == Keeping::Hardlink;
            paths.contains(path)
                || (moved && entry.blake3.as_ref().is_some_and(|hash| hashes.contains(hash)))
        })
    }

    /// A catalog is to be written anew.
    fn rewrite(&mut self, increment: &Increment, mut catalog: Catalog) -> Result<(), PruneError> {
        catalog.count();
        let sequence = increment.sequence;
        let rewritten = &mut self.plan.prune.rewritten;
        rewritten.retain(|other| other.sequence != sequence);
        let stage = format!("catalog-{sequence}");
        let (size, hash) = if self.by.stages {
            let tree = self.by.tree;
            let staged = stage_catalog(tree, &layout::staged(&stage), &catalog)?;
            if self.keeping == Keeping::Displace {
                // A rename that is cut off can lose what it moves: then this one is taken.
                stage_catalog(tree, &layout::staged(&Rewritten::spare(&stage)), &catalog)?;
            }
            staged
        } else {
            (0, [0; 32])
        };
        rewritten.push(Rewritten { sequence, stage, size, hash });
        Ok(())
    }
}
