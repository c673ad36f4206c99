//! Finds out what a removal does: which versions move, which go, which catalogs are written anew, and how much
//! room that makes.
//!
//! It reads all catalogs in their order and looks at the files of what goes. It changes nothing but that it
//! stages the new catalogs, if it is to. What lies in an increment that goes and was not put there by the backup
//! ends it. Called by `prune`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::PruneError;
use super::merge::{self, Alive};
use crate::backup::displace::has_content;
use crate::drive::tree::{Found, Tree};
use crate::drive::walk::walk;
use crate::relpath::RelPath;
use crate::repository::catalog::{Catalog, CatalogEntry, EntryCategory};
use crate::repository::format::{Format, Keeping};
use crate::repository::index::{Dropped, Increment, Index, Move, Prune, Removed, Rewritten};
use crate::repository::layout::{self, Within};
use crate::repository::names::fold;
use crate::repository::{RepositoryError, python, read_catalog, stage_catalog};

/// What a removal does.
#[derive(Debug, Default)]
pub struct Plan {
    /// The increments that go, or of which versions go, oldest first.
    pub going: Vec<Going>,
    /// Bytes of content that this frees: a file counts when its last name goes.
    pub frees: u64,
    pub(super) prune: Prune,
}

/// What becomes of one increment that goes, or of which versions go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Going {
    /// Its name.
    pub name: String,
    /// When its run started, with UTC offset.
    pub timestamp: String,
    /// The increment that takes over what later points in time still need; `None`: there is nothing after it.
    pub into: Option<String>,
    /// Versions that move there.
    pub moved: u64,
    /// Versions that go.
    pub dropped: u64,
    /// Bytes that this frees.
    pub frees: u64,
}

/// What is to go.
pub(super) enum What<'a> {
    /// Whole increments, by sequence.
    Increments(&'a BTreeSet<u64>),
    /// The versions of one increment at these paths.
    Versions(u64, &'a dyn Fn(&RelPath) -> bool),
}

/// How a plan is made.
pub(super) struct Planner<'a> {
    pub(super) tree: &'a Tree,
    pub(super) index: &'a Index,
    pub(super) format: &'a Format,
    /// Whether the new catalogs are staged.
    pub(super) stages: bool,
    pub(super) stop: &'a AtomicBool,
}

impl Planner<'_> {
    pub(super) fn plan(&self, what: &What<'_>) -> Result<Plan, PruneError> {
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

/// The files of an increment that goes, or of the part of it that does.
struct Files {
    increment: Increment,
    /// By folder and place.
    found: BTreeMap<(Part, RelPath), Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Track,
    Deleted,
}

impl Part {
    fn of(self, sequence: u64) -> Within {
        match self {
            Self::Track => Within::Track(sequence),
            Self::Deleted => Within::Deleted(sequence),
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Deleted => "deleted",
        }
    }
}

/// A plan as it is made, increment by increment.
struct Work<'a> {
    by: &'a Planner<'a>,
    keeping: Keeping,
    plan: Plan,
    /// What goes and has no heir yet: catalogs and files.
    group: Vec<(Catalog, Files)>,
    /// Whether the group goes as a whole.
    whole: bool,
    /// Names of increments of which something went, with the one that took over.
    heirs: HashMap<String, String>,
    /// Paths and hashes that went, where only part of an increment did.
    only: Option<(HashSet<RelPath>, HashSet<String>)>,
    /// In displace: what the heirs list of what they took over, by path.
    taken: HashMap<RelPath, Option<[u8; 32]>>,
    /// In displace: the increment that takes over one version, for the name and the path that it had: where a
    /// file was not tracked for a time, the heir does not list what a later increment lists again.
    late: HashMap<(String, RelPath), String>,
    /// Files of what goes, and the heir.
    gone: Vec<(Files, Option<Increment>)>,
    /// Paths of the mirror whose content is not the heir's from now on.
    owners: BTreeMap<RelPath, u64>,
    alive: Alive,
    /// Whether an increment that stays was seen.
    any_stays: bool,
    /// Names of files that go, by inode: how many there are, how many go.
    names: HashMap<u64, (u64, u64)>,
    /// Paths of the mirror whose content came with what goes, by sequence.
    owned: HashMap<u64, Vec<&'a RelPath>>,
}

