//! A catalog as a file of the drive: written to the staging area, read back within bounds.
//!
//! What a catalog says is the business of `catalog`; it is put in its place by `repository`.

use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::fs::content;
use crate::fs::tree::handle::Tree;
use crate::fs::writer::DriveFile;
use crate::model::budget;
use crate::repository::catalog::check;
use crate::repository::catalog::document::{self, Catalog};
use crate::repository::error::{RepositoryError, record_error, short};
use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;
use crate::repository::index::prune::Rewritten;
use crate::repository::layout;
use crate::repository::limits::MAX_CATALOG;

/// A catalog up to this many bytes is read as a whole, which is several times as fast: histories have thousands of them.
const SMALL: u64 = 64 << 20;

/// Where the catalog of an increment is: in its folder, or, if the Python tool made it, among those of
/// `.bkm/adopted`, since its own is not touched.
pub fn place_of_catalog(tree: &Tree, increment: &str) -> Result<PathBuf, RepositoryError> {
    let adopted = layout::adopted(increment);
    let is_adopted = tree.stat(&adopted).map_err(record_error)?.is_some();
    Ok(if is_adopted { adopted } else { document::path_of(increment) })
}

/// Reads the catalog of an increment.
pub fn read_catalog(tree: &Tree, increment: &str) -> Result<Catalog, RepositoryError> {
    let path = place_of_catalog(tree, increment)?;
    let damaged = |what: String| RepositoryError::Damaged(format!("{}: {what}", path.display()));
    let file = tree
        .open_file(&path)
        .map_err(record_error)?
        .ok_or_else(|| damaged("it is missing".to_owned()))?;
    let size = file.metadata().map_err(RepositoryError::Read)?.len();
    if size > MAX_CATALOG {
        return Err(damaged("it is too large for a catalog".to_owned()));
    }
    if size > SMALL {
        return parse_catalog(BufReader::with_capacity(1 << 20, file.take(MAX_CATALOG)), increment);
    }
    let mut text = Vec::new();
    file.take(SMALL).read_to_end(&mut text).map_err(RepositoryError::Read)?;
    parsed(increment, || serde_json::from_slice(&text))
}

/// Reads the catalog of an increment that `index` lists; while it is being written anew, what will stand there.
pub fn catalog_of(
    tree: &Tree,
    index: &Index,
    increment: &Increment,
) -> Result<Catalog, RepositoryError> {
    let rewritten = index.pruning().and_then(|(prune, _)| prune.catalog_of(increment.sequence));
    if let Some(rewritten) = rewritten {
        for place in staged_places(tree, rewritten)? {
            if let Ok(Some(staged)) = tree.open_file(&place)
                && staged.metadata().is_ok_and(|meta| meta.len() == rewritten.size)
                && content::hash(&staged, rewritten.size, false, &AtomicBool::new(false))
                    .is_ok_and(|hash| hash == Some(rewritten.hash))
                && let Ok(Some(staged)) = tree.open_file(&place)
            {
                let text = BufReader::with_capacity(1 << 20, staged.take(MAX_CATALOG));
                return parse_catalog(text, &increment.name);
            }
        }
    }
    // Where it is not staged any more it is in its place.
    read_catalog(tree, &increment.name)
}

/// Where a staged catalog can be: in the staging area, or where a recovery that was cut off as well set that
/// aside.
fn staged_places(tree: &Tree, rewritten: &Rewritten) -> Result<Vec<PathBuf>, RepositoryError> {
    let mut folders = vec![PathBuf::from(layout::STAGE)];
    let names = tree.list(Path::new(layout::META), 100_000)?;
    let aside = names.iter().filter(|name| name.to_string_lossy().starts_with(layout::UNCHECKED));
    folders.extend(aside.map(|name| Path::new(layout::META).join(name)));
    let names = [Rewritten::spare(&rewritten.stage), rewritten.stage.clone()];
    let places = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    Ok(places.collect())
}

/// Reads the text of a catalog as a stream: it takes no memory itself.
pub(crate) fn parse_catalog(
    text: impl io::Read,
    increment: &str,
) -> Result<Catalog, RepositoryError> {
    parsed(increment, || serde_json::from_reader(text))
}

/// What a parser makes of a catalog, if it can be believed.
fn parsed(
    increment: &str,
    parse: impl FnOnce() -> serde_json::Result<Catalog>,
) -> Result<Catalog, RepositoryError> {
    let name = document::path_of(increment).display().to_string();
    let damaged = |what: String| RepositoryError::Damaged(format!("{name}: {what}"));
    let mut left = Some(budget::memory());
    match budget::within(&mut left, parse) {
        _ if left.is_none() => Err(RepositoryError::TooLarge(name)),
        Err(e) if e.is_io() => Err(RepositoryError::Read(e.into())),
        Err(e) => Err(damaged(short(&e))),
        Ok(catalog) => match check::catalog(&catalog, increment) {
            Some(what) => Err(damaged(what.to_owned())),
            None => Ok(catalog),
        },
    }
}

/// Writes `catalog` to the file `staged` that must not be there, and makes it durable; returns its length in
/// bytes and its hash.
pub fn stage_catalog(
    tree: &Tree,
    staged: &Path,
    catalog: &Catalog,
) -> Result<(u64, [u8; 32]), RepositoryError> {
    let (mut size, mut hasher) = (0, blake3::Hasher::new());
    stage(tree, staged, |out| {
        let counted = Counted { out, size: &mut size, hasher: &mut hasher };
        let mut out = BufWriter::with_capacity(64 << 10, counted);
        serde_json::to_writer(&mut out, catalog)?;
        out.flush().map_err(serde_json::Error::io)
    })?
    .sync()?;
    Ok((size, *hasher.finalize().as_bytes()))
}

/// Counts and hashes what goes through.
struct Counted<'a> {
    out: &'a mut dyn io::Write,
    size: &'a mut u64,
    hasher: &'a mut blake3::Hasher,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        *self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a catalog to the file `staged`; it is not durable yet.
pub(crate) fn stage<'t>(
    tree: &'t Tree,
    staged: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> serde_json::Result<()>,
) -> Result<DriveFile<'t>, RepositoryError> {
    tree.remove_file(staged)?;
    let mut file = tree.create_file(staged, 0o600)?;
    let mut out = BufWriter::with_capacity(1 << 20, DriveWriter(&mut file));
    let written = write(&mut out).map_err(io::Error::from).and_then(|()| out.flush());
    drop(out);
    written.map_err(|source| file.error("write", source))?;
    Ok(file)
}

/// Lets a JSON stream write to a file of the drive.
struct DriveWriter<'a, 't>(&'a mut DriveFile<'t>);

impl io::Write for DriveWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map_err(|e| e.source)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
