//! What somebody put or changed in the mirror, found before a batch is written to the index.
//!
//! What cannot be published is taken out of the batch and named as a problem of its path: once a batch is in
//! the index it has to go through, so nothing may stop it there. It only looks; what holds nothing that would be
//! lost is set aside (`aside`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;

use crate::fs::tree::handle::Tree;
use crate::model::entry::Kind;
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::format::Format;
use crate::repository::index::change::Change;
use crate::repository::index::contents::Index;
use crate::repository::index::record::Record;
use crate::repository::layout;
use crate::repository::names::fold;
use crate::repository::versioning::Keeping;
use crate::transaction::aside;
use crate::transaction::steps::description;

/// Takes out of a batch that is about to be written what cannot be published since something stands in
/// the mirror that the record does not know: one file that somebody edited or put on the drive is a
/// problem of that file, and no reason to stop the backup. `blocked` are the paths that were taken out,
/// in earlier batches too; what lies below them is taken out as well. What was set aside instead is added to
/// `notes`.
pub(super) fn take_out_blocked(
    tree: &Tree,
    index: &Index,
    format: &Format,
    changes: Vec<Change>,
    blocked: &mut BTreeSet<RelPath>,
    notes: &mut Vec<Problem>,
    stop: &AtomicBool,
) -> Result<(Vec<Change>, Vec<Problem>), RepositoryError> {
    let mut problems = Vec::new();
    let mut look = Look {
        tree,
        index,
        format,
        stop,
        sound: BTreeSet::new(),
        empty: BTreeSet::new(),
        looked_into: BTreeSet::new(),
        freed: BTreeSet::new(),
        set_aside: BTreeSet::new(),
    };
    let mut stays = BTreeSet::new();
    let (mut kept, mut out) = (Vec::with_capacity(changes.len()), Vec::new());
    for change in changes {
        let path = change.path();
        // What was there is still there, so nothing else takes its place.
        if blocked.contains(path) {
            out.push(change);
            continue;
        }
        let below = !blocked.is_empty() && path.ancestors().any(|above| blocked.contains(&above));
        let reason = if below {
            Some("not backed up: its folder could not be made in the mirror".to_owned())
        } else if is_to_be_empty(&change, index) && has_below(blocked, path) {
            // A folder that keeps what could not leave it keeps its record, too.
            if let Change::RemoveFolder { .. } = change {
                out.push(change);
                continue;
            }
            Some(
                "not backed up: in the mirror there is a folder that could not be emptied"
                    .to_owned(),
            )
        } else {
            look.obstacle(&change)?.map(|what| {
                format!(
                    "not backed up: in the mirror on the drive {what}; it was left alone; move it away and run again"
                )
            })
        };
        let Some(reason) = reason else {
            look.will_be_gone(&change);
            kept.push(change);
            continue;
        };
        problems.push(Problem::new(path.clone(), reason));
        blocked.insert(path.clone());
        out.push(change);
    }
    notes.extend(look.set_aside.into_iter().map(aside_note));
    for change in out {
        if let Change::Put { stage, moved_from, .. } = change {
            tree.remove_file(&layout::staged(&stage))?;
            stays.extend(moved_from);
        }
    }
    // What was not moved to its new path does not leave its old one.
    kept.retain(|change| !matches!(change, Change::Remove { path } if stays.contains(path)));
    if !stays.is_empty() {
        kept.retain(
            |change| !matches!(change, Change::RemoveFolder { path } if has_below(&stays, path)),
        );
        blocked.append(&mut stays);
    }
    Ok((kept, problems))
}

/// What to say of a path that was free only after something had been set aside.
fn aside_note(path: RelPath) -> Problem {
    let text = "what stood in its place on the drive, empty or the beginning of what is there now, was set aside";
    Problem::new(path, text)
}

/// Whether a change takes for granted that nothing is left in the folder at its path.
fn is_to_be_empty(change: &Change, index: &Index) -> bool {
    match change {
        Change::RemoveFolder { .. } => true,
        Change::Put { path, .. } => is_folder(index, path),
        _ => false,
    }
}

fn is_folder(index: &Index, path: &RelPath) -> bool {
    index.records().get(path).is_some_and(|record| record.kind() == Kind::Folder)
}

