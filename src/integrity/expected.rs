//! What the records say must be on the drive, and where: one value per version of a file, link or folder.
//!
//! Pure: it looks at nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::integrity::damage::Recorded;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, CatalogEntry, EntryCategory, xattrs_of};
use crate::repository::index::contents::Index;
use crate::repository::index::record::{Content, Record};
use crate::repository::placement::Within;
use crate::repository::versioning::Keeping;

/// One version, as a record says that it is.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// The source's path.
    pub(super) path: RelPath,
    /// The path on the drive, in whichever folder.
    pub(super) place: RelPath,
    /// The increment that lists it; `None`: it is current.
    pub(super) increment: Option<String>,
    /// Where it can lie, the likeliest first; empty if it lives in the record alone.
    pub(super) within: Vec<Within>,
    /// What it is.
    pub(super) body: Body,
    /// The one place of a version of the Python tool that lies elsewhere than ours.
    pub(super) at: Option<PathBuf>,
    /// Whether nobody has hashed it yet.
    pub(super) unproven: bool,
    /// Inode on the drive; 0 where that says nothing.
    pub(super) ino: u64,
    /// Attributes for a file that is made anew.
    pub(super) attributes: Recorded,
}

/// What a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// A file; the hash may be unknown (catalogs of the Python tool).
    File {
        /// Length in bytes.
        size: u64,
        /// BLAKE3 of the content.
        hash: Option<[u8; 32]>,
    },
    /// A symbolic link.
    Link(Vec<u8>),
    /// A folder.
    Folder,
}

/// What the mirror must have at `path`.
pub(super) fn current(path: &RelPath, record: &Record) -> Expected {
    let body = match &record.content {
        Content::File { size, hash, .. } => Body::File { size: *size, hash: Some(*hash) },
        Content::Link { target, .. } => Body::Link(target.clone()),
        Content::Folder => Body::Folder,
    };
    let in_record_alone = matches!(record.content, Content::Link { placed: 0, .. });
    let meta = &record.meta;
    Expected {
        path: path.clone(),
        place: record.place(path).clone(),
        increment: None,
        within: if in_record_alone { Vec::new() } else { vec![Within::Mirror] },
        body,
        at: None,
        unproven: false,
        ino: record.identity().map_or(0, |identity| identity.ino),
        attributes: Recorded {
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime_ns: meta.mtime_ns,
            xattrs: meta.xattrs.to_vec(),
        },
    }
}

/// Where the versions of increments lie.
pub(super) struct Listing<'a> {
    index: &'a Index,
    keeping: Keeping,
    sequences: HashMap<&'a str, u64>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(index: &'a Index, keeping: Keeping) -> Self {
        let sequences = index.increments().iter().map(|i| (i.name.as_str(), i.sequence)).collect();
        Self { index, keeping, sequences }
    }

    /// What the increment with `sequence` must have for one entry of its catalog.
    pub(super) fn entry(
        &self,
        name: &str,
        sequence: u64,
        path: &RelPath,
        entry: &CatalogEntry,
    ) -> Expected {
        let body = match entry.target() {
            Some(target) => Body::Link(target),
            None => Body::File { size: entry.size, hash: entry.hash() },
        };
        let is_file = matches!(body, Body::File { .. });
        let own = match entry.category {
            EntryCategory::Tracked => Within::Track(sequence),
            EntryCategory::Deleted => Within::Deleted(sequence),
        };
        let within = match self.keeping {
            Keeping::Hardlink => vec![own],
            Keeping::Displace if !is_file => Vec::new(),
            Keeping::Displace => {
                let brought = entry.content_in.as_deref().and_then(|name| self.sequences.get(name));
                let mut within: Vec<_> =
                    brought.map(|brought| Within::Track(*brought)).into_iter().collect();
                within.push(Within::Track(sequence));
                if own != Within::Track(sequence) {
                    within.push(own);
                }
                if self.is_current(path, entry, brought.copied().unwrap_or(sequence)) {
                    within.push(Within::Mirror);
                }
                within
            }
        };
        Expected {
            path: path.clone(),
            place: entry.stored_as.as_ref().unwrap_or(path).clone(),
            increment: Some(name.to_owned()),
            within,
            body,
            at: entry.lies_at.as_ref().map(|at| Path::new(name).join(at.as_path())),
            unproven: entry.unproven,
            ino: 0,
            attributes: Recorded {
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                mtime_ns: entry.mtime_ns,
                xattrs: xattrs_of(&entry.xattrs),
            },
        }
    }

    /// Whether an entry's content is the one that the mirror must have.
    fn is_current(&self, path: &RelPath, entry: &CatalogEntry, brought: u64) -> bool {
        let record = self.index.records().get(path);
        record.is_some_and(|record| match &record.content {
            Content::File { size, hash, .. } => {
                let same_hash = entry.hash().map_or(record.brought_by == brought, |h| h == *hash);
                *size == entry.size && same_hash
            }
            Content::Link { .. } | Content::Folder => false,
        })
    }

    /// All that a catalog lists.
    pub(super) fn catalog(&self, sequence: u64, catalog: &Catalog) -> Vec<Expected> {
        // What the Python tool overwrote is lost; that is said by itself.
        let entries = catalog.file_catalog.iter().filter(|(_, entry)| !entry.overwritten);
        entries
            .map(|(path, entry)| self.entry(&catalog.backup_name, sequence, path, entry))
            .collect()
    }
}
