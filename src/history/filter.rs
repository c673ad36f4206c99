//! What a search is for: masks, folders, sizes, times. Values in, yes or no out.
//!
//! A filter that is not understood is an error that says what is right, never left out.

use std::fmt;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::history::point;
use crate::model::relpath::RelPath;
use crate::state::catalogs::entry::{Entry, Role};

/// Longest pattern, as for rules.
const MAX_PATTERN: usize = 4096;

/// Most braces in one: globset's parser recurses.
const MAX_BRACES: usize = 16;

/// Why a filter cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A mask or folder is not a glob.
    #[error("'{text}' is not a pattern: {reason}")]
    Pattern {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A size is none.
    #[error(
        "--size '{0}' is no size: write '>100M', '<1G', '10K-100K' or '12345' (bytes; K, M, G, T are thousands, KiB, MiB, GiB, TiB times 1024)"
    )]
    Size(String),
    /// A time is none.
    #[error(
        "--time '{0}' is no time: write 2026-01-15, '>2026-01-15', '<2026-01-15 09:30', '2026-01-01..2026-02-01' or a full time like 2026-01-15T09:30:00+01:00"
    )]
    Time(String),
    /// The end comes before the beginning.
    #[error("'{0}' is empty: its end comes before its beginning")]
    Empty(String),
}

/// What is searched for. Everything that is given must hold; of several masks or folders, one.
#[derive(Debug, Default)]
pub struct Filter {
    masks: Option<Masks>,
    folders: Option<Folders>,
    sizes: Vec<Span<u64>>,
    times: Vec<Span<i128>>,
    deleted: bool,
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// Masks on name or path.
    pub masks: &'a [String],
    /// Folders or files with all below them: paths below the source, or globs.
    pub folders: &'a [Folder],
    /// Sizes.
    pub sizes: &'a [String],
    /// Times.
    pub times: &'a [String],
    /// Only what vanished.
    pub deleted: bool,
}

/// A folder or file to search in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// The source itself.
    All,
    /// At this path.
    Path(RelPath),
    /// Whatever this pattern matches.
    Glob(String),
}

impl Filter {
    /// Understands a wish; times without offset are local (`zone`).
    pub fn new(wish: &Wish<'_>, zone: &TimeZone) -> Result<Self, FilterError> {
        let time = |text: &String| time(text, zone);
        Ok(Self {
            masks: (!wish.masks.is_empty()).then(|| Masks::new(wish.masks)).transpose()?,
            folders: (!wish.folders.is_empty()).then(|| Folders::new(wish.folders)).transpose()?,
            sizes: wish.sizes.iter().map(|text| size(text)).collect::<Result<_, _>>()?,
            times: wish.times.iter().map(time).collect::<Result<_, _>>()?,
            deleted: wish.deleted,
        })
    }

    /// Whether a version is searched for.
    pub fn takes(&self, entry: &Entry<'_>) -> bool {
        (!self.deleted || entry.role == Role::Deleted)
            && self.sizes.iter().all(|span| span.has(&entry.size))
            && self.times.iter().all(|span| span.has(&i128::from(entry.mtime_ns)))
            && self.takes_path(entry.path)
    }

    /// Whether versions of this path can be searched for.
    pub fn takes_path(&self, path: &[u8]) -> bool {
        self.masks.as_ref().is_none_or(|masks| masks.takes(path))
            && self.folders.as_ref().is_none_or(|folders| folders.takes(path))
    }

    /// Whether only what vanished is searched for.
    pub fn only_deleted(&self) -> bool {
        self.deleted
    }
}

/// Whether a text has wildcards; one without is taken as it is.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Masks on names and on paths.
#[derive(Debug)]
struct Masks {
    names: GlobSet,
    paths: GlobSet,
    words: Vec<String>,
    words_of_paths: Vec<String>,
}

impl Masks {
    fn new(masks: &[String]) -> Result<Self, FilterError> {
        let (mut names, mut paths) = (Vec::new(), Vec::new());
        let (mut words, mut words_of_paths) = (Vec::new(), Vec::new());
        for mask in masks {
            let text = mask.strip_prefix("./").unwrap_or(mask);
            match (is_glob(text), text.contains('/')) {
                _ if text.is_empty() => {
                    let reason = "it is empty; '*' is everything".to_owned();
                    return Err(FilterError::Pattern { text: mask.clone(), reason });
                }
                (true, false) => names.push(glob(text)?),
                (true, true) => paths.push(glob(text)?),
                (false, false) => words.push(text.to_owned()),
                (false, true) => words_of_paths.push(text.to_owned()),
            }
        }
        Ok(Self { names: set(&names)?, paths: set(&paths)?, words, words_of_paths })
    }

