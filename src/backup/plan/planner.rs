//! The plan of a run: what is to be done, in which order, and what it costs. Nothing is written before
//! it is whole; `--dry-run` prints it.
//!
//! Order: what stands in the way of another kind of entry leaves first; folders, moves and records
//! come next; then content; what vanished leaves last, so that a file that was moved in a way we do not
//! see is on the drive at every moment.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::backup::error::RunError;
use crate::backup::plan::compare::{Comparison, compare};
use crate::backup::plan::examine::{self, Verdict, candidates, examine, find_moves};
use crate::backup::plan::work::{Action, Plan, Planned, Reuse, ToCopy, ToNote, Work};
use crate::fs::probe::Names;
use crate::model::entry::{Category, Kind};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::format::Format;
use crate::repository::index::change::Change;
use crate::repository::index::contents::Index;
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::names::{self, Naming};
use crate::repository::versioning::Keeping;
use crate::source::entry::Entry;
use crate::source::open::Source;
use crate::source::scan::Scan;
use crate::transaction::limits::MAX_LINKS;

/// Most hard links of one file that share a copy; beyond it there is another one.
const MAX_TWINS: usize = MAX_LINKS as usize - 1;

/// Makes the plan. Reads suspects in the source; writes nothing. `rules_changed`: the last run selected
/// by other rules.
pub(crate) fn plan<'s>(
    source: &Source,
    scan: &'s Scan,
    index: &Index,
    format: &Format,
    rules_changed: bool,
    stop: &AtomicBool,
) -> Result<Plan<'s>, RunError> {
    let records = index.records().iter_but(|number| scan.seen.contains(number));
    let mut found = compare(&scan.entries, records, &scan.unknown, source.stable_inodes());
    found.unchanged += scan.seen.len();
    // Without links a move is a deletion and a new copy; but nothing is lost by it, also where only the case
    // of a name changed.
    let looks_moved = match format.keeps_versions {
        Keeping::Hardlink => BTreeSet::new(),
        Keeping::Displace => {
            candidates(source, &found).into_iter().map(|(_, from, _)| from.clone()).collect()
        }
    };
    let naming = names(index, format.names, &mut found);
    let moves = match format.keeps_versions {
        Keeping::Hardlink => find_moves(source, &found, stop),
        Keeping::Displace => Vec::new(),
    };
    let examined: Vec<_> = found
        .suspect
        .par_iter()
        .map(|(entry, record)| examine(source, &entry.path, record, stop))
        .collect();
    if stop.load(Ordering::Relaxed) {
        return Err(RunError::stopped());
    }
    let mut planner = Planner {
        plan: Plan { unchanged: found.unchanged, naming, ..Plan::default() },
        sequence: index.next_sequence(),
        index,
        keeping: format.keeps_versions,
        looks_moved,
    };
    let mut copies: Vec<(&'s Entry, Option<&Record>)> = Vec::new();
    let mut notes = Vec::new();
    for ((entry, record), verdict) in found.suspect.iter().zip(examined) {
        match verdict {
            Ok(Verdict::Same(meta)) => notes.extend(planner.note(entry, record, meta)),
            Ok(Verdict::Other) => copies.push((*entry, Some(*record))),
            // It vanished under our hands; the next run sees it gone.
            Ok(Verdict::Gone) => planner.plan.unchanged += 1,
            Err(problem) => {
                planner.plan.unchanged += 1;
                planner.plan.problems.push(problem);
            }
        }
    }
    for (entry, record) in &found.recategorised {
        notes.extend(planner.note(entry, record, record.meta.clone()));
    }
    let moved_to: BTreeSet<&RelPath> = moves.iter().map(|moved| &moved.entry.path).collect();
    let moved_from: BTreeSet<&RelPath> = moves.iter().map(|moved| moved.from).collect();
    copies.extend(found.changed.iter().map(|(entry, record)| (*entry, Some(*record))));
    copies.extend(
        found.new.iter().filter(|e| !moved_to.contains(&e.path)).map(|entry| (*entry, None)),
    );
    copies.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));

    planner.clear_the_way(&found);
    planner.folders(source, &found);
    for moved in moves {
        planner.moved(moved);
    }
    planner.plan.work.extend(notes.into_iter().map(|note| Work::Note(Box::new(note))));
    planner.copies(copies, &scan.entries, source, stop);
    planner.vanished(source, &found, &moved_from, rules_changed);
    planner.list_folder_times(source, &found);
    Ok(planner.plan)
}

