//! A source, a drive, and everything that was ever backed up from the one to the other: runs backups
//! and checks what the product promises.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bkm_agent::backup::error::RunError;
use bkm_agent::backup::options::{Options, Silent};
use bkm_agent::backup::report::RunReport;
use bkm_agent::backup::run;
use bkm_agent::config::profile::Profile;
use bkm_agent::drive::device::Device;
use bkm_agent::drive::mounted::Mounted;
use bkm_agent::fs::faults::Faults;
use bkm_agent::fs::tree::handle::Tree;
use bkm_agent::history::timeline::{self, Versions};
use bkm_agent::integrity::verify::finding::Verified;
use bkm_agent::integrity::verify::options::Check;
use bkm_agent::integrity::verify::run::verify_repository;
use bkm_agent::model::entry::Category;
use bkm_agent::model::problem::Problem;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::prune::error::PruneError;
use bkm_agent::prune::plan::work::Plan;
use bkm_agent::prune::removal::{self, Wish};
use bkm_agent::repository::catalog::document::{CatalogEntry, EntryCategory};
use bkm_agent::repository::catalog::file::read_catalog;
use bkm_agent::repository::handle::Repository;
use bkm_agent::repository::index::contents::Index;
use bkm_agent::repository::status::Status;
use bkm_agent::repository::versioning::Keeping;
use bkm_agent::repository::{format, layout};
use bkm_agent::restore::options::How;
use bkm_agent::restore::run::restore;
use bkm_agent::restore::selection::Selection;
use bkm_agent::source::entry::ScanOptions;
use bkm_agent::source::open::Source;
use bkm_agent::source::rules::{RawRules, Rules};
use bkm_agent::source::scan::scan;

use super::profile::REPOSITORY;
use super::snapshot::{Snapshot, shown};

/// A source and its backup.
pub(crate) struct World {
    pub(crate) source: PathBuf,
    drive: PathBuf,
    rules: RawRules,
    workers: usize,
    /// Whether the drive is to refuse hard links.
    no_links: bool,
    /// Whether its files were copied from a drive with hard links.
    pub(crate) was_linked: bool,
    /// Increments as they were when they were made.
    increments: BTreeMap<String, Snapshot>,
    /// Per complete increment, the tracked part of the source at that run.
    points: BTreeMap<u64, Snapshot>,
}

impl World {
    /// `source` and `drive` are empty folders.
    pub(crate) fn new(source: &Path, drive: &Path, rules: RawRules) -> Self {
        Self {
            source: source.to_owned(),
            drive: drive.to_owned(),
            rules,
            workers: 2,
            no_links: false,
            was_linked: false,
            increments: BTreeMap::new(),
            points: BTreeMap::new(),
        }
    }

    /// A world in a scratch folder; everything is tracked.
    pub(crate) fn fresh() -> (tempfile::TempDir, Self) {
        let folder = super::scratch();
        let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
        std::fs::create_dir(&source).unwrap();
        std::fs::create_dir(&drive).unwrap();
        let world = Self::new(&source, &drive, super::profile::all_tracked());
        (folder, world)
    }