    fn takes(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
        self.words.iter().any(|word| has(name, word.as_bytes()))
            || self.words_of_paths.iter().any(|word| has(path, word.as_bytes()))
            || matches(&self.names, name)
            || matches(&self.paths, path)
    }
}

/// Folders with all below them.
#[derive(Debug)]
struct Folders {
    paths: Vec<RelPath>,
    globs: GlobSet,
    all: bool,
}

impl Folders {
    fn new(folders: &[Folder]) -> Result<Self, FilterError> {
        let (mut paths, mut globs) = (Vec::new(), Vec::new());
        for folder in folders {
            match folder {
                Folder::All => {}
                Folder::Path(path) => paths.push(path.clone()),
                Folder::Glob(text) => {
                    let plain = text.trim_end_matches('/');
                    globs.push(glob(plain.strip_prefix("./").unwrap_or(plain))?);
                }
            }
        }
        Ok(Self { paths, globs: set(&globs)?, all: folders.contains(&Folder::All) })
    }

    fn takes(&self, path: &[u8]) -> bool {
        let within = |folder: &RelPath| match path.strip_prefix(folder.as_bytes()) {
            Some(rest) => matches!(rest, [] | [b'/', ..]),
            None => false,
        };
        if self.all || self.paths.iter().any(within) {
            return true;
        }
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        !self.globs.is_empty()
            && ends
                .chain([path.len()])
                .any(|end| path.get(..end).is_some_and(|path| matches(&self.globs, path)))
    }
}

fn glob(text: &str) -> Result<Glob, FilterError> {
    let bad = |reason: String| FilterError::Pattern { text: text.to_owned(), reason };
    if text.len() > MAX_PATTERN || text.matches('{').count() > MAX_BRACES {
        return Err(bad("it is too long".to_owned()));
    }
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    glob.map_err(|e| bad(e.kind().to_string()))
}

fn set(globs: &[Glob]) -> Result<GlobSet, FilterError> {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(glob.clone());
    }
    builder.build().map_err(|e| FilterError::Pattern {
        text: globs.iter().map(Glob::glob).collect::<Vec<_>>().join(" "),
        reason: e.kind().to_string(),
    })
}

fn matches(set: &GlobSet, path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    !set.is_empty() && set.is_match(std::ffi::OsStr::from_bytes(path))
}

/// Whether `word` is somewhere in `text`.
fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

/// From one value to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span<T> {
    from: T,
    to: T,
}

impl<T: Ord + fmt::Debug> Span<T> {
    fn has(&self, value: &T) -> bool {
        self.from <= *value && *value <= self.to
    }

    fn not_empty(self, text: &str) -> Result<Self, FilterError> {
        if self.from <= self.to { Ok(self) } else { Err(FilterError::Empty(text.to_owned())) }
    }
}

/// `>100M`, `>=100M`, `<1G`, `<=1G`, `10K-100K`, `10K..100K`, `12345`.
fn size(text: &str) -> Result<Span<u64>, FilterError> {
    let wrong = || FilterError::Size(text.to_owned());
    let bytes = |text: &str| bytes(text).ok_or_else(wrong);
    let span = match compared(text.trim()) {
        Compared::Above(rest) => {
            Span { from: bytes(rest)?.checked_add(1).ok_or_else(wrong)?, to: u64::MAX }
        }
        Compared::From(rest) => Span { from: bytes(rest)?, to: u64::MAX },
        Compared::Below(rest) => Span {
            from: 0,
            to: bytes(rest)?.checked_sub(1).ok_or_else(|| FilterError::Empty(text.to_owned()))?,
        },
        Compared::UpTo(rest) => Span { from: 0, to: bytes(rest)? },
        Compared::Plain(rest) => match rest.split_once("..").or_else(|| rest.split_once('-')) {
            Some((from, to)) => Span { from: bytes(from)?, to: bytes(to)? },
            None => Span { from: bytes(rest)?, to: bytes(rest)? },
        },
    };
    span.not_empty(text)
}