struct Planner<'s, 'i> {
    plan: Plan<'s>,
    /// Sequence that the run's increment would get.
    sequence: u64,
    pub(crate) index: &'i Index,
    keeping: Keeping,
    /// What vanished and seems to be elsewhere in the source now.
    looks_moved: BTreeSet<RelPath>,
}

/// Gives new paths their places in the mirror. What vanished and has a name that the drive takes for that
/// of a new path leaves first, like what changed its kind.
fn names(index: &Index, names: Names, found: &mut Comparison<'_, '_>) -> Naming {
    let mut new: Vec<&RelPath> =
        found.new.iter().chain(&found.new_folders).map(|entry| &entry.path).collect();
    if !names::may_escape(names, index, new.iter().copied()) {
        return Naming::default();
    }
    // A folder has its place before what lies in it.
    new.sort_unstable();
    if names >= Names::Portable {
        let folded: HashSet<Vec<u8>> =
            new.iter().map(|path| names::fold(names, path.as_bytes())).collect();
        let vanished = found.vanished.iter().chain(&found.vanished_folders);
        let in_the_way: Vec<&RelPath> = vanished
            .filter(|(path, record)| {
                folded.contains(&names::fold(names, record.place(path).as_bytes()))
            })
            .map(|(path, _)| *path)
            .collect();
        found.turned.extend(in_the_way);
    }
    let gone: HashSet<&RelPath> =
        found.vanished.iter().chain(&found.vanished_folders).map(|(path, _)| *path).collect();
    let leaves_first = |path: &RelPath| {
        gone.contains(path)
            && (found.turned.contains(path)
                || path.ancestors().any(|above| found.turned.contains(&above)))
    };
    let mut naming = Naming::new(names, index, leaves_first);
    for path in new {
        naming.assign(path);
    }
    naming
}

