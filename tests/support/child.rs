//! A run in a process of its own, which can be killed or be another user's: the test program starts itself again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;
use serde::{Deserialize, Serialize};

use super::profile;
use super::world::World;

/// Holds the run in the process that makes it.
const RUN: &str = "BKM_TEST_CHILD";

/// Paths in a batch on drives without links, so that a run has several.
const BATCH: usize = 25;

/// A run of everything in `source`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChildRun {
    pub(crate) source: PathBuf,
    pub(crate) drive: PathBuf,
    /// Whether the drive takes hard links.
    pub(crate) links: bool,
    pub(crate) one_worker: bool,
    /// After how many operations on the drive it is cut off.
    pub(crate) stop_after: Option<u64>,
}

impl ChildRun {
    pub(crate) fn new(source: &Path, drive: &Path, links: bool) -> Self {
        Self {
            source: source.to_owned(),
            drive: drive.to_owned(),
            links,
            one_worker: false,
            stop_after: None,
        }
    }

    /// The command that makes it, by this test program or a copy of it.
    pub(crate) fn command(&self, test_program: &Path) -> Command {
        let mut command = Command::new(test_program);
        let test = concat!(module_path!(), "::child");
        let (_, test) = test.split_once("::").unwrap();
        command.args(["--exact", test, "--include-ignored", "--test-threads", "1"]);
        command.env(RUN, serde_json::to_string(self).unwrap());
        command
    }
}

#[test]
#[ignore = "not a test by itself: others start it as a process of its own"]
fn child() {
    let Ok(run) = std::env::var(RUN) else { return };
    let run: ChildRun = serde_json::from_str(&run).unwrap();
    let mut world = World::new(&run.source, &run.drive, profile::all_tracked());
    if run.one_worker {
        world = world.one_worker();
    }
    let faults = run.stop_after.map_or_else(Faults::none, Faults::stop_after);
    let faults = if run.links { faults } else { faults.without_links().with_batches_of(BATCH) };
    world.run(Some(Arc::new(faults))).unwrap();
}