/// `12345`, `100K`, `1.5 MB`, `4KiB`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    // More digits than a byte of the largest unit has.
    let part = part.get(..part.len().min(15))?;
    let whole: u64 = whole.parse().ok()?;
    let parts: u128 = part.parse().ok()?;
    let below = parts * u128::from(factor) / 10_u128.pow(u32::try_from(part.len()).ok()?);
    whole.checked_mul(factor)?.checked_add(u64::try_from(below).ok()?)
}

/// `2026-01-15`, `>2026-01-15`, `<…`, `A..B`: a day, a minute or a second means all of it.
fn time(text: &str, zone: &TimeZone) -> Result<Span<i128>, FilterError> {
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let spell = |part: &str| -> Result<(i128, i128), FilterError> {
        let (from, to) =
            point::span(part.trim(), zone).ok_or_else(|| FilterError::Time(text.to_owned()))?;
        Ok((Timestamp::as_nanosecond(from), Timestamp::as_nanosecond(to)))
    };
    let span = match compared(text.trim()) {
        Compared::Above(rest) => Span { from: spell(rest)?.1 + 1, to: most },
        Compared::From(rest) => Span { from: spell(rest)?.0, to: most },
        Compared::Below(rest) => Span { from: least, to: spell(rest)?.0 - 1 },
        Compared::UpTo(rest) => Span { from: least, to: spell(rest)?.1 },
        Compared::Plain(rest) => match rest.split_once("..") {
            Some(("", "")) => return Err(FilterError::Time(text.to_owned())),
            Some((from, "")) => Span { from: spell(from)?.0, to: most },
            Some(("", to)) => Span { from: least, to: spell(to)?.1 },
            Some((from, to)) => Span { from: spell(from)?.0, to: spell(to)?.1 },
            None => {
                let (from, to) = spell(rest)?;
                Span { from, to }
            }
        },
    };
    span.not_empty(text)
}

