//! The catalog: the JSON in an increment that lists its files.
//!
//! Its fields are a superset of the Python backup-manager's (`docs/format.md`, "Catalog"). What is
//! read back comes from a drive and is checked field by field; nothing in it is used as a path but through
//! [`RelPath`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::index::contents::Index;
use crate::repository::index::open::{Closing, Entry as IndexEntry, OpenIncrement};
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::layout;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;

/// What a file's entry says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryCategory {
    /// New or changed.
    Tracked,
    /// It vanished from the source.
    Deleted,
}

/// One file or link in a catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// Length in bytes.
    pub size: u64,
    /// Modification time in seconds since 1970, for the Python tool.
    pub mtime: f64,
    /// The same for people.
    #[serde(default)]
    pub mtime_iso: String,
    /// Its day.
    #[serde(default)]
    pub mtime_date: String,
    /// New, changed or vanished.
    pub category: EntryCategory,
    /// Where its content lies in the increment.
    pub backup_path: String,
    /// Hash of the content; links have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Type and permission bits.
    #[serde(default)]
    pub mode: u32,
    /// Owner.
    #[serde(default)]
    pub uid: u32,
    /// Group.
    #[serde(default)]
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    #[serde(default)]
    pub mtime_ns: i64,
    /// Exact bytes of the path in hexadecimal, where the key cannot show them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// The earlier increment that brought the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_in: Option<String>,
    /// Where a symbolic link points, readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<String>,
    /// The same in hexadecimal where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target_bytes: Option<String>,
    /// Extended attributes: name to value in hexadecimal.
    #[serde(
        default,
        deserialize_with = "crate::model::budget::texts",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub xattrs: BTreeMap<String, String>,
    /// Files of one increment with the same text here are hard links to one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardlink: Option<String>,
    /// The path that it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<RelPath>,
    /// The source changed while it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
    /// Its path on the drive, where the drive cannot have the true one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_as: Option<RelPath>,
    /// The Python tool may have overwritten its content, which nobody has hashed yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
    /// The Python tool did overwrite its content: what lies there is a later version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwritten: bool,
    /// Where it lies in an increment of the Python tool, if not where such entries lie in ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lies_at: Option<RelPath>,
}

/// One folder in a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogFolder {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes: name to value in hexadecimal.
    #[serde(
        default,
        deserialize_with = "crate::model::budget::texts",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub xattrs: BTreeMap<String, String>,
}

/// A catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// Always "1.0": the Python tool's version of the shape.
    pub version: String,
    /// Always "incremental".
    pub backup_type: String,
    /// The increment's name.
    pub backup_name: String,
    /// When its run started, with UTC offset.
    pub backup_timestamp: String,
    /// Place in the order of increments.
    pub sequence: u64,
    /// Whether it is a point in time.
    pub status: Status,
    /// Files and links by path.
    pub file_catalog: BTreeMap<RelPath, CatalogEntry>,
    /// Folders that are new or changed, by path.
    #[serde(default)]
    pub folders: BTreeMap<RelPath, CatalogFolder>,
    /// Folders that vanished.
    #[serde(default)]
    pub removed_folders: Vec<RelPath>,
    /// Files that are only mirrored from then on.
    #[serde(default)]
    pub ended: Vec<RelPath>,
    /// Paths that left with an increment that was pruned, or of which no version is kept any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<RelPath>,
    /// What could not be backed up.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// What was left out on purpose.
    #[serde(default)]
    pub notes: Vec<Problem>,
    /// Counts, for the Python tool.
    #[serde(default)]
    pub summary: Summary,
    /// Totals, for the Python tool.
    #[serde(default)]
    pub statistics: Statistics,
}

/// Counts of a catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Entries of category `tracked`.
    pub new_or_changed_tracked: u64,
    /// Entries of category `deleted`.
    pub deleted_tracked: u64,
    /// All entries.
    pub total_operations: u64,
}

