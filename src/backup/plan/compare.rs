//! Compares a scan with the index: what is new, changed, gone, or has to be looked at. Pure: values in,
//! values out.

use std::collections::BTreeSet;

use crate::model::entry::{Category, Kind, Stat};
use crate::model::relpath::RelPath;
use crate::repository::index::record::Record;
use crate::source::entry::Entry;

/// The differences; every list in the order of paths.
#[derive(Debug, Default)]
pub(super) struct Comparison<'s, 'i> {
    /// Files and links that were not there.
    pub(super) new: Vec<&'s Entry>,
    /// Files whose size or time differs, links that were replaced.
    pub(super) changed: Vec<(&'s Entry, &'i Record)>,
    /// Files and links whose content may be the same: to be read.
    pub(super) suspect: Vec<(&'s Entry, &'i Record)>,
    /// Files and links that are the same but for their category.
    pub(super) recategorised: Vec<(&'s Entry, &'i Record)>,
    /// Files and links of the index that the source has no longer.
    pub(super) vanished: Vec<(&'i RelPath, &'i Record)>,
    /// Folders that were not there.
    pub(super) new_folders: Vec<&'s Entry>,
    /// Folders whose attributes may differ.
    pub(super) suspect_folders: Vec<(&'s Entry, &'i Record)>,
    /// Folders that no increment lists as they are.
    pub(super) unlisted_folders: Vec<(&'s Entry, &'i Record)>,
    /// Folders of the index that the source has no longer.
    pub(super) vanished_folders: Vec<(&'i RelPath, &'i Record)>,
    /// Paths that were a folder and are a file or link now, or the other way round.
    pub(super) turned: BTreeSet<&'i RelPath>,
    /// Files and links that are as they were.
    pub(super) unchanged: u64,
}

/// Compares `entries` (sorted by path) with the index's records. What lies at or below a path of
/// `unknown` (sorted) could not be read and is left as it is. `stable_inodes` says whether the
/// source's inode numbers and change times mean anything.
pub(super) fn compare<'s, 'i>(
    entries: &'s [Entry],
    records: impl Iterator<Item = (&'i RelPath, &'i Record)>,
    unknown: &[RelPath],
    stable_inodes: bool,
) -> Comparison<'s, 'i> {
    let mut found = Comparison::default();
    let unknown: BTreeSet<&RelPath> = unknown.iter().collect();
    let mut records = records.peekable();
    let gone = |found: &mut Comparison<'s, 'i>, path: &'i RelPath, record: &'i Record| {
        let kept = !unknown.is_empty()
            && (unknown.contains(path)
                || path.ancestors().any(|above| unknown.contains(&above))
                || (record.kind() == Kind::Folder && unknown.iter().any(|u| u.is_below(path))));
        match (kept, record.kind()) {
            (true, Kind::Folder) => {}
            (true, _) => found.unchanged += 1,
            (false, Kind::Folder) => found.vanished_folders.push((path, record)),
            (false, _) => found.vanished.push((path, record)),
        }
    };
    for entry in entries {
        while let Some((path, record)) = records.next_if(|(path, _)| **path < entry.path) {
            gone(&mut found, path, record);
        }
        match records.next_if(|(path, _)| **path == entry.path) {
            None if entry.stat.kind == Kind::Folder => found.new_folders.push(entry),
            None => found.new.push(entry),
            Some((path, record)) => found.same_path(entry, path, record, stable_inodes),
        }
    }
    for (path, record) in records {
        gone(&mut found, path, record);
    }
    found
}

impl<'s, 'i> Comparison<'s, 'i> {
    fn same_path(
        &mut self,
        entry: &'s Entry,
        path: &'i RelPath,
        record: &'i Record,
        stable_inodes: bool,
    ) {
        let stat = &entry.stat;
        let attributes_differ = attributes_differ(stat, record, stable_inodes);
        match (stat.kind, record.kind()) {
            (Kind::Folder, Kind::Folder) => {
                if attributes_differ || entry.category != record.category {
                    self.suspect_folders.push((entry, record));
                } else if !record.listed && record.category == Category::Tracked {
                    self.unlisted_folders.push((entry, record));
                }
            }
            (Kind::Folder, _) => {
                self.turned.insert(path);
                self.vanished.push((path, record));
                self.new_folders.push(entry);
            }
            (_, Kind::Folder) => {
                self.turned.insert(path);
                self.vanished_folders.push((path, record));
                self.new.push(entry);
            }
            (now, before) if now != before => self.changed.push((entry, record)),
            (_, _) if stat.size != record.size() => self.changed.push((entry, record)),
            (_, _) => {
                if attributes_differ || (stable_inodes && stat.ino != record.meta.ino) {
                    self.suspect.push((entry, record));
                } else if entry.category != record.category {
                    self.recategorised.push((entry, record));
                } else {
                    self.unchanged += 1;
                }
            }
        }
    }
}

/// Whether an entry of the source is as `record` says, so that nothing is to be done about it. Not asked of
/// folders.
pub(super) fn is_as_it_was(
    category: Category,
    stat: &Stat,
    record: &Record,
    stable_inodes: bool,
) -> bool {
    stat.kind == record.kind()
        && stat.size == record.size()
        && category == record.category
        && (!stable_inodes || stat.ino == record.meta.ino)
        && !attributes_differ(stat, record, stable_inodes)
}

fn attributes_differ(stat: &Stat, record: &Record, stable_inodes: bool) -> bool {
    let meta = &record.meta;
    stat.mode != meta.mode
        || stat.uid != meta.uid
        || stat.gid != meta.gid
        || stat.mtime_ns != meta.mtime_ns
        // An unknown one also asks for another look where change times say nothing.
        || ((stable_inodes || meta.ctime_ns == 0) && stat.ctime_ns != meta.ctime_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Stat;
    use crate::repository::index::record::{Content, Meta};

    #[test]
    fn what_was_read_too_soon_is_looked_at_again_also_without_stable_inodes() {
        let path = RelPath::new(b"file").unwrap();
        let stat = Stat {
            kind: Kind::File,
            size: 3,
            mtime_ns: 1_700_000_000_000_000_000,
            ctime_ns: 1_700_000_000_000_000_000,
            btime_ns: None,
            dev: 1,
            ino: 1,
            nlink: 1,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            blocks: 8,
        };
        let mut meta = Meta::new(&stat, Vec::new());
        let entry = Entry { path: path.clone(), category: Category::Tracked, stat };
        let found = |meta: &Meta| {
            let content = Content::File { size: 3, hash: [0; 32], placed: 1, unsettled: false };
            let (category, meta) = (Category::Tracked, meta.clone());
            let record =
                Record { category, content, meta, brought_by: 1, listed: true, stored: None };
            let records = [(&path, &record)].into_iter();
            compare(std::slice::from_ref(&entry), records, &[], false).suspect.len()
        };
        meta.ctime_ns = 5;
        assert_eq!(found(&meta), 0, "another change time says nothing");
        meta.ctime_ns = 0;
        assert_eq!(found(&meta), 1);
    }
}
