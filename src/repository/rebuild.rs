//! Reads what is left of broken records, and writes rebuilt ones in their place.
//!
//! What is replaced is moved to `.bkm/before-repair-N/` and kept until the next repair has gone through, so
//! nothing is lost by repairing, and one that was cut off is done again with the same means. It decides
//! nothing: that is `integrity::repair`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{
    Catalog, CatalogEntry, CatalogFolder, EntryCategory, Statistics, Summary, entry_of,
};
use crate::repository::catalog::file::place_of_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::format::{self, Format};
use crate::repository::handle::is_ours;
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::index::record::Record;
use crate::repository::index::stamp::{self, Stamp};
use crate::repository::index::store::{read_records, write_base, write_base_apart};
use crate::repository::limits::MAX_SEQUENCE;
use crate::repository::page::refresh;
use crate::repository::python::reader;
use crate::repository::staging::remove_all;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::repository::{layout, lock};

/// A repository under repair; its lock is held as long as this lives.
#[derive(Debug)]
pub struct Workshop<'t> {
    tree: &'t Tree,
    _lock: lock::Lock<'t>,
    /// Numbers of earlier repairs' folders.
    earlier: Vec<u64>,
}

/// What is left of the records.
#[derive(Debug)]
pub struct Salvage {
    /// The format; `None` if it is lost.
    pub format: Option<Format>,
    /// The index, as far as it is sound; a last batch is pending.
    pub index: Index,
    /// Why the index is not whole; `None` if it is.
    pub broken: Option<String>,
    stamp: Stamp,
    generation: u64,
}

/// What an increment without a sound catalog brought.
#[derive(Debug, Default)]
pub struct Listed {
    /// Files and links, each with the increment that brought its content, if that is an earlier one.
    pub files: BTreeMap<RelPath, (Record, EntryCategory, Option<String>)>,
    /// New or changed folders.
    pub folders: BTreeMap<RelPath, CatalogFolder>,
    /// Folders that vanished.
    pub removed_folders: Vec<RelPath>,
    /// Files that are only mirrored from then on.
    pub ended: Vec<RelPath>,
}

/// The records as they are to be.
#[derive(Debug)]
pub struct Rebuilt {
    /// How versions are kept.
    pub keeping: Keeping,
    /// What is in the mirror.
    pub records: BTreeMap<RelPath, Record>,
    /// The increments, oldest first.
    pub increments: Vec<Increment>,
    /// The sequence that the next increment gets.
    pub next_sequence: u64,
    /// Catalogs that are written anew.
    pub catalogs: Vec<Catalog>,
}

impl<'t> Workshop<'t> {
    /// Takes the lock. An error if the folder has nothing of a repository.
    pub fn open(tree: &'t Tree) -> Result<Self, RepositoryError> {
        if !is_ours(&tree.list(Path::new(""), 1_000_000)?) {
            return Err(RepositoryError::Missing(tree.shown().to_owned()));
        }
        // Nothing of ours is lost there.
        if tree.stat(Path::new(layout::FORMAT))?.is_none() && reader::look(tree)?.is_some() {
            return Err(RepositoryError::NotTakenOver(tree.shown().to_owned()));
        }
        tree.create_folder(Path::new(layout::META), 0o700, None)?;
        tree.create_folder(Path::new(layout::STAGE), 0o700, None)?;
        let lock = lock::take(tree)?;
        let names = tree.list(Path::new(layout::META), 1_000_000)?;
        let number = |name: &std::ffi::OsString| {
            name.to_str()?.strip_prefix(layout::BEFORE_REPAIR)?.parse::<u64>().ok()
        };
        let mut earlier: Vec<u64> = names.iter().filter_map(number).collect();
        earlier.sort_unstable();
        Ok(Self { tree, _lock: lock, earlier })
    }

    /// What is left of the records.
    pub fn salvage(&self) -> Result<Salvage, RepositoryError> {
        let format = match format::read(self.tree) {
            Err(e @ RepositoryError::Newer(_)) => return Err(e),
            read => read.ok().flatten(),
        };
        let stamp = stamp::read(self.tree).ok().flatten().unwrap_or_default();
        let (index, broken, generation) = match read_records(self.tree) {
            Ok((index, end, ..)) => (index, None, end.generation),
            Err(e) => (self.prefix(), Some(crate::text::error_chain::in_words(&e)), 0),
        };
        let generation = generation.max(stamp.generation);
        Ok(Salvage { format, index, broken, stamp, generation })
    }

    /// The sound part of the index, or of the one that a repair that was cut off had moved away.
    fn prefix(&self) -> Index {
        let moved = self.earlier.iter().rev().map(|number| layout::before_repair(*number));
        let folders = std::iter::once(PathBuf::from(layout::META)).chain(moved);
        let places = folders.flat_map(|folder| {
            let within =
                |place| Path::new(place).strip_prefix(layout::META).unwrap_or(Path::new(""));
            layout::INDEX_PLACES.map(|place| folder.join(within(place)))
        });
        for place in places {
            if let Ok(Some(file)) = self.tree.open_file(&place) {
                let index = Index::read_prefix(&file);
                if !index.records().is_empty() || index.next_sequence() > 1 {
                    return index;
                }
            }
        }
        Index::empty()
    }

