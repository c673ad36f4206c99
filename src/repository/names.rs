//! Which name a path gets on a drive that refuses or confuses some names.
//!
//! Pure: it makes names and touches nothing. An escaped name stays readable, carries a hash of the true
//! one, and is recorded (`Record::stored`, `stored_as` in the catalog), so that a restore never has to
//! guess. See `docs/format.md`, "Names on the drive".

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::fs::probe::Names;
use crate::model::relpath::RelPath;
use crate::repository::index::contents::Index;

/// Longest name: bytes on Linux file systems, UTF-16 units on FAT, exFAT and NTFS.
const LONGEST: usize = 255;

/// Longest ending (with its dot) that an escaped name keeps, in bytes.
const LONGEST_ENDING: usize = 16;

/// Names that Windows keeps for devices, whatever follows the first dot.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Assigns places in the mirror to paths that have none yet.
#[derive(Debug, Default)]
pub struct Naming {
    names: Names,
    /// What is taken, folded; filled when it is needed first.
    taken: HashSet<Vec<u8>>,
    /// Places that are not the path itself: what the index has, and what was assigned.
    stored: BTreeMap<RelPath, RelPath>,
}

impl Naming {
    /// Of a mirror whose records are `index`; those that `leaves` says leave first take no name.
    pub fn new(names: Names, index: &Index, leaves: impl Fn(&RelPath) -> bool) -> Self {
        let mut naming = Self { names, taken: HashSet::new(), stored: BTreeMap::new() };
        for (path, record) in index.records().iter() {
            if leaves(path) {
                continue;
            }
            if let Some(stored) = &record.stored {
                naming.stored.insert(path.clone(), RelPath::clone(stored));
            }
            naming.taken.insert(fold(names, record.place(path).as_bytes()));
        }
        naming
    }

    /// Gives `path`, which is new, its place. The folder above it must have its own already.
    pub fn assign(&mut self, path: &RelPath) {
        let parent = path.parent();
        let above = parent.as_ref().map(|parent| self.place(parent).clone());
        let name = path.name().as_bytes();
        let candidates = std::iter::once((!must_escape(self.names, name)).then(|| name.to_vec()))
            .flatten()
            .chain([8, 16, 64].map(|digits| escaped(self.names, name, name, digits)))
            // Somebody called his files like that; nobody can have called them all.
            .chain((1_u64..).map(|n| {
                let other = [name, b"/", n.to_string().as_bytes()].concat();
                escaped(self.names, name, &other, 64)
            }));
        for candidate in candidates {
            let Ok(place) = RelPath::child(above.as_ref(), OsStr::from_bytes(&candidate)) else {
                // Too long as a whole.
                return;
            };
            if self.taken.insert(fold(self.names, place.as_bytes())) {
                if place != *path {
                    self.stored.insert(path.clone(), place);
                }
                return;
            }
        }
    }

    /// The place of a path that has one.
    pub fn place<'a>(&'a self, path: &'a RelPath) -> &'a RelPath {
        self.stored.get(path).unwrap_or(path)
    }

    /// The place as a record holds it: nothing where it is the path itself.
    pub fn stored(&self, path: &RelPath) -> Option<RelPath> {
        self.stored.get(path).cloned()
    }
}

/// Whether any path has, or one of the `new` paths may get, another place than its own, so that a
/// [`Naming`] has to be made.
pub fn may_escape<'p>(names: Names, index: &Index, new: impl Iterator<Item = &'p RelPath>) -> bool {
    let refused = |path: &RelPath| must_escape(names, path.name().as_bytes());
    let mut new = new;
    new.any(|path| names >= Names::Portable || refused(path))
        || index.records().values().any(|record| record.stored.is_some())
}

/// Two names for which this is the same may be one on the drive. Coarser than what drives do: that costs
/// an escaped name, the other way round would cost a file.
pub fn fold(names: Names, path: &[u8]) -> Vec<u8> {
    if names < Names::Portable {
        return path.to_vec();
    }
    let text = String::from_utf8_lossy(path);
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .into_bytes()
}

/// Whether the drive cannot have a file of this name, or would take it for another.
fn must_escape(names: Names, name: &[u8]) -> bool {
    if names == Names::Any {
        return name.len() > LONGEST;
    }
    let Ok(text) = std::str::from_utf8(name) else {
        return true;
    };
    let too_long = text.encode_utf16().count() > LONGEST;
    let refused = |text: &str| {
        text.chars().any(|c| is_refused(names, c))
            || text.ends_with(['.', ' '])
            || is_device(text)
            || is_short_alias(text)
    };
    too_long || (names >= Names::Portable && refused(text))
}

fn is_refused(names: Names, c: char) -> bool {
    matches!(c, ':' | '?' | '*' | '"' | '<' | '>' | '|' | '\\' | '\u{7f}')
        || c < ' '
        || (names == Names::Ascii && !c.is_ascii())
}

fn is_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    DEVICES.contains(&stem.as_str())
}

/// Whether a name has the form that FAT gives to the short aliases of long ones: `LONGFI~1.TXT`. A
/// file of that name would be taken for the long one.
fn is_short_alias(text: &str) -> bool {
    let (stem, ending) = text.split_once('.').unwrap_or((text, ""));
    let numbered = stem.rsplit_once('~').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    });
    numbered && stem.chars().count() <= 8 && ending.chars().count() <= 3
}

