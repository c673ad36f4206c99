//! The parsers of what lies on a drive, as fuzz targets and their regression inputs call them: any bytes
//! are read or refused as damage, and what was read keeps what `index::check` promises.
//!
//! Only in tests.

#![allow(clippy::panic, reason = "a finding is told by a panic")]

use std::io::Cursor;

use crate::repository::catalog::document::{Catalog, xattrs_of};
use crate::repository::catalog::file::parse_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::Change;
use crate::repository::index::contents::Index;
use crate::repository::index::store::encode;
use crate::repository::index::{log, stamp};
use crate::repository::python::json;
use crate::repository::{format, layout, lock, mark};

/// A log with sound checksums around these payloads.
pub(crate) fn log_of(payloads: &[Vec<u8>]) -> Vec<u8> {
    const MAGIC: &[u8] = b"BKMIDX2\n";
    let mut log = MAGIC.to_vec();
    log.extend_from_slice(&1_u64.to_le_bytes());
    log.extend_from_slice(&log::checksum(1, 0, MAGIC));
    for (payload, number) in payloads.iter().zip(1_u64..) {
        log.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(0).to_le_bytes());
        log.extend_from_slice(&number.to_le_bytes());
        log.extend_from_slice(&log::checksum(1, number, payload));
        log.extend_from_slice(payload);
    }
    log
}

pub(crate) fn index(bytes: &[u8]) {
    let Some((mut index, _)) = read_or_refused(Index::read(Cursor::new(bytes), None)) else {
        return;
    };
    for change in index.pending().into_iter().flat_map(|batch| &batch.changes) {
        if let Change::Put { stage, .. } = change {
            assert!(layout::is_stage_name(stage), "a staged name leads elsewhere");
        }
    }
    index.apply_pending();
    let open = index.open().map(|open| &open.mark.name);
    for name in index.increments().iter().map(|i| &i.name).chain(open) {
        assert!(layout::is_increment_name(name), "an increment's name leads elsewhere");
    }
    // What a compaction would write is read back the same.
    let payloads: Vec<_> = index.base_frames().filter_map(|frame| encode(&frame).ok()).collect();
    let again = Index::read(Cursor::new(log_of(&payloads)), None);
    let Ok((again, _)) = again else { panic!("a base of what was read is refused: {again:?}") };
    assert_eq!(again.records(), index.records());
    assert_eq!(again.increments(), index.increments());
}

/// Payloads behind their lengths (u16), with sound checksums.
pub(crate) fn frames(mut bytes: &[u8]) {
    let mut payloads = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        payloads.push(payload.to_vec());
        bytes = rest;
    }
    index(&log_of(&payloads));
}

pub(crate) fn catalog(bytes: &[u8]) {
    const NAME: &str = "backup_20261123_091500";
    let Some(catalog) = read_or_refused(parse_catalog(bytes, NAME)) else { return };
    for entry in catalog.file_catalog.values() {
        assert_eq!(entry.hash().is_some(), entry.blake3.is_some());
        let _read = (entry.target(), xattrs_of(&entry.xattrs));
    }
    let text = serde_json::to_vec(&catalog).unwrap_or_default();
    let again = serde_json::from_slice::<Catalog>(&text);
    let Ok(again) = again else { panic!("what was written is not read: {again:?}") };
    assert_eq!(again.file_catalog.len(), catalog.file_catalog.len());
}

/// Metadata of an increment, and a list of the mirror.
pub(crate) fn python(bytes: &[u8]) {
    let _proves = json::parse_mirror(bytes);
    let json::Json::Told(told) = json::parse(bytes) else { return };
    for (path, said) in &told.files {
        for path in std::iter::once(path).chain(&said.lies_at) {
            let normal = |part| matches!(part, std::path::Component::Normal(_));
            assert!(path.as_path().components().all(normal), "{path:?} leads outside");
        }
        let _same = said.time.is_some_and(|time| time.is(0));
    }
    let _time = told.timestamp.as_deref().and_then(json::parse_time);
}

pub(crate) fn format(bytes: &[u8]) {
    let _read = read_or_refused(format::parse(bytes));
}

pub(crate) fn mark(bytes: &[u8]) {
    match mark::parse(bytes) {
        Ok(read) => assert_eq!(mark::parse(&mark::text(&read)), Ok(read)),
        Err(why) => assert!(why.len() < 1000, "a message of {} bytes", why.len()),
    }
}

/// The file as it is, and again with the bytes as the payload of a sound slot.
pub(crate) fn stamp(bytes: &[u8]) {
    let mut slot = log::checksum(0, u64::MAX, bytes).to_vec();
    slot.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    slot.extend_from_slice(bytes);
    for file in [bytes, &slot] {
        if let Some(stamp) = stamp::newer(file) {
            assert_eq!(stamp::newer(&stamp::encode(&stamp)), Some(stamp));
        }
    }
}

pub(crate) fn lock_line(line: &str, ino: u64) {
    let _pid = lock::pid_of(line, None, ino);
}

/// What was read; a refusal must be one that says what to do.
fn read_or_refused<T>(read: Result<T, RepositoryError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(RepositoryError::Damaged(what)) => {
            assert!(what.len() < 1000, "a message of {} bytes", what.len());
            None
        }
        Err(RepositoryError::Newer(_) | RepositoryError::TooLarge(_)) => None,
        Err(other) => panic!("refused with {other}"),
    }
}
