//! What lies on drives is written as it always was, byte for byte, and what earlier versions wrote is read.
//!
//! The fixtures were made with postcard 1.1.3, `serde_json` 1.0.154 and jiff 0.2.46. See `crate::fixtures`.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::fixtures::{bytes_of_lines, hex_lines, same_as};
use crate::fs::tree::handle::Tree;
use crate::model::entry::Category;
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::{
    Catalog, CatalogFolder, EntryCategory, Statistics, Summary, entry_of, time_texts, xattrs_text,
};
use crate::repository::catalog::file::parse_catalog;
use crate::repository::index::change::{Batch, Change, HealedName};
use crate::repository::index::contents::Index;
use crate::repository::index::frame::{Frame, State};
use crate::repository::index::increment::{Increment, RunMark};
use crate::repository::index::log::LogWriter;
use crate::repository::index::open::Closing;
use crate::repository::index::prune::{Dropped, Move, Prune, Removed, Rewritten};
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::index::stamp::{self, Stamp};
use crate::repository::index::store::encode;
use crate::repository::mark::{self, Mark};
use crate::repository::page::data;
use crate::repository::placement::Within;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::repository::{format, layout};

fn path(bytes: &[u8]) -> RelPath {
    RelPath::new(bytes).unwrap()
}

fn meta(mtime_ns: i64) -> Meta {
    Meta {
        mtime_ns,
        ctime_ns: 0,
        btime_ns: None,
        ino: 4,
        linked: false,
        mode: 0o100_644,
        uid: 1000,
        gid: 100,
        xattrs: Box::default(),
    }
}

fn file(size: u64, mtime_ns: i64) -> Record {
    Record {
        category: Category::Tracked,
        content: Content::File { size, hash: [0xab; 32], placed: 131, unsettled: false },
        meta: meta(mtime_ns),
        brought_by: 1,
        listed: true,
        stored: None,
    }
}

/// A record with the largest and smallest numbers, and with all that only some files have.
fn odd_file() -> Record {
    Record {
        category: Category::Tracked,
        content: Content::File { size: u64::MAX, hash: [0xff; 32], placed: 0, unsettled: true },
        meta: Meta {
            ctime_ns: i64::MIN,
            btime_ns: Some(-1),
            ino: u64::MAX,
            linked: true,
            mode: u32::MAX,
            uid: u32::MAX,
            gid: 0,
            xattrs: vec![
                (b"user.empty".to_vec(), Vec::new()),
                (b"user.raw\xe9".to_vec(), vec![0, 0x7f, 0x80, 0xff]),
            ]
            .into(),
            ..meta(i64::MAX)
        },
        brought_by: 127,
        listed: false,
        stored: Some(Box::new(path(b"aux~1a2b3c4d"))),
    }
}

fn link(target: &[u8], placed: u64) -> Record {
    let content = Content::Link { target: target.to_vec(), placed };
    Record { category: Category::Mirrored, content, brought_by: 0, ..file(0, -1_500_000_000) }
}

fn folder() -> Record {
    let meta = Meta { mode: 0o040_755, ..meta(1_782_000_000_000_000_000) };
    Record { content: Content::Folder, meta, brought_by: 0, ..file(0, 0) }
}

fn run_mark() -> RunMark {
    RunMark {
        sequence: 300,
        name: "backup_20261123_091500".to_owned(),
        timestamp: "2026-11-23T09:15:00+01:00".to_owned(),
    }
}

fn problem() -> Problem {
    Problem::new(path("Füße \"<&>\\".as_bytes()), "cannot be read: \t\u{1b}")
}

/// Every kind of change.
fn changes() -> Vec<Change> {
    let names = vec![
        HealedName { within: Within::Mirror, path: path(b"a"), place: path(b"a"), found: None },
        HealedName {
            within: Within::Track(2),
            path: path(b"caf\xe9"),
            place: path(b"caf~e9"),
            found: Some((0, 17)),
        },
        HealedName {
            within: Within::Deleted(128),
            path: path(b"b"),
            place: path(b"b"),
            found: Some((u64::MAX, 0)),
        },
    ];
    vec![
        Change::Put {
            path: path(b"d/new"),
            record: file(128, 1_795_405_574_042_158_800),
            stage: "ab/1".to_owned(),
            moved_from: Some(path(b"d/before")),
        },
        Change::Put {
            path: path(b"caf\xe9"),
            record: odd_file(),
            stage: "2".to_owned(),
            moved_from: None,
        },
        Change::Note { path: path(b"a"), record: file(3, 5), version: true },
        Change::Remove { path: path(b"l") },
        Change::Folder { path: path(b"e"), record: folder() },
        Change::RemoveFolder { path: path(b"d") },
        Change::Heal {
            path: path(b"a"),
            stage: "c/heal-1".to_owned(),
            size: 3,
            hash: [1; 32],
            placed: 1 << 40,
            names,
        },
    ]
}

