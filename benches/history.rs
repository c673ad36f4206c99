//! Makes a repository with a long history, as `benches/history.sh` measures it: catalogs and index as ten years
//! of daily runs leave them, without the files' content.
//!
//! `history FOLDER [RUNS] [FILES] [CHANGES]`: 3650 runs, 100,000 files, 100 changes each, of which some delete,
//! move and bring files. Always the same but for the day it begins.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a tool for measuring, which ends with what goes wrong"
)]

use std::path::Path;

use bkm_agent::fs::tree::handle::Tree;
use bkm_agent::model::entry::Category;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::repository::handle::Repository;
use bkm_agent::repository::index::change::{Batch, Change};
use bkm_agent::repository::index::increment::RunMark;
use bkm_agent::repository::index::open::Closing;
use bkm_agent::repository::index::record::{Content, Meta, Record};
use bkm_agent::repository::layout;
use bkm_agent::repository::status::Status;
use jiff::{Timestamp, ToSpan as _};

/// Paths of a batch, as a run has them.
const BATCH: usize = 4000;

/// A pseudo-random sequence (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

fn path(number: usize) -> Result<RelPath, Box<dyn std::error::Error>> {
    let name = format!(
        "Documents/part{:02}/folder{:02}/report {number:06} of the year.txt",
        number % 16,
        number / 16 % 50
    );
    Ok(RelPath::new(name.as_bytes())?)
}

fn record(number: usize, sequence: u64, time: Timestamp, chance: &mut Chance) -> Record {
    let size = 1 + chance.below(100_000) as u64;
    let mtime_ns = i64::try_from(time.as_nanosecond()).unwrap_or(0) - 3_600_000_000_123;
    let hash = [number.to_le_bytes(), sequence.to_le_bytes(), size.to_le_bytes(), [7; 8]].concat();
    Record {
        category: Category::Tracked,
        content: Content::File {
            size,
            hash: hash.try_into().unwrap_or_default(),
            placed: number as u64 + 1000,
            unsettled: false,
        },
        meta: Meta {
            mtime_ns,
            ctime_ns: mtime_ns,
            btime_ns: Some(mtime_ns),
            ino: number as u64 + 1000,
            linked: false,
            mode: 0o100_644,
            uid: 1000,
            gid: 1000,
            xattrs: Box::default(),
        },
        brought_by: sequence,
        listed: true,
        stored: None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: history FOLDER [RUNS] [FILES] [CHANGES]")?;
    let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse());
    let (runs, files, changes) = (number(3650)?, number(100_000)?, number(100)?);
    std::fs::create_dir_all(&folder)?;
    let tree = Tree::open(Path::new(&folder))?;
    let mut repository = Repository::create(&tree)?;
    let mut chance = Chance(1);
    let begin = jiff::ZonedDateTime::now().checked_sub(i64::try_from(runs)?.days())?;
    // Which files there are, and how many there ever were.
    let mut there: Vec<usize> = (0..files).collect();
    let mut ever = files;
    for run in 0..runs {
        let now = begin.checked_add(i64::try_from(run)?.days())?;
        let sequence = repository.index().next_sequence();
        let time = now.timestamp();
        let mut list = Vec::new();
        let put = |number: usize, moved_from, chance: &mut Chance| {
            let record = record(number, sequence, time, chance);
            Ok::<_, Box<dyn std::error::Error>>(Change::Put {
                path: path(number)?,
                record,
                stage: format!("{number}"),
                moved_from,
            })
        };
        if run == 0 {
            for &number in &there {
                list.push(put(number, None, &mut chance)?);
            }
        } else {
            for nth in 0..changes {
                let at = chance.below(there.len());
                match nth % 10 {
                    // Gone, and another one is new.
                    0 => {
                        list.push(Change::Remove { path: path(there[at])? });
                        there[at] = ever;
                        list.push(put(ever, None, &mut chance)?);
                        ever += 1;
                    }
                    1 => {
                        let from = path(there[at])?;
                        list.push(Change::Remove { path: from.clone() });
                        there[at] = ever;
                        list.push(put(ever, Some(from), &mut chance)?);
                        ever += 1;
                    }
                    _ => list.push(put(there[at], None, &mut chance)?),
                }
            }
        }
        let mark = RunMark {
            sequence,
            name: layout::increment_name(now.datetime()),
            timestamp: now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        };
        let mut list = list.into_iter().peekable();
        while list.peek().is_some() {
            let batch = list.by_ref().take(BATCH).collect();
            repository.begin_batch(Batch { run: Some(mark.clone()), changes: batch })?;
            repository.finish_batch();
        }
        repository.close_run(|_| Closing {
            status: Status::Complete,
            folder_time_s: time.as_second(),
            problems: Vec::new(),
            notes: Vec::new(),
        })?;
        repository.stamp_run(time.as_nanosecond() as i64, [0; 32])?;
    }
    Ok(())
}
