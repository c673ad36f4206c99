//! The names that `--keep-both` gives to what is restored beside what exists.
//!
//! Pure. A name says when the version is from, so that restoring it again comes to the same name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Longest name that Linux's file systems take, in bytes.
const MAX_NAME: usize = 255;

/// When a version was last changed, as its name tells it: `2026-11-23 09.15` (no `:`, which FAT has not).
pub(super) fn time(mtime_ns: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_nanosecond(mtime_ns.into()).unwrap_or_default();
    time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H.%M").to_string()
}

/// The `number`-th name for `name` of a version of that time: `report (2026-11-23 09.15).odt`, then
/// `report (2026-11-23 09.15, 2).odt`.
pub(super) fn name(name: &OsStr, time: &str, number: u32) -> OsString {
    let bytes = name.as_bytes();
    // A point at the beginning hides a file; it begins no extension.
    let dot = bytes.iter().rposition(|b| *b == b'.').filter(|at| *at > 0).unwrap_or(bytes.len());
    let (mut stem, mut extension) = bytes.split_at(dot);
    let added = if number > 1 { format!(" ({time}, {number})") } else { format!(" ({time})") };
    if extension.len() + added.len() >= MAX_NAME {
        (stem, extension) = (bytes, b"");
    }
    let mut room = MAX_NAME.saturating_sub(extension.len() + added.len()).min(stem.len());
    // Not within a character.
    while room < stem.len() && stem.get(room).is_some_and(|b| b & 0xc0 == 0x80) && room > 0 {
        room -= 1;
    }
    let stem = stem.get(..room).unwrap_or_default();
    OsString::from_vec([stem, added.as_bytes(), extension].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, number: u32) -> String {
        name(OsStr::new(text), "2026-11-23 09.15", number).into_string().unwrap()
    }

    #[test]
    fn a_name_says_when_it_is_from() {
        assert_eq!(time(1_795_425_300_999_999_999, &TimeZone::UTC), "2026-11-23 09.15");
        assert_eq!(named("report.odt", 1), "report (2026-11-23 09.15).odt");
        assert_eq!(named("report.odt", 2), "report (2026-11-23 09.15, 2).odt");
        assert_eq!(named("README", 1), "README (2026-11-23 09.15)");
        assert_eq!(named(".bashrc", 1), ".bashrc (2026-11-23 09.15)");
        assert_eq!(named("a.tar.gz", 1), "a.tar (2026-11-23 09.15).gz");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for (text, number) in
            [("ä".repeat(127), 1), ("x".repeat(255), 12), ("y.".to_owned() + &"ö".repeat(126), 3)]
        {
            let made = named(&text, number);
            assert!(made.len() <= MAX_NAME && made.len() > 240, "{made}");
            assert!(made.contains("(2026-11-23 09.15"), "{made}");
        }
    }
}
