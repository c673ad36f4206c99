//! Compares what lies on the drive with what the records say: every version of the mirror and of the
//! increments, its presence and size, and (unless quick) its content.
//!
//! It only reads, each file once however many names it has, and one catalog at a time. Called by `cli`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use super::expected::{Body, Expected, Listing, current};
use super::walk::walk;
use crate::backup::heal::{Damaged, DamagedName};
use crate::drive::content;
use crate::drive::tree::{Found, Tree, TreeError};
use crate::relpath::RelPath;
use crate::repository::format::Keeping;
use crate::repository::index::Index;
use crate::repository::layout::{self, Within};
use crate::repository::record::Identity;
use crate::repository::{Repository, RepositoryError, read_catalog};

/// Versions that are looked at together: bounds the memory.
const CHUNK: usize = 8192;

/// Files that are read at the same time: more would make a disk seek.
const READERS: usize = 2;

/// How to verify, and whom to tell.
pub struct Check<'a> {
    /// Compares presence and size only.
    pub quick: bool,
    /// Becomes true when it is to stop.
    pub stop: &'a AtomicBool,
    /// Hears of bytes that are to be read, as they are found.
    pub planned: &'a (dyn Fn(u64) + Sync),
    /// Hears of bytes that were read.
    pub told: &'a (dyn Fn(u64) + Sync),
}

/// Why it cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Told to stop.
    #[error("stopped; nothing was changed")]
    Stopped,
    /// Worker threads cannot be started.
    #[error("cannot start the worker threads")]
    Workers(#[source] rayon::ThreadPoolBuildError),
    /// The records cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// Its content or kind is not what was backed up.
    Damaged,
    /// It is not there.
    Missing,
    /// The drive does not give it out.
    Unreadable,
    /// It is right, but not the file that the record knows.
    Replaced,
    /// It is there, but no record knows of it.
    Unlisted,
}

/// One version, or record, that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The source's path; none if a catalog or a whole increment is concerned.
    pub path: Option<RelPath>,
    /// The increment that lists it; none: the mirror.
    pub increment: Option<String>,
    /// What is wrong.
    pub damage: Damage,
    /// The same in words.
    pub reason: String,
    /// Where on the drive, relative to the repository.
    #[serde(serialize_with = "as_text")]
    pub place: PathBuf,
    /// Which others are the same file: increments, or "mirror".
    pub shared_with: Vec<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Versions that were looked at.
    pub versions: u64,
    /// Bytes that were read; if quick, of the versions' lengths.
    pub bytes: u64,
    /// Seconds that it took.
    pub duration_s: f64,
    /// What is wrong, in the order of the mirror and then of increments.
    pub findings: Vec<Finding>,
    /// What is no damage but worth a word.
    pub notes: Vec<String>,
    /// The damaged versions, each with all its names, and the findings that it makes up.
    pub damaged: Vec<(Damaged, Vec<usize>)>,
    /// Folders of the mirror that are missing, with their modes, and which finding each is.
    pub folders: Vec<(RelPath, u32, usize)>,
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
        let n = crate::human::count(in_flight.len() as u64, "path", "paths");
        verifier.done.notes.push(format!(
            "an interrupted backup is to be ended by the next one; {n} of it were not looked at"
        ));
    }
    verifier.group()?;
    let mut done = verifier.done;
    done.duration_s = begun.elapsed().as_secs_f64();
    Ok(done)
}

/// One file of the drive, to be read once: by its inode, or by its place where inodes say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Inode(u64),
    Place(PathBuf),
}

/// What reading a file gave.
#[derive(Debug, Clone)]
enum Seen {
    Hash([u8; 32]),
    Unreadable(String),
}

/// A version that is not as it should be.
struct Wrong {
    at: usize,
    key: Key,
    expected: Expected,
    within: Within,
    found: Option<Found>,
}

