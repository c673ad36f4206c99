//! Runs that really end: what is done to the source, when the run is cut off, and what the run after it must do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bkm_agent::model::relpath::RelPath;
use bkm_agent::repository::index::record::Content;

use super::child::ChildRun;
use super::edits::delete;
use super::spread;
use super::world::World;

/// A run in a process of its own; killed at the end, whatever happens.
pub(crate) struct Run(pub(crate) Child);

impl Run {
    pub(crate) fn start(source: &Path, drive: &Path, links: bool) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = ChildRun::new(source, drive, links).command(&program);
        Self(child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Makes the source other than before: `round` picks what.
pub(crate) fn change(source: &Path, round: u32) {
    let folder = |n: u32| source.join(format!("d{}", n % 12));
    for n in 0..60 {
        let content = vec![u8::try_from(n).unwrap(); 3000 + (round as usize) % 5];
        fs::create_dir_all(folder(n)).unwrap();
        let path = folder(n).join(format!("f{n}"));
        if path.is_dir() {
            delete(&path);
        }
        fs::write(path, [&content[..], &round.to_le_bytes()].concat()).unwrap();
    }
    let turned = folder(round).join(format!("f{}", round % 12));
    if turned.exists() {
        delete(&turned);
    }
    fs::create_dir_all(turned.join("x")).unwrap();
    fs::write(turned.join("x/y"), round.to_le_bytes()).unwrap();
    let (from, to) = (folder(round + 3), source.join(format!("moved{}", round % 3)));
    if to.exists() {
        delete(&to);
    }
    rustix::fs::rename(from, to).unwrap();
    fs::write(source.join("large"), vec![u8::try_from(round % 251).unwrap(); 6 << 20]).unwrap();
}

/// How long an undisturbed run takes.
pub(crate) fn time_of_a_run(source: &Path, drive: &Path, links: bool) -> Duration {
    let begun = Instant::now();
    let mut run = Run::start(source, drive, links);
    assert!(run.0.wait().unwrap().success(), "the child's run failed");
    begun.elapsed()
}

/// What the instants of a test came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) instants: u32,
    pub(crate) recovered: u32,
    /// Bytes that the runs which were cut off had committed, and bytes that the next ones copied.
    pub(crate) kept: u64,
    pub(crate) copied: u64,
    /// Versions in flight that a drive without a journal lost.
    pub(crate) lost: usize,
    /// Images that `fsck.exfat` left with files that the driver cannot read.
    pub(crate) unreadable: u32,
}

impl Tally {
    pub(crate) fn print(&self, what: &str) {
        println!(
            "{} {what}, {} had to be recovered; {} bytes were kept, {} copied by the run after it, none \
             twice; {} versions in flight lost, {} images unreadable after a check",
            self.instants, self.recovered, self.kept, self.copied, self.lost, self.unreadable
        );
    }
}

/// Bytes that a run is to copy.
pub(crate) fn to_copy(world: &World) -> u64 {
    world.run_as(|_, options| options.dry_run = true).unwrap().bytes_copied
}

/// What the index has of new content.
pub(crate) struct Committed {
    pub(crate) known: BTreeSet<[u8; 32]>,
    pub(crate) places: BTreeSet<(RelPath, [u8; 32])>,
}

impl Committed {
    pub(crate) fn before(world: &World) -> Self {
        let index = world.index();
        let files = index.records().iter().filter_map(|(path, record)| match record.content {
            Content::File { hash, .. } => Some((path.clone(), hash)),
            _ => None,
        });
        let places: BTreeSet<_> = files.collect();
        Self { known: places.iter().map(|(_, hash)| *hash).collect(), places }
    }

    /// Bytes that were copied since. Without links a file that moved is copied as well.
    pub(crate) fn since(&self, world: &World, links: bool) -> u64 {
        let index = world.index();
        let new = index.records().iter().filter_map(|(path, record)| match record.content {
            Content::File { hash, size, .. } => {
                let known = if links {
                    self.known.contains(&hash)
                } else {
                    self.places.contains(&(path.clone(), hash))
                };
                (!known).then_some(size)
            }
            _ => None,
        });
        new.sum()
    }
}

/// The run after one that was cut off: nothing is copied twice that was committed.
pub(crate) fn run_after(world: &mut World, total: u64, committed: u64, tally: &mut Tally) {
    let report = world.run(None).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(committed + report.bytes_copied, total, "bytes copied, each of them once");
    tally.instants += 1;
    tally.recovered += u32::from(report.recovered);
    tally.kept += committed;
    tally.copied += report.bytes_copied;
    world.check_run(&report);
}

/// So many instants have one drive: with each increment the checks take longer.
pub(crate) const SERIES: u32 = 15;

/// Waits until the run stages files, or has written a batch to its index; or is over.
pub(crate) fn wait_until_it_works(run: &mut Run, records: &Path, number: u32, latest: Duration) {
    let places = ["index", "index-a/index", "index-b/index"].map(|place| records.join(place));
    let length = || -> u64 {
        places.iter().map(|place| fs::metadata(place).map_or(0, |index| index.len())).sum()
    };
    let before = length();
    let latest = u64::try_from(latest.as_micros()).unwrap();
    while run.0.try_wait().unwrap().is_none() {
        let works = if number.is_multiple_of(3) {
            fs::read_dir(records.join("stage")).unwrap().next().is_some()
        } else {
            length() != before
        };
        if works {
            return std::thread::sleep(Duration::from_micros(spread(
                &number.to_le_bytes(),
                latest,
            )));
        }
    }
}
