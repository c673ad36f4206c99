//! What the end-to-end tests share: a machine with udev, loop drives, a desktop session.
//!
//! Everything that a test starts or attaches is taken away again by a `Drop`, also when it fails.
//! Nothing sleeps for luck: [`wait_for`] waits for a condition with a deadline.

pub(crate) mod agent;
pub(crate) mod attack;
pub(crate) mod desktop;
pub(crate) mod drive;
pub(crate) mod home;
pub(crate) mod large_source;
pub(crate) mod services;
pub(crate) mod udevd;

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Long enough for a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `check` gives something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Why an end-to-end test with real drives cannot run here, if so.
pub(crate) fn missing(tools: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if !PathBuf::from("/dev/loop-control").exists() {
        return Some("needs loop devices".to_owned());
    }
    tools.iter().find(|tool| find_tool(tool).is_none()).map(|tool| format!("needs {tool}"))
}

/// Where a program lies.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|dir| PathBuf::from(dir).join(name))
        .find(|path| path.exists())
}

/// Runs a program to its end; it must succeed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Sends a signal to a process of a test.
pub(crate) fn signal(process: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(process.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Time that a process of a test has computed so far.
pub(crate) fn cpu_time(process: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap()).collect();
    Duration::from_millis(
        ticks.iter().sum::<u64>() * 1000 / rustix::param::clock_ticks_per_second(),
    )
}
