//! What the test programs share: folders and drives, homes and agents, snapshots of trees, edits of a source, and the
//! world that runs backups and checks what they must keep. Each program declares this module once.
//!
//! Whatever a test starts, attaches or mounts is taken away by a `Drop`, also when it fails. Nothing sleeps for luck:
//! [`process::wait_for`] waits for a condition with a deadline. A test that cannot run here says so by
//! [`needs::skipped`].

#![allow(dead_code, unused_macros, reason = "each test program uses its part of it")]

pub(crate) mod adopting;
pub(crate) mod agent;
pub(crate) mod attack;
pub(crate) mod bench;
pub(crate) mod browser;
pub(crate) mod cases;
pub(crate) mod child;
pub(crate) mod damage;
pub(crate) mod desktop;
pub(crate) mod displacing;
pub(crate) mod drive;
pub(crate) mod edits;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod home;
pub(crate) mod hooks;
pub(crate) mod large_source;
pub(crate) mod loop_drive;
pub(crate) mod model;
pub(crate) mod needs;
pub(crate) mod page;
pub(crate) mod process;
pub(crate) mod profile;
pub(crate) mod python_tool;
pub(crate) mod real_ends;
pub(crate) mod restoring;
pub(crate) mod scene;
pub(crate) mod services;
pub(crate) mod snapshot;
pub(crate) mod udevd;
pub(crate) mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Compares with a snapshot in which what differs from run to run is blanked: one in the code, or for long texts a
/// file with this name in `snapshots/`.
macro_rules! shown {
    ($value:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => $crate::support::home::blanks() }, {
            insta::assert_snapshot!($value, @$snapshot)
        })
    };
    ($name:expr, $value:expr) => {
        insta::with_settings!({ filters => $crate::support::home::blanks() }, {
            insta::assert_snapshot!($name, $value)
        })
    };
}

/// The same with the times of lists blanked as well.
macro_rules! shown_undated {
    ($value:expr, @$snapshot:literal) => {{
        let mut filters = $crate::support::home::blanks();
        filters.push((r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "[TIME]"));
        insta::with_settings!({ filters => filters }, { insta::assert_snapshot!($value, @$snapshot) })
    }};
}

/// The program under test. `scripts/test.sh` names a copy where the user of the tests cannot reach the one that was
/// built.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("BKM_TEST_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_bkm-agent").into(), PathBuf::from)
}

/// A file of the project, by its path from the project's root.
pub(crate) fn project_file(path: &str) -> PathBuf {
    let root = std::env::var_os("BKM_TEST_ROOT");
    root.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from).join(path)
}

/// The name of the test that runs in this thread, with its modules.
pub(crate) fn this_test() -> String {
    std::thread::current().name().unwrap_or("unknown").to_owned()
}

/// A folder for a test; in memory where that is possible, so that no sync waits for the machine's
/// disk. `scripts/test.sh` names a place that it takes away with everything that is left there.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory =
        std::env::var_os("BKM_TEST_SCRATCH").map_or_else(|| "/dev/shm".into(), PathBuf::from);
    if memory.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(&memory)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}

/// A number from the environment, to make a test longer than by default.
pub(crate) fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A pseudo-random number below `below`, the same in each run of the tests.
pub(crate) fn spread(seed: &[u8], below: u64) -> u64 {
    let hash = blake3::hash(seed);
    let bytes = hash.as_bytes().first_chunk::<8>().unwrap();
    u64::from_le_bytes(*bytes) % below.max(1)
}

/// Does the same with each item, on all processors. Ends with the first panic, once what is at work has ended.
pub(crate) fn on_all_processors<T: Sync>(items: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let take = || items.get(next.fetch_add(1, Ordering::Relaxed));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            // After a panic the others find nothing more to do.
            let stop = StopAll { next: &next, items: items.len() };
            while let Some(item) = take() {
                act(item);
            }
            std::mem::forget(stop);
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in running {
            if let Err(why) = worker.join() {
                std::panic::resume_unwind(why);
            }
        }
    });
}

/// Leaves nothing to take when a worker panics.
struct StopAll<'n> {
    next: &'n AtomicUsize,
    items: usize,
}

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.next.store(self.items, Ordering::Relaxed);
    }
}