impl<'a> Work<'a> {
    fn new(by: &'a Planner<'a>, going: &BTreeSet<u64>) -> Self {
        let mut owned: HashMap<u64, Vec<&RelPath>> = HashMap::new();
        for (path, record) in by.index.records() {
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

    /// Versions whose content is with an increment that goes, where a version lies at one place.
    fn displaced_moves(
        &self,
        heir: &Increment,
        catalog: &mut Catalog,
        files: &[Files],
    ) -> Result<Vec<Move>, PruneError> {
        self.let_go_of_what_collides(catalog, files);
        let mut moves = Vec::new();
        for (path, entry) in &catalog.file_catalog {
            let bringer = entry.content_in.as_deref();
            let files = files.iter().find(|files| Some(files.increment.name.as_str()) == bringer);
            let Some(files) = files else { continue };
            if entry.target().is_none() {
                moves.extend(self.one_move(heir, path, entry, files)?);
            }
        }
        Ok(moves)
    }

    /// A deleted file's last version would come to lie beside what the heir has. Where the two cannot, since a
    /// file stands where a folder is needed or the drive takes the names for one, it goes: no point in time
    /// shows it.
    fn let_go_of_what_collides(&self, catalog: &mut Catalog, files: &[Files]) {
        let names = self.by.format.names;
        let folded = |place: &RelPath| fold(names, place.as_bytes());
        let is_new = |entry: &CatalogEntry| {
            entry.category == EntryCategory::Deleted
                && files.iter().any(|f| entry.content_in.as_deref() == Some(&f.increment.name))
        };
        let (mut taken, mut above) = (HashSet::new(), HashSet::new());
        let add = |place: &RelPath, taken: &mut HashSet<_>, above: &mut HashSet<_>| {
            taken.insert(folded(place));
            above.extend(place.ancestors().map(|folder| folded(&folder)));
        };
        for (path, entry) in &catalog.file_catalog {
            if !is_new(entry) {
                add(place_of(path, entry), &mut taken, &mut above);
            }
        }
        let mut collide = Vec::new();
        for (path, entry) in catalog.file_catalog.iter().filter(|(_, entry)| is_new(entry)) {
            let place = place_of(path, entry);
            let at = folded(place);
            let is_below = place.ancestors().any(|folder| taken.contains(&folded(&folder)));
            if taken.contains(&at) || above.contains(&at) || is_below {
                collide.push(path.clone());
            } else {
                add(place, &mut taken, &mut above);
            }
        }
        for path in collide {
            catalog.file_catalog.remove(&path);
            if self.any_stays && self.alive.has(&path) {
                catalog.gone.push(path);
            }
        }
        catalog.gone.sort_unstable();
    }

    /// The move of one version; none where it is not there (a link that the drive cannot have, what is current,
    /// or what is lost).
    fn one_move(
        &self,
        heir: &Increment,
        path: &RelPath,
        entry: &CatalogEntry,
        files: &Files,
    ) -> Result<Option<Move>, PruneError> {
        let place = place_of(path, entry);
        let Some(found) = files.found.get(&(Part::Track, place.clone())) else { return Ok(None) };
        let is_link = entry.target().is_some();
        let like = if is_link {
            found.file_type.is_symlink()
        } else {
            // What the Python tool overwrote is lost already, and stays so.
            found.file_type.is_file() && (found.size == entry.size || entry.overwritten)
        };
        let tree = self.by.tree;
        if !like {
            let at = layout::track(&files.increment.name, place);
            return Err(PruneError::Damaged(tree.shown().join(at)));
        }
        let to = layout::track(&heir.name, place);
        if let Some(there) = tree.stat(&to).map_err(RepositoryError::from)? {
            // A repository that was copied from a drive with links has the version there as well.
            let same = match (self.keeping, entry.hash()) {
                (Keeping::Hardlink, _) => there.ino == found.ino,
                (Keeping::Displace, Some(hash)) => has_content(tree, &to, entry.size, &hash)?,
                (Keeping::Displace, None) => false,
            };
            return if same { Ok(None) } else { Err(PruneError::Damaged(tree.shown().join(to))) };
        }
        Ok(Some(Move {
            from: files.increment.sequence,
            to: heir.sequence,
            place: place.clone(),
            ino: self.ino(found),
            size: found.size,
            hash: entry.hash(),
        }))
    }

    fn ino(&self, found: &Found) -> u64 {
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

    /// What stands where a folder is needed would stop the removal once it is begun.
    fn check_ways(&self, moves: &[Move]) -> Result<(), PruneError> {
        let tree = self.by.tree;
        let mut looked_at = HashSet::new();
        for version in moves {
            let Some(to) = Within::Track(version.to).path(self.by.index, &version.place) else {
                continue;
            };
            let above = to.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
            for folder in above {
                if !looked_at.insert(folder.to_owned()) {
                    break;
                }
                if tree.stat(folder)?.is_some_and(|found| !found.file_type.is_dir()) {
                    return Err(PruneError::Stranger(tree.shown().join(folder)));
                }
            }
        }
        Ok(())
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
    fn went(&self, path: &RelPath, entry: &CatalogEntry) -> bool {
        self.only.as_ref().is_none_or(|(paths, hashes)| {
            let moved = entry.moved_from.is_some() && self.keeping == Keeping::Hardlink;
            paths.contains(path)
                || (moved && entry.blake3.as_ref().is_some_and(|hash| hashes.contains(hash)))
        })
    }

    /// Takes over versions that the catalog lists and whose heir does not, where a version lies at one place. A
    /// deleted file's last version goes: no point in time shows it, and it could lie in the way. Says whether
    /// the catalog changed.
    fn be_late_heir(
        &mut self,
        increment: &Increment,
        catalog: &mut Catalog,
    ) -> Result<bool, PruneError> {
        let mut goes = Vec::new();
        if self.keeping == Keeping::Hardlink {
            return Ok(false);
        }
        for (path, entry) in &catalog.file_catalog {
            let Some(name) = &entry.content_in else { continue };
            let key = (name.clone(), path.clone());
            let is_link = entry.target().is_some();
            let has_heir = !self.heirs.contains_key(name)
                || !self.went(path, entry)
                || (!is_link && self.taken.get(path) == Some(&entry.hash()))
                || self.late.contains_key(&key);
            if has_heir {
                continue;
            }
            let gone = self.gone.iter().find(|(files, _)| files.increment.name == *name);
            let Some((files, _)) = gone else { continue };
            let from = files.increment.sequence;
            if !is_link && entry.category == EntryCategory::Deleted {
                goes.push(path.clone());
                continue;
            }
            if !is_link {
                let found = self.one_move(increment, path, entry, files)?;
                self.plan.prune.moves.extend(found);
                self.late.insert(key, increment.name.clone());
            }
            let record = self.by.index.records().get(path);
            if record.is_some_and(|record| record.brought_by == from) {
                self.owners.insert(path.clone(), increment.sequence);
            }
        }
        for path in &goes {
            catalog.file_catalog.remove(path);
            if self.alive.has(path) {
                catalog.gone.push(path.clone());
            }
        }
        catalog.gone.sort_unstable();
        Ok(!goes.is_empty())
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

    /// The files of an increment that `catalog` lists. `strict`: another one there is an error.
    fn files(
        &self,
        increment: &Increment,
        catalog: &Catalog,
        strict: bool,
    ) -> Result<Files, PruneError> {
        let entries = catalog.file_catalog.iter();
        // The drive may show a folder in other case than its file was put there with.
        let folded = |place: &RelPath| fold(self.by.format.names, place.as_bytes());
        let listed: HashMap<Vec<u8>, (&RelPath, &CatalogEntry)> = entries
            .map(|(path, entry)| (folded(place_of(path, entry)), (place_of(path, entry), entry)))
            .collect();
        let is_its = |entry: &CatalogEntry, file: &Found| {
            let link = entry.target().is_some();
            let size = entry.overwritten || file.size == entry.size;
            if link { file.file_type.is_symlink() } else { file.file_type.is_file() && size }
        };
        let tree = self.by.tree;
        let (mut found, mut failed, mut stranger) = (BTreeMap::new(), None, None);
        for part in [Part::Track, Part::Deleted] {
            let root = Path::new(&increment.name).join(part.folder());
            walk(
                tree,
                &root,
                |place, file| {
                    if file.file_type.is_dir() {
                        return;
                    }
                    match listed.get(&folded(&place)) {
                        Some((place, entry)) if is_its(entry, &file) => {
                            found.insert((part, (*place).clone()), file);
                        }
                        _ => {
                            stranger.get_or_insert(root.join(place.as_path()));
                        }
                    }
                },
                |_, e| {
                    failed.get_or_insert(e);
                },
            );
        }
        match (failed, stranger) {
            (Some(e), _) => Err(RepositoryError::from(e).into()),
            (None, Some(place)) if strict => Err(PruneError::Stranger(tree.shown().join(place))),
            _ => Ok(Files { increment: increment.clone(), found }),
        }
    }

    /// What lies beside `track`, `deleted` and the catalog was not put there by the backup.
    fn check_strangers(&self, increment: &Increment) -> Result<(), PruneError> {
        let tree = self.by.tree;
        let folder = Path::new(&increment.name);
        let names = tree.list(folder, 1_000).map_err(RepositoryError::from)?;
        let catalog = layout::catalog(&increment.name);
        let ours = |name: &std::ffi::OsStr| {
            name == "track"
                || name == "deleted"
                || Some(name) == catalog.file_name()
                || python::is_metadata(tree, &folder.join(name))
        };
        match names.iter().find(|name| !ours(name)) {
            Some(name) => Err(PruneError::Stranger(tree.shown().join(folder).join(name))),
            None => Ok(()),
        }
    }
}

fn place_of<'a>(path: &'a RelPath, entry: &'a CatalogEntry) -> &'a RelPath {
    entry.stored_as.as_ref().unwrap_or(path)
}
