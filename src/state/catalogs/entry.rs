//! What a catalog says, as it is kept on this computer: one version of a file after the other, small, and
//! read without copying.
//!
//! It only turns catalogs into this form and back; the file is `file`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{self, Catalog, CatalogEntry, EntryCategory};
use crate::repository::index::increment::Increment;
use crate::repository::index::record::{Content, Record};

/// What a version is to its increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// New or changed.
    Tracked,
    /// The last version of a file that vanished.
    Deleted,
    /// In the mirror alone, without history. Of the index, never of a catalog.
    Mirrored,
}

/// One version of a file or link. Paths are exact bytes, not checked: see [`Entry::to_catalog`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// Path below the source.
    pub path: &'a [u8],
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// New or changed, or vanished.
    pub role: Role,
    /// BLAKE3 of the content, 32 bytes; links have none.
    #[serde(borrow)]
    pub hash: Option<&'a [u8]>,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The earlier increment that brought the content.
    #[serde(borrow)]
    pub content_in: Option<&'a str>,
    /// The path that it had before.
    #[serde(borrow)]
    pub moved_from: Option<&'a [u8]>,
    /// Its path on the drive, where that is another.
    #[serde(borrow)]
    pub stored_as: Option<&'a [u8]>,
    /// Where a symbolic link points.
    #[serde(borrow)]
    pub target: Option<&'a [u8]>,
    /// Files of one increment with the same text are hard links to one another.
    #[serde(borrow)]
    pub hardlink: Option<&'a str>,
    /// The source changed while it was read.
    pub unsettled: bool,
    /// The Python tool may have overwritten the content, and nobody has hashed it yet.
    pub unproven: bool,
    /// The Python tool did overwrite the content.
    pub overwritten: bool,
    /// Where it lies in an increment of the Python tool, if not where such entries lie in ours.
    #[serde(borrow)]
    pub lies_at: Option<&'a [u8]>,
    /// Where the content lies in the increment, as the catalog says.
    pub backup_path: &'a str,
    /// Extended attributes: name and value as the catalog spells them.
    #[serde(borrow)]
    pub xattrs: Vec<(&'a str, &'a str)>,
}

