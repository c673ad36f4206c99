//! `.bkm/pairing`: the mark that ties the repository to one computer and one file system.
//!
//! It knows where the mark lies and how it is written, not whom it convinces (that is `crate::pairing`).
//! Whoever made the drive may have written anything here: what is read is bounded, and its texts are shown
//! only through `sanitize`.

use std::io::Read as _;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::repository::catalog::document::{hex, unhex};
use crate::repository::error::{RepositoryError, short};
use crate::repository::handle::Repository;
use crate::repository::index::frame::Frame;
use crate::repository::index::stamp;
use crate::repository::{layout, reserve};

/// The version that this program writes; a reader refuses a newer one.
const VERSION: u64 = 1;

/// Largest file that is read, in bytes; ours have some 400.
const MAX_BYTES: u64 = 4096;

/// How many tries that were cut off are stepped over.
const MAX_LEFT: u32 = 1000;

/// Longest text in it that is taken, in bytes.
const MAX_TEXT: usize = 256;

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Tells this mark from every other; random.
    pub id: [u8; 16],
    /// UUID of the file system that it was made for.
    pub file_system: String,
    /// Tells its computer from others; says nothing about the secret.
    pub computer: [u8; 16],
    /// The same for people: user and host name.
    pub computer_name: String,
    /// Proves that the computer made the mark, to itself alone.
    pub token: [u8; 32],
}

/// What lies in the place of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    None,
    /// A mark.
    Mark(Mark),
    /// Something that is no mark; why, in words.
    Damaged(String),
}

/// A mark as JSON; what is not known is skipped.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u64,
    id: String,
    file_system: String,
    computer: String,
    computer_name: String,
    token: String,
}

/// Reads the mark of the repository in `tree`.
pub fn read(tree: &Tree) -> Result<Found, TreeError> {
    let file = match tree.open_file(Path::new(layout::PAIRING)) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Found::None),
        Err(e) if e.is_foreign() => return Ok(Found::Damaged("it is no file".to_owned())),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|source| TreeError {
        action: "read",
        path: tree.shown().join(layout::PAIRING),
        source,
    })?;
    Ok(parse(&bytes).map_or_else(Found::Damaged, Found::Mark))
}

/// What these bytes say; why they are no mark, if they are none.
pub(super) fn parse(bytes: &[u8]) -> Result<Mark, String> {
    /// What every version says.
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is too large".to_owned());
    }
    let Version { version } = serde_json::from_slice(bytes).map_err(|e| short(&e))?;
    if version > VERSION {
        return Err(format!("it was made by a newer bkm-agent (version {version})"));
    }
    let written: Written = serde_json::from_slice(bytes).map_err(|e| short(&e))?;
    let fits = |text: &str| !text.is_empty() && text.len() <= MAX_TEXT;
    if !fits(&written.file_system) || !fits(&written.computer_name) {
        return Err("a text in it is empty or too long".to_owned());
    }
    let (id, computer) = (number(&written.id), number(&written.computer));
    match (id, computer, number(&written.token)) {
        (Some(id), Some(computer), Some(token)) => Ok(Mark {
            id,
            file_system: written.file_system,
            computer,
            computer_name: written.computer_name,
            token,
        }),
        _ => Err("a number in it is no hexadecimal text of its length".to_owned()),
    }
}

fn number<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() == 2 * N { unhex(text)?.try_into().ok() } else { None }
}

/// The text of a mark. A name that is too long for a reader is cut.
pub(super) fn text(mark: &Mark) -> Vec<u8> {
    let mut computer_name = mark.computer_name.clone();
    computer_name.truncate(computer_name.floor_char_boundary(MAX_TEXT));
    let written = Written {
        version: VERSION,
        id: hex(&mark.id),
        file_system: mark.file_system.clone(),
        computer: hex(&mark.computer),
        computer_name,
        token: hex(&mark.token),
    };
    // Texts and numbers always serialise; an empty file would merely be no mark.
    serde_json::to_vec_pretty(&written).unwrap_or_default()
}

/// Whether there is a repository in `tree`, whatever its state.
pub fn has_repository(tree: &Tree) -> Result<bool, TreeError> {
    Ok(tree.stat(Path::new(layout::FORMAT))?.is_some())
}

/// How many runs were finished on the repository in `tree`; 0 if nothing says so.
pub fn runs(tree: &Tree) -> Result<u64, TreeError> {
    match stamp::read(tree) {
        Ok(stamp) => Ok(stamp.map_or(0, |stamp| stamp.counter)),
        // A run will say what is wrong with it.
        Err(e) if e.is_foreign() => Ok(0),
        Err(e) => Err(e),
    }
}