/// A value and what it is compared by.
enum Compared<'a> {
    Above(&'a str),
    From(&'a str),
    Below(&'a str),
    UpTo(&'a str),
    Plain(&'a str),
}

fn compared(text: &str) -> Compared<'_> {
    if let Some(rest) = text.strip_prefix(">=") {
        Compared::From(rest)
    } else if let Some(rest) = text.strip_prefix("<=") {
        Compared::UpTo(rest)
    } else if let Some(rest) = text.strip_prefix('>') {
        Compared::Above(rest)
    } else if let Some(rest) = text.strip_prefix('<') {
        Compared::Below(rest)
    } else {
        Compared::Plain(text.strip_prefix('=').unwrap_or(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn by_mask(mask: &str, path: &str) -> bool {
        let masks = texts(&[mask]);
        let wish = Wish { masks: &masks, ..Wish::default() };
        Filter::new(&wish, &TimeZone::UTC).unwrap().takes_path(path.as_bytes())
    }

    #[test]
    fn masks_are_matched_against_names_or_paths() {
        for (mask, path, takes) in [
            ("*", "a/b.txt", true),
            ("*.txt", "a/b.txt", true),
            ("*.TXT", "a/b.txt", false),
            ("b", "a/b.txt", true),
            ("a", "a/b.txt", false),
            ("B", "a/b.txt", false),
            ("?.txt", "a/b.txt", true),
            ("a/*.txt", "a/b.txt", true),
            ("a/*.txt", "x/a/b.txt", false),
            ("**/a/*.txt", "x/a/b.txt", true),
            ("a/*.txt", "a/c/b.txt", false),
            ("a/b", "x/a/b.txt", true),
            ("a/b", "x/ab.txt", false),
            ("./b", "a/b.txt", true),
            ("[ab].txt", "b.txt", true),
            ("{x,b}.txt", "b.txt", true),
        ] {
            assert_eq!(by_mask(mask, path), takes, "{mask} on {path}");
        }
    }

    #[test]
    fn folders_hold_all_below_them() {
        let path = |text: &str| Folder::Path(RelPath::new(text.as_bytes()).unwrap());
        let glob = |text: &str| Folder::Glob(text.to_owned());
        for (folder, of, takes) in [
            (path("a"), "a/b/c", true),
            (path("a"), "a", true),
            (path("a"), "ab/c", false),
            (path("a/b"), "a/c", false),
            (Folder::All, "a/c", true),
            (glob("a*"), "ab/c/d", true),
            (glob("*/b"), "a/b/c", true),
            (glob("*/b/"), "a/b/c", true),
            (glob("b*"), "a/b", false),
            (glob("**/b*"), "a/b/c", true),
        ] {
            let folders = [folder];
            let wish = Wish { folders: &folders, ..Wish::default() };
            let filter = Filter::new(&wish, &TimeZone::UTC).unwrap();
            assert_eq!(filter.takes_path(of.as_bytes()), takes, "{folders:?} on {of}");
        }
    }

    #[test]
    fn sizes_are_understood_or_refused() {
        let span = |from, to| Ok(Span { from, to });
        assert_eq!(size(">100M"), span(100_000_001, u64::MAX));
        assert_eq!(size(">=100M"), span(100_000_000, u64::MAX));
        assert_eq!(size("<1G"), span(0, 999_999_999));
        assert_eq!(size("<= 1 GiB"), span(0, 1 << 30));
        assert_eq!(size("10K-100K"), span(10_000, 100_000));
        assert_eq!(size("10K..100kb"), span(10_000, 100_000));
        assert_eq!(size("12345"), span(12345, 12345));
        assert_eq!(size("=0"), span(0, 0));
        assert_eq!(size("1.5k"), span(1500, 1500));
        assert_eq!(size("0.1KiB"), span(102, 102));
        for wrong in
            ["", ">", "x", "10X", "-5", "10-", "1..", "1.2.3", "K", ">>1", "99999999999T", "1e3"]
        {
            assert_eq!(size(wrong), Err(FilterError::Size(wrong.to_owned())), "{wrong}");
        }
        assert_eq!(size("2K-1K"), Err(FilterError::Empty("2K-1K".to_owned())));
        assert_eq!(size("<0"), Err(FilterError::Empty("<0".to_owned())));
    }

    #[test]
    fn times_are_understood_or_refused() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let takes = |text: &str, at: &str| {
            let at: Timestamp = at.parse().unwrap();
            time(text, &zone).unwrap().has(&at.as_nanosecond())
        };
        for (text, at, expected) in [
            ("2026-01-15", "2026-01-14T23:00:00Z", true),
            ("2026-01-15", "2026-01-14T22:59:59.9Z", false),
            ("2026-01-15", "2026-01-15T22:59:59.9999Z", true),
            (">2026-01-15", "2026-01-15T22:59:59Z", false),
            (">2026-01-15", "2026-01-15T23:00:00Z", true),
            (">=2026-01-15", "2026-01-14T23:00:00Z", true),
            ("<2026-01-15", "2026-01-14T22:59:59Z", true),
            ("<2026-01-15", "2026-01-14T23:00:00Z", false),
            ("<=2026-01-15", "2026-01-15T22:59:59Z", true),
            ("2026-01-01..2026-02-01", "2026-02-01T22:00:00Z", true),
            ("2026-01-01..2026-02-01", "2026-02-01T23:00:00Z", false),
            ("2026-01-01..", "2030-01-01T00:00:00Z", true),
            ("..2026-01-01", "2030-01-01T00:00:00Z", false),
            ("2026-01-15 09:15", "2026-01-15T08:15:59.9Z", true),
            ("2026-01-15T09:15:00+02:00", "2026-01-15T07:15:00Z", true),
        ] {
            assert_eq!(takes(text, at), expected, "{text} at {at}");
        }
        for wrong in ["", "yesterday", ">", "2026-13-01", "..", "2026-01-01..x", "15.1.2026"] {
            assert_eq!(time(wrong, &zone), Err(FilterError::Time(wrong.to_owned())), "{wrong}");
        }
        let turned = "2026-02-01..2026-01-01";
        assert_eq!(time(turned, &zone), Err(FilterError::Empty(turned.to_owned())));
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        for wrong in ["[a", "{a", "", &"{".repeat(20), &"*".repeat(5000)] {
            let masks = texts(&[wrong]);
            let wish = Wish { masks: &masks, ..Wish::default() };
            let error = Filter::new(&wish, &TimeZone::UTC).unwrap_err();
            assert!(matches!(error, FilterError::Pattern { .. }), "{error}");
        }
    }
}