fn has_below(paths: &BTreeSet<RelPath>, folder: &RelPath) -> bool {
    paths
        .range(folder..)
        .take_while(|path| path.as_bytes().starts_with(folder.as_bytes()))
        .any(|path| path.is_below(folder))
}

/// Looks at the mirror before a batch.
struct Look<'a> {
    tree: &'a Tree,
    index: &'a Index,
    format: &'a Format,
    stop: &'a AtomicBool,
    /// Folders that were looked at.
    sound: BTreeSet<RelPath>,
    /// Folders that have nothing in them, or are not there.
    empty: BTreeSet<RelPath>,
    /// Folders of which it is known whether they are empty.
    looked_into: BTreeSet<RelPath>,
    /// Places, folded, that the batch frees before it fills others.
    freed: BTreeSet<Vec<u8>>,
    /// Paths in whose place something was set aside.
    set_aside: BTreeSet<RelPath>,
}

/// What stands in the way of a change.
struct Obstacle {
    /// In words.
    what: String,
    /// Where it is, if it may leave when it holds nothing.
    at: Option<PathBuf>,
}

impl Obstacle {
    /// One that stays whatever it is.
    fn that_stays(what: &str) -> Self {
        Self { what: what.to_owned(), at: None }
    }
}

impl Look<'_> {
    /// What stands in the way of a change, in words, and holds something; `None` if nothing does.
    fn obstacle(&mut self, change: &Change) -> Result<Option<String>, RepositoryError> {
        let own = layout::mirror(change.place(self.index));
        let staged = match change {
            Change::Put { stage, .. } => Some(layout::staged(stage)),
            _ => None,
        };
        let mut looks = 0;
        loop {
            let Some(Obstacle { what, at }) = self.look(change)? else { return Ok(None) };
            let Some(at) = at.filter(|_| looks < aside::MOST_OF_A_NAME) else {
                return Ok(Some(what));
            };
            let coming = staged.as_deref().filter(|_| at == own);
            if !aside::clear(self.tree, self.format.keeps_versions, &at, coming, self.stop)? {
                return Ok(Some(what));
            }
            self.set_aside.insert(change.path().clone());
            looks += 1;
        }
    }

    /// What stands in the way of a change; `None` if nothing does.
    fn look(&mut self, change: &Change) -> Result<Option<Obstacle>, RepositoryError> {
        let index = self.index;
        let old = index.records().get(change.path());
        let was_folder = is_folder(index, change.path());
        let expected = old.and_then(Record::identity);
        let place = change.place(index);
        let arrives = matches!(change, Change::Put { .. } | Change::Folder { .. });
        let is_in_nothing = old.is_none() && arrives && self.is_in_nothing(change.path(), place);
        let looked = if is_in_nothing { Ok(None) } else { self.tree.stat(&layout::mirror(place)) };
        let found = match looked {
            // A link that this run turns into a folder leaves when the batch is published.
            Err(e) if e.is(Errno::LOOP) && is_below_a_link(index, change.path()) => None,
            Err(e) if e.is(Errno::LOOP) => {
                return Ok(Some(Obstacle::that_stays("a folder above it is a symbolic link now")));
            }
            // What an unclean end left on a drive without a journal. (A drive that is gone fails at the
            // next sync.)
            Err(e) if e.is(Errno::IO) && self.format.keeps_versions == Keeping::Displace => {
                return Ok(Some(Obstacle::that_stays(
                    "something cannot be read (the file system needs a check)",
                )));
            }
            other => other?,
        };
        // What has this name on the drive may be called otherwise in the source ("A" and "a").
        let found = found.filter(|_| old.is_some() || !self.freed.contains(&self.folded(place)));
        let as_recorded = found.is_some_and(|found| expected.is_some_and(|e| e.is(&found)));
        let is_new = arrives && found.is_none() && !is_in_nothing;
        if is_new && let Some(at) = self.no_folder_above(change.path(), place)? {
            let what = "a folder above it is something else now".to_owned();
            return Ok(Some(Obstacle { what, at: Some(at) }));
        }
        let stands_in_the_way = match change {
            Change::Put { path, .. } if was_folder && found.is_some() => self.has_foreign(path)?,
            Change::Put { .. } => !was_folder && found.is_some() && !as_recorded,
            Change::Remove { .. } => found.is_some() && !as_recorded,
            // A link that lives in the record alone has nothing there.
            Change::Note { version, .. } => *version && expected.is_some() && !as_recorded,
            Change::Folder { .. } => {
                expected.is_none() && found.is_some_and(|found| !found.file_type.is_dir())
            }
            Change::RemoveFolder { .. } | Change::Heal { .. } => false,
        };
        let may_leave = !was_folder && !matches!(change, Change::Note { .. });
        Ok(stands_in_the_way.then(|| Obstacle {
            what: description(found.as_ref()),
            at: may_leave.then(|| layout::mirror(place)),
        }))
    }

    /// Whether nothing can be at `path`, since nothing is in the folder that it lies in. A folder that nobody
    /// backed up to is looked into once, and not at each name.
    fn is_in_nothing(&mut self, path: &RelPath, place: &RelPath) -> bool {
        let (Some(above), Some(place)) = (path.parent(), place.parent()) else { return false };
        if self.empty.contains(&above) {
            return true;
        }
        if !self.looked_into.insert(above.clone()) {
            return false;
        }
        let next = self.index.records().starting_at(&above).find(|(path, _)| **path != above);
        if next.is_some_and(|(path, _)| path.is_below(&above)) {
            return false;
        }
        // What else it may be shows when the name is looked at.
        let is_empty = self.tree.list(&layout::mirror(&place), 0).is_ok();
        if is_empty {
            self.empty.insert(above);
        }
        is_empty
    }

    fn folded(&self, place: &RelPath) -> Vec<u8> {
        fold(self.format.names, place.as_bytes())
    }

    /// Takes note of what a change of the batch takes away.
    fn will_be_gone(&mut self, change: &Change) {
        if let Change::Remove { .. } | Change::RemoveFolder { .. } = change {
            let place = self.folded(change.place(self.index));
            self.freed.insert(place);
        }
    }

    /// Whether something in the mirror's folder for `path` is not in the index: it would stay when all
    /// that is leaves.
    fn has_foreign(&self, path: &RelPath) -> Result<bool, RepositoryError> {
        let place = self.index.place(path);
        let names = match self.tree.list(&layout::mirror(place), 1_000_000) {
            Err(e) if e.is(Errno::NOTDIR) || e.is(Errno::LOOP) => return Ok(true),
            other => other?,
        };
        let known = self.below(path);
        for name in names {
            let Ok(child) = RelPath::child(Some(place), &name) else {
                return Ok(true);
            };
            let foreign = match known.get(&child) {
                None => true,
                Some(path) if is_folder(self.index, path) => self.has_foreign(path)?,
                Some(_) => false,
            };
            if foreign {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which paths lie in the folder `path`, by their places.
    fn below(&self, path: &RelPath) -> BTreeMap<&RelPath, &RelPath> {
        let records = self.index.records().starting_at(path);
        let below = records
            .take_while(|(other, _)| other.as_bytes().starts_with(path.as_bytes()))
            .filter(|(other, _)| other.parent().as_ref() == Some(path));
        below.map(|(other, record)| (record.place(other), other)).collect()
    }

    /// What else than a folder is above `path` in the mirror, where it has `place`, and stays there.
    fn no_folder_above(
        &mut self,
        path: &RelPath,
        place: &RelPath,
    ) -> Result<Option<PathBuf>, RepositoryError> {
        for (above, place) in path.ancestors().zip(place.ancestors()) {
            if self.sound.contains(&above) {
                continue;
            }
            match self.tree.stat(&layout::mirror(&place))? {
                None => {
                    self.empty.extend(path.parent());
                    return Ok(None);
                }
                Some(found) if found.file_type.is_dir() => self.sound.insert(above),
                // A file that this run turns into a folder leaves when the batch is published.
                Some(found) => {
                    let known = self.index.records().get(&above).and_then(Record::identity);
                    let gone = self.freed.contains(&self.folded(&place));
                    let stays = !gone && !known.is_some_and(|known| known.is(&found));
                    return Ok(stays.then(|| layout::mirror(&place)));
                }
            };
        }
        Ok(None)
    }
}

fn is_below_a_link(index: &Index, path: &RelPath) -> bool {
    path.ancestors()
        .any(|above| index.records().get(&above).is_some_and(|record| record.kind() == Kind::Link))
}