    /// Writes a file of the source, and the folders above it.
    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        super::files::write(self.source.join(path), content);
    }

    pub(crate) fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        rustix::fs::rename(self.source.join(from), self.source.join(to)).unwrap();
    }

    /// With one worker, so that operations on the drive come in the same order each time.
    pub(crate) fn one_worker(mut self) -> Self {
        self.workers = 1;
        self
    }

    /// With a drive that refuses hard links.
    pub(crate) fn without_links(mut self) -> Self {
        self.no_links = true;
        self
    }

    /// How the drive keeps versions.
    pub(crate) fn keeping(&self) -> Keeping {
        match format::read(&self.tree()).unwrap() {
            Some(format) => format.keeps_versions,
            None if self.no_links => Keeping::Displace,
            None => Keeping::Hardlink,
        }
    }

    pub(crate) fn set_rules(&mut self, rules: RawRules) {
        self.rules = rules;
    }

    /// The same backup found at another place (a copy of the drive).
    pub(crate) fn at(&self, drive: &Path) -> Self {
        Self {
            source: self.source.clone(),
            drive: drive.to_owned(),
            rules: self.rules.clone(),
            workers: self.workers,
            no_links: self.no_links,
            was_linked: self.was_linked,
            increments: self.increments.clone(),
            points: self.points.clone(),
        }
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.drive.join(REPOSITORY)
    }

    pub(crate) fn mirror(&self) -> PathBuf {
        self.repository().join(layout::MIRROR)
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::open(&self.repository()).unwrap()
    }

    pub(crate) fn index(&self) -> Index {
        Repository::read_index(&self.tree()).unwrap().0
    }

    /// One run.
    pub(crate) fn run(&self, faults: Option<Arc<Faults>>) -> Result<RunReport, RunError> {
        self.run_as(|_, options| options.faults = faults)
    }

    /// One run; `checked`: the drive's file system was checked before.
    pub(crate) fn run_checked(
        &self,
        faults: Option<Arc<Faults>>,
        checked: bool,
    ) -> Result<RunReport, RunError> {
        self.run_on(checked, |_, options| options.faults = faults)
    }

    /// One run of a profile or in a way that `adapt` changes.
    pub(crate) fn run_as<'m>(
        &self,
        adapt: impl FnOnce(&mut Profile, &mut Options<'m>),
    ) -> Result<RunReport, RunError> {
        self.run_on(false, adapt)
    }

    fn run_on<'m>(
        &self,
        checked: bool,
        adapt: impl FnOnce(&mut Profile, &mut Options<'m>),
    ) -> Result<RunReport, RunError> {
        static STOP: AtomicBool = AtomicBool::new(false);
        let mut profile = super::profile::profile(&self.source, &self.rules, self.workers);
        let mounted = Mounted {
            point: self.drive.clone(),
            root: std::fs::File::open(&self.drive).unwrap().into(),
            by: bkm_agent::drive::mounted::By::Others,
            device: bkm_agent::drive::device::Device::default(),
            fs_type: "test".to_owned(),
            dev: (0, 0),
            mount_id: 0,
            checked,
        };
        let mut options = Options {
            dry_run: false,
            accept_mass_change: false,
            stop: &STOP,
            monitor: &Silent,
            faults: None,
        };
        adapt(&mut profile, &mut options);
        if self.no_links && options.faults.is_none() {
            options.faults = Some(Arc::new(Faults::none().without_links()));
        }
        run::run_on_drive(&profile, &Device::default(), &mounted, &options)
    }

    /// What the rules select in the source.
    fn selected(&self) -> BTreeMap<Vec<u8>, Category> {
        let source = Source::open(&self.source).unwrap();
        let options = ScanOptions {
            one_file_system: true,
            skip: &[],
            stop: &AtomicBool::new(false),
            known: None,
        };
        let found = scan(&source, &Rules::new(&self.rules).unwrap(), &options).unwrap();
        let entries = found.entries.into_iter();
        entries.map(|e| (e.path.as_bytes().to_vec(), e.category)).collect()
    }

    /// A run that must succeed, and the checks of everything it promises. Returns its report.
    pub(crate) fn back_up(&mut self) -> RunReport {
        let report = self.run(None).unwrap_or_else(|e| panic!("the run failed: {}", words(&e)));
        assert_eq!(report.problems, [], "problems");
        self.check_run(&report);
        let again =
            self.run(None).unwrap_or_else(|e| panic!("the second run failed: {}", words(&e)));
        assert_eq!(
            (
                again.new,
                again.changed,
                again.touched,
                again.moved,
                again.deleted,
                again.bytes_copied
            ),
            (0, 0, 0, 0, 0, 0),
            "a second run found changes"
        );
        assert_eq!(again.increment, None, "a second run made an increment");
        assert_eq!(again.unchanged, self.files_selected(), "the second run's unchanged");
        assert!(!again.recovered, "a second run had something to recover");
        self.check_old();
        report
    }

    fn files_selected(&self) -> u64 {
        let all = Snapshot::of(&self.source);
        let selected = self.selected();
        let files = all.0.iter().filter(|(p, n)| n.kind != "folder" && selected.contains_key(*p));
        files.count() as u64
    }

    /// Checks after a run that was complete.
    pub(crate) fn check_run(&mut self, report: &RunReport) {
        assert_eq!(
            report.new + report.changed + report.touched + report.moved + report.unchanged,
            self.files_selected(),
            "the counters do not add up: {report:?}"
        );
        self.check_old();
        self.check_mirror();
        self.check_stage_empty();
        if !report.warnings.iter().any(|warning| warning.contains("browse.html")) {
            self.check_page();
        }
        self.learn(report.increment.as_deref());
        self.check_verified();
        let all = Snapshot::of(&self.source);
        let selected = self.selected();
        let selected = all.only(|path| selected.contains_key(path));
        self.check_restore("now", &timeline::now(&self.index()), &selected);
        if let Some(sequence) =
            self.points.keys().next_back().filter(|_| report.increment.is_some())
        {
            self.check_point(*sequence);
        }
    }

    /// Takes note of new increments: `complete` is the one that the run made, others it recovered.
    fn learn(&mut self, complete: Option<&str>) {
        let index = self.index();
        let on_drive: BTreeSet<String> = std::fs::read_dir(self.repository())
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter(|name| name.starts_with("backup_"))
            .collect();
        let listed: BTreeSet<String> = index.increments().iter().map(|i| i.name.clone()).collect();
        assert_eq!(on_drive, listed, "increments on the drive and in the index");
        let mut times = Vec::new();
        for increment in index.increments() {
            let folder = self.repository().join(&increment.name);
            times.push(super::edits::mtime(&folder).0);
            if self.increments.contains_key(&increment.name) {
                continue;
            }
            let is_new = complete == Some(increment.name.as_str());
            let is_point = increment.status == Status::Complete;
            assert!(is_point || !is_new, "the run's own increment is not complete");
            self.check_catalog(&increment.name, is_new, &BTreeSet::new());
            self.increments.insert(increment.name.clone(), Snapshot::of(&folder));
            // One that a run had closed before it was cut off is complete as well.
            if is_point {
                let selected = self.selected();
                let tracked = |path: &[u8]| selected.get(path) == Some(&Category::Tracked);
                self.points.insert(increment.sequence, Snapshot::of(&self.source).only(tracked));
            }
        }
        if let Some(name) = complete {
            assert!(listed.contains(name), "the increment {name} is not listed");
        }
        assert!(times.is_sorted_by(|a, b| a < b), "times of increment folders follow their order");
    }

    /// Takes note of what a run of another process made.
    pub(crate) fn learn_all(&mut self) {
        self.learn(None);
    }

    /// Every version is where the catalog says, with the content it says; a new version shares its
    /// inode with the mirror.
    fn check_catalog(&self, name: &str, is_newest: bool, lost: &BTreeSet<RelPath>) {
        let catalog = read_catalog(&self.tree(), name).unwrap();
        let folder = self.repository().join(name);
        assert!(folder.join("track").is_dir(), "{name} has a track folder");
        let mut listed = BTreeSet::new();
        let displace = self.keeping() == Keeping::Displace;
        for (path, entry) in &catalog.file_catalog {
            let tracked = entry.category == EntryCategory::Tracked;
            if displace {
                let in_track =
                    |name: &str| self.repository().join(layout::track(name, place_of(path, entry)));
                if entry.content_in.is_none() {
                    listed.insert(in_track(name));
                }
                if self.was_linked {
                    listed.insert(in_track(name));
                    listed.insert(folder.join("deleted").join(place_of(path, entry).as_path()));
                }
                let Some(hash) = entry.hash() else { continue };
                let brought = in_track(entry.content_in.as_deref().unwrap_or(name));
                let mirror = self.repository().join(layout::mirror(place_of(path, entry)));
                let found = [brought, mirror].into_iter().filter_map(|at| std::fs::read(at).ok());
                let sound = |bytes: &Vec<u8>| *blake3::hash(bytes).as_bytes() == hash;
                let is_there = found.filter(sound).count() > 0 || lost.contains(path);
                assert!(is_there, "{name}: the version {path} is not there");
                continue;
            }
            let at = folder
                .join(if tracked { "track" } else { "deleted" })
                .join(place_of(path, entry).as_path());
            listed.insert(at.clone());
            let on_drive = std::fs::symlink_metadata(&at)
                .unwrap_or_else(|e| panic!("{name}: the version {path} is not there: {e}"));
            if let Some(hash) = entry.hash() {
                let bytes = std::fs::read(&at).unwrap();
                assert_eq!(*blake3::hash(&bytes).as_bytes(), hash, "{name}: content of {path}");
                assert_eq!(bytes.len() as u64, entry.size, "{name}: size of {path}");
            } else {
                assert!(on_drive.file_type().is_symlink(), "{name}: {path} is a link");
            }
            if tracked && is_newest {
                let mirror = self.mirror().join(place_of(path, entry).as_path());
                let mirror = std::fs::symlink_metadata(mirror).unwrap();
                assert_eq!(mirror.ino(), on_drive.ino(), "{name}: inodes of {path}");
            }
        }
        for (path, node) in Snapshot::of(&folder).0 {
            let at = folder.join(OsText(&path).as_path());
            let expected = node.kind == "folder"
                || listed.contains(&at)
                || path == format!("{name}.json").as_bytes();
            assert!(expected, "{name}: {} is in no catalog", shown(&path));
        }
    }

    /// Increments that are known never change.
    pub(crate) fn check_old(&self) {
        self.check_old_but(&BTreeSet::new());
    }

    /// The same where the current versions of some paths were lost, as a drive without a journal may lose
    /// those that are replaced when the plug is pulled.
    pub(crate) fn check_old_but(&self, lost: &BTreeSet<RelPath>) {
        for (name, then) in &self.increments {
            let now = Snapshot::of(&self.repository().join(name));
            if self.keeping() == Keeping::Displace {
                for (path, node) in then.0.iter().filter(|(_, node)| node.kind == "file") {
                    let same = now.0.get(path).is_some_and(|now| now.hash == node.hash);
                    assert!(same, "the increment {name} changed: {}", shown(path));
                }
                self.check_catalog(name, false, lost);
                continue;
            }
            let differences = then.differences(&now, true);
            assert!(differences.is_empty(), "the increment {name} changed:\n{differences}");
        }
    }

    pub(crate) fn check_mirror(&self) {
        let selected = self.selected();
        let source = Snapshot::of(&self.source).only(|path| selected.contains_key(path));
        let mirror = Snapshot::of(&self.mirror());
        let index = self.index();
        let displace = self.keeping() == Keeping::Displace;
        let mut places = BTreeSet::new();
        for (path, node) in &source.0 {
            let path = &RelPath::new(path).unwrap();
            let place = index.place(path).as_bytes();
            places.insert(place.to_vec());
            let path = path.as_bytes();
            let found = mirror.0.get(place);
            // Such drives have no links.
            if displace && node.kind == "link" {
                assert!(found.is_none(), "{} in the mirror: {found:?}", shown(path));
                continue;
            }
            let same = found.is_some_and(|found| {
                (found.kind, found.hash, &found.target) == (node.kind, node.hash, &node.target)
            });
            assert!(same, "{} in the mirror: {found:?}, in the source: {node:?}", shown(path));
        }
        for path in mirror.0.keys() {
            assert!(places.contains(path), "{} is left in the mirror", shown(path));
        }
    }

    /// The page for browsers, where there is one, tells of the increments as they are.
    fn check_page(&self) {
        if !self.repository().join(layout::BROWSE_PAGE).exists() {
            return;
        }
        let index = self.index();
        let sequences = index.increments().iter().map(|i| i.sequence);
        let wanted: BTreeSet<String> =
            sequences.map(|s| format!("{s}-{}.js", index.revision(s))).collect();
        let names = std::fs::read_dir(self.repository().join(layout::BROWSE)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let told: BTreeSet<String> = names.filter(|name| name.contains('-')).collect();
        assert_eq!(told, wanted, "what the page tells of");
    }

    pub(crate) fn check_stage_empty(&self) {
        let left = Snapshot::of(&self.repository().join(layout::STAGE));
        assert!(left.0.is_empty(), "the staging area is not empty: {:?}", left.0.keys());
    }

    /// Restores every complete increment.
    pub(crate) fn check_points(&self) {
        for sequence in self.points.keys() {
            self.check_point(*sequence);
        }
    }

    fn check_point(&self, sequence: u64) {
        let then = timeline::at(&self.tree(), &self.index(), sequence).unwrap();
        self.check_restore(&format!("increment {sequence}"), &then, &self.points[&sequence]);
    }

    fn check_restore(&self, what: &str, versions: &Versions, expected: &Snapshot) {
        let to = super::scratch();
        if !versions.is_empty() {
            self.restore(versions, to.path());
        }
        let differences = expected.differences(&Snapshot::of(to.path()), false);
        assert!(differences.is_empty(), "restored as of {what}:\n{differences}");
    }

    /// Restores everything in `versions` to the folder `to`.
    pub(crate) fn restore(&self, versions: &Versions, to: &Path) {
        let problems = self.restore_with_problems(versions, to);
        assert_eq!(problems, [], "problems while restoring");
    }

    /// The same; returns what could not be done.
    pub(crate) fn restore_with_problems(&self, versions: &Versions, to: &Path) -> Vec<Problem> {
        self.restore_as(How::default(), versions, to)
    }

    /// The same in a way of its own.
    pub(crate) fn restore_as(&self, how: How, versions: &Versions, to: &Path) -> Vec<Problem> {
        let destination = Tree::open(to).unwrap();
        let everything = Selection::new(Vec::new(), &[]).unwrap();
        let stop = AtomicBool::new(false);
        let done = restore(&self.tree(), versions, &everything, &destination, how, &stop, &|_| {})
            .unwrap();
        done.problems
    }

    /// Removes increments, or versions of one.
    pub(crate) fn prune(
        &self,
        wish: &Wish<'_>,
        faults: Option<Faults>,
    ) -> Result<Plan, PruneError> {
        let faults = faults.unwrap_or_else(Faults::none);
        let faults = if self.no_links { faults.without_links() } else { faults };
        let tree = self.tree().with_faults(Arc::new(faults));
        let mut repository = Repository::open(&tree)?.unwrap();
        removal::prune(&mut repository, wish, &AtomicBool::new(false))
    }

    /// Takes note of what was removed, and checks that what stays is as it was.
    pub(crate) fn learn_pruned(&mut self) {
        self.check_page();
        let index = self.index();
        let listed = |name: &String| index.increments().iter().any(|i| i.name == *name);
        self.increments.retain(|name, _| listed(name));
        self.points
            .retain(|sequence, _| index.increments().iter().any(|i| i.sequence == *sequence));
        self.relearn();
        for name in self.increments.keys() {
            self.check_catalog(name, false, &BTreeSet::new());
        }
        self.learn(None);
        self.check_points();
        self.check_verified();
        self.check_stage_empty();
    }

    /// Restores each complete increment that the index lists now, whatever is in flight.
    pub(crate) fn check_listed_points(&self) {
        let index = self.index();
        for increment in index.increments() {
            if self.points.contains_key(&increment.sequence) {
                self.check_point(increment.sequence);
            }
        }
    }

    /// Forgets what was a path at a point in time: it was deleted there.
    pub(crate) fn forget(&mut self, sequence: u64, path: &str) {
        self.points.get_mut(&sequence).unwrap().0.remove(path.as_bytes());
    }

    /// The same backup on a drive that its files were copied to: other inodes.
    pub(crate) fn copied_to(&self, drive: &Path) -> Self {
        let mut world = self.at(drive);
        world.relearn();
        world
    }

    /// Takes the known increments as they are now.
    pub(crate) fn relearn(&mut self) {
        for name in self.increments.keys().cloned().collect::<Vec<_>>() {
            let folder = self.repository().join(&name);
            self.increments.insert(name, Snapshot::of(&folder));
        }
    }

    /// Restores every complete increment and compares content alone. `may_have_more`: what was deleted by
    /// then may come back.
    pub(crate) fn check_contents(&self, may_have_more: bool) {
        let files = |of: &Snapshot| -> BTreeMap<Vec<u8>, blake3::Hash> {
            let files = of.0.iter().filter_map(|(path, node)| Some((path.clone(), node.hash?)));
            files.collect()
        };
        for (sequence, expected) in &self.points {
            let then = timeline::at(&self.tree(), &self.index(), *sequence).unwrap();
            let to = super::scratch();
            self.restore(&then, to.path());
            let expected = files(expected);
            let mut found = files(&Snapshot::of(to.path()));
            if may_have_more {
                found.retain(|path, _| expected.contains_key(path));
            }
            assert_eq!(found, expected, "restored as of increment {sequence}");
        }
    }

    /// Compares everything on the drive with the records.
    pub(crate) fn verify(&self, quick: bool) -> Verified {
        let stop = AtomicBool::new(false);
        let check = Check { quick, stop: &stop, planned: &|_| {}, told: &|_| {} };
        verify_repository(&self.tree(), &check).unwrap().0
    }

    /// Everything on the drive is as the records say.
    pub(crate) fn check_verified(&self) {
        let verified = self.verify(false);
        assert_eq!(verified.findings, [], "verify found something");
        assert_eq!(verified.notes, Vec::<String>::new(), "verify noted something");
    }

    /// How many increments are known.
    pub(crate) fn increment_count(&self) -> usize {
        self.increments.len()
    }

    /// What the mirror must be while a run is cut off: every file is wholly as `before` or as the
    /// source is now.
    pub(crate) fn check_cut_off(&self, before: &Snapshot) {
        self.check_old();
        if !self.mirror().is_dir() {
            return;
        }
        let source = Snapshot::of(&self.source);
        if self.keeping() == Keeping::Displace {
            return self.check_cut_off_displaced(before, &source);
        }
        for (path, node) in &Snapshot::of(&self.mirror()).0 {
            let like = |other: &Snapshot| {
                other.0.get(path).is_some_and(|other| {
                    (other.kind, other.hash, &other.target) == (node.kind, node.hash, &node.target)
                })
            };
            // A folder may be made before its files are.
            let whole = like(before) || like(&source) || node.kind == "folder";
            assert!(whole, "{} is neither old nor new while cut off: {node:?}", shown(path));
        }
        for (path, node) in &before.0 {
            let stays = source.0.contains_key(path);
            let there =
                std::fs::symlink_metadata(self.mirror().join(OsText(path).as_path())).is_ok();
            assert!(
                there || !stays || node.kind == "folder" || turned(before, &source, path),
                "{} is missing while cut off",
                shown(path)
            );
        }
    }
}

