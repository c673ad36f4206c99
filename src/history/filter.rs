//! What a search is for: masks, folders, sizes, times. Values in, yes or no out.
//!
//! A filter that is not understood is an error that says what is right, never left out. Called by the
//! `search` command.

use std::fmt;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::point;
use crate::catalogs::entry::{Entry, Role};
use crate::relpath::RelPath;

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
#[derive(Debug, Default)]
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
