//! How soon a run stops.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::home::Home;
use crate::support::process;

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn ctrl_c_stops_at_a_safe_point_says_what_is_kept_and_the_next_run_goes_on() {
    const SIZE: u64 = 50 << 30;
    let home = Home::with_docs();
    // Its zeros take far longer to hash than a stop may take.
    let big = File::create(home.at("work/z-big")).unwrap();
    big.set_len(SIZE).unwrap();
    let mut child = home
        .command(&["run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(process::Running)
        .unwrap();
    // What else it does before it hashes takes a fraction of this.
    process::wait_for("the file to be on its way", || {
        (process::cpu_time(&child.0) > Duration::from_secs(1)).then_some(())
    });
    let asked = std::time::Instant::now();
    process::signal(&child.0, rustix::process::Signal::INT);
    let status = process::wait_for("the run to stop", || child.0.try_wait().unwrap());
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
    let mut said: Vec<String> =
        BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    shown!(said.remove(0), @"bkm-agent: stopping at the next safe point (once more to stop at once)");
    shown!(said.remove(0), @"bkm-agent: docs: stopped; 3 files of this run are kept on the drive, and the next run goes on from there");
    shown!(home.shown(&["status"]), @r"
    exit 0
    docs → /home/anna/there/backup: stopped; 3 files of this run are kept on the drive, and the next run goes on from there
      last complete  never
      last seen      [TIME]
    ");

    big.set_len(1 << 20).unwrap();
    let report = home.json(&["run", "--json"]);
    assert_eq!((&report["new"], &report["unchanged"]), (&json!(1), &json!(3)));
    assert_eq!(report["recovered"], true);
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one");
    assert_eq!(std::fs::metadata(home.at("there/backup/mirror/z-big")).unwrap().len(), 1 << 20);
}