    /// Tries what the drive can do now.
    pub fn probe(&self) -> Result<Keeping, RepositoryError> {
        Ok(Format::found(self.tree)?.keeps_versions)
    }

    /// Puts rebuilt records in the place of those that differ; says what it replaced.
    pub fn write(&self, old: &Salvage, new: Rebuilt) -> Result<Vec<String>, RepositoryError> {
        let tree = self.tree;
        let mut done = Vec::new();
        let number = self.earlier.last().map_or(1, |last| last.saturating_add(1));
        let aside = layout::before_repair(number);
        let same_index = old.broken.is_none()
            && !old.index.is_unclosed()
            && old.index.increments() == new.increments
            && old.index.next_sequence() == new.next_sequence
            && old.index.records().iter().eq(&new.records);
        let same_format =
            old.format.as_ref().is_some_and(|format| format.keeps_versions == new.keeping);
        let other_time = |increment: &&Increment| {
            let found = tree.stat(Path::new(&increment.name)).ok().flatten();
            found.is_some_and(|f| f.mtime_ns.div_euclid(1_000_000_000) != increment.folder_time_s)
        };
        let mistimed = new.increments.iter().filter(other_time).count() as u64;
        let same = same_index && same_format && new.catalogs.is_empty();
        if same && mistimed == 0 {
            return Ok(done);
        }
        // It is made of what is replaced here; the next run makes it anew.
        refresh::remove(tree)?;
        tree.create_folder(&aside, 0o700, None)?;
        for catalog in &new.catalogs {
            self.write_catalog(catalog, &aside)?;
            done.push(format!("{}: its catalog was rebuilt", catalog.backup_name));
        }
        // Writing a catalog changes them, and so may copying a repository.
        for increment in new.increments.iter().filter(other_time) {
            let time_ns = increment.folder_time_s.saturating_mul(1_000_000_000);
            tree.set_folder_time(Path::new(&increment.name), time_ns)?;
        }
        if mistimed > 0 {
            let n = crate::text::human::count(mistimed, "increment", "increments");
            done.push(format!("the folders' times of {n} follow their order again"));
        }
        if !same_index {
            for place in layout::INDEX_PLACES {
                self.move_away(layout::index_entry(place), &aside)?;
            }
            self.move_away(Path::new(layout::STAMP), &aside)?;
            let files = new.records.len() as u64;
            let rewritten = new.catalogs.iter().map(|catalog| catalog.sequence);
            let revisions = old.index.revisions_after(rewritten);
            let index = Index::rebuilt(new.records, new.increments, new.next_sequence, revisions);
            let generation = old.generation.saturating_add(1);
            let log = match new.keeping {
                Keeping::Hardlink => write_base(tree, &index, generation)?,
                Keeping::Displace => {
                    let [_, apart, _] = layout::INDEX_PLACES;
                    write_base_apart(tree, &index, generation, apart)?
                }
            };
            let stamp =
                Stamp { generation: log.generation(), synced: log.end(), ..old.stamp.clone() };
            stamp::write(tree, &stamp)?.sync()?;
            let paths = crate::text::human::count(files, "path", "paths");
            done.push(format!("the index was rebuilt, with {paths}"));
        }
        if !same_format {
            self.move_away(Path::new(layout::FORMAT), &aside)?;
            let mut format = Format::found(tree)?;
            format.keeps_versions = new.keeping;
            format::write(tree, &format)?;
            done.push(match (&old.format, new.keeping) {
                (Some(_), Keeping::Displace) => {
                    "this drive has no hard links: versions are kept by \
                                                 moving them from now on"
                        .to_owned()
                }
                _ => "format.json was written anew".to_owned(),
            });
        }
        tree.sync()?;
        for earlier in &self.earlier {
            remove_all(tree, &layout::before_repair(*earlier), 0)?;
        }
        Ok(done)
    }

    fn write_catalog(&self, catalog: &Catalog, aside: &Path) -> Result<(), RepositoryError> {
        let tree = self.tree;
        let name = &catalog.backup_name;
        let text = serde_json::to_vec(catalog)
            .map_err(|e| RepositoryError::Read(std::io::Error::other(e)))?;
        let staged = layout::staged("catalog");
        tree.remove_file(&staged)?;
        let mut file = tree.create_file(&staged, 0o600)?;
        file.write_all(&text)?;
        file.sync()?;
        drop(file);
        tree.create_folder(Path::new(name), 0o755, None)?;
        tree.create_folder(&layout::track_folder(name), 0o755, None)?;
        let mut place = place_of_catalog(tree, name)?;
        // The Python tool's own list stays.
        if place == layout::catalog(name) && reader::is_metadata(tree, &place) {
            tree.create_folder(Path::new(layout::ADOPTED), 0o700, None)?;
            place = layout::adopted(name);
        }
        self.move_away(&place, aside)?;
        tree.rename_new(&staged, &place)?;
        Ok(())
    }

