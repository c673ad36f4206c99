//! What the agent does while nothing happens: nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bkm_agent::drive::monitor::Monitor;
use serde_json::json;

use crate::support::agent::Agent;
use crate::support::desktop::Desktop;
use crate::support::drive::Drive;
use crate::support::needs::{self, skipped, skipped_part};
use crate::support::process::{self, Running};
use crate::support::udevd::Udev;

/// How long it must not stir.
const QUIET: Duration = Duration::from_mins(1);

/// `strace` of all threads of a process, ended with the test.
struct Trace {
    strace: Running,
    record: PathBuf,
}

impl Trace {
    /// Starts it; says why it cannot.
    fn start(pid: u32, dir: &Path) -> Result<Self, String> {
        let (record, said) = (dir.join("strace.txt"), dir.join("strace.err"));
        let strace = Command::new("strace")
            .args(["-f", "-ttt", "-p", &pid.to_string(), "-o"])
            .arg(&record)
            .stdin(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let mut trace = Self { strace: Running(strace), record };
        let attached = process::wait_for("strace to attach", || {
            let ended = trace.strace.0.try_wait().unwrap().is_some();
            let said = fs::read_to_string(&said).unwrap();
            (ended || said.contains("attached")).then_some((ended, said))
        });
        if attached.0 { Err(attached.1) } else { Ok(trace) }
    }

    /// The lines that it recorded so far.
    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.record).unwrap().lines().map(str::to_owned).collect()
    }
}

/// What `look` gives before and after a time in which nothing happens on this machine that the agent
/// is to hear of: other programs mount things as well. `None` if there is no such time.
fn in_quiet<T>(mut look: impl FnMut() -> T) -> Option<(T, T)> {
    let (send, mut events) = tokio::sync::mpsc::unbounded_channel();
    let _witness = Monitor::start(&[], send).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut quiet_for = |time| {
        let next = async { tokio::time::timeout(time, events.recv()).await };
        runtime.block_on(next).is_err()
    };
    let deadline = Instant::now() + 5 * QUIET;
    while Instant::now() < deadline {
        // What there is, and what it still does about it.
        while !quiet_for(Duration::from_secs(1)) {}
        let before = look();
        if quiet_for(QUIET) {
            return Some((before, look()));
        }
    }
    None
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn while_nothing_happens_it_does_nothing() {
    let Some(udev) = Udev::with_desktop() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let desktop = Desktop::start(dir);
    Agent::drive_profile(dir, "DONE", &json!({}));
    Agent::drive_profile(dir, "LATER", &json!({ "min_interval": "1d" }));
    let (mut done, mut later) = (Drive::ext4(dir, "DONE"), Drive::ext4(dir, "LATER"));
    let agent = Agent::start(dir, &desktop.address);
    done.attach();
    later.attach();
    agent.wait_logged_times(2, &["safe to remove"]);
    later.detach();
    agent.wait_logged(&["unplugged", "LATER"]);
    later.attach();
    agent.wait_logged(&["not due", "LATER"]);
    udev.settle();
    let held = agent.idle();

    let trace = needs::find_tool("strace")
        .ok_or_else(|| "needs strace".to_owned())
        .and_then(|_| Trace::start(agent.pid(), dir));
    if let Err(why) = &trace {
        skipped_part(format_args!("system calls: {why}"));
    }
    let look = || {
        let recorded = trace.as_ref().map(Trace::lines).unwrap_or_default();
        (agent.sleeps(), recorded)
    };
    let Some((before, after)) = in_quiet(look) else {
        return skipped("this machine mounts and plugs in all the time");
    };
    println!("{} KiB resident; in {QUIET:?}: {:?} → {:?}", held.resident, before.0, after.0);
    assert_eq!(after.1, before.1, "system calls");
    assert_eq!(after.0, before.0, "wake-ups");
    assert!(held.resident < Agent::MOST_RESIDENT, "{held:?}");

    // strace would have seen it.
    later.detach();
    agent.wait_logged_times(2, &["unplugged", "LATER"]);
    if let Ok(trace) = &trace {
        process::wait_for("strace to tell", || (trace.lines().len() > after.1.len()).then_some(()));
    }
}