/// A readable name that every drive takes: what is refused becomes `_`, and `digits` of the hash of
/// `hashed` stand before the ending.
fn escaped(names: Names, name: &[u8], hashed: &[u8], digits: usize) -> Vec<u8> {
    let hash = blake3::hash(hashed).to_hex();
    let text: String = String::from_utf8_lossy(name)
        .chars()
        .map(|c| if is_refused(names.max(Names::Portable), c) || c == '\u{fffd}' { '_' } else { c })
        .collect();
    let (stem, ending) = match text.rfind('.') {
        Some(dot) if dot > 0 && text.len() - dot <= LONGEST_ENDING => text.split_at(dot),
        _ => (text.as_str(), ""),
    };
    let ending = ending.trim_end_matches(['.', ' ']);
    let stem = if is_device(stem) { format!("_{stem}") } else { stem.to_owned() };
    let mark = format!("~{}{ending}", hash.get(..digits).unwrap_or_default());
    // Bytes are never fewer than UTF-16 units, so this is short enough for every drive.
    let room = LONGEST.saturating_sub(mark.len());
    let end = (0..=stem.len().min(room)).rev().find(|at| stem.is_char_boundary(*at));
    let mut short = stem.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
    short.push_str(&mark);
    short.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn places(names: Names, paths: &[&[u8]]) -> Vec<String> {
        let mut naming = Naming::new(names, &Index::empty(), |_| false);
        let paths: Vec<RelPath> = paths.iter().map(|p| RelPath::new(p).unwrap()).collect();
        for path in &paths {
            naming.assign(path);
        }
        paths.iter().map(|path| naming.place(path).to_string()).collect()
    }

    #[test]
    fn names_that_fat_takes_stay_as_they_are() {
        for name in
            ["a.txt", "Übung (1).doc", "файл", ".hidden", "a~b", "x~1234567890.txt", "console"]
        {
            assert_eq!(places(Names::Portable, &[name.as_bytes()]), [name]);
        }
    }

    #[test]
    fn names_that_fat_refuses_stay_readable() {
        assert_eq!(places(Names::Portable, &[b"what? 10:30.txt"]), ["what_ 10_30~930473d1.txt"]);
        for name in [
            "a:b",
            "dot.",
            "space ",
            "aux",
            "CON.txt",
            "LONGFI~1.TXT",
            "tab\there",
            "a\\b",
            "nul.tar.gz",
        ] {
            let stored = places(Names::Portable, &[name.as_bytes()]).remove(0);
            assert_ne!(stored, name);
            assert!(!must_escape(Names::Portable, stored.as_bytes()), "{name} became {stored}");
        }
        assert!(places(Names::Text, &[b"caf\xe9.txt"])[0].starts_with("caf_~"));
        assert_eq!(
            places(Names::Any, &[b"caf\xe9", b"a:b", b"Dot."]),
            ["/caf\\xe9", "a:b", "Dot."]
        );
        assert!(places(Names::Ascii, &["Übung.txt".as_bytes()])[0].is_ascii());
    }

    #[test]
    fn of_names_that_differ_by_case_alone_one_is_escaped_with_all_below_it() {
        let stored = places(Names::Portable, &[b"Dir", b"Dir/f", b"dir", b"dir/f", b"dir/F"]);
        assert_eq!(stored[..2], ["Dir", "Dir/f"]);
        assert!(stored[2].starts_with("dir~"));
        assert_eq!(stored[3], format!("{}/f", stored[2]));
        assert!(stored[4].starts_with(&format!("{}/F~", stored[2])));
    }

    #[test]
    fn a_name_whose_other_names_are_all_taken_gets_one_of_its_own() {
        let hash = blake3::hash(b"a:").to_hex();
        let taken = [8, 16, 64].map(|digits| format!("a_~{}", &hash[..digits]));
        let mut all: Vec<&[u8]> = taken.iter().map(String::as_bytes).collect();
        all.push(b"a:");
        let stored = places(Names::Portable, &all);
        assert!(stored[3].starts_with("a_~") && !stored[..3].contains(&stored[3]), "{stored:?}");
    }

    #[test]
    fn a_path_keeps_the_place_that_the_index_has() {
        let mut naming = Naming::new(Names::Portable, &Index::empty(), |_| false);
        naming.stored.insert(path("dir"), path("dir~12345678"));
        naming.assign(&path("dir/new"));
        assert_eq!(naming.place(&path("dir/new")), &path("dir~12345678/new"));
    }

    #[test]
    fn names_of_255_characters_fit_where_bytes_are_counted_and_where_they_are_not() {
        let cyrillic = "я".repeat(255);
        assert_eq!(
            places(Names::Portable, &[cyrillic.as_bytes()]),
            std::slice::from_ref(&cyrillic)
        );
        let short = places(Names::Any, &[format!("{cyrillic}.odt").as_bytes()]).remove(0);
        assert!(short.len() <= 255 && short.contains('~'), "{short}");
    }

    proptest! {
        #[test]
        fn no_two_paths_share_a_place_and_every_place_is_taken_by_the_drive(
            names in prop::collection::btree_set("[aA:.~1 é\\x01]{1,5}|[a-z]{1,2}~[0-9]|aux|NUL", 1..12),
            more in prop::collection::btree_set(prop::collection::vec(1_u8.., 1..300), 0..4),
            policy in prop::sample::select(vec![Names::Any, Names::Text, Names::Portable, Names::Ascii]),
        ) {
            let all = names.iter().map(|n| n.as_bytes().to_vec()).chain(more);
            let all: std::collections::BTreeSet<_> =
                all.filter(|n| !n.contains(&b'/')).filter_map(|n| RelPath::new(&n).ok()).collect();
            let mut naming = Naming::new(policy, &Index::empty(), |_| false);
            let mut seen = HashSet::new();
            for path in &all {
                naming.assign(path);
                let place = naming.place(path).as_bytes().to_vec();
                prop_assert!(!must_escape(policy, &place) , "{:?}", naming.place(path));
                prop_assert!(seen.insert(fold(policy, &place)), "{:?} twice", naming.place(path));
            }
        }
    }
}
