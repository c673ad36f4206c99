//! Tests of the kept catalogs: whatever lies in their file, what is told is what was kept, or nothing.

use std::collections::BTreeMap;
use std::io::{self, Cursor};

use proptest::prelude::*;

use crate::fixtures::{bytes_of_lines, hex_lines, same_as};
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{Catalog, CatalogEntry};
use crate::repository::index::increment::Increment;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::state::catalogs::entry::{Counts, Entry, Head};
use crate::state::catalogs::file::{self, Whose, Writer};

fn whose() -> Whose {
    Whose {
        profile: "docs".to_owned(),
        key: "B4C4-F001".to_owned(),
        label: Some("STICK".to_owned()),
        uuid: Some("B4C4-F001".to_owned()),
        place: "Backups/docs".to_owned(),
        keeping: Keeping::Hardlink,
        repairs: 0,
    }
}

/// A catalog with these paths, each other entry in all its fields.
fn catalog(sequence: u64, paths: &[&[u8]]) -> (Head, Catalog) {
    let name = format!("backup_20261123_0915{sequence:02}");
    let files: BTreeMap<RelPath, CatalogEntry> = paths
        .iter()
        .enumerate()
        .map(|(at, path)| {
            let path = RelPath::new(path).unwrap();
            let odd = at % 2 == 1;
            let text = serde_json::json!({
                "size": at, "mtime": 1_795_405_574.5, "mtime_ns": 1_795_405_574_500_000_000_i64,
                "category": if odd { "deleted" } else { "tracked" },
                "backup_path": "track/x", "mode": 33188, "uid": 1, "gid": 2,
                "blake3": odd.then(|| "ab".repeat(32)),
                "link_target": (!odd).then_some("there"),
                "content_in": odd.then_some("backup_20261101_000000"),
                "moved_from": odd.then_some("old/name"), "stored_as": odd.then_some("other"),
                "hardlink": odd.then_some("12"), "unsettled": odd,
                "xattrs": { "user.a": "00" },
            });
            (path, serde_json::from_value(text).unwrap())
        })
        .collect();
    let text = serde_json::json!({
        "version": "1.0", "backup_type": "incremental", "backup_name": name,
        "backup_timestamp": "2026-11-23T09:15:00+01:00", "sequence": sequence,
        "status": "complete", "file_catalog": {},
    });
    let mut catalog: Catalog = serde_json::from_value(text).unwrap();
    catalog.file_catalog = files;
    let increment = Increment {
        sequence,
        name,
        timestamp: catalog.backup_timestamp.clone(),
        status: Status::Complete,
        folder_time_s: 5,
    };
    let timestamp = catalog.backup_timestamp.clone();
    let head = Head { increment, revision: 1, timestamp, counts: Counts::of(&catalog) };
    (head, catalog)
}

fn three() -> (Vec<(Head, Catalog)>, Vec<u8>) {
    let catalogs = vec![
        catalog(1, &[b"a", b"b/c", b"b/d/e", b"b/f", b"caf\xe9"]),
        catalog(2, &[b"a"]),
        catalog(3, &[b"z", b"y"]),
    ];
    let mut file = Cursor::new(Vec::new());
    let mut writer = Writer::start(&mut file, &whose()).unwrap();
    for (head, catalog) in &catalogs {
        writer.add(head, catalog).unwrap();
    }
    writer.finish().unwrap();
    (catalogs, file.into_inner())
}

/// A chapter: head, paths, and whether they were believed.
type Told = (Head, Vec<Vec<u8>>, bool);

/// The chapters of a file.
fn told(bytes: &[u8]) -> Option<Vec<Told>> {
    let mut file = Cursor::new(bytes);
    let contents = file::contents(&mut file).unwrap()?;
    assert_eq!(contents.whose, whose());
    let tell = |chapter: &file::Chapter| {
        let mut paths = Vec::new();
        let mut visit = |entry: &Entry<'_>| {
            paths.push(entry.path.to_vec());
            Ok(())
        };
        let whole = file::entries(&mut Cursor::new(bytes), chapter, &mut visit).unwrap();
        (chapter.head.clone(), paths, whole)
    };
    Some(contents.chapters.iter().map(tell).collect())
}

#[test]
fn the_file_is_written_as_before_and_what_was_kept_then_is_read() {
    let (catalogs, bytes) = three();
    let before = same_as("kept-catalogs.txt", &hex_lines(&[("file", bytes)]));
    let told = told(&bytes_of_lines(&before)[0]).unwrap();
    let read: Vec<_> = told.iter().map(|(head, paths, whole)| (head, paths.len(), whole)).collect();
    let kept: Vec<_> =
        catalogs.iter().map(|(head, catalog)| (head, catalog.file_catalog.len(), &true)).collect();
    assert_eq!(read, kept);
}

