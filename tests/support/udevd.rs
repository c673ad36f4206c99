//! udev for tests: the one that runs, else one of our own for as long as the test takes.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::desktop::Desktop;
use super::needs::{self, skipped};
use super::process::{run, wait_for};

const LOCK: &str = "/run/lock/bkm-agent-tests";

/// Programs that every test with udev calls.
const TOOLS: [&str; 5] = ["losetup", "mkfs.ext4", "udevadm", "mount", "blkid"];

/// The right to plug in drives that others are to hear of: only one test on this machine has it at a time, since all
/// of them see each other's drives.
pub(crate) struct Turn(File);

thread_local! {
    /// Whether the test in this thread has its turn.
    static MINE: Cell<bool> = const { Cell::new(false) };
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _released = self.0.unlock();
        MINE.set(false);
    }
}

/// Holds udev running, while it is this test's turn.
pub(crate) struct Udev {
    child: Option<Child>,
    _turn: Turn,
}

impl Udev {
    /// Makes sure that udev runs; says why it cannot.
    pub(crate) fn start() -> Result<Self, String> {
        let turn = lock().map_err(|error| error.to_string())?;
        if answers() {
            return Ok(Self { child: None, _turn: turn });
        }
        let program = ["/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or("needs systemd-udevd")?;
        let child = Command::new(program)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let udev = Self { child: Some(child), _turn: turn };
        wait_for("udev to answer", || answers().then_some(()));
        Ok(udev)
    }

    /// Makes sure that udev runs and these programs are here; `None` with the reason printed.
    pub(crate) fn with(tools: &[&str]) -> Option<Self> {
        Self::unless(needs::missing(&[&TOOLS, tools].concat()))
    }

    /// The same with a desktop.
    pub(crate) fn with_desktop() -> Option<Self> {
        Self::unless(needs::missing(&TOOLS).or_else(Desktop::missing))
    }

    /// Makes sure that udev runs unless something is missing; `None` with the reason printed.
    pub(crate) fn unless(missing: Option<String>) -> Option<Self> {
        missing.map_or_else(Self::start, Err).map_err(skipped).ok()
    }

    /// Makes udev tell of a change of a device.
    #[expect(clippy::unused_self, reason = "it makes sense only where udev runs")]
    pub(crate) fn change(&self, node: &Path) {
        tell(node, "change");
    }

    /// Makes udev tell that a device was pulled; it is there all the same.
    #[expect(clippy::unused_self, reason = "it makes sense only where udev runs")]
    pub(crate) fn pretend_removed(&self, node: &Path) {
        tell(node, "remove");
    }

    /// Makes udev tell that a device was plugged in.
    #[expect(clippy::unused_self, reason = "it makes sense only where udev runs")]
    pub(crate) fn pretend_added(&self, node: &Path) {
        tell(node, "add");
    }

    /// Waits until udev has handled everything.
    #[expect(clippy::unused_self, reason = "it makes sense only where udev runs")]
    pub(crate) fn settle(&self) {
        run(Command::new("udevadm").args(["settle", "--timeout=30"]));
    }
}

impl Drop for Udev {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // In order, so that it takes its control socket away: what is left would pass for a udev.
        if let Ok(pid) = i32::try_from(child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ended = child.kill();
        let _status = child.wait();
        let _gone = std::fs::remove_file("/run/udev/control");
    }
}

fn tell(node: &Path, action: &str) {
    let name = node.file_name().unwrap();
    std::fs::write(Path::new("/sys/block").join(name).join("uevent"), action).unwrap();
}

/// Waits for this test's turn, which calls these programs; `None` with the reason printed.
pub(crate) fn turn(tools: &[&str]) -> Option<Turn> {
    let missing = needs::missing(&[&["losetup", "mkfs.ext4", "mount", "blkid"], tools].concat());
    let lock = missing.map_or_else(|| lock().map_err(|error| error.to_string()), Err);
    lock.map_err(skipped).ok()
}

/// Waits for this test's turn.
pub(crate) fn lock() -> std::io::Result<Turn> {
    let lock = File::create(LOCK)?;
    lock.lock()?;
    MINE.set(true);
    Ok(Turn(lock))
}

/// Waits until no other test has its turn, for a drive that nobody is to hear of. As long as the file is open, none
/// gets it; other such drives do not mind.
pub(crate) fn beside() -> std::io::Result<Option<File>> {
    if MINE.get() {
        return Ok(None);
    }
    let lock = File::create(LOCK)?;
    lock.lock_shared()?;
    Ok(Some(lock))
}

/// Whether udev runs and does its work.
pub(crate) fn answers() -> bool {
    Path::new("/run/udev/control").exists()
        && Command::new("udevadm")
            .args(["control", "--ping", "--timeout=5"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}
