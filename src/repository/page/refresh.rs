//! Brings the page in line with the index, and writes only what is not there.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fs::attributes::Attributes;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::repository::catalog::document::Catalog;
use crate::repository::catalog::file::read_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::index::contents::Index;
use crate::repository::layout;
use crate::repository::page::data;
use crate::repository::versioning::Keeping;
use crate::text::error_chain::in_words;

/// The files that are the same for each repository: where they lie in it, and what they say. The page itself
/// is the last.
pub const PAGE: [(&str, &str); 5] = [
    ("browse/page.css", include_str!("page.css")),
    ("browse/words.js", include_str!("words.js")),
    ("browse/history.js", include_str!("history.js")),
    ("browse/page.js", include_str!("page.js")),
    (layout::BROWSE_PAGE, include_str!("browse.html")),
];

/// Says which increments there are.
const LIST: &str = "list.js";

/// What is written in the staging area is called so and by number; not as the folder, which may be set aside
/// beside it.
const STAGED: &str = "page";

/// Most names in the folder that are looked at.
const MOST: usize = 1_000_000;

/// Brings the page in line with the increments of `index`, the open one with a catalog included: tells of
/// those that it does not know in this revision, and forgets those that are gone. Writes nothing if nothing
/// is new. `made` is the catalog of this run's increment. Returns what kept it from being whole, for people; only an error of the drive is an error.
pub(crate) fn refresh(
    tree: &Tree,
    index: &Index,
    keeping: Keeping,
    made: Option<&Catalog>,
) -> Result<Option<String>, RepositoryError> {
    give_way(bring_in_line(tree, index, keeping, made))
}

/// Removes the page and all that belongs to it.
pub(crate) fn remove(tree: &Tree) -> Result<Option<String>, RepositoryError> {
    give_way(take_away(tree))
}

/// Whether the page is there.
pub(crate) fn is_there(tree: &Tree) -> Result<bool, TreeError> {
    Ok(tree.stat(Path::new(layout::BROWSE_PAGE))?.is_some())
}

/// Whether the page tells of the newest increment: not where the drive was too full for it.
pub(crate) fn is_up_to_date(tree: &Tree, index: &Index) -> Result<bool, TreeError> {
    let Some((sequence, _)) = increments(index).last() else { return Ok(true) };
    let script = script_name(sequence, index.revision(sequence));
    Ok(tree.stat(&Path::new(layout::BROWSE).join(script))?.is_some())
}

/// What costs the page alone becomes words.
fn give_way(
    done: Result<Option<String>, RepositoryError>,
) -> Result<Option<String>, RepositoryError> {
    match done {
        Err(RepositoryError::Drive(e)) if is_harmless(&e) => {
            Ok(Some(format!("browse.html is not up to date: {}", in_words(&e))))
        }
        other => other,
    }
}

fn bring_in_line(
    tree: &Tree,
    index: &Index,
    keeping: Keeping,
    made: Option<&Catalog>,
) -> Result<Option<String>, RepositoryError> {
    let folder = Path::new(layout::BROWSE);
    tree.create_folder(folder, 0o755, None)?;
    let mut stale: BTreeSet<String> =
        tree.list(folder, MOST)?.into_iter().filter_map(|name| name.into_string().ok()).collect();
    let mut staged = Staged { tree, places: Vec::new() };
    let written = staged.write_new(index, keeping, made, &mut stale);
    let placed = written.and_then(|unreadable| staged.place().map(|()| unreadable));
    if let Err(RepositoryError::Drive(e)) = &placed
        && is_harmless(e)
    {
        staged.clear()?;
    }
    let unreadable = placed?;
    for name in stale.iter().filter(|name| is_script_name(name)) {
        tree.remove_file(&folder.join(name))?;
    }
    Ok(unreadable)
}

/// Files that get their names when all of them are whole and durable, by one sync.
struct Staged<'t> {
    tree: &'t Tree,
    places: Vec<PathBuf>,
}

