//! Takes over a repository that the Python backup-manager made.
//!
//! It finds out what lies there and makes records of it, in such a way that the run that follows does the
//! rest: it compares the content of each file with the source, copies what differs, and lists every tracked
//! file in its increment. The tool's increments and JSON files are only read. Nothing but `.bkm` is written,
//! and in the mirror alone files get an inode of their own that have a name outside of the repository.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::backup::adopt::increments::{self, Taken};
use crate::backup::adopt::mirror::{self, Files};
use crate::backup::error::RunError;
use crate::backup::options::Options;
use crate::fs::attributes::Attributes;
use crate::fs::content::{self, CopyError};
use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::fs::walk::walk;
use crate::model::budget;
use crate::model::entry::Kind;
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::adoption::Adopted;
use crate::repository::error::RepositoryError;
use crate::repository::index::record::{Content, Identity};
use crate::repository::index::table::Records;
use crate::repository::layout;
use crate::repository::python::reader;
use crate::source::open::Source;
use crate::source::scan::Scan;

/// Files and bytes that get a fresh inode together: in between all is synced.
const FRESH: (usize, u64) = (512, 256 << 20);

/// A repository of the tool, as it is to be taken over.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// What is to be known of it.
    pub(crate) adopted: Adopted,
    /// What the report is to say of it.
    pub(crate) summary: String,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
    /// Files of the mirror that have a name outside of the repository.
    shared: Vec<(RelPath, Found)>,
    /// Bytes in them.
    pub(crate) shared_bytes: u64,
}

/// Looks at the repository in `tree`; `None` if the tool did not make it. Reads the whole mirror.
pub(crate) fn survey(
    tree: &Tree,
    source: &Source,
    scan: &Scan,
    options: &Options<'_>,
) -> Result<Option<Takeover>, RunError> {
    let Some(found) = reader::look(tree)? else { return Ok(None) };
    options.monitor.phase("taking over the Python backup-manager's repository");
    let (mut warnings, mut names) = (Vec::new(), BTreeMap::new());
    let root = Path::new(layout::MIRROR);
    let mirror = match tree.stat(root)? {
        None => Files::new(),
        Some(at) if at.file_type.is_dir() => files(tree, root, &mut names, &mut warnings)?,
        Some(_) => {
            let (path, why) = (tree.shown().to_owned(), "its mirror is no folder");
            return Err(RepositoryError::CannotTakeOver { path, why }.into());
        }
    };
    let mut taken = Vec::with_capacity(found.len());
    for (increment, sequence) in found.into_iter().zip(1..) {
        let lies = files(tree, Path::new(&increment.name), &mut names, &mut warnings)?;
        taken.push(Taken::new(tree, increment, sequence, &lies)?);
    }
    let devices: std::collections::BTreeSet<u64> =
        scan.entries.iter().map(|e| e.stat.dev).collect();
    let is_shared = |found: &Found| {
        let inside = names.get(&found.ino).copied().unwrap_or(0);
        found.file_type.is_file() && devices.contains(&found.dev) && found.nlink > inside
    };
    for one in &mut taken {
        let shared = one.mark_shared(is_shared);
        if shared > 0 {
            let n = crate::text::human::count(shared, "version", "versions");
            warnings.push(format!(
                "{}: {n} of it share their file with a name outside of the backup (the source's own \
                 file, probably): what changes there changes them, too",
                one.name()
            ));
        }
    }
    let shared: Vec<(RelPath, Found)> = mirror
        .iter()
        .filter(|(_, found)| is_shared(found))
        .map(|(path, found)| (path.clone(), *found))
        .collect();
    let shared_bytes = shared.iter().map(|(_, found)| found.size).sum();
    let tracked = increments::fold(&mut taken, &mirror);
    let records = mirror::records(tree, scan, &mirror, &tracked, &mut warnings, options)?;
    refuse_other_source(source, scan, &mirror)?;
    let mirror_files = records.values().filter(|record| record.kind() != Kind::Folder).count();
    let summary = summary(mirror_files as u64, &taken);
    warnings.extend(taken.iter_mut().filter_map(Taken::warning));
    let (increments, catalogs) = taken.into_iter().map(Taken::finish).unzip();
    let adopted = Adopted { records, increments, catalogs };
    Ok(Some(Takeover { adopted, summary, warnings, shared, shared_bytes }))
}

impl Takeover {
    /// Gives the mirror's files that have a name outside of the repository an inode of their own. To be done
    /// under the lock.
    pub(crate) fn detach(
        mut self,
        tree: &Tree,
        options: &Options<'_>,
    ) -> Result<Adopted, RunError> {
        let mut shared = std::mem::take(&mut self.shared).into_iter().peekable();
        while shared.peek().is_some() {
            let (mut fresh, mut bytes) = (Vec::new(), 0_u64);
            while let Some((path, found)) = shared.next_if(|(_, found)| {
                fresh.len() < FRESH.0
                    && (fresh.is_empty() || bytes.saturating_add(found.size) <= FRESH.1)
            }) {
                bytes = bytes.saturating_add(found.size);
                let name = fresh.len().to_string();
                if let Some(content) = copied(tree, &path, &found, &name, options)? {
                    fresh.push((path, found, name, content));
                }
            }
            tree.sync()?;
            for (path, found, name, content) in fresh {
                let mirror = layout::mirror(&path);
                let old = Identity { ino: found.ino, size: found.size };
                crate::transaction::steps::expect(tree, &mirror, old)?;
                tree.rename_over(&layout::staged(&name), &mirror)?;
                if let Some(record) = self.adopted.records.get_mut(&path) {
                    record.content = content;
                }
            }
            tree.sync()?;
        }
        Ok(self.adopted)
    }
}