#[test]
fn what_is_kept_is_what_the_catalogs_say_folder_by_folder() {
    let (catalogs, bytes) = three();
    let told = told(&bytes).unwrap();
    assert_eq!(told.len(), 3);
    let paths: Vec<_> = told[0].1.iter().map(|p| String::from_utf8_lossy(p)).collect();
    assert_eq!(paths, ["a", "caf\u{fffd}", "b/c", "b/f", "b/d/e"]);
    let mut file = Cursor::new(&bytes);
    let contents = file::contents(&mut file).unwrap().unwrap();
    for (chapter, (head, catalog)) in contents.chapters.iter().zip(&catalogs) {
        assert_eq!(chapter.head, *head);
        let mut again = BTreeMap::new();
        let mut visit = |entry: &Entry<'_>| {
            again.extend(entry.to_catalog(&jiff::tz::TimeZone::UTC));
            Ok(())
        };
        assert!(file::entries(&mut Cursor::new(&bytes), chapter, &mut visit).unwrap());
        for (path, entry) in &catalog.file_catalog {
            let mut entry = entry.clone();
            // Made from the time, and from the path.
            entry.mtime_iso = "2026-11-23T03:46:14.5+00:00".to_owned();
            entry.mtime_date = "2026-11-23".to_owned();
            entry.path_bytes = path.to_key().starts_with('/').then(|| "636166e9".to_owned());
            assert_eq!(again.get(path), Some(&entry), "{path}");
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_has_its_first_chapters_and_can_go_on() {
    let (catalogs, bytes) = three();
    let all = told(&bytes).unwrap();
    for length in 0..bytes.len() {
        let Some(told) = told(&bytes[..length]) else { continue };
        assert!(told.len() < 3, "cut to {length}");
        assert_eq!(told, all[..told.len()], "cut to {length}");
        let mut file = Cursor::new(bytes[..length].to_vec());
        let end = file::contents(&mut file).unwrap().unwrap().end;
        file.get_mut().truncate(usize::try_from(end).unwrap());
        let mut writer = Writer::go_on(&mut file, end).unwrap();
        for (head, catalog) in &catalogs[told.len()..] {
            writer.add(head, catalog).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(file.into_inner(), bytes, "cut to {length}, then gone on with");
    }
}

#[test]
fn no_flipped_bit_is_believed() {
    let (_, mut bytes) = three();
    let all = told(&bytes).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 0x20;
        for (told, right) in told(&bytes).unwrap_or_default().iter().zip(&all) {
            assert_eq!(told.0, right.0, "byte {at}");
            assert!(if told.2 { told.1 == right.1 } else { right.1.starts_with(&told.1) });
        }
        bytes[at] ^= 0x20;
    }
}

#[test]
fn a_chapter_is_copied_or_refused_as_a_whole() {
    let (_, bytes) = three();
    let contents = file::contents(&mut Cursor::new(&bytes)).unwrap().unwrap();
    let copy = |from: &[u8]| {
        let mut file = Cursor::new(Vec::new());
        let mut writer = Writer::start(&mut file, &whose()).unwrap();
        let mut from = Cursor::new(from);
        let copied: io::Result<Vec<bool>> =
            contents.chapters.iter().rev().map(|c| writer.copy(&mut from, c)).collect();
        let end = writer.finish().unwrap();
        file.get_mut().truncate(usize::try_from(end).unwrap());
        (copied.unwrap(), told(&file.into_inner()).unwrap())
    };
    let (copied, told) = copy(&bytes);
    assert_eq!(copied, [true; 3]);
    assert_eq!(told.iter().map(|c| c.0.increment.sequence).collect::<Vec<_>>(), [3, 2, 1]);
    assert!(told.iter().all(|chapter| chapter.2));
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (copied, told) = copy(&damaged);
    assert_eq!(copied, [false, true, true]);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|chapter| chapter.2));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        file::fuzzing::file(&bytes);
        file::fuzzing::frames(&bytes);
    }

    #[test]
    fn sound_files_with_changes_are_read_or_refused(
        changes in proptest::collection::vec((0..2000_usize, any::<u8>()), 1..20)
    ) {
        let (_, mut bytes) = three();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        file::fuzzing::file(&bytes);
    }
}
