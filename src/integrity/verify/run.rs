//! The order of a check: the mirror, then the increments, one catalog at a time. It only reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Instant;

use crate::fs::tree::handle::Tree;
use crate::fs::walk::walk;
use crate::integrity::expected::{Expected, Listing, current};
use crate::integrity::verify::error::{VerifyError, reason_of};
use crate::integrity::verify::finding::{Damage, Finding, Verified};
use crate::integrity::verify::options::Check;
use crate::integrity::verify::reading::readers;
use crate::integrity::verify::verifier::Verifier;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, EntryCategory};
use crate::repository::catalog::file::read_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::layout;
use crate::repository::placement::Within;
use crate::repository::versioning::Keeping;

/// Versions that are looked at together: bounds the memory.
const CHUNK: usize = 8192;

/// Opens the repository in `tree` and verifies it; no run can begin meanwhile.
pub fn verify_repository(tree: &Tree, check: &Check<'_>) -> Result<(Verified, bool), VerifyError> {
    let reading = Repository::read_to_check(tree)?;
    let done =
        verify(tree, &reading.index, reading.format.keeps_versions, &reading.in_flight, check)?;
    Ok((done, reading.index.is_unclosed()))
}

/// Verifies everything that `index` and the catalogs list, but for the paths in `in_flight`.
pub fn verify(
    tree: &Tree,
    index: &Index,
    keeping: Keeping,
    in_flight: &BTreeSet<RelPath>,
    check: &Check<'_>,
) -> Result<Verified, VerifyError> {
    let begun = Instant::now();
    let pool = readers().map_err(VerifyError::Workers)?;
    let mut verifier = Verifier {
        tree,
        index,
        keeping,
        check,
        pool,
        seen: HashMap::new(),
        wrong: Vec::new(),
        done: Verified::default(),
    };
    verifier.mirror(in_flight)?;
    verifier.increments()?;
    if index.is_unclosed() {
        let n = crate::text::human::count(in_flight.len() as u64, "path", "paths");
        verifier.done.notes.push(format!(
            "an interrupted backup is to be ended by the next one; {n} of it were not looked at"
        ));
    }
    verifier.group()?;
    let mut done = verifier.done;
    done.duration_s = begun.elapsed().as_secs_f64();
    Ok(done)
}