    /// Moves a record, or whatever is in its place, to `aside`.
    fn move_away(&self, path: &Path, aside: &Path) -> Result<(), TreeError> {
        let Some(found) = self.tree.stat(path)? else { return Ok(()) };
        let to = aside.join(path.file_name().unwrap_or_default());
        if found.file_type.is_dir() {
            self.tree.rename_folder(path, &to)
        } else {
            self.tree.rename_new(path, &to)
        }
    }
}

/// The catalog of an increment.
pub fn catalog_of(increment: &Increment, listed: Listed, keeping: Keeping) -> Catalog {
    let zone = TimeZone::system();
    let (mut summary, mut total_size) = (Summary::default(), 0_u64);
    let mut entries: BTreeMap<RelPath, CatalogEntry> = BTreeMap::new();
    for (path, (record, category, content_in)) in listed.files {
        let folder = match category {
            EntryCategory::Tracked => {
                summary.new_or_changed_tracked += 1;
                total_size = total_size.saturating_add(record.size());
                "track"
            }
            EntryCategory::Deleted => {
                summary.deleted_tracked += 1;
                if keeping == Keeping::Hardlink { "deleted" } else { "track" }
            }
        };
        let mut entry = entry_of(&path, &record, category, folder, &zone);
        entry.content_in = content_in;
        entries.insert(path, entry);
    }
    summary.total_operations = summary.new_or_changed_tracked + summary.deleted_tracked;
    Catalog {
        version: "1.0".to_owned(),
        backup_type: "incremental".to_owned(),
        backup_name: increment.name.clone(),
        backup_timestamp: increment.timestamp.clone(),
        sequence: increment.sequence,
        status: increment.status,
        file_catalog: entries,
        folders: listed.folders,
        removed_folders: listed.removed_folders,
        ended: listed.ended,
        gone: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
        summary,
        statistics: Statistics { total_files: summary.total_operations, total_size },
    }
}

/// The order of increments: of those with a sequence that is known, and between them of those without, by
/// their names. A sequence that two claim is the first one's. Returns the sequences by name, and the names
/// of those that found no place.
pub fn order(
    known: &BTreeMap<String, u64>,
    unknown: &BTreeSet<String>,
) -> (BTreeMap<String, u64>, Vec<String>) {
    let (mut by_name, mut taken) = (BTreeMap::new(), BTreeMap::new());
    let mut homeless = Vec::new();
    for (name, sequence) in known {
        if (1..MAX_SEQUENCE).contains(sequence) && !taken.contains_key(sequence) {
            taken.insert(*sequence, name.clone());
            by_name.insert(name.clone(), *sequence);
        } else {
            homeless.push(name.clone());
        }
    }
    for name in unknown {
        let before = taken.iter().filter(|(_, other)| *other < name).map(|(s, _)| *s).max();
        let mut sequence = before.map_or(1, |before| before.saturating_add(1));
        while taken.contains_key(&sequence) {
            sequence = sequence.saturating_add(1);
        }
        taken.insert(sequence, name.clone());
        by_name.insert(name.clone(), sequence);
    }
    (by_name, homeless)
}

/// What an increment without a record is taken for: complete, made at the time in its name.
pub fn increment_by_name(name: &str, sequence: u64, folder_time_s: i64) -> Increment {
    let civil = jiff::civil::DateTime::strptime("backup_%Y%m%d_%H%M%S", name);
    let zoned = civil.and_then(|civil| civil.to_zoned_datetime(TimeZone::system()));
    let timestamp =
        zoned.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()).unwrap_or_default();
    Increment {
        sequence,
        name: name.to_owned(),
        timestamp,
        status: Status::Complete,
        folder_time_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(known: &[(&str, u64)], unknown: &[&str]) -> Vec<(u64, String)> {
        let known = known.iter().map(|(name, s)| ((*name).to_owned(), *s)).collect();
        let unknown = unknown.iter().map(|name| (*name).to_owned()).collect();
        let (by_name, _) = order(&known, &unknown);
        let mut all: Vec<_> = by_name.into_iter().map(|(name, s)| (s, name)).collect();
        all.sort();
        all
    }

    #[test]
    fn an_increment_without_a_catalog_comes_where_its_name_stands() {
        let expected = [(1, "a"), (2, "b"), (3, "c"), (4, "d")].map(|(s, n)| (s, n.to_owned()));
        assert_eq!(ordered(&[("a", 1), ("c", 3)], &["b", "d"]), expected);
        assert_eq!(ordered(&[], &["d", "c", "a", "b"]), expected);
    }

    #[test]
    fn no_two_increments_get_one_sequence() {
        let found = ordered(&[("a", 1), ("b", 2), ("z", 2)], &["aa"]);
        assert_eq!(found.iter().map(|(s, _)| *s).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