impl Repository<'_> {
    /// Writes the mark, or removes it (`None`), and makes that durable.
    pub fn set_mark(&mut self, mark: Option<&Mark>) -> Result<(), RepositoryError> {
        let (was_torn, was_unclosed) = (self.index.is_torn(), self.index.is_unclosed());
        // Should it be cut off on a drive without a journal, what is staged is not believed. Where the last
        // run was cut off, that is so already, and stays so until the next run.
        if !was_torn {
            self.begin_run()?;
        }
        match mark {
            Some(mark) => reserve::with_room(self.tree, || place(self.tree, &text(mark)))?,
            None => {
                self.tree.remove_file(Path::new(layout::PAIRING))?;
            }
        }
        self.tree.sync()?;
        match (was_torn, was_unclosed) {
            (false, true) => self.settle()?,
            (false, false) if self.index.is_unclosed() => {
                self.append(&Frame::Closed)?;
                self.index.close();
            }
            (true, _) | (false, false) => {}
        }
        Ok(())
    }
}

/// Puts the mark in its place. What an earlier try left is the next run's to clear: unlinking it here could
/// free what is in use, on a drive without a journal that was not checked.
fn place(tree: &Tree, text: &[u8]) -> Result<(), RepositoryError> {
    let mut number = 0;
    let (staged, mut file) = loop {
        let staged = layout::staged(&format!("pairing-{number}"));
        match tree.create_file(&staged, 0o600) {
            Ok(file) => break (staged, file),
            Err(e) if e.is(Errno::EXIST) && number < MAX_LEFT => number += 1,
            Err(e) => return Err(e.into()),
        }
    };
    file.write_all(text)?;
    file.sync()?;
    Ok(tree.rename_over(&staged, Path::new(layout::PAIRING))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(computer_name: &str) -> Mark {
        Mark {
            id: [1; 16],
            file_system: "B4C4-F001".to_owned(),
            computer: [2; 16],
            computer_name: computer_name.to_owned(),
            token: [3; 32],
        }
    }

    #[test]
    fn a_mark_is_written_replaced_and_removed_with_and_without_links() {
        for links in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let tree = Tree::open(dir.path()).unwrap();
            let faults = crate::fs::faults::Faults::none();
            let faults = if links { faults } else { faults.without_links() };
            let tree = tree.with_faults(std::sync::Arc::new(faults));
            drop(Repository::create(&tree).unwrap());
            assert!(has_repository(&tree).unwrap());
            assert_eq!(read(&tree).unwrap(), Found::None);
            for name in ["anna@host", "berta@host"] {
                let mut repository = Repository::open(&tree).unwrap().unwrap();
                repository.set_mark(Some(&mark(name))).unwrap();
                assert_eq!(read(&tree).unwrap(), Found::Mark(mark(name)));
            }
            let mut repository = Repository::open(&tree).unwrap().unwrap();
            assert!(!repository.index().is_unclosed(), "the next run would tell of a recovery");
            repository.set_mark(None).unwrap();
            assert_eq!(read(&tree).unwrap(), Found::None);
            assert_eq!(tree.list(Path::new(layout::STAGE), 9).unwrap().len(), 0);
        }
    }

    #[test]
    fn what_is_no_mark_says_why() {
        let good = String::from_utf8(text(&mark("anna@host"))).unwrap();
        for (bad, why) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "missing field `version`"),
            (good.replace("\"version\": 1", "\"version\": 2"), "newer bkm-agent"),
            (good.replace("0101", "01"), "no hexadecimal"),
            (good.replace("0101", "x101"), "no hexadecimal"),
            (good.replace("anna@host", ""), "empty or too long"),
            (good.replace("anna@host", &"a".repeat(257)), "empty or too long"),
            (" ".repeat(5000), "too large"),
        ] {
            let said = parse(bad.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        assert!(parse(good.replace('{', "{ \"later\": [1],").as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn a_mark_comes_back_as_it_was_written(
            id: [u8; 16], computer: [u8; 16], token: [u8; 32], name in "\\PC{1,300}",
        ) {
            let mark = Mark { id, computer, token, ..mark(&name) };
            let again = parse(&text(&mark)).unwrap();
            prop_assert!(mark.computer_name.starts_with(&again.computer_name));
            prop_assert_eq!(again, Mark { computer_name: parse(&text(&mark)).unwrap().computer_name, ..mark });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            crate::repository::fuzzing::mark(&bytes);
        }

        #[test]
        fn a_mark_with_a_changed_byte_is_read_or_refused(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = text(&mark("anna@host"));
            let at = at.index(bytes.len());
            bytes[at] = byte;
            crate::repository::fuzzing::mark(&bytes);
        }
    }
}