impl Staged<'_> {
    /// Writes what is not there, or says something else; takes the scripts that are right out of `stale`.
    fn write_new(
        &mut self,
        index: &Index,
        keeping: Keeping,
        made: Option<&Catalog>,
        stale: &mut BTreeSet<String>,
    ) -> Result<Option<String>, RepositoryError> {
        let folder = Path::new(layout::BROWSE);
        let mut unreadable = None;
        for (sequence, name) in increments(index) {
            let script = script_name(sequence, index.revision(sequence));
            // It got its name when it was whole and durable.
            if stale.remove(&script) {
                continue;
            }
            let made = made.filter(|made| made.sequence == sequence).map(Cow::Borrowed);
            let catalog = made.map_or_else(|| read_catalog(self.tree, name).map(Cow::Owned), Ok);
            match catalog {
                Ok(catalog) => {
                    let text = data::run(&catalog, keeping).map_err(of_json)?;
                    self.write(&folder.join(script), &text)?;
                }
                // It is for `verify` and `repair` to tell; here it must not end each run.
                Err(e) => unreadable = Some(format!("browse.html lacks {name}: {}", in_words(&e))),
            }
        }
        let listed = increments(index).map(|(sequence, _)| (sequence, index.revision(sequence)));
        let list = data::list(keeping, listed).map_err(of_json)?;
        self.keep(&folder.join(LIST), &list)?;
        for (path, text) in PAGE {
            self.keep(Path::new(path), text)?;
        }
        Ok(unreadable)
    }

    /// Sees to it that a file will say this; one that does is left alone.
    fn keep(&mut self, path: &Path, text: &str) -> Result<(), TreeError> {
        if says(self.tree, path, text)? { Ok(()) } else { self.write(path, text) }
    }

    fn write(&mut self, path: &Path, text: &str) -> Result<(), TreeError> {
        let staged = staged(self.places.len());
        self.tree.remove_file(&staged)?;
        self.places.push(path.to_owned());
        let mut file = self.tree.create_file(&staged, 0o600)?;
        file.write_all(text.as_bytes())?;
        file.set_attributes(&Attributes {
            mode: 0o644,
            owner: None,
            mtime_ns: crate::text::clock::now_ns(),
        })?;
        if self.tree.syncs_each_file() { file.sync() } else { Ok(()) }
    }

    /// Gives all their names.
    fn place(&self) -> Result<(), RepositoryError> {
        if !self.places.is_empty() {
            self.tree.sync()?;
        }
        for (number, path) in self.places.iter().enumerate() {
            self.tree.rename_over(&staged(number), path)?;
        }
        Ok(())
    }

    /// Removes what did not get a name.
    fn clear(&self) -> Result<(), TreeError> {
        for number in 0..self.places.len() {
            self.tree.remove_file(&staged(number))?;
        }
        Ok(())
    }
}

fn staged(number: usize) -> PathBuf {
    layout::staged(&format!("{STAGED}-{number}"))
}

fn take_away(tree: &Tree) -> Result<Option<String>, RepositoryError> {
    let folder = Path::new(layout::BROWSE);
    if tree.stat(folder)?.is_some_and(|found| found.file_type.is_dir()) {
        for name in tree.list(folder, MOST)? {
            let path = folder.join(&name);
            let is_page = PAGE.iter().any(|(ours, _)| Path::new(ours) == path);
            if is_page || name == LIST || name.to_str().is_some_and(is_script_name) {
                tree.remove_file(&path)?;
            }
        }
        // What somebody else put there stays.
        if tree.list(folder, 1).is_ok_and(|left| left.is_empty()) {
            tree.remove_folder(folder)?;
        }
    }
    // Last: as long as it is there, there may be more to remove.
    tree.remove_file(Path::new(layout::BROWSE_PAGE))?;
    Ok(None)
}

/// The increments that have a catalog, in their order, with their names.
fn increments(index: &Index) -> impl Iterator<Item = (u64, &str)> {
    let closed = index.increments().iter().map(|i| (i.sequence, i.name.as_str()));
    let open = index.open().filter(|open| open.closing.is_some());
    closed.chain(open.map(|open| (open.mark.sequence, open.mark.name.as_str())))
}

/// The name of what tells of an increment. Another catalog makes another name, and so would another shape of
/// what is in it.
fn script_name(sequence: u64, revision: u32) -> String {
    format!("{sequence}-{revision}.js")
}

fn is_script_name(name: &str) -> bool {
    let numbers = name.strip_suffix(".js").and_then(|name| name.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(sequence, revision)| is_number(sequence) && is_number(revision))
}

/// What cannot be read says something else.
fn says(tree: &Tree, path: &Path, text: &str) -> Result<bool, TreeError> {
    use std::io::Read as _;

    let Some(file) = tree.open_file(path)? else {
        return Ok(false);
    };
    let mut there = Vec::with_capacity(text.len());
    let read = file.take(text.len() as u64 + 1).read_to_end(&mut there);
    Ok(read.is_ok() && there == text.as_bytes())
}

/// Whether it says nothing of the drive but that there is no room, or something of somebody else.
fn is_harmless(e: &TreeError) -> bool {
    e.is_full() || e.is_foreign()
}

fn of_json(e: serde_json::Error) -> RepositoryError {
    RepositoryError::Read(e.into())
}
