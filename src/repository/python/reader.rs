//! Finds the tool's increments and reads what their JSON files say. It writes nothing.

use std::ffi::OsString;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::fs::tree::handle::Tree;
use crate::repository::error::{RepositoryError, record_error};
use crate::repository::layout;
use crate::repository::python::json::{Json, parse, parse_mirror};
use crate::repository::python::said::Told;

/// Largest JSON file that is read, in bytes: as for catalogs.
const MAX_JSON: u64 = 2 << 30;

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
