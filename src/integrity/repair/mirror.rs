//! The records of what lies in the mirror, and of what should.
//!
//! It makes folders that the mirror lacks, and gives a file that only an increment has its name there back;
//! what is there is never changed or removed. The increments must be known first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::fs::stat::Found;
use crate::integrity::repair::error::RepairError;
use crate::integrity::repair::files::same_content;
use crate::integrity::repair::repairer::{Mirror, Repair, shown};
use crate::integrity::repair::replay::folded_record;
use crate::model::entry::{Category, Kind};
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{CatalogFolder, xattrs_of};
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::layout;
use crate::repository::versioning::Keeping;

type Records = BTreeMap<RelPath, Record>;

impl Repair<'_> {
    /// One record for each path that the mirror has, or should have.
    pub(super) fn records(&mut self, mirror: &Mirror) -> Result<Records, RepairError> {
        let root = Path::new(layout::MIRROR);
        let mut records = Records::new();
        let mut to_read = Vec::new();
        for (place, found) in mirror.iter().filter(|(_, found)| found.file_type.is_file()) {
            let path = self.path_at(place);
            match self.fitting(&path, found) {
                Some(record) => {
                    records.insert(path.clone(), self.settled(&path, place, record));
                }
                None => to_read.push((root.join(place.as_path()), *found)),
            }
        }
        self.hash(to_read)?;
        for (place, found) in mirror {
            let path = self.path_at(place);
            if records.contains_key(&path) {
                continue;
            }
            if self.whole && !self.is_known(&path) {
                if !found.file_type.is_dir() {
                    let line = format!("{}: is in no record", shown(&root.join(place.as_path())));
                    self.done.notes.push(line);
                }
                continue;
            }
            if let Some(record) = self.record_at(&path, place, found) {
                records.insert(path, record);
            }
        }
        self.missing(&mut records)?;
        Ok(records)
    }

    fn is_known(&self, path: &RelPath) -> bool {
        self.known(path).next().is_some() || self.fold.folders.contains_key(path)
    }

    /// A record whose file this is, by inode, length and time, so that it need not be read.
    fn fitting(&self, path: &RelPath, found: &Found) -> Option<Record> {
        let links = self.keeping == Keeping::Hardlink;
        self.known(path).filter(|_| links).find(|record| {
            let Content::File { size, placed, .. } = record.content else { return false };
            (placed, size, record.meta.mtime_ns) == (found.ino, found.size, found.mtime_ns)
        })
    }

    /// The record of what lies at a place of the mirror.
    fn record_at(&mut self, path: &RelPath, place: &RelPath, found: &Found) -> Option<Record> {
        let root = Path::new(layout::MIRROR);
        let at = root.join(place.as_path());
        if found.file_type.is_dir() {
            return Some(self.folder_at(path, place));
        }
        if !found.file_type.is_file() && !found.file_type.is_symlink() {
            let what = "is no file, link or folder; move it away";
            self.done.problems.push(format!("{}: {what}", shown(&at)));
            return None;
        }
        let Some(record) = self.record_of(root, place, path, found) else {
            // It cannot be read: that is said already. What is known of it stays.
            let mut record = self.known(path).find(|r| r.size() == found.size)?;
            if let (Content::File { placed, .. }, Keeping::Hardlink) =
                (&mut record.content, self.keeping)
            {
                *placed = found.ino;
            }
            return Some(self.settled(path, place, record));
        };
        if !self.known(path).any(|known| same_content(&known.content, &record.content)) {
            self.name_edited(path, &at, found);
        }
        Some(self.settled(path, place, record))
    }

    /// Says that a file of the mirror is none that was backed up, as far as is known.
    fn name_edited(&mut self, path: &RelPath, at: &Path, found: &Found) {
        let at = shown(at);
        if !self.whole {
            if self.is_known(path) {
                let line = format!("{at}: no increment lists this content; the next backup does");
                self.done.notes.push(line);
            }
            return;
        }
        let shared = if self.keeping == Keeping::Hardlink && found.nlink > 1 {
            "; versions in increments are the same file and damaged with it: `bkm-agent verify` names \
             them"
        } else {
            ""
        };
        let line = format!("{at}: is not what was backed up; the next backup replaces it{shared}");
        self.done.problems.push(line);
    }

    /// A record as the next run needs it: what no increment lists as it is, is listed by the next one.
    fn settled(&self, path: &RelPath, place: &RelPath, mut record: Record) -> Record {
        record.stored = (place != path).then(|| Box::new(place.clone()));
        if self.keeping == Keeping::Displace {
            no_inode(&mut record.content);
        }
        let folded = self.fold.files.get(path);
        if !self.whole || !self.is_known(path) {
            let tracked = folded.is_some();
            record.category = if tracked { Category::Tracked } else { Category::Mirrored };
        }
        let folded = folded.map(folded_record);
        let listed = folded.filter(|folded| same_content(&folded.content, &record.content));
        let exists = |sequence: u64| self.increments.iter().any(|i| i.sequence == sequence);
        match listed {
            Some(listed) if record.is_tracked() => {
                if !exists(record.brought_by) {
                    record.brought_by = listed.brought_by;
                }
                if !self.whole && !listed.meta.restores_like(&record.meta) {
                    record.meta = listed.meta;
                }
            }
            _ if record.is_tracked() => {
                record.brought_by = 0;
                record.meta.ctime_ns = 0;
            }
            _ if !exists(record.brought_by) => record.brought_by = 0,
            _ => {}
        }
        record
    }

    fn folder_at(&self, path: &RelPath, place: &RelPath) -> Record {
        let folded = self.fold.folders.get(path);
        let known = self.pending.get(path).cloned().flatten();
        let known = known.or_else(|| self.old.records().get(path).cloned());
        let known = known.filter(|record| record.kind() == Kind::Folder);
        let tracked = if folded.is_some() { Category::Tracked } else { Category::Mirrored };
        let (category, meta) = match (known, folded) {
            (Some(known), _) if self.whole => (known.category, known.meta),
            (Some(known), _) => (tracked, known.meta),
            (None, Some(folded)) => (tracked, folder_meta(folded)),
            (None, None) => (tracked, self.folder_on_drive(place)),
        };
        let listed = folded.is_some_and(|folded| folder_meta(folded).restores_like(&meta));
        Record {
            listed: listed || category == Category::Mirrored,
            category,
            content: Content::Folder,
            meta,
            brought_by: 0,
            stored: (place != path).then(|| Box::new(place.clone())),
        }
    }

    fn folder_on_drive(&self, place: &RelPath) -> Meta {
        let folder = self.tree.subtree(&layout::mirror(place)).ok().flatten();
        let stat = folder.and_then(|folder| rustix::fs::fstat(folder.handle()).ok());
        let (mode, uid, gid) =
            stat.map_or((0o40_755, 0, 0), |stat| (stat.st_mode, stat.st_uid, stat.st_gid));
        folder_meta(&CatalogFolder { mode, uid, gid, mtime_ns: 0, xattrs: BTreeMap::new() })
    }

    /// What the records have and the mirror has not.
    fn missing(&mut self, records: &mut Records) -> Result<(), RepairError> {
        let mut paths: BTreeSet<RelPath> =
            self.fold.files.keys().chain(self.fold.folders.keys()).cloned().collect();
        if self.whole {
            paths.retain(|path| self.pending.contains_key(path));
            paths.extend(self.old.records().keys().cloned());
        } else {
            // Links that no catalog lists are nowhere else.
            let old = self.old.records().iter();
            let links = old.filter(|(_, record)| is_in_record_alone(record));
            paths.extend(links.map(|(path, _)| path.clone()));
        }
        for path in paths {
            if records.contains_key(&path) {
                continue;
            }
            let folded = self.fold.files.contains_key(&path);
            let removed = matches!(self.pending.get(&path), Some(None));
            // The batch that was cut off had taken it away, and its increment says so.
            if removed && !folded && self.keeping == Keeping::Hardlink {
                continue;
            }
            match self.newest(&path) {
                Some(record) if record.kind() != Kind::Folder => {
                    if let Some(record) = self.brought_back(&path, record)? {
                        records.insert(path, record);
                    }
                }
                _ => {
                    let place = self.old.place(&path).clone();
                    let mirror = layout::mirror(&place);
                    if self.tree.create_folders(&mirror, 0o755).is_ok() {
                        records.insert(path.clone(), self.folder_at(&path, &place));
                    }
                }
            }
        }
        Ok(())
    }

    /// What a path that the mirror lacks was last. The newest catalog knows better than an old part of the
    /// index.
    fn newest(&self, path: &RelPath) -> Option<Record> {
        if self.whole {
            return self.known(path).next();
        }
        let Some(folded) = self.fold.files.get(path).map(folded_record) else {
            let is_folder = self.fold.folders.contains_key(path);
            return self.known(path).find(|record| !is_folder && is_in_record_alone(record));
        };
        let mut known = self.known(path);
        known.find(|record| same_content(&record.content, &folded.content)).or(Some(folded))
    }

    /// The record of a file or link that the mirror lacks; `None` if the next run is to take it as new. Gives
    /// it its name in the mirror again where an increment has it.
    fn brought_back(
        &mut self,
        path: &RelPath,
        record: Record,
    ) -> Result<Option<Record>, RepairError> {
        let place = record.place(path).clone();
        let mut record = self.settled(path, &place, record);
        let mirror = layout::mirror(&place);
        let displace = self.keeping == Keeping::Displace;
        if let Content::Link { placed, .. } = &record.content
            && (displace || *placed == 0 && self.whole)
        {
            return Ok(Some(record));
        }
        let mut increments = Vec::new();
        increments.extend(self.fold.files.get(path).map(|folded| folded.listed_in.clone()));
        let by = self.increments.iter().find(|i| i.sequence == record.brought_by);
        increments.extend(by.map(|increment| increment.name.clone()));
        let tracks: Vec<PathBuf> = increments.iter().map(|i| layout::track(i, &place)).collect();
        for track in tracks {
            let Ok(Some(found)) = self.tree.stat(&track) else { continue };
            if found.file_type.is_file() {
                self.hash(vec![(track.clone(), found)])?;
            }
            let content = self.content_at(&track, &found);
            let Some(content) = content.filter(|c| same_content(c, &record.content)) else {
                continue;
            };
            if displace {
                // The next run finds other attributes than these, and brings it to the mirror again.
                record.meta.mtime_ns = record.meta.mtime_ns.saturating_sub(1);
                return Ok(Some(record));
            }
            let parent = mirror.parent().unwrap_or(Path::new(""));
            let linked = self
                .tree
                .create_folders(parent, 0o755)
                .and_then(|()| self.tree.link(&track, &mirror));
            if linked.is_ok() {
                self.done.done.push(format!("{}: is in the mirror again", shown(&mirror)));
                record.content = content;
                return Ok(Some(record));
            }
        }
        if record.kind() == Kind::File || self.whole {
            let what = "is missing, and no increment has it; the next backup copies it again";
            self.done.problems.push(format!("{}: {what}", shown(&mirror)));
        }
        if !record.is_tracked() {
            return Ok(None);
        }
        // So it is looked at, copied and listed; or listed as deleted.
        record.brought_by = 0;
        record.meta.ctime_ns = 0;
        if let Content::Link { placed, .. } = &mut record.content {
            *placed = 0;
        }
        Ok(Some(record))
    }
}

fn is_in_record_alone(record: &Record) -> bool {
    matches!(record.content, Content::Link { placed: 0, .. })
}

/// Inodes mean nothing where versions are moved.
fn no_inode(content: &mut Content) {
    if let Content::File { placed, .. } | Content::Link { placed, .. } = content {
        *placed = 0;
    }
}

fn folder_meta(folder: &CatalogFolder) -> Meta {
    Meta {
        mtime_ns: folder.mtime_ns,
        ctime_ns: 0,
        btime_ns: None,
        ino: 0,
        linked: false,
        mode: folder.mode,
        uid: folder.uid,
        gid: folder.gid,
        xattrs: xattrs_of(&folder.xattrs).into(),
    }
}
