//! The computer that runs the machine: its tools, and waiting.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Without these there is no machine.
const TOOLS: [&str; 13] = [
    "qemu-system-x86_64",
    "mmdebstrap",
    "setpriv",
    "tar",
    "losetup",
    "mkfs.ext4",
    "mkfs.vfat",
    "mkfs.exfat",
    "mkfs.ntfs",
    "mkfs.btrfs",
    "mcopy",
    "mount.exfat-fuse",
    "ntfs-3g",
];

/// Why the machine cannot run here, if so.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if let Some(tool) = TOOLS.iter().find(|tool| find(tool).is_none()) {
        return Some(format!(
            "needs {tool} (`scripts/deps.sh vm` installs it on Debian and Ubuntu)"
        ));
    }
    if !PathBuf::from("/dev/loop-control").exists() || !PathBuf::from("/dev/fuse").exists() {
        return Some("needs loop devices and FUSE".to_owned());
    }
    let help = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-machine", "q35", "-device", "usb-storage,help"])
        .stdin(Stdio::null())
        .output();
    match help {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Some(format!("qemu does not run here: {}", said.trim()))
        }
        Err(error) => Some(format!("qemu does not run here: {error}")),
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|dir| PathBuf::from(dir).join(tool))
        .find(|path| path.exists())
}

/// Runs a program to its end; it must succeed. What it printed.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    must(Command::new(program).args(args).stdin(Stdio::null()))
}

/// The same with a command of one's own.
#[track_caller]
pub(crate) fn must(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Waits until `check` gives something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, time: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {time:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