fn prune() -> Prune {
    Prune {
        removed: vec![Removed { sequence: 1, name: "backup_20261101_000000".to_owned(), into: 2 }],
        rewritten: vec![Rewritten {
            sequence: 2,
            stage: "catalog-2".to_owned(),
            size: 4096,
            hash: [2; 32],
        }],
        moves: vec![
            Move { from: 1, to: 2, place: path(b"a"), ino: 9, size: 3, hash: Some([3; 32]) },
            Move { from: 1, to: 128, place: path(b"l"), ino: 0, size: 0, hash: None },
        ],
        drops: vec![
            Dropped { within: Within::Track(1), place: path(b"x"), ino: 7, size: 1 },
            Dropped { within: Within::Deleted(2), place: path(b"y"), ino: 0, size: 16_384 },
        ],
        owners: vec![(path(b"a"), 2), (path(b"caf\xe9"), 0)],
    }
}

/// Every frame there is, in an order in which they can follow one another.
fn frames() -> Vec<(&'static str, Frame)> {
    let increment = |sequence, name: &str, status| Increment {
        sequence,
        name: name.to_owned(),
        timestamp: "2026-11-01T00:00:00+05:30".to_owned(),
        status,
        folder_time_s: -1,
    };
    let state = State {
        next_sequence: 300,
        increments: vec![
            increment(1, "backup_20261101_000000", Status::Complete),
            increment(2, "backup_20261102_000000", Status::Interrupted),
            increment(128, "backup_20261103_000000", Status::Complete),
        ],
    };
    let closing = Closing {
        status: Status::Complete,
        folder_time_s: 1_795_405_574,
        problems: vec![problem()],
        notes: vec![Problem::new(path(b"socket"), "")],
    };
    let last = Batch { run: Some(run_mark()), changes: vec![Change::Remove { path: path(b"a") }] };
    vec![
        (
            "base",
            Frame::Base(vec![
                (path(b"a"), file(3, 5)),
                (path(b"d"), folder()),
                (path(b"d/before"), odd_file()),
                (path(b"l"), link(b"../there\xff", 12)),
                (path(b"m"), link(b"", 0)),
            ]),
        ),
        ("revisions", Frame::Revisions(vec![(1, 1), (128, u32::MAX)])),
        ("state", Frame::State(state)),
        ("begun", Frame::Begun),
        ("batch", Frame::Batch(Batch { run: Some(run_mark()), changes: changes() })),
        ("settled", Frame::Settled),
        ("batch-without-run", Frame::Batch(Batch { run: None, changes: Vec::new() })),
        ("batch-undone", Frame::Batch(last)),
        ("undone", Frame::Undone(vec![path(b"m")])),
        ("closing", Frame::Closing(closing)),
        ("closed", Frame::Closed),
        ("prune", Frame::Prune(prune())),
        ("prune-step", Frame::PruneStep(2)),
        ("closed", Frame::Closed),
    ]
}

#[test]
fn frames_of_the_index() {
    let frames = frames();
    let written: Vec<_> =
        frames.iter().map(|(name, frame)| (*name, encode(frame).unwrap())).collect();
    let before = same_as("index-frames.txt", &hex_lines(&written));
    for ((name, frame), bytes) in frames.iter().zip(bytes_of_lines(&before)) {
        let read: Frame = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{frame:?}"), "{name}");
    }
}

#[test]
fn the_index_as_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let file = tree.create_file(Path::new("index"), 0o600).unwrap();
    let mut log = LogWriter::start(file, 0x0102_0304).unwrap();
    for (_, frame) in frames() {
        log.append(&encode(&frame).unwrap()).unwrap();
    }
    let end = log.end();
    let written = std::fs::read(dir.path().join("index")).unwrap();
    let before = same_as("index.txt", &hex_lines(&[("index", written)]));
    let (index, log) = Index::read(Cursor::new(&bytes_of_lines(&before)[0]), None).unwrap();
    assert_eq!((log.end, log.generation), (end, 0x0102_0304));
    let names: Vec<_> = index.increments().iter().map(|i| i.name.as_str()).collect();
    let left = ["backup_20261102_000000", "backup_20261103_000000", "backup_20261123_091500"];
    assert_eq!(names, left);
    let paths: Vec<_> = index.records().iter().map(|(path, _)| path.to_key()).collect();
    assert_eq!(paths, ["a", "/caf\\xe9", "d/before", "d/new", "e"]);
    assert_eq!(index.revision(128), u32::MAX);
    assert!(!index.is_unclosed());
}