impl World {
    /// The same where a file may be missing between two renames, and names may be escaped.
    fn check_cut_off_displaced(&self, before: &Snapshot, source: &Snapshot) {
        let known: BTreeSet<_> = before
            .0
            .values()
            .chain(source.0.values())
            .filter_map(|node| node.hash)
            .map(|h| *h.as_bytes())
            .collect();
        for (path, node) in &Snapshot::of(&self.mirror()).0 {
            let whole = node.hash.is_none_or(|hash| known.contains(hash.as_bytes()));
            assert!(whole, "{} is neither old nor new while cut off: {node:?}", shown(path));
        }
    }
}

/// Where a catalog says that a path lies.
fn place_of<'a>(path: &'a RelPath, entry: &'a CatalogEntry) -> &'a RelPath {
    entry.stored_as.as_ref().unwrap_or(path)
}

/// Whether `path` or one above it is of another kind in `source` than it was.
fn turned(before: &Snapshot, source: &Snapshot, path: &[u8]) -> bool {
    let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
    slashes.map(|(at, _)| at).chain([path.len()]).any(|end| {
        let path = &path[..end];
        let folder = |of: &Snapshot| of.0.get(path).map(|node| node.kind == "folder");
        folder(before) != folder(source)
    })
}

/// Bytes of a path as the system's text.
struct OsText<'a>(&'a [u8]);

impl OsText<'_> {
    fn as_path(&self) -> &Path {
        use std::os::unix::ffi::OsStrExt as _;
        Path::new(std::ffi::OsStr::from_bytes(self.0))
    }
}

/// An error with its causes.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the report lists, as `path: reason`.
pub(crate) fn said(list: &[Problem]) -> Vec<String> {
    list.iter().map(|one| format!("{}: {}", one.path, one.reason)).collect()
}

/// New, changed, touched, moved, deleted.
pub(crate) fn counts(report: &RunReport) -> [u64; 5] {
    [report.new, report.changed, report.touched, report.moved, report.deleted]
}
