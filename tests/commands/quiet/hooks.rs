//! How long a hook can hold up a run.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::support::home::Home;
use crate::support::hooks::{home_with, shell, variable};
use crate::support::process::wait_for;

fn pid(home: &Home, file: &str) -> Pid {
    let text = wait_for(file, || {
        std::fs::read_to_string(home.at(file)).ok().filter(|text| text.ends_with('\n'))
    });
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Whether the process runs; one that ended and that nobody waited for does not.
fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn a_timeout_ends_children_too_also_those_that_ignore_sigterm() {
    let script = "trap '' TERM; sleep 1000 & echo $! >got/child; echo $$ >got/shell; wait; wait";
    let home = home_with(&json!({ "before": shell(script), "timeout": "1s" }));
    let start = Instant::now();
    assert_eq!(home.bkm(&["run"]).status.code(), Some(1));
    let took = start.elapsed();
    assert!((Duration::from_secs(6)..Duration::from_secs(15)).contains(&took), "{took:?}");
    for file in ["got/child", "got/shell"] {
        let process = pid(&home, file);
        wait_for("the end of a killed process", || (!runs(process)).then_some(()));
    }
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn what_a_hook_leaves_running_does_not_hold_the_run() {
    let home = home_with(&json!({ "after": shell("sleep 1000 & echo $! >got/child") }));
    let start = Instant::now();
    assert_eq!(home.json(&["run", "--json"])["warnings"], json!([]));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let child = pid(&home, "got/child");
    assert!(runs(child), "it was not asked to end");
    rustix::process::kill_process(child, Signal::KILL).unwrap();
}

/// Starts a run and waits until its hook has written its process into `got/child`.
fn start(home: &Home) -> (Child, Pid) {
    let mut command = home.command(&["run"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let child = pid(home, "got/child");
    (run, child)
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn stopping_the_run_ends_its_hook_at_once() {
    let wait = shell("echo $$ >got/child; exec sleep 1000");
    let record = json!(["/bin/sh", "record.sh"]);
    for (hooks, code) in [
        (json!({ "before": wait, "failed": record }), 130),
        // The run itself is complete then.
        (json!({ "after": wait }), 0),
    ] {
        let home = home_with(&hooks);
        let (run, child) = start(&home);
        let start = Instant::now();
        rustix::process::kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert!(!runs(child));
        if code == 130 {
            let error = variable(&home, "failed", "BKM_ERROR").unwrap();
            let words =
                "the hook \"before\" of the profile \"docs\": ended, since the backup was stopped";
            assert_eq!(error, words);
            assert!(!home.at("there/backup").exists());
        }
    }
}
