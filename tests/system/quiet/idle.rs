//! The agent runs for months: what it holds after a thousand plug-ins, and what it does while nothing
//! happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bkm_agent::drive::monitor::Monitor;
use serde_json::json;

use crate::support::agent::{Agent, Follow, Held};
use crate::support::desktop::Desktop;
use crate::support::drive::Drive;
use crate::support::needs::{self, skipped, skipped_part};
use crate::support::process::{self, Running};
use crate::support::udevd::Udev;

/// Plug-ins that start nothing.
const CYCLES: usize = 1000;

/// Plug-ins with a backup each.
const BACKUPS: usize = 30;

/// What the allocator and the libraries take once and keep.
const WARM_UP: usize = 50;

/// Memory of its own that it may have grown by in the end, in KiB.
const GROWTH: u64 = 512;

/// The profile of the drive labelled `label`, with a source of its own.
fn profile(dir: &Path, label: &str, more: &serde_json::Value) {
    let source = dir.join(label);
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("a.txt"), label).unwrap();
    let mut profile = json!({ "drive": { "label": label }, "src": source, "dist": "B" });
    let fields = profile.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    Agent::own_profile(dir, &label.to_lowercase(), &profile);
}

/// Plugs `drive` in and pulls it again, `times`.
fn plug_in_and_pull(log: &mut Follow, drive: &mut Drive, label: &str, times: usize) {
    for _ in 0..times {
        drive.attach();
        log.wait(&["not due", label]);
        drive.detach();
        log.wait(&["unplugged", label]);
    }
}

/// The same with a backup each time; the desktop mounts it, so that none waits for that.
fn back_up_each_time(log: &mut Follow, drive: &mut Drive, label: &str, dir: &Path, times: usize) {
    for n in 0..times {
        fs::write(dir.join(label).join("a.txt"), format!("{label} {n}")).unwrap();
        drive.attach();
        drive.mount(&dir.join("media"));
        log.wait(&["finished, eject before you pull", label]);
        drive.unmount();
        drive.detach();
        log.wait(&["unplugged", label]);
    }
}

#[test]
#[ignore = "needs quiet: make test runs it alone"]
fn a_thousand_plug_ins_leave_nothing_behind() {
    let Some(_udev) = Udev::with_desktop() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let desktop = Desktop::start(dir);
    profile(dir, "OFTEN", &json!({ "min_interval": "1d" }));
    profile(dir, "EACH", &json!({}));
    let mut often = Drive::ext4(dir, "OFTEN");
    let mut each = Drive::ext4(dir, "EACH");
    let agent = Agent::start(dir, &desktop.address);
    let (mut log, mut each_log) = (agent.follow(), agent.follow());

    often.attach();
    log.wait(&["safe to remove", "OFTEN"]);
    often.detach();
    log.wait(&["unplugged", "OFTEN"]);
    plug_in_and_pull(&mut log, &mut often, "OFTEN", WARM_UP);
    back_up_each_time(&mut each_log, &mut each, "EACH", dir, BACKUPS);
    let before = agent.idle();
    let state_before = tree_size(&dir.join("state"));

    let start = Instant::now();
    plug_in_and_pull(&mut log, &mut often, "OFTEN", CYCLES);
    println!("{CYCLES} plug-ins: {:.1} s", start.elapsed().as_secs_f64());
    let between = idle_again(&agent, &before);
    assert!(between.own <= before.own + GROWTH, "{} → {} KiB", before.own, between.own);

    let start = Instant::now();
    back_up_each_time(&mut each_log, &mut each, "EACH", dir, BACKUPS);
    println!("{BACKUPS} backups: {:.1} s", start.elapsed().as_secs_f64());
    let after = idle_again(&agent, &before);
    assert!(after.own <= before.own + GROWTH, "{} → {} KiB", before.own, after.own);
    assert!(after.resident < RESIDENT, "{after:?}");
    let state_after = tree_size(&dir.join("state"));
    println!("state folder (files, bytes): {state_before:?} → {state_after:?}");
    assert_eq!(state_after.0, state_before.0, "files in the state folder");
    assert!(state_after.1 < 256 << 10, "bytes in the state folder: {}", state_after.1);
    assert!(agent.terminate().0.success());
}

/// How long it must not stir.
const QUIET: Duration = Duration::from_mins(1);

/// What it may hold then in KiB, as it is released (12 MB) and with everything that a debug build adds.
const RESIDENT: u64 = if cfg!(debug_assertions) { 32_000 } else { 12_000 };

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
    profile(dir, "DONE", &json!({}));
    profile(dir, "LATER", &json!({ "min_interval": "1d" }));
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
    assert!(held.resident < RESIDENT, "{held:?}");

    // strace would have seen it.
    later.detach();
    agent.wait_logged_times(2, &["unplugged", "LATER"]);
    if let Ok(trace) = &trace {
        process::wait_for("strace to tell", || (trace.lines().len() > after.1.len()).then_some(()));
    }
}

/// What it holds once it is idle; no more handles than before.
#[track_caller]
fn idle_again(agent: &Agent, before: &Held) -> Held {
    // A connection to the bus that was let go of is closed a moment later; one that leaks never is.
    let deadline = Instant::now() + process::PATIENCE;
    let mut held = agent.idle();
    while held.handles != before.handles && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        held = agent.idle();
    }
    for Held { resident, own, handles, threads } in [before, &held] {
        let handles = handles.len();
        println!("{resident} KiB resident, {own} KiB own, {handles} handles, {threads} threads");
    }
    assert_eq!(held.handles, before.handles);
    held
}

/// Number of files in a folder, and their bytes.
fn tree_size(folder: &Path) -> (usize, u64) {
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap());
    let sizes: Vec<u64> = files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    (sizes.len(), sizes.iter().sum())
}