struct Verifier<'a> {
    tree: &'a Tree,
    index: &'a Index,
    keeping: Keeping,
    check: &'a Check<'a>,
    pool: rayon::ThreadPool,
    seen: HashMap<Key, Seen>,
    /// Findings of versions, with what is needed to group and heal them.
    wrong: Vec<Wrong>,
    done: Verified,
}

/// What is at one of the places where a version can lie.
type Candidate = (Within, PathBuf, Result<Option<Found>, TreeError>);

impl Verifier<'_> {
    fn mirror(&mut self, in_flight: &BTreeSet<RelPath>) -> Result<(), VerifyError> {
        let records = self.index.records();
        let mut chunk = Vec::new();
        for (path, record) in records {
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
                        let why = crate::in_words::in_words(&e);
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
            let expected = listing.catalog(increment.sequence, &catalog);
            drop(catalog);
            if !self.check.quick {
                let mut lies: BTreeMap<&str, HashSet<&RelPath>> = BTreeMap::new();
                for version in &expected {
                    for within in &version.within {
                        let folder = match within {
                            Within::Track(sequence) if *sequence == increment.sequence => "track",
                            Within::Deleted(sequence) if *sequence == increment.sequence => {
                                "deleted"
                            }
                            _ => continue,
                        };
                        lies.entry(folder).or_default().insert(&version.place);
                    }
                }
                for part in ["track", "deleted"] {
                    let places = lies.remove(part).unwrap_or_default();
                    self.unknown(&folder.join(part), &places, &BTreeSet::new());
                }
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

    /// Looks at some versions, and reads their files if they were not read yet.
    fn versions(&mut self, expected: Vec<Expected>) -> Result<(), VerifyError> {
        let mut looked = Vec::with_capacity(expected.len());
        for version in expected {
            if self.check.stop.load(Ordering::Relaxed) {
                return Err(VerifyError::Stopped);
            }
            let candidates = self.look(&version);
            looked.push((version, candidates));
        }
        if !self.check.quick {
            let first = looked.iter().filter_map(|(version, candidates)| {
                candidates.iter().find_map(|candidate| self.to_read(version, candidate))
            });
            let to_read = first.collect::<BTreeMap<_, _>>();
            self.read(to_read)?;
        }
        for (version, candidates) in looked {
            self.judge(version, candidates)?;
        }
        Ok(())
    }

    fn look(&self, version: &Expected) -> Vec<Candidate> {
        let places = version.within.iter().filter_map(|within| {
            let path = within.path(self.index, &version.place)?;
            let found = self.tree.stat(&path);
            Some((*within, path, found))
        });
        places.collect()
    }

    fn key(&self, place: &Path, found: Option<&Found>) -> Key {
        match (self.keeping, found) {
            (Keeping::Hardlink, Some(found)) => Key::Inode(found.ino),
            _ => Key::Place(place.to_owned()),
        }
    }

    /// What a candidate has to be read for; ordered as the files lie on the drive, as far as inode
    /// numbers tell.
    fn to_read(
        &self,
        version: &Expected,
        (_, place, found): &Candidate,
    ) -> Option<((u64, PathBuf), u64)> {
        let Body::File { size, hash: Some(_) } = version.body else { return None };
        let Ok(Some(found)) = found else { return None };
        let like = found.file_type.is_file() && found.size == size;
        let unread = like && !self.seen.contains_key(&self.key(place, Some(found)));
        unread.then(|| ((found.ino, place.clone()), size))
    }

    /// Reads files, each inode once.
    fn read(&mut self, mut files: BTreeMap<(u64, PathBuf), u64>) -> Result<(), VerifyError> {
        if self.keeping == Keeping::Hardlink {
            let mut before = None;
            files.retain(|(ino, _), _| before.replace(*ino) != Some(*ino));
        }
        (self.check.planned)(files.values().sum());
        let (tree, check) = (self.tree, self.check);
        let results = Mutex::new(Vec::with_capacity(files.len()));
        // In their order, two at a time.
        let all_read = self.pool.install(|| {
            files.iter().par_bridge().try_for_each(|((ino, place), size)| {
                let seen = read_file(tree, place, *size, check)?;
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.push((*ino, place.clone(), seen));
                Some(())
            })
        });
        all_read.ok_or(VerifyError::Stopped)?;
        for (ino, place, seen) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let key = match self.keeping {
                Keeping::Hardlink => Key::Inode(ino),
                Keeping::Displace => Key::Place(place),
            };
            self.seen.insert(key, seen);
        }
        self.done.bytes = self.done.bytes.saturating_add(files.values().sum());
        Ok(())
    }

    /// Says whether a version is sound at one of its places.
    fn judge(&mut self, version: Expected, candidates: Vec<Candidate>) -> Result<(), VerifyError> {
        if candidates.is_empty() {
            // It lives in the record alone.
            return Ok(());
        }
        if version.body != Body::Folder {
            self.done.versions += 1;
        }
        if let (true, Body::File { size, .. }) = (self.check.quick, &version.body) {
            self.done.bytes = self.done.bytes.saturating_add(*size);
        }
        let mut worst: Option<(Damage, String, Candidate)> = None;
        for candidate in candidates {
            if let Some(((ino, place), size)) =
                self.to_read(&version, &candidate).filter(|_| !self.check.quick)
            {
                self.read(BTreeMap::from([((ino, place), size)]))?;
            }
            match self.verdict(&version, &candidate) {
                None => return Ok(()),
                // What is there tells more than what is missing elsewhere.
                Some((damage, reason)) => {
                    if worst.as_ref().is_none_or(|(was, ..)| *was == Damage::Missing) {
                        worst = Some((damage, reason, candidate));
                    }
                }
            }
        }
        // A link's target is in the record: where the drive cannot have the link, nothing is lost.
        let link = matches!(version.body, Body::Link(_)) && version.increment.is_some();
        if let Some((damage, reason, candidate)) = worst
            && !(link && damage == Damage::Missing)
        {
            let (within, place, found) = candidate;
            let found = found.unwrap_or_default();
            let key = self.key(&place, found.as_ref());
            let at = self.done.findings.len();
            if version.body == Body::Folder && damage == Damage::Missing {
                let folder = (version.place.clone(), version.attributes.mode, at);
                self.done.folders.push(folder);
            }
            self.done.findings.push(Finding {
                path: Some(version.path.clone()),
                increment: version.increment.clone(),
                damage,
                reason,
                place,
                shared_with: Vec::new(),
            });
            self.wrong.push(Wrong { at, key, expected: version, within, found });
        }
        Ok(())
    }

    /// What is wrong with a version at one place; `None` if it is sound there.
    fn verdict(
        &self,
        version: &Expected,
        (_, place, found): &Candidate,
    ) -> Option<(Damage, String)> {
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Some((Damage::Missing, "it is missing".to_owned())),
            Err(e) => return Some((Damage::Unreadable, reason_of(e))),
        };
        let damaged = |reason: &str| Some((Damage::Damaged, reason.to_owned()));
        match &version.body {
            Body::Folder if found.file_type.is_dir() => return None,
            Body::Folder => return damaged("it is no folder"),
            Body::Link(_) if !found.file_type.is_symlink() => {
                return damaged("it is no symbolic link");
            }
            Body::Link(target) => match self.tree.read_link(place) {
                Ok(Some(found)) if found == *target => {}
                Ok(_) => return damaged("the link points elsewhere"),
                Err(e) => return Some((Damage::Unreadable, reason_of(&e))),
            },
            Body::File { .. } if !found.file_type.is_file() => {
                return damaged("it is no regular file");
            }
            Body::File { size, .. } if *size != found.size => {
                let reason = format!("it has {} bytes, not the {size} of then", found.size);
                return Some((Damage::Damaged, reason));
            }
            Body::File { hash: Some(hash), .. } if !self.check.quick => {
                match self.seen.get(&self.key(place, Some(found))) {
                    Some(Seen::Hash(now)) if now == hash => {}
                    Some(Seen::Unreadable(why)) => {
                        return Some((Damage::Unreadable, format!("it cannot be read: {why}")));
                    }
                    _ => return damaged("its content is not what was backed up"),
                }
            }
            Body::File { .. } => {}
        }
        (version.ino != 0 && version.ino != found.ino).then(|| {
            let reason = "it is another file than the one that the record knows";
            (Damage::Replaced, reason.to_owned())
        })
    }

    /// Puts together what is one file: names those that share it, and finds sound copies.
    fn group(&mut self) -> Result<(), VerifyError> {
        let mut groups: HashMap<Key, Vec<usize>> = HashMap::new();
        for (at, wrong) in self.wrong.iter().enumerate() {
            groups.entry(wrong.key.clone()).or_default().push(at);
        }
        let who = |wrong: &Wrong| {
            wrong.expected.increment.clone().unwrap_or_else(|| layout::MIRROR.to_owned())
        };
        let mut wanted: HashMap<[u8; 32], Vec<PathBuf>> = HashMap::new();
        let mut order: Vec<&Vec<usize>> = groups.values().collect();
        order.sort_unstable();
        for group in order {
            let members: Vec<&Wrong> = group.iter().filter_map(|at| self.wrong.get(*at)).collect();
            for wrong in &members {
                let mut others: Vec<String> = Vec::new();
                for other in members.iter().filter(|other| other.at != wrong.at) {
                    let name = who(other);
                    if name != who(wrong) && !others.contains(&name) {
                        others.push(name);
                    }
                }
                if let Some(finding) = self.done.findings.get_mut(wrong.at) {
                    finding.shared_with = others;
                }
            }
            for (version, findings) in damaged_versions(&members, &self.done.findings) {
                wanted.entry(version.hash).or_default();
                self.done.damaged.push((version, findings));
            }
        }
        if wanted.is_empty() || self.check.quick {
            return Ok(());
        }
        self.find_sound(&mut wanted)?;
        for (version, _) in &mut self.done.damaged {
            version.sound = wanted.get(&version.hash).cloned().unwrap_or_default();
        }
        Ok(())
    }

    /// Finds files of the drive that were read and have the content.
    fn find_sound(&self, wanted: &mut HashMap<[u8; 32], Vec<PathBuf>>) -> Result<(), VerifyError> {
        let mut look = |version: &Expected| {
            let Body::File { hash: Some(hash), .. } = version.body else { return };
            let Some(sound) = wanted.get_mut(&hash) else { return };
            for (_, place, found) in self.look(version) {
                let Ok(Some(found)) = found else { continue };
                let seen = self.seen.get(&self.key(&place, Some(&found)));
                if matches!(seen, Some(Seen::Hash(now)) if *now == hash) && !sound.contains(&place)
                {
                    sound.push(place);
                }
            }
        };
        for (path, record) in self.index.records() {
            look(&current(path, record));
        }
        let listing = Listing::new(self.index, self.keeping);
        for increment in self.index.increments() {
            if self.check.stop.load(Ordering::Relaxed) {
                return Err(VerifyError::Stopped);
            }
            // What cannot be read is a finding already.
            if let Ok(catalog) = read_catalog(self.tree, &increment.name) {
                listing.catalog(increment.sequence, &catalog).iter().for_each(&mut look);
            }
        }
        Ok(())
    }
}