#[test]
fn the_stamp() {
    let stamps = [
        Stamp::default(),
        Stamp {
            counter: u64::MAX,
            time_ns: i64::MIN,
            generation: 128,
            synced: 1 << 33,
            rules: [0xcd; 32],
        },
    ];
    let written: Vec<_> = stamps.iter().map(|s| ("slot", stamp::encode(s))).collect();
    let before = same_as("stamp.txt", &hex_lines(&written));
    for (stamp, bytes) in stamps.iter().zip(bytes_of_lines(&before)) {
        assert_eq!(stamp::newer(&bytes).as_ref(), Some(stamp));
    }
}

#[test]
fn format_json_and_the_mark() {
    let text = r#"{
  "format": "bkm-agent repository",
  "version": 3,
  "keeps_versions": "displace",
  "names": "portable",
  "file_system": 538032816,
  "created": "2026-11-23T09:15:00+01:00",
  "made_by": "bkm-agent 0.1.0"
}"#;
    let format = format::parse(text.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string_pretty(&format).unwrap(), text);
    let mark = Mark {
        id: [1; 16],
        file_system: "B4C4-F001".to_owned(),
        computer: [0xa0; 16],
        computer_name: "anna@host\u{1b}ü".to_owned(),
        token: [3; 32],
    };
    let written = String::from_utf8(mark::text(&mark)).unwrap();
    let before = same_as("pairing.json", &written);
    assert_eq!(mark::parse(before.as_bytes()), Ok(mark));
}

/// Berlin's time without asking this computer for it.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn catalog() -> Catalog {
    let mut files = BTreeMap::new();
    let mut add = |name: &[u8], record: &Record, category, folder| {
        let name = path(name);
        let entry = entry_of(&name, record, category, folder, &berlin());
        files.insert(name, entry);
    };
    add(b"a", &file(0, 0), EntryCategory::Tracked, "track");
    add("Füße.txt".as_bytes(), &file(1 << 53, -1), EntryCategory::Tracked, "track");
    add(b"d/caf\xe9", &odd_file(), EntryCategory::Tracked, "track");
    add(b"gone", &file(17, i64::MIN), EntryCategory::Deleted, "deleted");
    add(b"l", &link("Ziel".as_bytes(), 5), EntryCategory::Tracked, "track");
    add(b"m", &link(b"../there\xff", 0), EntryCategory::Deleted, "track");
    add(b"n", &file(3, 1_782_000_000_000_000_001), EntryCategory::Tracked, "track");
    let entry = files.get_mut(&path(b"n")).unwrap();
    entry.content_in = Some("backup_20261101_000000".to_owned());
    entry.moved_from = Some(path(b"before\xff"));
    entry.unproven = true;
    entry.overwritten = true;
    entry.lies_at = Some(path(b"track/n"));
    let xattrs = xattrs_text(&odd_file().meta.xattrs);
    let plain = CatalogFolder { mode: 0o040_755, uid: 1, gid: 2, mtime_ns: -1, xattrs };
    let mut catalog = Catalog {
        version: "1.0".to_owned(),
        backup_type: "incremental".to_owned(),
        backup_name: "backup_20261123_091500".to_owned(),
        backup_timestamp: "2026-11-23T09:15:00+01:00".to_owned(),
        sequence: 300,
        status: Status::Interrupted,
        file_catalog: files,
        folders: [(path(b"d"), plain)].into(),
        removed_folders: vec![path(b"old\xff")],
        ended: vec![path(b"ended")],
        gone: vec![path(b"left")],
        problems: vec![problem()],
        notes: Vec::new(),
        summary: Summary::default(),
        statistics: Statistics::default(),
    };
    catalog.count();
    catalog
}

#[test]
fn a_catalog() {
    let catalog = catalog();
    let written = serde_json::to_string(&catalog).unwrap();
    let before = same_as("catalog.json", &written);
    let name = &catalog.backup_name;
    assert_eq!(parse_catalog(before.as_bytes(), name).unwrap(), catalog, "as a stream");
    let whole: Catalog = serde_json::from_slice(before.as_bytes()).unwrap();
    assert_eq!(whole, catalog, "as a whole");
}

