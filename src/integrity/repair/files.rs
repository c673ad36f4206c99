//! What a file or link on the drive tells: its content, its attributes, and the record that fits it.
//!
//! It only reads, and nothing of the drive is changed.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::fs::stat::Found;
use crate::integrity::repair::error::RepairError;
use crate::integrity::repair::repairer::{Repair, shown};
use crate::integrity::repair::replay::folded_record;
use crate::integrity::verify::reading::hash_files;
use crate::model::entry::Category;
use crate::model::relpath::RelPath;
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::versioning::Keeping;
use crate::source::open::xattrs_of as xattrs_on_drive;

impl Repair<'_> {
    /// Hashes files of the drive; those that cannot be read stay without.
    pub(super) fn hash(&mut self, files: Vec<(PathBuf, Found)>) -> Result<(), RepairError> {
        let links = self.keeping == Keeping::Hardlink;
        let mut first: HashMap<u64, PathBuf> = HashMap::new();
        let mut same: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut to_read = Vec::new();
        for (place, found) in files {
            if self.hashes.contains_key(&place) {
                continue;
            }
            if links && let Some(read) = first.get(&found.ino) {
                same.push((place, read.clone()));
                continue;
            }
            first.insert(found.ino, place.clone());
            to_read.push((place, found.size));
        }
        (self.tools.planned)(to_read.iter().map(|(_, size)| size).sum());
        let read = hash_files(self.tree, &to_read, self.tools.stop, self.tools.told)
            .map_err(RepairError::Workers)?
            .ok_or(RepairError::Stopped)?;
        for (place, hash) in read {
            match hash {
                Ok(hash) => {
                    self.hashes.insert(place, hash);
                }
                Err(why) => {
                    self.done.problems.push(format!("{}: cannot be read: {why}", shown(&place)));
                }
            }
        }
        for (place, read) in same {
            if let Some(hash) = self.hashes.get(&read).copied() {
                self.hashes.insert(place, hash);
            }
        }
        Ok(())
    }

    /// The record of a file or link at a place below `root`, whose content was read: as it is known for the
    /// path if that had this content, else as the file itself tells. `None` for all else.
    pub(super) fn record_of(
        &self,
        root: &Path,
        place: &RelPath,
        path: &RelPath,
        found: &Found,
    ) -> Option<Record> {
        let at = root.join(place.as_path());
        let content = self.content_at(&at, found)?;
        let known = self.known(path).find(|record| same_content(&record.content, &content));
        let stored = (place != path).then(|| place.clone());
        if let Some(mut record) = known {
            record.content = content;
            record.stored = stored.map(Box::new);
            return Some(record);
        }
        let meta = self.meta_on_drive(&at, found);
        let category = Category::Tracked;
        Some(Record {
            category,
            content,
            meta,
            brought_by: 0,
            listed: true,
            stored: stored.map(Box::new),
        })
    }

    /// The content of a file that was read, or of a link.
    pub(super) fn content_at(&self, at: &Path, found: &Found) -> Option<Content> {
        let ino = if self.keeping == Keeping::Hardlink { found.ino } else { 0 };
        if found.file_type.is_symlink() {
            let target = self.tree.read_link(at).ok().flatten()?;
            return Some(Content::Link { target, placed: ino });
        }
        let hash = *self.hashes.get(at)?;
        Some(Content::File { size: found.size, hash, placed: ino, unsettled: false })
    }

    /// What is known of a path: by the batch in flight, by the index, by the catalogs.
    pub(super) fn known(&self, path: &RelPath) -> impl Iterator<Item = Record> + '_ {
        let pending = self.pending.get(path).cloned().flatten();
        let old = self.old.records().get(path).cloned();
        let folded = self.fold.files.get(path).map(folded_record);
        pending.into_iter().chain(old).chain(folded)
    }

    /// Attributes as the drive's own file has them.
    fn meta_on_drive(&self, at: &Path, found: &Found) -> Meta {
        let mut meta = Meta {
            mtime_ns: found.mtime_ns,
            // The next run looks again.
            ctime_ns: 0,
            btime_ns: None,
            ino: 0,
            linked: false,
            mode: if found.file_type.is_symlink() { 0o120_777 } else { 0o100_600 },
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            xattrs: Box::default(),
        };
        if let Ok(Some(file)) = self.tree.open_file(at)
            && let Ok(stat) = file.metadata()
        {
            meta.mode = stat.mode();
            meta.uid = stat.uid();
            meta.gid = stat.gid();
            meta.xattrs = xattrs_on_drive(&file).unwrap_or_default().into();
        }
        meta
    }
}

/// Whether two contents are the same, wherever they lie.
pub(super) fn same_content(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (
            Content::File { size: a_size, hash: a, .. },
            Content::File { size: b_size, hash: b, .. },
        ) => a_size == b_size && a == b,
        (Content::Link { target: a, .. }, Content::Link { target: b, .. }) => a == b,
        (Content::Folder, Content::Folder) => true,
        _ => false,
    }
}
