//! Opening and closing encrypted drives: through UDisks2, or as root with `cryptsetup`.
//!
//! Keys come in as bytes and go nowhere else: not into a log, nor into the arguments of a program. It blocks
//! for as long as the key takes (seconds, by design of LUKS).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::drive::device::Device;
use crate::drive::udisks::{self, UdisksError};

/// Why a drive was not opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum LuksError {
    /// It may not be done now.
    #[error("{}: may not be unlocked now: {why}", node.display())]
    NotAuthorised {
        /// The device.
        node: PathBuf,
        /// UDisks2's words.
        why: String,
    },
    /// Neither UDisks2 nor `cryptsetup` can do it.
    #[error("{}: cannot be unlocked: {why}, and cryptsetup is not installed or you are not root", node.display())]
    Nobody {
        /// The device.
        node: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The key is wrong, or something else is.
    #[error("{}: cannot be unlocked or locked: {why}", node.display())]
    Refused {
        /// The device.
        node: PathBuf,
        /// In words.
        why: String,
    },
    /// It was open, and udev told of no file system in it.
    #[error("{}: unlocked, but no file system appeared in it; it was locked again", .0.display())]
    Hidden(PathBuf),
}

/// How often and after which pause it is looked whether udev knows what is in it.
const TRIES: u32 = 100;

const PAUSE: Duration = Duration::from_millis(100);

/// Opens `container`; the device that is in it, as udev knows it.
pub fn unlock(container: &Device, key: &[u8]) -> Result<Device, LuksError> {
    let node = match udisks::unlock(container, key) {
        Ok(node) => node,
        Err(UdisksError::Unavailable(why)) => open(container, key, why)?,
        Err(error) => return Err(refused(container, &error)),
    };
    for _ in 0..TRIES {
        if let Ok(device) = Device::from_node(&node)
            && device.has_file_system()
            && device.container.is_some()
        {
            return Ok(device);
        }
        std::thread::sleep(PAUSE);
    }
    // Nobody else would close it.
    if let Err(error) = lock(container) {
        tracing::warn!("{error}");
    }
    Err(LuksError::Hidden(node))
}

/// Closes it again; nothing of it may be mounted.
pub fn lock(container: &Device) -> Result<(), LuksError> {
    match udisks::lock(container) {
        Ok(()) => Ok(()),
        Err(UdisksError::Unavailable(why)) => {
            let mut command = cryptsetup(container, why)?;
            finish(container, command.arg("close").arg(name(container)), &[])
        }
        Err(error) => Err(refused(container, &error)),
    }
}

fn refused(container: &Device, error: &UdisksError) -> LuksError {
    let node = container.node.clone();
    match error {
        UdisksError::NotAuthorised(why) => LuksError::NotAuthorised { node, why: why.clone() },
        error => LuksError::Refused { node, why: error.to_string() },
    }
}

/// Without UDisks2, as root.
fn open(container: &Device, key: &[u8], why: String) -> Result<PathBuf, LuksError> {
    let mut command = cryptsetup(container, why)?;
    command.args(["open", "--type", "luks", "--key-file", "-"]);
    finish(container, command.arg("--").arg(&container.node).arg(name(container)), key)?;
    Ok(Path::new("/dev/mapper").join(name(container)))
}

fn cryptsetup(container: &Device, why: String) -> Result<Command, LuksError> {
    let places = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup"].map(Path::new);
    let program = places.into_iter().find(|place| place.is_file());
    match program {
        Some(program) if rustix::process::geteuid().is_root() => Ok(Command::new(program)),
        _ => Err(LuksError::Nobody { node: container.node.clone(), why }),
    }
}

/// Runs it with the key on its standard input.
fn finish(container: &Device, command: &mut Command, key: &[u8]) -> Result<(), LuksError> {
    let refused = |why: String| LuksError::Refused { node: container.node.clone(), why };
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| refused(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // One that ended before it read the key says why below.
        let _ended = input.write_all(key);
    }
    let output = child.wait_with_output().map_err(|error| refused(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(refused(crate::text::sanitize::line(
        said.lines().next_back().unwrap_or("cryptsetup failed"),
    )))
}

/// What the open volume is called below `/dev/mapper`; a UUID is plain in every LUKS header that udev reads.
fn name(container: &Device) -> String {
    let uuid = container.uuid.as_deref().unwrap_or_default();
    let plain: String =
        uuid.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    format!("bkm-agent-{plain}")
}
