//! What the Python tool's JSON files say, as tolerantly as can be: a list of files by path or one after the
//! other, figures that are missing, names that are not UTF-8.
//!
//! Any bytes are read or passed over; what is decoded is paid for.

use std::fmt;
use std::io;

use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::budget;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::EntryCategory;
use crate::repository::python::said::{Said, SaidTime, Told};

/// How far a time in a JSON number may be off: the tool's floats keep a microsecond of today's times.
const FLOAT_NS: i64 = 1_000_000;

/// The same where it has whole seconds.
const SECOND_NS: i64 = 1_000_000_000;

/// What a JSON file is.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    /// The tool's, of an increment.
    Told(Told),
    /// A catalog that this program wrote.
    Ours,
    /// Something else.
    Other,
}

/// Parses what may be the metadata of an increment.
pub(crate) fn parse(text: impl io::Read) -> Json {
    let mut left = Some(budget::memory());
    let read = budget::within(&mut left, || serde_json::from_reader::<_, Document>(text));
    let Ok(document) = read else { return Json::Other };
    if document.sequence.is_some() && document.status.is_some() {
        return Json::Ours;
    }
    let named = document.backup_name.is_some() || document.backup_type.is_some();
    let listed = match (document.file_catalog, document.files) {
        (Some(catalog), _) if named || catalog.has_figures() => {
            vec![(catalog, EntryCategory::Tracked)]
        }
        (_, Some(Files { new_changed, deleted })) if new_changed.is_some() || deleted.is_some() => {
            let lists = [(deleted, EntryCategory::Deleted), (new_changed, EntryCategory::Tracked)];
            lists.into_iter().filter_map(|(list, of)| Some((list?, of))).collect()
        }
        _ => return Json::Other,
    };
    let text = document.backup_timestamp.or(document.timestamp);
    let mut told = Told { timestamp: text.and_then(|t| t.0), ..Told::default() };
    for (entries, category) in listed {
        told.refused = told.refused.saturating_add(entries.refused);
        for (path, entry) in entries.list {
            let category = if entry.deleted { EntryCategory::Deleted } else { category };
            let Entry { size, time, lies_at, .. } = entry;
            told.files.insert(path, Said { category, size, time, lies_at });
        }
    }
    Json::Told(told)
}

/// Whether a `mirror.json` has the tool's shape: sizes and times by path, perhaps one object deeper.
pub(crate) fn parse_mirror(text: impl io::Read) -> bool {
    let mut left = Some(budget::memory());
    let read = budget::within(&mut left, || serde_json::from_reader::<_, Entries>(text));
    read.is_ok_and(|entries| entries.has_figures() || entries.deeper)
}

#[derive(serde::Deserialize)]
struct Document {
    file_catalog: Option<Entries>,
    files: Option<Files>,
    backup_timestamp: Option<Text>,
    timestamp: Option<Text>,
    backup_name: Option<IgnoredAny>,
    backup_type: Option<IgnoredAny>,
    sequence: Option<IgnoredAny>,
    status: Option<IgnoredAny>,
}

#[derive(Default)]
struct Files {
    new_changed: Option<Entries>,
    deleted: Option<Entries>,
}

/// A text, or nothing where something else stands.
struct Text(Option<String>);

/// Files by path, or a list of them.
#[derive(Default)]
struct Entries {
    list: Vec<(RelPath, Entry)>,
    refused: u64,
    /// Whether an object in it has objects with sizes and times.
    deeper: bool,
}

impl Entries {
    fn has_figures(&self) -> bool {
        self.list.iter().any(|(_, entry)| entry.size.is_some() && entry.time.is_some())
    }

    fn add(&mut self, path: &[u8], entry: Entry) {
        self.deeper |= entry.deeper;
        match RelPath::new(path) {
            Ok(path) => self.list.push((path, entry)),
            Err(_) => self.refused = self.refused.saturating_add(1),
        }
    }
}

/// What is said of one file.
#[derive(Default)]
struct Entry {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    time: Option<SaidTime>,
    lies_at: Option<RelPath>,
    deleted: bool,
    deeper: bool,
}

/// A path as the tool writes it. A byte that is no part of UTF-8 is half a surrogate pair to Python.
struct Name(Vec<u8>);

/// Any value, as far as it can say something.
enum Loose {
    Whole(i128),
    Number(f64),
    Text(String),
    Object { has_figures: bool },
    Other,
}

