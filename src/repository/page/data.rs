//! What the page is told: one script for each increment, made of its catalog, and one that lists them.
//!
//! Names come from the source and may be anything; here they become JSON texts that hold no character which
//! HTML or a script could take for its own. Nothing is written here.

use std::borrow::Cow;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, CatalogEntry, EntryCategory};
use crate::repository::layout;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::text::sanitize;

/// The script that tells the page of the increments there are: ranges of sequences, first and last, whose
/// catalogs were written anew equally often. So it grows with the gaps between increments, and not with
/// each run.
pub fn list(
    keeping: Keeping,
    increments: impl Iterator<Item = (u64, u32)>,
) -> serde_json::Result<String> {
    let mut runs: Vec<(u64, u64, u32)> = Vec::new();
    for (sequence, revision) in increments {
        match runs.last_mut() {
            Some((_, last, same)) if *same == revision && last.checked_add(1) == Some(sequence) => {
                *last = sequence;
            }
            _ => runs.push((sequence, sequence, revision)),
        }
    }
    script("list", &List { keeping, runs })
}

#[derive(Serialize)]
struct List {
    keeping: Keeping,
    runs: Vec<(u64, u64, u32)>,
}

/// The script that tells the page what an increment brought.
pub fn run(catalog: &Catalog, keeping: Keeping) -> serde_json::Result<String> {
    let rows = |category| rows(catalog, keeping, category);
    let run = Run {
        sequence: catalog.sequence,
        name: &catalog.backup_name,
        time: &catalog.backup_timestamp,
        complete: catalog.status == Status::Complete,
        deleted: rows(EntryCategory::Deleted),
        gone: catalog.removed_folders.iter().chain(&catalog.gone).map(spelled).collect(),
        ended: catalog.ended.iter().map(spelled).collect(),
        folders: catalog.folders.keys().map(spelled).collect(),
        files: rows(EntryCategory::Tracked),
    };
    script("run", &run)
}

/// In the order in which the page applies them.
#[derive(Serialize)]
struct Run<'a> {
    sequence: u64,
    name: &'a str,
    time: &'a str,
    complete: bool,
    deleted: Vec<Folder<'a>>,
    gone: Vec<Cow<'a, str>>,
    ended: Vec<Cow<'a, str>>,
    folders: Vec<Cow<'a, str>>,
    files: Vec<Folder<'a>>,
}

/// Files that lie in one folder, which is named once: `[folder, file, …]`.
struct Folder<'a> {
    path: Cow<'a, str>,
    files: Vec<File<'a>>,
}

/// `[name, size, mtime in seconds]`, and what only some files have.
struct File<'a> {
    name: Cow<'a, str>,
    size: u64,
    mtime: i64,
    more: More<'a>,
}

#[derive(Default, PartialEq, Serialize)]
struct More<'a> {
    /// Its place on the drive, where that is not its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Cow<'a, str>>,
    /// The increment in whose `track` it lies, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    /// Where a symbolic link points.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
}

impl Serialize for Folder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&self.path)?;
        for file in &self.files {
            list.serialize_element(file)?;
        }
        list.end()
    }
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&self.name)?;
        list.serialize_element(&self.size)?;
        list.serialize_element(&self.mtime)?;
        if self.more != More::default() {
            list.serialize_element(&self.more)?;
        }
        list.end()
    }
}

fn rows(catalog: &Catalog, keeping: Keeping, category: EntryCategory) -> Vec<Folder<'_>> {
    let mut folders: Vec<Folder<'_>> = Vec::new();
    for (path, entry) in catalog.file_catalog.iter().filter(|(_, e)| e.category == category) {
        let (folder, name) = match spelled(path) {
            Cow::Borrowed(text) => {
                let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
                (Cow::Borrowed(folder), Cow::Borrowed(name))
            }
            Cow::Owned(text) => {
                let (folder, name) = text.rsplit_once('/').unwrap_or(("", &text));
                (Cow::Owned(folder.to_owned()), Cow::Owned(name.to_owned()))
            }
        };
        let file = File {
            name,
            size: entry.size,
            mtime: seconds(entry),
            more: more(catalog, entry, keeping),
        };
        match folders.last_mut() {
            Some(last) if last.path == folder => last.files.push(file),
            _ => folders.push(Folder { path: folder, files: vec![file] }),
        }
    }
    folders
}

/// Of a catalog of the Python tool `mtime` alone says it.
fn seconds(entry: &CatalogEntry) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time beyond all years is held at the last"
    )]
    let rounded = entry.mtime.floor() as i64;
    if entry.mtime_ns == 0 { rounded } else { entry.mtime_ns.div_euclid(1_000_000_000) }
}