/// Totals of a catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// All entries.
    pub total_files: u64,
    /// Bytes of the entries of category `tracked`.
    pub total_size: u64,
}

/// The catalog of the open increment.
pub(crate) fn of_open(
    index: &Index,
    open: &OpenIncrement,
    closing: &Closing,
    keeping: Keeping,
) -> Catalog {
    let mut catalog = Catalog {
        version: "1.0".to_owned(),
        backup_type: "incremental".to_owned(),
        backup_name: open.mark.name.clone(),
        backup_timestamp: open.mark.timestamp.clone(),
        sequence: open.mark.sequence,
        status: closing.status,
        file_catalog: files(index, open, keeping),
        folders: folders(&open.folders),
        removed_folders: open.removed_folders.clone(),
        ended: open.ended.clone(),
        gone: Vec::new(),
        problems: closing.problems.clone(),
        notes: closing.notes.clone(),
        summary: Summary::default(),
        statistics: Statistics::default(),
    };
    catalog.count();
    catalog
}

fn files(index: &Index, open: &OpenIncrement, keeping: Keeping) -> BTreeMap<RelPath, CatalogEntry> {
    let zone = TimeZone::system();
    let listed: Vec<_> = open.entries.iter().collect();
    let entries = listed.into_par_iter().filter_map(|(path, entry)| {
        let (record, category, moved_from) = match entry {
            IndexEntry::Version { moved_from } => {
                (index.records().get(path)?, EntryCategory::Tracked, moved_from.clone())
            }
            IndexEntry::Deleted(record) => (record.as_ref(), EntryCategory::Deleted, None),
        };
        let content_in = (record.brought_by != open.mark.sequence)
            .then(|| index.increment_name(record.brought_by))
            .flatten();
        // What is displaced when it is deleted goes to the increment that brought it.
        let folder = match (category, keeping) {
            (EntryCategory::Deleted, Keeping::Hardlink) => "deleted",
            _ => "track",
        };
        let mut entry = entry_of(path, record, category, folder, &zone);
        entry.moved_from = moved_from;
        entry.content_in = content_in.map(str::to_owned);
        Some((path.clone(), entry))
    });
    // Collected by each thread, then put in order: a tree alone would be built by one.
    entries.collect::<Vec<_>>().into_iter().collect()
}

fn folders(records: &BTreeMap<RelPath, Record>) -> BTreeMap<RelPath, CatalogFolder> {
    let folder = |(path, record): (&RelPath, &Record)| {
        let Meta { mode, uid, gid, mtime_ns, xattrs, .. } = &record.meta;
        let xattrs = xattrs_text(xattrs);
        let folder =
            CatalogFolder { mode: *mode, uid: *uid, gid: *gid, mtime_ns: *mtime_ns, xattrs };
        (path.clone(), folder)
    };
    records.iter().map(folder).collect()
}

pub(crate) fn entry_of(
    path: &RelPath,
    record: &Record,
    category: EntryCategory,
    folder: &str,
    zone: &TimeZone,
) -> CatalogEntry {
    let meta = &record.meta;
    let (mtime_iso, mtime_date) = time_texts(meta.mtime_ns, zone);
    let key = path.to_key();
    let is_text = !key.starts_with('/');
    let (blake3, link_target, link_target_bytes, unsettled) = match &record.content {
        Content::File { hash, unsettled, .. } => (Some(hex(hash)), None, None, *unsettled),
        Content::Link { target, .. } => {
            let text = String::from_utf8_lossy(target).into_owned();
            let exact = std::str::from_utf8(target).is_ok();
            (None, Some(text), (!exact).then(|| hex(target)), false)
        }
        Content::Folder => (None, None, None, false),
    };
    CatalogEntry {
        size: record.size(),
        mtime: meta.mtime_ns as f64 / 1e9,
        mtime_iso,
        mtime_date,
        category,
        backup_path: format!("{folder}/{}", record.place(path).to_key().trim_start_matches('/')),
        blake3,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime_ns: meta.mtime_ns,
        path_bytes: (!is_text).then(|| hex(path.as_bytes())),
        content_in: None,
        link_target,
        link_target_bytes,
        xattrs: xattrs_text(&meta.xattrs),
        hardlink: meta.linked.then(|| meta.ino.to_string()),
        moved_from: None,
        unsettled,
        stored_as: record.stored.as_deref().cloned(),
        unproven: false,
        overwritten: false,
        lies_at: None,
    }
}