/// Copies a file of the mirror to the staging area; `None` if it is gone.
fn copied(
    tree: &Tree,
    path: &RelPath,
    found: &Found,
    name: &str,
    options: &Options<'_>,
) -> Result<Option<Content>, RunError> {
    let Some(from) = tree.open_file(&layout::mirror(path))? else { return Ok(None) };
    let mode = crate::transaction::staged::mode_on_drive(found.mode);
    let mut to = tree.create_file(&layout::staged(name), mode)?;
    let sparse = content::has_holes(&from, found.size);
    let told = |bytes| options.monitor.copied(0, bytes);
    let (size, hash) =
        match content::copy(&from, found.size, sparse, &mut to, 0, options.stop, &told) {
            Ok(copied) => copied,
            Err(CopyError::Stopped) => return Err(RunError::stopped()),
            Err(CopyError::Drive(e)) => return Err(e.into()),
            Err(CopyError::Source(e)) => return Err(RepositoryError::Read(e).into()),
        };
    let owner = rustix::process::geteuid().is_root().then_some((found.uid, found.gid));
    let placed = to.set_attributes(&Attributes { mode, owner, mtime_ns: found.mtime_ns })?;
    if tree.syncs_each_file() {
        to.sync()?;
    }
    Ok(Some(Content::File { size, hash, placed, unsettled: false }))
}

/// What lies below `root`; counts the names of each inode in `names`.
fn files(
    tree: &Tree,
    root: &Path,
    names: &mut BTreeMap<u64, u32>,
    warnings: &mut Vec<String>,
) -> Result<Files, RunError> {
    let mut files = Files::new();
    walk(
        tree,
        root,
        |path, found| {
            if !found.file_type.is_dir() {
                *names.entry(found.ino).or_default() += 1;
            }
            files.insert(path, found);
        },
        |place, e| {
            let place = crate::text::sanitize::line(&place.to_string_lossy());
            warnings.push(format!("{place}: {e}: {}", e.source));
        },
    );
    let paths = files.len().saturating_add(names.len());
    budget::check_paths(paths, "the repository").map_err(RepositoryError::from)?;
    Ok(files)
}

/// A mirror of which the source has nothing is another source's.
fn refuse_other_source(source: &Source, scan: &Scan, mirror: &Files) -> Result<(), RunError> {
    let is_file = |found: &Found| !found.file_type.is_dir();
    let held = mirror.values().filter(|found| is_file(found)).count() as u64;
    let common = scan.entries.iter().any(|entry| {
        entry.stat.kind != Kind::Folder && mirror.get(&entry.path).is_some_and(is_file)
    });
    if held == 0 || common {
        return Ok(());
    }
    Err(RunError::OtherSource { path: source.path().to_owned(), held })
}

fn summary(files: u64, taken: &[Taken]) -> String {
    let count = crate::text::human::count;
    let unproven: u64 = taken.iter().map(Taken::unproven).sum();
    let proof = if unproven == 0 {
        String::new()
    } else {
        let n = count(unproven, "version", "versions");
        format!("; {n} in them are unproven until `bkm-agent verify` has read them")
    };
    format!(
        "a repository of the Python backup-manager: {} in its mirror, {}{proof}",
        count(files, "file", "files"),
        count(taken.len() as u64, "increment", "increments")
    )
}

/// Leaves in the mirror what only the rules would take out of it: paths that the source has, the rules do
/// not select, and `records` hold. Returns what the report is to say of them.
pub(crate) fn keep_unselected(source: &Source, scan: &mut Scan, records: &Records) -> Vec<Problem> {
    let selected: std::collections::BTreeSet<&RelPath> =
        scan.entries.iter().map(|entry| &entry.path).collect();
    let unselected: Vec<&RelPath> =
        records.keys().filter(|path| !selected.contains(path)).collect();
    let there: Vec<&RelPath> =
        unselected.into_par_iter().filter(|path| source.stat(path).is_ok()).collect();
    let mut kept: std::collections::BTreeSet<RelPath> = std::collections::BTreeSet::new();
    for path in there {
        if !path.ancestors().any(|above| kept.contains(&above)) {
            kept.insert(path.clone());
        }
    }
    let reason = "stays in the mirror for now: the source has it, but the profile's rules do not select \
                  it, so the next run takes it out";
    scan.unknown.extend(kept.iter().cloned());
    scan.unknown.sort();
    kept.into_iter().map(|path| Problem::new(path, reason)).collect()
}