fn more<'a>(catalog: &'a Catalog, entry: &'a CatalogEntry, keeping: Keeping) -> More<'a> {
    let brought_in = entry.content_in.as_deref().filter(|name| layout::is_increment_name(name));
    let from = match entry.category {
        // With hard links each increment has a name of its own for what it lists.
        EntryCategory::Tracked => brought_in.filter(|_| keeping == Keeping::Displace),
        // What was displaced lies where it was brought.
        EntryCategory::Deleted if entry.backup_path.starts_with("track/") => {
            Some(brought_in.unwrap_or(&catalog.backup_name))
        }
        EntryCategory::Deleted => None,
    };
    let link = entry.link_target.as_deref();
    More { place: entry.stored_as.as_ref().map(spelled), from, link }
}

/// A path as the page takes it, joined by `/`. A name that is not UTF-8 becomes NUL, which no name has, and
/// its bytes as in an address (`caf%E9`): so no two names are one, and each leads to its file.
fn spelled(path: &RelPath) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(path.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let name = |name: &[u8]| match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => name.iter().fold("\0".to_owned(), |mut text, &byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let digit = |d: u8| char::from_digit(d.into(), 16).unwrap_or('0');
                text.push('%');
                text.extend([digit(byte >> 4), digit(byte & 15)].map(|d| d.to_ascii_uppercase()));
            }
            text
        }),
    };
    let names: Vec<String> = path.as_bytes().split(|&b| b == b'/').map(name).collect();
    Cow::Owned(names.join("/"))
}

/// A call of the page's function `name`. In JSON the characters that are escaped here stand within texts only.
fn script(name: &str, told: &impl Serialize) -> serde_json::Result<String> {
    let json = sanitize::json(&serde_json::to_string(told)?);
    let mut text = String::with_capacity(json.len() + 64);
    text.push_str("bkm.");
    text.push_str(name);
    text.push('(');
    let mut rest = json.as_str();
    while let Some(at) = rest.find(['<', '>', '&']) {
        let (plain, from) = rest.split_at(at);
        text.push_str(plain);
        let mut chars = from.chars();
        text.push_str(match chars.next() {
            Some('<') => "\\u003c",
            Some('>') => "\\u003e",
            _ => "\\u0026",
        });
        rest = chars.as_str();
    }
    text.push_str(rest);
    text.push_str(");\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn listed(increments: &[(u64, u32)]) -> String {
        list(Keeping::Hardlink, increments.iter().copied()).unwrap()
    }

    #[test]
    fn the_list_grows_with_gaps_and_not_with_runs() {
        let text =
            |runs: &str| format!("bkm.list({{\"keeping\":\"hardlink\",\"runs\":[{runs}]}});\n");
        assert_eq!(listed(&[]), text(""));
        let all: Vec<(u64, u32)> = (1..=3650).map(|sequence| (sequence, 0)).collect();
        assert_eq!(listed(&all), text("[1,3650,0]"));
        assert_eq!(
            listed(&[(2, 0), (3, 0), (5, 0), (6, 2), (7, 0)]),
            text("[2,3,0],[5,5,0],[6,6,2],[7,7,0]")
        );
    }

    #[test]
    fn names_are_spelled_for_the_page() {
        let spell = |bytes: &[u8]| spelled(&RelPath::new(bytes).unwrap()).into_owned();
        assert_eq!(spell("d/Füße.txt".as_bytes()), "d/Füße.txt");
        assert_eq!(spell(b"Dom\xc3\xbc/a%b\\caf\xe9"), "Domü/\0a%25b%5Ccaf%E9");
    }

    proptest! {
        #[test]
        fn no_character_of_a_name_can_end_a_text_or_a_tag(names in proptest::collection::vec(any::<String>(), 0..5)) {
            let text = script("run", &names).unwrap();
            let dangerous = ['<', '>', '&', '\u{2028}', '\u{2029}', '\u{202e}'];
            prop_assert!(!text.contains(dangerous));
            let json = text.strip_prefix("bkm.run(").unwrap().strip_suffix(");\n").unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(json).unwrap(), names);
            prop_assert_eq!(text.lines().count(), 1);
        }

        #[test]
        fn no_two_paths_are_spelled_alike(paths in proptest::collection::btree_set("[a%/\\\\]{1,4}|[a-c]", 1..30)) {
            // Bytes above 0x7f stand for those that are no part of UTF-8.
            let bytes = paths.iter().map(|p| p.replace('c', "\u{e9}").chars().map(|c| c as u8).collect::<Vec<u8>>());
            let paths: Vec<RelPath> = bytes.filter_map(|b| RelPath::new(&b).ok()).collect();
            let spellings: BTreeSet<String> = paths.iter().map(|p| spelled(p).into_owned()).collect();
            prop_assert_eq!(spellings.len(), paths.len());
        }
    }
}
