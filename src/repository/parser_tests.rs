//! Property tests for the parsers of what lies on the drive: whatever the bytes are, they answer or
//! refuse, and never panic.

use std::io::{Seek as _, SeekFrom, Write as _};

use proptest::prelude::*;

use crate::model::entry::Category;
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::Catalog;
use crate::repository::error::RepositoryError;
use crate::repository::fuzzing::log_of;
use crate::repository::index::change::{Batch, Change};
use crate::repository::index::contents::Index;
use crate::repository::index::frame::Frame;
use crate::repository::index::increment::RunMark;
use crate::repository::index::open::Closing;
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::index::store::encode;
use crate::repository::status::Status;

fn file_of(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

fn record(category: Category, size: u64) -> Record {
    Record {
        category,
        content: Content::File { size, hash: [7; 32], placed: 9, unsettled: false },
        meta: Meta {
            mtime_ns: 5,
            ctime_ns: 6,
            btime_ns: None,
            ino: 4,
            linked: false,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            xattrs: vec![(b"user.a".to_vec(), b"b".to_vec())].into(),
        },
        brought_by: 1,
        listed: true,
        stored: None,
    }
}

/// Frames of a short life of a repository.
fn frames() -> Vec<Vec<u8>> {
    let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
    let batch = Batch {
        run: Some(RunMark {
            sequence: 1,
            name: "backup_20261123_091500".to_owned(),
            timestamp: "2026-11-23T09:15:00+01:00".to_owned(),
        }),
        changes: vec![
            Change::Put {
                path: path("a"),
                record: record(Category::Tracked, 3),
                stage: "1".to_owned(),
                moved_from: None,
            },
            Change::Remove { path: path("gone") },
        ],
    };
    let closing = Closing {
        status: Status::Complete,
        folder_time_s: 1,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let mut frames: Vec<Frame> = Index::empty().base_frames().collect();
    frames.extend([Frame::Batch(batch), Frame::Closing(closing), Frame::Closed]);
    frames.iter().map(|frame| encode(frame).unwrap()).collect()
}

#[test]
fn the_frames_of_a_run_are_read_back() {
    let (index, _) = Index::read(&file_of(&log_of(&frames())), None).unwrap();
    assert_eq!(index.records().len(), 1);
    assert_eq!(index.increments().len(), 1);
    assert!(!index.is_unclosed());
}

proptest! {
    #[test]
    fn an_index_of_any_bytes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(Index::read(&file_of(&bytes), None));
        drop(Index::read(&file_of(&log_of(&[bytes])), None));
    }

    /// A hostile drive can make its checksums right: then the payload is what has to be endured.
    #[test]
    fn an_index_with_a_changed_payload_is_read_or_refused(
        which in 0_usize..8, at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut payloads = frames();
        let count = payloads.len();
        let payload = &mut payloads[which % count];
        let at = at.index(payload.len());
        payload[at] = byte;
        match Index::read(&file_of(&log_of(&payloads)), None) {
            Ok((mut index, _)) => {
                index.apply_pending();
                let _names: Vec<_> = (0..5).map(|n| index.increment_name(n)).collect();
            }
            Err(error) => prop_assert!(matches!(error, RepositoryError::Damaged(_)), "{error}"),
        }
    }

    #[test]
    fn a_catalog_of_any_text_is_read_or_refused(text in "\\PC{0,200}", key in "\\PC{0,20}") {
        drop(serde_json::from_str::<Catalog>(&text));
        let nearly = serde_json::json!({
            "version": text, "backup_type": "x", "backup_name": key, "backup_timestamp": text,
            "sequence": 1, "status": "complete",
            "file_catalog": { (key.clone()): {
                "size": 1, "mtime": 1.0, "category": "tracked", "backup_path": text,
                "blake3": text, "link_target_bytes": key, "xattrs": { (text.clone()): key },
            }},
        });
        if let Ok(catalog) = serde_json::from_value::<Catalog>(nearly) {
            for entry in catalog.file_catalog.values() {
                let _read = (entry.hash(), entry.target(), crate::repository::catalog::document::xattrs_of(&entry.xattrs));
            }
        }
    }
}