impl Catalog {
    /// The paths that are not part of the tree any more, unless the catalog lists them anew: they leave before
    /// what it lists comes.
    pub fn leaving(&self) -> impl Iterator<Item = &RelPath> {
        let deleted = self.file_catalog.iter();
        let deleted = deleted.filter(|(_, entry)| entry.category == EntryCategory::Deleted);
        let deleted = deleted.map(|(path, _)| path);
        deleted.chain(&self.removed_folders).chain(&self.ended).chain(&self.gone)
    }

    /// Counts its entries anew.
    pub fn count(&mut self) {
        let tracked = |e: &&CatalogEntry| e.category == EntryCategory::Tracked;
        let all = self.file_catalog.len() as u64;
        let new = self.file_catalog.values().filter(tracked).count() as u64;
        let sizes = self.file_catalog.values().filter(tracked).map(|entry| entry.size);
        let total_size = sizes.fold(0, u64::saturating_add);
        self.summary = Summary {
            new_or_changed_tracked: new,
            deleted_tracked: all - new,
            total_operations: all,
        };
        self.statistics = Statistics { total_files: all, total_size };
    }
}

impl CatalogEntry {
    /// Where a symbolic link points; `None` for a file.
    pub fn target(&self) -> Option<Vec<u8>> {
        match (&self.link_target_bytes, &self.link_target) {
            (Some(hexed), _) => unhex(hexed),
            (None, Some(text)) => Some(text.clone().into_bytes()),
            (None, None) => None,
        }
    }

    /// The hash of the content; `None` for links, or if the text is none.
    pub fn hash(&self) -> Option<[u8; 32]> {
        self.blake3.as_deref().and_then(unhex)?.try_into().ok()
    }
}

/// Extended attributes as they were recorded; values that are not hexadecimal are dropped.
pub fn xattrs_of(text: &BTreeMap<String, String>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let exact = |(name, value): (&String, &String)| {
        Some((RelPath::from_key(name).ok()?.as_bytes().to_vec(), unhex(value)?))
    };
    text.iter().filter_map(exact).collect()
}

/// Extended attributes as a catalog has them.
pub fn xattrs_text(xattrs: &[(Vec<u8>, Vec<u8>)]) -> BTreeMap<String, String> {
    // Names of attributes are spelled as paths are: plain where they are UTF-8, injective else.
    let text =
        |(name, value): &(Vec<u8>, Vec<u8>)| Some((RelPath::new(name).ok()?.to_key(), hex(value)));
    xattrs.iter().filter_map(text).collect()
}

/// A modification time for people and its day, in `zone`.
pub(crate) fn time_texts(ns: i64, zone: &TimeZone) -> (String, String) {
    let time = local(ns, zone);
    let iso = time.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
    let date = iso.split_once('T').map_or("", |(date, _)| date).to_owned();
    (iso, date)
}

/// Local time of nanoseconds since 1970; times outside jiff's years are held at its ends.
fn local(ns: i64, zone: &TimeZone) -> jiff::ZonedDateTime {
    let time = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned_datetime(zone.clone())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |d: u8| char::from_digit(d.into(), 16).unwrap_or('0');
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]));
    text
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// The path of a catalog, for messages and for reading.
pub(crate) fn path_of(increment: &str) -> std::path::PathBuf {
    layout::catalog(increment)
}