impl Verifier<'_> {
    fn mirror(&mut self, in_flight: &BTreeSet<RelPath>) -> Result<(), VerifyError> {
        let records = self.index.records();
        let mut chunk = Vec::new();
        for (path, record) in records.iter() {
            if !in_flight.contains(path) {
                chunk.push(current(path, record));
            }
            if chunk.len() == CHUNK {
                self.versions(std::mem::take(&mut chunk))?;
            }
        }
        self.versions(chunk)?;
        if !self.check.quick {
            let mut places: HashSet<&RelPath> =
                records.iter().map(|(path, record)| record.place(path)).collect();
            places.extend(in_flight);
            self.unknown(Path::new(layout::MIRROR), &places, in_flight);
        }
        Ok(())
    }

    fn increments(&mut self) -> Result<(), VerifyError> {
        let index = self.index;
        if index.pruning().is_some() {
            let note = "increments were being removed when the drive was pulled out or the program was \
                        stopped; the next backup finishes that, until then increments are not checked";
            self.done.notes.push(note.to_owned());
            return Ok(());
        }
        let listing = Listing::new(index, self.keeping);
        for increment in index.increments() {
            let name = &increment.name;
            let folder = Path::new(name);
            match self.tree.stat(folder) {
                Ok(Some(found)) if found.file_type.is_dir() => {}
                Ok(None) => {
                    let reason = "the increment is listed, but its folder is missing";
                    self.record_finding(name, Damage::Missing, reason.to_owned(), folder);
                    continue;
                }
                Ok(Some(_)) => {
                    let reason = "the increment is listed, but is no folder";
                    self.record_finding(name, Damage::Damaged, reason.to_owned(), folder);
                    continue;
                }
                Err(e) => {
                    self.record_finding(name, Damage::Unreadable, reason_of(&e), folder);
                    continue;
                }
            }
            let file = layout::catalog(name);
            let catalog = match read_catalog(self.tree, name) {
                Ok(catalog) => catalog,
                Err(e) => {
                    let missing = matches!(self.tree.stat(&file), Ok(None));
                    let (damage, reason) = if missing {
                        (Damage::Missing, "the increment's catalog is missing".to_owned())
                    } else {
                        let why = crate::text::error_chain::in_words(&e);
                        (Damage::Damaged, format!("the increment's catalog cannot be read: {why}"))
                    };
                    self.record_finding(name, damage, reason, &file);
                    continue;
                }
            };
            if (catalog.sequence, catalog.status) != (increment.sequence, increment.status) {
                let reason = "the increment's catalog and the index contradict one another";
                self.record_finding(name, Damage::Damaged, reason.to_owned(), &file);
            }
            let overwritten = self.overwritten(name, &catalog);
            let expected = listing.catalog(increment.sequence, &catalog);
            drop(catalog);
            if !self.check.quick {
                self.strays(increment, &expected, &overwritten);
            }
            self.versions(expected)?;
        }
        let open = index.open().map(|open| open.mark.name.as_str());
        let names = self.tree.list(Path::new(""), 1_000_000).map_err(RepositoryError::from)?;
        for name in layout::increment_names(names) {
            let listed = index.increments().iter().any(|i| i.name == name);
            if !listed && open != Some(name.as_str()) {
                let reason = "the index does not list this increment".to_owned();
                self.record_finding(&name, Damage::Unlisted, reason, Path::new(&name));
            }
        }
        Ok(())
    }

    /// Says how many versions the Python tool overwrote; returns where they lie, relative to the increment.
    fn overwritten(&mut self, name: &str, catalog: &Catalog) -> BTreeSet<RelPath> {
        let overwritten = catalog.file_catalog.iter().filter(|(_, entry)| entry.overwritten);
        let places: BTreeSet<RelPath> = overwritten
            .filter_map(|(path, entry)| {
                let part: &[u8] = match entry.category {
                    EntryCategory::Tracked => b"track/",
                    EntryCategory::Deleted => b"deleted/",
                };
                let usual = RelPath::new(&[part, path.as_bytes()].concat()).ok();
                entry.lies_at.clone().or(usual)
            })
            .collect();
        if !places.is_empty() {
            let n = crate::text::human::count(places.len() as u64, "version", "versions");
            self.done.notes.push(format!(
                "{name}: the Python backup-manager overwrote {n} with later ones before it was taken over \
                 (`bkm-agent list --detailed` names them)"
            ));
        }
        places
    }

    /// Notes what lies in an increment and is in no record; `more` lies there as well.
    fn strays(&mut self, increment: &Increment, expected: &[Expected], more: &BTreeSet<RelPath>) {
        let folder = Path::new(&increment.name);
        let mut lies: BTreeMap<&str, HashSet<&RelPath>> = BTreeMap::new();
        let mut own = more.clone();
        for version in expected {
            let at = version.at.as_ref().and_then(|at| at.strip_prefix(folder).ok());
            own.extend(at.and_then(|at| RelPath::new(at.as_os_str().as_bytes()).ok()));
            for within in &version.within {
                let folder = match within {
                    Within::Track(sequence) if *sequence == increment.sequence => "track",
                    Within::Deleted(sequence) if *sequence == increment.sequence => "deleted",
                    _ => continue,
                };
                lies.entry(folder).or_default().insert(&version.place);
            }
        }
        for part in ["track", "deleted"] {
            let places = lies.remove(part).unwrap_or_default();
            let below = |at: &RelPath| {
                let rest = at.as_bytes().strip_prefix(part.as_bytes())?.strip_prefix(b"/")?;
                RelPath::new(rest).ok()
            };
            let more = own.iter().filter_map(below).collect();
            self.unknown(&folder.join(part), &places, &more);
        }
    }

    /// A finding of an increment as a whole.
    fn record_finding(&mut self, increment: &str, damage: Damage, reason: String, place: &Path) {
        self.done.findings.push(Finding {
            path: None,
            increment: Some(increment.to_owned()),
            damage,
            reason,
            place: place.to_owned(),
            shared_with: Vec::new(),
        });
    }

    /// Notes what lies in `folder` and is none of `places`, nor of `more`, nor above one of them.
    fn unknown(&mut self, folder: &Path, places: &HashSet<&RelPath>, more: &BTreeSet<RelPath>) {
        match self.tree.stat(folder) {
            Ok(Some(found)) if found.file_type.is_dir() => {}
            _ => return,
        }
        let (mut unknown, mut notes) = (Vec::new(), Vec::new());
        walk(
            self.tree,
            folder,
            |path, found| {
                let known = places.contains(&path) || more.contains(&path);
                if !known && !found.file_type.is_dir() {
                    unknown.push(path);
                }
            },
            |place, e| notes.push(format!("{}: {}", shown(&place), reason_of(&e))),
        );
        self.done.notes.extend(notes);
        self.done.notes.extend(
            unknown
                .into_iter()
                .map(|path| format!("{}: is in no record", shown(&folder.join(path.as_path())))),
        );
    }
}

fn shown(place: &Path) -> String {
    crate::text::sanitize::line(&place.to_string_lossy())
}