/// Bytes from what `serde_json` makes of lone surrogates: three bytes of which the last two hold the byte.
fn escaped_bytes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        if let [0xed, high @ (0xb2 | 0xb3), low @ 0x80..=0xbf, after @ ..] = rest {
            bytes.push(0x80 | (high & 1) << 6 | (low & 0x3f));
            rest = after;
        } else if let [first, after @ ..] = rest {
            bytes.push(*first);
            rest = after;
        } else {
            return bytes;
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Name, E> {
                budget::pay_path()?;
                Ok(Name(escaped_bytes(bytes)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name, E> {
                self.visit_bytes(text.as_bytes())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Loose, E> {
                Ok(Loose::Whole(n.into()))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Loose, E> {
                Ok(Loose::Whole(n.into()))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Loose, E> {
                Ok(Loose::Number(n))
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loose, A::Error> {
                let entry = entry_of(map)?;
                let has_figures = entry.size.is_some() && entry.time.is_some();
                Ok(Loose::Object { has_figures })
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Loose::deserialize(deserializer)? {
            Loose::Text(text) => Some(text),
            _ => None,
        }))
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;
        impl<'de> Visitor<'de> for Lists {
            type Value = Files;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lists of files")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Files, A::Error> {
                let mut files = Files::default();
                while let Some(Name(key)) = map.next_key()? {
                    match key.as_slice() {
                        b"new_changed" => files.new_changed = Some(map.next_value()?),
                        b"deleted" => files.deleted = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(files)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Files, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Files::default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<Files, E> {
                Ok(Files::default())
            }
        }
        deserializer.deserialize_any(Lists)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                entry_of(map)
            }
            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Entry, E> {
                budget::pay_path()?;
                Ok(Entry { path: Some(path.as_bytes().to_vec()), ..Entry::default() })
            }
            fn visit_u64<E>(self, _: u64) -> Result<Entry, E> {
                Ok(Entry::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Entry, E> {
                Ok(Entry::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Entry, E> {
                Ok(Entry::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
                Ok(Entry::default())
            }
            fn visit_unit<E>(self) -> Result<Entry, E> {
                Ok(Entry::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry::default())
            }
        }
        deserializer.deserialize_any(One)
    }
}

/// One file's object.
fn entry_of<'de, A: MapAccess<'de>>(mut map: A) -> Result<Entry, A::Error> {
    let mut entry = Entry::default();
    let mut by_text = None;
    while let Some(Name(key)) = map.next_key()? {
        match key.as_slice() {
            b"path" | b"relative_path" => {
                entry.path = map.next_value::<Option<Name>>()?.map(|n| n.0);
            }
            b"backup_path" => {
                let name = map.next_value::<Option<Name>>()?;
                entry.lies_at = name.and_then(|Name(bytes)| RelPath::new(&bytes).ok());
            }
            b"size" => {
                if let Loose::Whole(size) = map.next_value()? {
                    entry.size = u64::try_from(size).ok();
                }
            }
            b"mtime" => entry.time = time_of(&map.next_value()?),
            b"mtime_iso" => by_text = time_of(&map.next_value()?),
            b"category" => {
                entry.deleted = matches!(map.next_value()?, Loose::Text(text) if text == "deleted");
            }
            _ => {
                let value = map.next_value::<Loose>()?;
                entry.deeper |= matches!(value, Loose::Object { has_figures: true });
            }
        }
    }
    entry.time = entry.time.or(by_text);
    Ok(entry)
}

fn time_of(value: &Loose) -> Option<SaidTime> {
    match value {
        Loose::Whole(seconds) => {
            let ns = i64::try_from(*seconds).ok()?.checked_mul(SECOND_NS)?;
            Some(SaidTime { ns, within_ns: SECOND_NS })
        }
        Loose::Number(seconds) => {
            #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
            let ns = (seconds * 1e9) as i64;
            seconds.is_finite().then_some(SaidTime { ns, within_ns: FLOAT_NS })
        }
        Loose::Text(text) => {
            let within_ns = if text.contains('.') { FLOAT_NS } else { SECOND_NS };
            let time = parse_time(text)?.timestamp();
            Some(SaidTime { ns: i64::try_from(time.as_nanosecond()).ok()?, within_ns })
        }
        Loose::Object { .. } | Loose::Other => None,
    }
}

/// A time as Python's `isoformat` writes it; without an offset it is local.
pub fn parse_time(text: &str) -> Option<jiff::ZonedDateTime> {
    if text.len() > 64 {
        return None;
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.to_zoned_datetime(TimeZone::system()));
    }
    text.parse::<jiff::civil::DateTime>().ok()?.to_zoned_datetime(TimeZone::system()).ok()
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("files")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some((Name(path), entry)) = map.next_entry::<Name, Entry>()? {
                    entries.add(&path, entry);
                }
                Ok(entries)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some(mut entry) = seq.next_element::<Entry>()? {
                    let path = entry.path.take().unwrap_or_default();
                    entries.add(&path, entry);
                }
                Ok(entries)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Entries, E> {
                Ok(Entries::default())
            }
        }
        deserializer.deserialize_any(All)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(text: &str) -> Told {
        match parse(text.as_bytes()) {
            Json::Told(told) => told,
            other => panic!("{other:?}"),
        }
    }

    fn path(bytes: &[u8]) -> RelPath {
        RelPath::new(bytes).unwrap()
    }

    #[test]
    fn the_newer_layout_is_read() {
        let told = told(
            r#"{"version":"1.0","backup_name":"backup_20260101_000000","backup_timestamp":"2026-01-01T00:00:00",
            "file_catalog":{"a/b.txt":{"size":12,"mtime":1795405574.042,"category":"tracked","backup_path":"track/a/b.txt"},
            "gone":{"size":1,"mtime":5,"category":"deleted","backup_path":"deleted/gone"}, "../x":{"size":1,"mtime":1}}}"#,
        );
        assert_eq!((told.files.len(), told.refused), (2, 1));
        let entry = &told.files[&path(b"a/b.txt")];
        assert!(entry.time.unwrap().is(1_795_405_574_042_158_800));
        assert!(!entry.time.unwrap().is(1_795_405_574_142_158_800));
        assert_eq!(entry.lies_at, Some(path(b"track/a/b.txt")));
        assert_eq!(told.files[&path(b"gone")].category, EntryCategory::Deleted);
        assert!(told.files[&path(b"gone")].time.unwrap().is(5_900_000_000), "whole seconds");
    }

    #[test]
    fn the_older_layout_is_read_in_each_of_its_forms() {
        for files in [
            r#"{"new_changed":["a","b"],"deleted":["c"]}"#,
            r#"{"new_changed":[{"path":"a","size":1,"mtime":2.5},{"path":"b"}],"deleted":["c"]}"#,
            r#"{"new_changed":{"a":{"size":1},"b":null},"deleted":{"c":{}}, "other": [1]}"#,
        ] {
            let told = told(&format!(r#"{{"timestamp": 5, "files":{files}}}"#));
            let deleted =
                |p: &str| told.files[&path(p.as_bytes())].category == EntryCategory::Deleted;
            assert_eq!(told.files.len(), 3, "{files}");
            assert_eq!(["a", "b", "c"].map(deleted), [false, false, true], "{files}");
        }
    }

    #[test]
    fn a_name_that_is_not_utf8_is_read_as_python_escapes_it() {
        let text = r#"{"backup_name":"x","file_catalog":{"caf\udce9\udcbf":{"size":1,"mtime":1.5,
            "backup_path":"track/caf\udce9\udcbf"}}}"#;
        let told = told(text);
        let entry = &told.files[&path(b"caf\xe9\xbf")];
        assert_eq!(entry.lies_at, Some(path(b"track/caf\xe9\xbf")));
    }

    #[test]
    fn what_is_not_the_tools_is_told_apart() {
        for other in [
            "",
            "[]",
            "{}",
            r#"{"files":[1,2]}"#,
            r#"{"files":{"a":{}}}"#,
            r#"{"file_catalog":{}}"#,
            r#"{"file_catalog":"no"}"#,
            r#"{"file_catalog":{"a":{"size":"1"}}}"#,
        ] {
            assert_eq!(parse(other.as_bytes()), Json::Other, "{other}");
        }
        let ours = r#"{"sequence":1,"status":"complete","backup_name":"b","file_catalog":{}}"#;
        assert_eq!(parse(ours.as_bytes()), Json::Ours);
        assert!(parse_mirror(&br#"{"a":{"size":1,"mtime":2.0}}"#[..]));
        assert!(parse_mirror(&br#"{"files":{"a":{"size":1,"mtime":2.0}}}"#[..]));
        for other in [r#"{"a":1}"#, "{}", "[]", r#"{"a":{"size":1}}"#, "x"] {
            assert!(!parse_mirror(other.as_bytes()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_outside(key in "[a./\\\\ ]{0,8}", at in "[a./]{0,8}") {
            let value = serde_json::json!({
                "backup_name": "b",
                "file_catalog": { key: { "size": 1, "mtime": 1.0, "backup_path": at } }
            });
            let told = told(&value.to_string());
            for (path, said) in &told.files {
                for path in std::iter::once(path).chain(&said.lies_at) {
                    let normal = |part| matches!(part, std::path::Component::Normal(_));
                    prop_assert!(path.as_path().components().all(normal));
                }
            }
        }
    }
}
