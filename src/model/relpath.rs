//! A path below the source: the one name type of scan, index, catalog and restore.
//!
//! It owns the rule of what such a path may look like, and its readable spelling in JSON. It must
//! never let through a path that could lead outside the folder it is joined to.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest path taken from a drive or a source, in bytes. Linux's `PATH_MAX` is 4096 for one
/// system call; deeper trees can exist and are read through folder handles.
pub const MAX_BYTES: usize = 64 * 1024;

/// A path relative to the source: components joined by `/`, any bytes but NUL, none of them empty,
/// `.` or `..`. Ordered by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Box<[u8]>);

/// Why some bytes are not a path below the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a path below the source (empty, absolute, too long, or with an empty, '.', '..' or NUL part)"
)]
pub struct NotRelative;

impl RelPath {
    /// Checks `bytes` and takes them as a path below the source.
    pub fn new(bytes: &[u8]) -> Result<Self, NotRelative> {
        let sound = !bytes.is_empty()
            && bytes.len() <= MAX_BYTES
            && !bytes.contains(&0)
            && bytes.split(|&b| b == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
        if sound { Ok(Self(bytes.into())) } else { Err(NotRelative) }
    }

    /// The path of the entry called `name` inside `folder` (`None` is the source itself).
    pub fn child(folder: Option<&Self>, name: &OsStr) -> Result<Self, NotRelative> {
        let name = name.as_bytes();
        let Some(folder) = folder else {
            return if name.contains(&b'/') { Err(NotRelative) } else { Self::new(name) };
        };
        // One allocation and no second look at the folder's bytes: a scan does this for every file.
        let length = folder.0.len() + 1 + name.len();
        if length > MAX_BYTES
            || matches!(name, b"" | b"." | b"..")
            || name.iter().any(|b| matches!(b, b'/' | 0))
        {
            return Err(NotRelative);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&folder.0);
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// The exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for the operating system; always relative.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The folder it lies in; `None` is the source itself.
    pub fn parent(&self) -> Option<Self> {
        let end = self.0.iter().rposition(|&b| b == b'/')?;
        self.0.get(..end).map(|bytes| Self(bytes.into()))
    }

    /// The last component.
    pub fn name(&self) -> &OsStr {
        let start = self.0.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        OsStr::from_bytes(self.0.get(start..).unwrap_or_default())
    }

    /// All folders above it, the outermost first; the source itself is not among them.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
            .filter_map(|(at, _)| self.0.get(..at).map(|bytes| Self(bytes.into())))
    }

    /// Whether it lies somewhere below `folder` (a path does not lie below itself).
    pub fn is_below(&self, folder: &Self) -> bool {
        self.0.len() > folder.0.len()
            && self.0.starts_with(&folder.0)
            && self.0.get(folder.0.len()) == Some(&b'/')
    }

    /// The readable spelling used as key in JSON, injective: the path itself where it is UTF-8; else
    /// `/` (which no relative path starts with) and the path with `\` doubled and every byte that
    /// is not part of UTF-8 as `\xNN`. See `docs/format.md`, "Names".
    pub fn to_key(&self) -> String {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return text.to_owned();
        }
        let mut key = String::from("/");
        for chunk in self.0.utf8_chunks() {
            key.push_str(&chunk.valid().replace('\\', "\\\\"));
            for &byte in chunk.invalid() {
                key.push_str("\\x");
                key.extend(
                    [byte >> 4, byte & 15].map(|d| char::from_digit(d.into(), 16).unwrap_or('0')),
                );
            }
        }
        key
    }

    /// The path that [`RelPath::to_key`] spelled this way.
    pub fn from_key(key: &str) -> Result<Self, NotRelative> {
        let Some(escaped) = key.strip_prefix('/') else {
            return Self::new(key.as_bytes());
        };
        let mut bytes = Vec::with_capacity(escaped.len());
        let mut rest = escaped.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let (decoded, used) = match rest {
                [b'\\', ..] => (b'\\', 1),
                [b'x', high, low, ..] => {
                    let digit = |b: u8| char::from(b).to_digit(16).ok_or(NotRelative);
                    (u8::try_from(digit(*high)? * 16 + digit(*low)?).map_err(|_| NotRelative)?, 3)
                }
                _ => return Err(NotRelative),
            };
            bytes.push(decoded);
            rest = rest.get(used..).unwrap_or_default();
        }
        let path = Self::new(&bytes)?;
        // Only the one spelling that `to_key` makes is taken: two keys never mean one path.
        if path.to_key() == key { Ok(path) } else { Err(NotRelative) }
    }
}

