//! Reads what the Python backup-manager left in its repositories: which folders are increments, and what
//! its JSON files say of them.
//!
//! All of it comes from a drive: paths go through [`RelPath`], what is decoded is paid for, and what does
//! not have the tool's shape is passed over. It writes nothing.

mod json;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

pub use json::parse_time;
pub(super) use json::{Json, parse, parse_mirror};

use super::catalog::EntryCategory;
use super::{RepositoryError, layout, record_error};
use crate::drive::tree::Tree;
use crate::relpath::RelPath;

/// Largest JSON file that is read, in bytes: as for catalogs.
const MAX_JSON: u64 = 2 << 30;

/// What one of the tool's increments is said to hold.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// When its run started, as the tool wrote it.
    pub timestamp: Option<String>,
    /// Its files.
    pub files: BTreeMap<RelPath, Said>,
    /// How many of its paths are none.
    pub refused: u64,
}

/// What is said of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// New or changed, or vanished.
    pub category: EntryCategory,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Modification time.
    pub time: Option<SaidTime>,
    /// Where it lies, relative to the increment.
    pub lies_at: Option<RelPath>,
}

/// A modification time, as exactly as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaidTime {
    /// Nanoseconds since 1970.
    pub ns: i64,
    /// How far the true one may be off.
    within_ns: i64,
}

impl SaidTime {
    /// Whether a file with this time can be the one that was meant.
    pub fn is(self, ns: i64) -> bool {
        self.ns.abs_diff(ns) <= self.within_ns.unsigned_abs()
    }
}

/// One of the tool's increments.
#[derive(Debug)]
pub struct Increment {
    /// Name of its folder.
    pub name: String,
    /// Modification time of its folder, by which the tool orders increments.
    pub folder_ns: i64,
    /// What its JSON says; `None` if it has none that can be read.
    pub told: Option<Told>,
}

/// The increments of the tool's repository in `tree`, in the tool's order; `None` if it is none: at least
/// one JSON file must have the tool's shape, and none may be ours.
pub fn look(tree: &Tree) -> Result<Option<Vec<Increment>>, RepositoryError> {
    let names = tree.list(Path::new(""), 1_000_000)?;
    let mut proven = [layout::PYTHON_MIRROR, layout::PYTHON_MIRROR_INSIDE]
        .iter()
        .any(|place| read(tree, Path::new(place), parse_mirror).unwrap_or(false));
    let mut increments = Vec::new();
    for name in layout::increment_names(names.clone()) {
        let folder = Path::new(&name);
        if !tree.stat(folder)?.is_some_and(|found| found.file_type.is_dir()) {
            continue;
        }
        let mut told = None;
        for place in metadata(&name, &tree.list(folder, 1_000_000)?, &names) {
            match read(tree, &place, parse) {
                Some(Json::Ours) => return Ok(None),
                Some(Json::Told(found)) => {
                    told = Some(found);
                    break;
                }
                Some(Json::Other) | None => {}
            }
        }
        proven |= told.is_some();
        let stat = tree.stat(folder)?;
        let folder_ns = stat.map_or(0, |found| found.mtime_ns);
        increments.push(Increment { name, folder_ns, told });
    }
    increments.sort_by(|a, b| (a.folder_ns, &a.name).cmp(&(b.folder_ns, &b.name)));
    Ok(proven.then_some(increments))
}

/// Whether the folder is a repository of the tool that no run has taken over yet.
pub fn is_not_taken_over(tree: &Tree) -> bool {
    matches!(tree.stat(Path::new(layout::FORMAT)), Ok(None)) && matches!(look(tree), Ok(Some(_)))
}

/// Whether the file at `place` is metadata that the tool wrote.
pub fn is_metadata(tree: &Tree, place: &Path) -> bool {
    matches!(read(tree, place, parse), Some(Json::Told(_)))
}

/// Where the metadata of an increment can lie, the likeliest first: in its folder, or beside it with the
/// increment's time in its name.
fn metadata(name: &str, inside: &[OsString], beside: &[OsString]) -> Vec<PathBuf> {
    let time = name.strip_prefix("backup_").unwrap_or(name);
    let own = format!("{name}.json");
    let text = |names: &[OsString]| -> Vec<String> {
        let all = names.iter().filter_map(|name| name.to_str().map(str::to_owned));
        let mut json: Vec<String> = all
            .filter(|n| {
                n.starts_with("backup_") && Path::new(n).extension().is_some_and(|e| e == "json")
            })
            .collect();
        json.sort_by_key(|n| (*n != own, !n.starts_with(name)));
        json
    };
    let inside = text(inside).into_iter().map(|file| Path::new(name).join(file));
    let beside = text(beside).into_iter().filter(|file| file.contains(time)).map(PathBuf::from);
    // More than a few are not the tool's.
    inside.chain(beside).take(8).collect()
}

/// Reads a JSON file; `None` if there is none that can be read.
fn read<T>(
    tree: &Tree,
    place: &Path,
    parse: impl Fn(BufReader<io::Take<std::fs::File>>) -> T,
) -> Option<T> {
    let file = tree.open_file(place).map_err(record_error).ok()??;
    if file.metadata().ok()?.len() > MAX_JSON {
        return None;
    }
    Some(parse(BufReader::with_capacity(1 << 16, file.take(MAX_JSON))))
}