impl Entry<'_> {
    /// Hands `path` and what a catalog says of it to `take`.
    pub fn of_catalog<T>(
        path: &RelPath,
        entry: &CatalogEntry,
        take: impl FnOnce(&Entry<'_>) -> T,
    ) -> T {
        let (hash, target) = (entry.hash(), entry.target());
        take(&Entry {
            path: path.as_bytes(),
            size: entry.size,
            mtime_ns: mtime_ns(entry),
            role: match entry.category {
                EntryCategory::Tracked => Role::Tracked,
                EntryCategory::Deleted => Role::Deleted,
            },
            hash: hash.as_ref().map(<[u8; 32]>::as_slice),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            content_in: entry.content_in.as_deref(),
            moved_from: entry.moved_from.as_ref().map(RelPath::as_bytes),
            stored_as: entry.stored_as.as_ref().map(RelPath::as_bytes),
            target: target.as_deref(),
            hardlink: entry.hardlink.as_deref(),
            unsettled: entry.unsettled,
            unproven: entry.unproven,
            overwritten: entry.overwritten,
            lies_at: entry.lies_at.as_ref().map(RelPath::as_bytes),
            backup_path: &entry.backup_path,
            xattrs: entry.xattrs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
        })
    }

    /// Hands a path of the mirror that has no history to `take`; `None` for folders and what is tracked.
    pub fn of_mirror<T>(
        path: &RelPath,
        record: &Record,
        take: impl FnOnce(&Entry<'_>) -> T,
    ) -> Option<T> {
        let (hash, target, unsettled) = match &record.content {
            _ if record.is_tracked() => return None,
            Content::Folder => return None,
            Content::File { hash, unsettled, .. } => (Some(hash.as_slice()), None, *unsettled),
            Content::Link { target, .. } => (None, Some(target.as_slice()), false),
        };
        Some(take(&Entry {
            path: path.as_bytes(),
            size: record.size(),
            mtime_ns: record.meta.mtime_ns,
            role: Role::Mirrored,
            hash,
            mode: record.meta.mode,
            uid: record.meta.uid,
            gid: record.meta.gid,
            content_in: None,
            moved_from: None,
            stored_as: record.stored.as_ref().map(|stored| stored.as_bytes()),
            target,
            hardlink: None,
            unsettled,
            unproven: false,
            overwritten: false,
            lies_at: None,
            backup_path: "",
            xattrs: Vec::new(),
        }))
    }

    /// The same as in a catalog, times in `zone`; `None` if it has a path that is none.
    pub fn to_catalog(&self, zone: &TimeZone) -> Option<(RelPath, CatalogEntry)> {
        let path = RelPath::new(self.path).ok()?;
        let optional = |bytes: Option<&[u8]>| bytes.map(RelPath::new).transpose().ok();
        let target = self.target.map(|target| (String::from_utf8_lossy(target), target));
        let exact = |target: &[u8]| std::str::from_utf8(target).is_ok();
        let (mtime_iso, mtime_date) = document::time_texts(self.mtime_ns, zone);
        let entry = CatalogEntry {
            size: self.size,
            mtime: self.mtime_ns as f64 / 1e9,
            mtime_iso,
            mtime_date,
            category: match self.role {
                Role::Deleted => EntryCategory::Deleted,
                Role::Tracked | Role::Mirrored => EntryCategory::Tracked,
            },
            backup_path: self.backup_path.to_owned(),
            blake3: self.hash.map(document::hex),
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime_ns: self.mtime_ns,
            path_bytes: path.to_key().starts_with('/').then(|| document::hex(self.path)),
            content_in: self.content_in.map(str::to_owned),
            link_target: target.as_ref().map(|(text, _)| text.clone().into_owned()),
            link_target_bytes: target.and_then(|(_, t)| (!exact(t)).then(|| document::hex(t))),
            xattrs: self.xattrs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            hardlink: self.hardlink.map(str::to_owned),
            moved_from: optional(self.moved_from)?,
            unsettled: self.unsettled,
            stored_as: optional(self.stored_as)?,
            unproven: self.unproven,
            overwritten: self.overwritten,
            lies_at: optional(self.lies_at)?,
        };
        Some((path, entry))
    }

    /// The folder that the path lies in, and its name there.
    pub fn split(&self) -> (&[u8], &[u8]) {
        split(self.path)
    }
}

/// Folder and name of a path; the folder of a name alone is empty.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// Nanoseconds since 1970; the Python tool's catalogs have seconds alone.
fn mtime_ns(entry: &CatalogEntry) -> i64 {
    if entry.mtime_ns != 0 || !entry.mtime.is_finite() {
        return entry.mtime_ns;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast holds what is too large")]
    let ns = (entry.mtime * 1e9) as i64;
    ns
}

/// The entries of a catalog, folder by folder.
pub fn by_folder(files: &BTreeMap<RelPath, CatalogEntry>) -> Vec<(&RelPath, &CatalogEntry)> {
    let mut entries: Vec<_> = files.iter().collect();
    entries.sort_by(|(a, _), (b, _)| split(a.as_bytes()).cmp(&split(b.as_bytes())));
    entries
}

/// An increment and what its catalog comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which increment, as the index lists it.
    pub increment: Increment,
    /// How often its catalog was written anew ([`crate::repository::index::contents::Index::revision`]).
    pub revision: u32,
    /// When its run started, as the catalog says.
    pub timestamp: String,
    /// What it has.
    pub counts: Counts,
}

/// What a catalog comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All entries.
    pub entries: u64,
    /// Files with content that this increment brought.
    pub new_or_changed: u64,
    /// Files with content of before: their path or attributes changed, or they are tracked from then on.
    pub moved_or_touched: u64,
    /// Files that vanished.
    pub deleted: u64,
    /// Bytes that this increment brought.
    pub size: u64,
    /// How many problems the run had.
    pub problems: u64,
    /// Versions that the Python tool may have overwritten, and that nobody has hashed yet.
    pub unproven: u64,
    /// Versions that the Python tool did overwrite.
    pub overwritten: u64,
}

impl Counts {
    /// Counts a catalog.
    pub fn of(catalog: &Catalog) -> Self {
        let mut counts = Self { problems: catalog.problems.len() as u64, ..Self::default() };
        for entry in catalog.file_catalog.values() {
            counts.entries += 1;
            counts.unproven += u64::from(entry.unproven);
            counts.overwritten += u64::from(entry.overwritten);
            match (entry.category, &entry.content_in) {
                (EntryCategory::Deleted, _) => counts.deleted += 1,
                (EntryCategory::Tracked, Some(_)) => counts.moved_or_touched += 1,
                (EntryCategory::Tracked, None) => {
                    counts.new_or_changed += 1;
                    counts.size = counts.size.saturating_add(entry.size);
                }
            }
        }
        counts
    }
}