#[test]
fn what_the_page_is_told() {
    let list = data::list(Keeping::Displace, [(1, 0), (2, 0), (9, 3)].into_iter()).unwrap();
    let runs = [Keeping::Hardlink, Keeping::Displace].map(|k| data::run(&catalog(), k).unwrap());
    same_as("page.js", &(list + &runs.concat()));
}

/// Each form that a time has on a drive, and the form in which the agent keeps one.
#[test]
fn times_as_they_are_written() {
    let zones = [
        ("utc", TimeZone::UTC),
        ("berlin", berlin()),
        ("india", TimeZone::fixed(Offset::from_seconds(19_800).unwrap())),
        ("local-mean", TimeZone::fixed(Offset::from_seconds(-2_670).unwrap())),
    ];
    let instants = [
        0,
        -1,
        1_795_405_574_042_158_800,
        1_795_405_574_500_000_000,
        1_782_000_000_000_000_000,
        // Before and in the hour that comes twice.
        1_792_889_999_999_999_999,
        1_792_890_000_000_000_000,
        i64::MIN,
        i64::MAX,
    ];
    let mut written = Vec::new();
    for ns in instants {
        let time = Timestamp::from_nanosecond(ns.into()).unwrap();
        written.push(format!("{ns} {time}\n"));
        for (name, zone) in &zones {
            let zoned = time.to_zoned_datetime(zone.clone());
            let (exact, day) = time_texts(ns, zone);
            let second = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z");
            let increment = layout::increment_name(zoned.datetime());
            written.push(format!("{name} {exact} {day} {second} {increment}\n"));
        }
    }
    for (year, month, day) in [(1, 1, 1), (999, 12, 31), (9999, 2, 28)] {
        let civil = jiff::civil::date(year, month, day).at(1, 2, 3, 0);
        written.push(format!("{year} {}\n", layout::increment_name(civil)));
    }
    same_as("times-written.txt", &written.concat());
}

/// What is taken for a time: in catalogs, in what the Python tool wrote, in the names of increments, and by
/// the commands.
#[test]
fn times_as_they_are_read() {
    let texts = [
        "2026-11-23T09:15:00+01:00",
        "2026-11-23T09:15:00.042158800+01:00",
        "2026-11-23T09:15:00.5+0100",
        "2026-11-23T09:15:00+01",
        "2026-11-23T09:15:00-00:44:30",
        "2026-11-23T09:15:00-00:00",
        "2026-11-23T09:15:00Z",
        "2026-11-23t09:15:00z",
        "2026-11-23 09:15:00Z",
        "2026-11-23 09:15+01:00",
        "2026-11-23T09:15:00+01:00[+01:00]",
        "2026-11-23T09:15:00[UTC]",
        "2026-11-23T09:15:00+05:00[+01:00]",
        "2026-11-23T09:15:60Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T09:15:00",
        "2026-11-23T09:15:00.042158",
        "2026-11-23 09:15:00",
        "2026-11-23 09:15",
        "2026-11-23 09",
        "2026-11-23",
        "20261123",
        "20261123T091500",
        "20261123T091500Z",
        "2026-11",
        "2026-W48-1",
        "2026-327",
        "2026-02-29",
        "-000001-01-01T00:00:00Z",
        "+002026-11-23T09:15:00Z",
        "1677-09-21T00:12:43.145224192Z",
        "9999-12-30T22:00:00Z",
        " 2026-11-23",
        "2026-11-23 ",
        "23.11.2026",
        "1795405574",
        "@1795405574",
        "P1D",
        "backup_20261123_091500",
        "backup_20261123_0915",
        "backup_20260229_091500",
        "backup_20261123_091560",
        "",
    ];
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut written = Vec::new();
    for text in texts {
        let instant = text.parse::<Timestamp>().ok().map(|time| time.as_nanosecond().to_string());
        let zoned = text.parse::<jiff::ZonedDateTime>().ok();
        let zoned = zoned.map(|time| format!("{}={}", time.timestamp(), time.datetime()));
        let civil = text.parse::<DateTime>().ok().map(|time| time.to_string());
        let date = text.parse::<Date>().ok().map(|date| date.to_string());
        let name = DateTime::strptime("backup_%Y%m%d_%H%M%S", text).ok();
        let name = name.map(|time| time.to_string());
        let all = [instant, zoned, civil, date, name].map(or_none).join(" ");
        written.push(format!("{text:?} {all}\n"));
    }
    same_as("times-read.txt", &written.concat());
}