/// The versions in a group of names that were one file, one for each content that was backed up; with the
/// findings that it makes up.
fn damaged_versions(members: &[&Wrong], findings: &[Finding]) -> Vec<(Damaged, Vec<usize>)> {
    let mut versions: Vec<(Damaged, Vec<usize>)> = Vec::new();
    for wrong in members {
        let damage = findings.get(wrong.at).map(|finding| finding.damage);
        let (size, hash, target) = match &wrong.expected.body {
            Body::File { size, hash: Some(hash) } => (*size, *hash, None),
            Body::Link(target) => {
                (target.len() as u64, *blake3::hash(target).as_bytes(), Some(target.clone()))
            }
            Body::File { hash: None, .. } | Body::Folder => continue,
        };
        // A folder in its place has to be moved away by hand.
        let is_folder = wrong.found.is_some_and(|found| found.file_type.is_dir());
        if damage == Some(Damage::Replaced) || is_folder {
            continue;
        }
        let name = DamagedName {
            within: wrong.within,
            path: wrong.expected.path.clone(),
            place: wrong.expected.place.clone(),
            found: wrong.found.map(|found| Identity { ino: found.ino, size: found.size }),
        };
        let same = |(v, _): &&mut (Damaged, _)| (v.hash, &v.target) == (hash, &target);
        if let Some((version, made_up)) = versions.iter_mut().find(same) {
            made_up.push(wrong.at);
            // In displace several versions can be one file under one name.
            if !version.names.contains(&name) {
                version.names.push(name);
            }
            continue;
        }
        let version = Damaged {
            size,
            hash,
            target,
            attributes: wrong.expected.attributes.clone(),
            names: vec![name],
            sound: Vec::new(),
        };
        versions.push((version, vec![wrong.at]));
    }
    versions
}