/// For people: control and direction-changing characters are escaped.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::sanitize::line(&self.to_key()))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_key())
    }
}

/// As bytes in the index (binary), as the readable key in JSON.
impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_key())
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;
        impl<'de> Visitor<'de> for PathVisitor {
            type Value = RelPath;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path below the source")
            }
            fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<RelPath, E> {
                crate::model::budget::pay_path()?;
                RelPath::from_key(key).map_err(E::custom)
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<RelPath, E> {
                crate::model::budget::pay_path()?;
                RelPath::new(bytes).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<RelPath, A::Error> {
                Err(A::Error::custom("a path is not a list"))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(PathVisitor)
        } else {
            deserializer.deserialize_bytes(PathVisitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_could_lead_outside() {
        for bad in ["", "/", "/etc", "a//b", "a/", "..", "a/../b", ".", "a/.", "a\0b"] {
            assert_eq!(RelPath::new(bad.as_bytes()), Err(NotRelative), "{bad:?}");
        }
        assert!(RelPath::new(b"..a/.b/c.").is_ok());
    }

    #[test]
    fn a_name_that_is_not_utf8_gets_a_key_of_its_own() {
        let raw = RelPath::new(b"d\\/caf\xe9").unwrap();
        assert_eq!(raw.to_key(), "/d\\\\/caf\\xe9");
        let looks_alike = RelPath::new(br"d\\/caf\xe9").unwrap();
        assert_ne!(raw.to_key(), looks_alike.to_key());
        assert!(RelPath::from_key("/plain").is_err(), "a second spelling of a UTF-8 path");
    }

    #[test]
    fn a_child_is_one_name_deeper() {
        let folder = RelPath::new(b"a/b").unwrap();
        for bad in ["", ".", "..", "c/d", "c\0"] {
            let name = OsStr::new(bad);
            assert_eq!(RelPath::child(None, name), Err(NotRelative), "{bad:?}");
            assert_eq!(RelPath::child(Some(&folder), name), Err(NotRelative));
        }
        let child = RelPath::child(Some(&folder), OsStr::new("c")).unwrap();
        assert_eq!(child, RelPath::new(b"a/b/c").unwrap());
    }

    #[test]
    fn below_means_strictly_inside() {
        let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
        assert!(path("a/b").is_below(&path("a")));
        assert!(!path("a").is_below(&path("a")));
        assert!(!path("ab").is_below(&path("a")));
        let above: Vec<_> = path("a/b/c").ancestors().map(|p| p.to_key()).collect();
        assert_eq!(above, ["a", "a/b"]);
    }

    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(proptest::sample::select(b"/\\xe9\xc3\xa9a".to_vec()), 1..6)
    }

    proptest! {
        #[test]
        fn keys_round_trip(bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
            if let Ok(path) = RelPath::new(&bytes) {
                prop_assert_eq!(RelPath::from_key(&path.to_key()).unwrap(), path);
            }
        }

        /// Bytes that the spelling has to tell apart: escapes, their digits, and pieces of UTF-8.
        #[test]
        fn two_paths_never_have_one_key(
            one in tricky(), other in tricky(),
        ) {
            if let (Ok(one), Ok(other)) = (RelPath::new(&one), RelPath::new(&other)) {
                prop_assert_eq!(one.to_key() == other.to_key(), one == other);
            }
        }

        #[test]
        fn a_key_that_is_read_is_the_one_spelling_of_its_path(text in r"/?[/\\x0-9a-fé.]{0,12}") {
            if let Ok(path) = RelPath::from_key(&text) {
                prop_assert_eq!(path.to_key(), text);
            }
        }

        #[test]
        fn a_path_is_the_same_in_json_and_in_the_index(
            bytes in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            if let Ok(path) = RelPath::new(&bytes) {
                let json = serde_json::to_string(&path).unwrap();
                prop_assert_eq!(&serde_json::from_str::<RelPath>(&json).unwrap(), &path);
                let binary = postcard::to_stdvec(&path).unwrap();
                prop_assert_eq!(&postcard::from_bytes::<RelPath>(&binary).unwrap(), &path);
                prop_assert!(!path.to_string().chars().any(char::is_control));
            }
        }
    }
}