impl<'s> Planner<'s, '_> {
    fn line(&mut self, action: Action, path: &RelPath, from: Option<&RelPath>) {
        self.plan.lines.push(Planned { action, path: path.clone(), from: from.cloned() });
    }

    /// A file whose content stayed; `None` if its record stays, too.
    fn note(&mut self, entry: &'s Entry, old: &Record, meta: Meta) -> Option<ToNote<'s>> {
        let was_tracked = old.is_tracked();
        // After a repair: tracked, but no increment that is left has it.
        let unlisted = was_tracked && old.brought_by == 0;
        let mut record = old.clone();
        let alike = old.meta.restores_like(&meta);
        record.meta = meta;
        record.category = entry.category;
        if let Content::File { unsettled, .. } = &mut record.content {
            *unsettled = false;
        }
        if record.is_tracked() && record.brought_by == 0 {
            record.brought_by = self.sequence;
        }
        let version = record.is_tracked() && (!alike || !was_tracked || unlisted);
        self.plan.makes_increment |= version || (was_tracked && !record.is_tracked());
        if alike {
            self.plan.unchanged += 1;
        } else {
            self.line(Action::Touched, &entry.path, None);
        }
        let change = Change::Note { path: entry.path.clone(), record, version };
        let same = matches!(&change, Change::Note { record, .. } if record == old);
        (!same).then(|| ToNote { entry, change, old: old.clone() })
    }

    /// What stands where an entry of another kind is to be.
    fn clear_the_way(&mut self, found: &Comparison<'_, '_>) {
        let in_the_way = |path: &RelPath| {
            found.turned.contains(path) || path.ancestors().any(|p| found.turned.contains(&p))
        };
        if found.turned.is_empty() {
            return;
        }
        for (path, record) in found.vanished.iter().filter(|(path, _)| in_the_way(path)) {
            self.remove(path, record);
        }
        for (path, record) in found.vanished_folders.iter().rev().filter(|(p, _)| in_the_way(p)) {
            self.remove_folder(path, record);
        }
    }

    fn remove(&mut self, path: &RelPath, record: &Record) {
        self.plan.makes_increment |= record.is_tracked();
        self.plan.tracked_deleted +=
            u64::from(record.is_tracked() && !self.looks_moved.contains(path));
        self.line(Action::Deleted, path, None);
        self.plan.work.push(Work::Change(Change::Remove { path: path.clone() }));
    }

    fn remove_folder(&mut self, path: &RelPath, record: &Record) {
        self.plan.makes_increment |= record.is_tracked();
        self.plan.work.push(Work::Change(Change::RemoveFolder { path: path.clone() }));
    }

    /// New folders, and folders with other attributes than their time.
    fn folders(&mut self, source: &Source, found: &Comparison<'s, '_>) {
        let new: Vec<_> = found
            .new_folders
            .par_iter()
            .map(|entry| (*entry, source.xattrs(&entry.path)))
            .collect();
        for (entry, xattrs) in new {
            let xattrs = match xattrs {
                Ok(xattrs) => xattrs,
                // It vanished under our hands; the next run sees it gone.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(e) => {
                    let reason = format!("its extended attributes cannot be read: {e}");
                    self.plan.problems.push(Problem::new(entry.path.clone(), reason));
                    Vec::new()
                }
            };
            self.folder(entry, folder_meta(entry, xattrs), true);
        }
        for (entry, record) in &found.suspect_folders {
            let Ok(xattrs) = source.xattrs(&entry.path) else {
                continue;
            };
            let meta = folder_meta(entry, xattrs);
            if entry.category != record.category || !alike_but_time(&meta, &record.meta) {
                self.plan.makes_increment |= record.is_tracked();
                self.folder(entry, meta, true);
            }
        }
    }

    fn folder(&mut self, entry: &Entry, meta: Meta, listed: bool) {
        let tracked = entry.category == Category::Tracked;
        self.plan.makes_increment |= tracked && listed;
        let record = Record {
            category: entry.category,
            content: Content::Folder,
            meta,
            brought_by: 0,
            listed,
            stored: self.plan.naming.stored(&entry.path).map(Box::new),
        };
        let change = Change::Folder { path: entry.path.clone(), record };
        self.plan.work.push(Work::Change(change));
    }

    /// Folders of which only the time changed: listed if there is an increment anyway, else their
    /// record alone follows. (Every file that comes or goes changes its folder's time, also files that
    /// no rule selects; that alone is no reason for an increment.)
    fn list_folder_times(&mut self, source: &Source, found: &Comparison<'_, '_>) {
        let makes_increment = self.plan.makes_increment;
        for (entry, record) in &found.suspect_folders {
            let Ok(xattrs) = source.xattrs(&entry.path) else {
                continue;
            };
            let meta = folder_meta(entry, xattrs);
            let handled = entry.category != record.category || !alike_but_time(&meta, &record.meta);
            let same = meta.restores_like(&record.meta);
            let unlisted = !record.listed && record.is_tracked();
            if !handled && (!same || (unlisted && makes_increment)) {
                self.folder(entry, meta, makes_increment);
            }
        }
        if makes_increment {
            for (entry, record) in &found.unlisted_folders {
                self.folder(entry, record.meta.clone(), true);
            }
        }
    }

    fn moved(&mut self, moved: examine::Moved<'s, '_>) {
        let entry = moved.entry;
        self.plan.makes_increment |=
            moved.record.is_tracked() || entry.category == Category::Tracked;
        self.line(Action::Moved, &entry.path, Some(moved.from));
        self.plan.work.push(Work::Reuse(Box::new(Reuse {
            entry,
            from: moved.from.clone(),
            record: moved.record.clone(),
            meta: moved.meta,
            moved: true,
        })));
    }

    /// Files and links to copy. Hard links of the source to one inode are one piece of work; a new link
    /// to a file that the mirror has is linked there.
    fn copies(
        &mut self,
        copies: Vec<(&'s Entry, Option<&Record>)>,
        entries: &'s [Entry],
        source: &Source,
        stop: &AtomicBool,
    ) {
        let can_link = self.keeping == Keeping::Hardlink;
        let linked =
            |entry: &Entry| can_link && entry.stat.kind == Kind::File && entry.stat.nlink > 1;
        let to_copy: BTreeSet<&RelPath> = copies.iter().map(|(entry, _)| &entry.path).collect();
        let mut in_mirror: HashMap<(u64, u64), &RelPath> = HashMap::new();
        if copies.iter().any(|(entry, _)| linked(entry)) {
            for entry in entries.iter().filter(|e| linked(e) && !to_copy.contains(&e.path)) {
                if self.index.records().contains_key(&entry.path) {
                    in_mirror.entry((entry.stat.dev, entry.stat.ino)).or_insert(&entry.path);
                }
            }
        }
        let mut first: HashMap<(u64, u64), usize> = HashMap::new();
        for (entry, old) in copies {
            let was_tracked = old.is_some_and(Record::is_tracked);
            self.plan.makes_increment |= was_tracked || entry.category == Category::Tracked;
            self.plan.tracked_changed += u64::from(was_tracked);
            let action = if old.is_some() { Action::Changed } else { Action::New };
            self.line(action, &entry.path, None);
            let inode = (entry.stat.dev, entry.stat.ino);
            if linked(entry) {
                if let Some(reuse) = in_mirror
                    .get(&inode)
                    .filter(|_| old.is_none())
                    .and_then(|from| self.sibling(entry, from, source, stop))
                {
                    self.plan.work.push(Work::Reuse(Box::new(reuse)));
                    continue;
                }
                if let Some(Work::Copy(copy)) =
                    first.get(&inode).and_then(|at| self.plan.work.get_mut(*at))
                    && copy.twins.len() < MAX_TWINS
                {
                    copy.twins.push(entry);
                    continue;
                }
                first.insert(inode, self.plan.work.len());
            }
            if entry.stat.kind == Kind::File {
                self.plan.bytes += entry.stat.size;
            }
            self.plan.work.push(Work::Copy(ToCopy { entry, twins: Vec::new() }));
        }
    }

    /// A new hard link to a file that the mirror has as it is.
    fn sibling(
        &self,
        entry: &'s Entry,
        from: &RelPath,
        source: &Source,
        stop: &AtomicBool,
    ) -> Option<Reuse<'s>> {
        let record = self.index.records().get(from)?;
        match examine(source, &entry.path, record, stop) {
            Ok(Verdict::Same(meta)) => Some(Reuse {
                entry,
                from: from.clone(),
                record: record.clone(),
                meta,
                moved: false,
            }),
            _ => None,
        }
    }

    /// What vanished leaves last.
    fn vanished(
        &mut self,
        source: &Source,
        found: &Comparison<'_, '_>,
        moved_from: &BTreeSet<&RelPath>,
        rules_changed: bool,
    ) {
        let cleared = |path: &RelPath| {
            found.turned.contains(path) || path.ancestors().any(|p| found.turned.contains(&p))
        };
        for (path, record) in &found.vanished {
            if moved_from.contains(path) || (!found.turned.is_empty() && cleared(path)) {
                continue;
            }
            self.remove(path, record);
            if rules_changed && source.stat(path).is_ok() {
                let reason = "leaves the mirror: the profile's rules no longer select it";
                self.plan.notes.push(Problem::new((*path).clone(), reason));
            }
        }
        for (path, record) in found.vanished_folders.iter().rev() {
            if found.turned.is_empty() || !cleared(path) {
                self.remove_folder(path, record);
            }
        }
    }
}

/// A folder's attributes; its extended ones were read just now.
fn folder_meta(entry: &Entry, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Meta {
    examine::meta_of(&entry.stat, xattrs, crate::text::clock::now_ns())
}

fn alike_but_time(a: &Meta, b: &Meta) -> bool {
    a.mode == b.mode && a.uid == b.uid && a.gid == b.gid && a.xattrs == b.xattrs
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