/// Reads and hashes files of so many bytes, two at a time and in this order; `None` if told to stop.
pub(super) fn hash_files(
    tree: &Tree,
    files: &[(PathBuf, u64)],
    stop: &AtomicBool,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Option<Vec<Hashed>>, rayon::ThreadPoolBuildError> {
    let check = Check { quick: false, stop, planned: &|_| {}, told };
    let results = Mutex::new(Vec::with_capacity(files.len()));
    let all_read = readers()?.install(|| {
        files.iter().par_bridge().try_for_each(|(place, size)| {
            let hash = match read_file(tree, place, *size, &check)? {
                Seen::Hash(hash) => Ok(hash),
                Seen::Unreadable(why) => Err(why),
            };
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((place.clone(), hash));
            Some(())
        })
    });
    Ok(all_read.map(|()| results.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// A file that was read: its hash, or why not.
pub(super) type Hashed = (PathBuf, Result<[u8; 32], String>);

fn readers() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(READERS)
        .thread_name(|n| format!("bkm-reader-{n}"))
        .build()
}

/// Reads and hashes one file; `None` if told to stop.
fn read_file(tree: &Tree, place: &Path, size: u64, check: &Check<'_>) -> Option<Seen> {
    let file = match tree.open_file(place) {
        Ok(Some(file)) => file,
        Ok(None) => return Some(Seen::Unreadable("it is gone".to_owned())),
        Err(e) => return Some(Seen::Unreadable(reason_of(&e))),
    };
    let sparse = content::has_holes(&file, size);
    match content::hash_and_tell(&file, size, sparse, check.stop, check.told) {
        Ok(Some(hash)) => Some(Seen::Hash(hash)),
        Ok(None) => None,
        Err(e) => Some(Seen::Unreadable(e.to_string())),
    }
}

fn reason_of(e: &TreeError) -> String {
    e.source.to_string()
}

fn shown(place: &Path) -> String {
    crate::sanitize::line(&place.to_string_lossy())
}

fn as_text<S: serde::Serializer>(place: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&place.to_string_lossy())
}

/// Opens the repository in `tree` and verifies it; no run can begin meanwhile.
pub fn verify_repository(tree: &Tree, check: &Check<'_>) -> Result<(Verified, bool), VerifyError> {
    let reading = Repository::read_to_check(tree)?;
    let done =
        verify(tree, &reading.index, reading.format.keeps_versions, &reading.in_flight, check)?;
    Ok((done, reading.index.is_unclosed()))
}
