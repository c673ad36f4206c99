//! Mounting, unmounting, unlocking and powering off through UDisks2, as desktops do: the way for a user, who
//! may not do it alone.
//!
//! Each call makes a connection to the system bus and a small runtime for it (some 2 ms), so that commands
//! and the agent's blocking jobs use it alike; it blocks, within a time limit, and must not be called on the
//! event loop's thread. It never lets a dialog come up: a background service does not ask for passwords.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::{Connection, DBusError as _, OwnedObjectPath, Variant};

use crate::drive::device::Device;

/// How long one call may take. UDisks2 answers when the kernel has done it: unmounting writes out what is
/// cached, which on a slow stick takes its time. Much later it would be killed by nobody, only not waited for.
const PATIENCE: Duration = Duration::from_mins(10);

/// Why UDisks2 did not do it.
#[derive(Debug, thiserror::Error)]
pub enum UdisksError {
    /// There is no system bus, or no UDisks2 on it.
    #[error("UDisks2, which mounts drives for users, is not running ({0})")]
    Unavailable(String),
    /// The user's session is not the active one, or a rule forbids it.
    #[error("not authorised: {0}")]
    NotAuthorised(String),
    /// Somebody else was quicker.
    #[error("it is mounted already")]
    AlreadyMounted,
    /// A program has files open on it.
    #[error("it is in use: {0}")]
    Busy(String),
    /// The device is not there any more.
    #[error("the drive is gone")]
    Gone,
    /// The administrator's rules do not allow a mount option.
    #[error("UDisks2: {0}")]
    OptionNotPermitted(String),
    /// Something else; UDisks2's words.
    #[error("UDisks2: {0}")]
    Other(String),
}

type Asked<'a> = HashMap<&'a str, Variant<'a>>;

#[zbus::proxy(
    interface = "org.freedesktop.UDisks2.Manager",
    default_service = "org.freedesktop.UDisks2",
    default_path = "/org/freedesktop/UDisks2/Manager"
)]
trait Manager {
    fn resolve_device(
        &self,
        devspec: Asked<'_>,
        options: Asked<'_>,
    ) -> zbus::Result<Vec<OwnedObjectPath>>;
}

#[zbus::proxy(
    interface = "org.freedesktop.UDisks2.Block",
    default_service = "org.freedesktop.UDisks2"
)]
trait Block {
    #[zbus(property(emits_changed_signal = "false"))]
    fn device_number(&self) -> zbus::Result<u64>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn drive(&self) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.UDisks2.Filesystem",
    default_service = "org.freedesktop.UDisks2"
)]
trait Filesystem {
    fn mount(&self, options: Asked<'_>) -> zbus::Result<String>;
    fn unmount(&self, options: Asked<'_>) -> zbus::Result<()>;
    fn check(&self, options: Asked<'_>) -> zbus::Result<bool>;
    fn repair(&self, options: Asked<'_>) -> zbus::Result<bool>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn mount_points(&self) -> zbus::Result<Vec<Vec<u8>>>;
}

#[zbus::proxy(
    interface = "org.freedesktop.UDisks2.Encrypted",
    default_service = "org.freedesktop.UDisks2"
)]
trait Encrypted {
    fn unlock(&self, passphrase: &str, options: Asked<'_>) -> zbus::Result<OwnedObjectPath>;
    fn lock(&self, options: Asked<'_>) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.UDisks2.Drive",
    default_service = "org.freedesktop.UDisks2"
)]
trait Drive {
    fn power_off(&self, options: Asked<'_>) -> zbus::Result<()>;
    fn eject(&self, options: Asked<'_>) -> zbus::Result<()>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn can_power_off(&self) -> zbus::Result<bool>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn ejectable(&self) -> zbus::Result<bool>;
}

/// Mounts `device`; where.
///
/// FAT and exFAT are mounted with `dirsync`, as a rename there is two sectors: UDisks2 allows that option
/// on every file system, and it is left out where the administrator's rules do not.
pub fn mount(device: &Device, read_only: bool) -> Result<PathBuf, UdisksError> {
    let access = if read_only { "ro" } else { "rw" };
    let journalless = matches!(device.fs_type.as_deref(), Some("vfat" | "exfat"));
    if journalless && !read_only {
        match mount_with(device, "rw,dirsync") {
            Err(UdisksError::OptionNotPermitted(_)) => {}
            other => return other,
        }
    }
    mount_with(device, access)
}

fn mount_with(device: &Device, options: &str) -> Result<PathBuf, UdisksError> {
    with_object(device, async |bus, path| {
        let file_system = FilesystemProxy::builder(bus).path(path).build().await?;
        let mut asked = quietly();
        asked.insert("options", Variant::from(options));
        let point = file_system.mount(asked).await?;
        Ok(PathBuf::from(OsString::from_vec(point.into_bytes())))
    })
}

/// Unmounts it, whoever mounted it, as far as UDisks2 lets this user.
pub fn unmount(device: &Device) -> Result<(), UdisksError> {
    with_object(device, async |bus, path| {
        let file_system = FilesystemProxy::builder(bus).path(path).build().await?;
        file_system.unmount(quietly()).await
    })
}

/// Sees to it that its file system, which is not mounted, is in order; says whether it is known to be.
pub fn make_sure(device: &Device) -> Result<bool, UdisksError> {
    with_object(device, async |bus, path| {
        let file_system = FilesystemProxy::builder(bus).path(path).build().await?;
        if file_system.check(quietly()).await? {
            return Ok(true);
        }
        // A check takes its time, and the desktop may have mounted it meanwhile.
        if !file_system.mount_points().await?.is_empty() {
            return Ok(false);
        }
        file_system.repair(quietly()).await
    })
}

/// Opens an encrypted device with a key; the node of what is in it.
pub fn unlock(container: &Device, key: &[u8]) -> Result<PathBuf, UdisksError> {
    with_object(container, async |bus, path| {
        let encrypted = EncryptedProxy::builder(bus).path(path).build().await?;
        let mut asked = quietly();
        // As bytes: a key need not be text.
        asked.insert("keyfile_contents", Variant::from(key));
        let opened = encrypted.unlock("", asked).await?;
        let block = BlockProxy::builder(bus).path(opened).build().await?;
        let number = block.device_number().await?;
        Ok(Path::new("/dev/block").join(format!(
            "{}:{}",
            rustix::fs::major(number),
            rustix::fs::minor(number)
        )))
    })
}

/// Closes an encrypted device again.
pub fn lock(container: &Device) -> Result<(), UdisksError> {
    with_object(container, async |bus, path| {
        let encrypted = EncryptedProxy::builder(bus).path(path).build().await?;
        encrypted.lock(quietly()).await
    })
}

/// Cuts the power of the drive that `device` is on, or ejects its medium; nothing of it may be mounted.
/// `false`: it can do neither (a loop device, a disk that is built in), and needs neither to be pulled.
pub fn power_off(device: &Device) -> Result<bool, UdisksError> {
    with_object(device, async |bus, path| {
        let block = BlockProxy::builder(bus).path(path).build().await?;
        let drive = block.drive().await?;
        // UDisks2's word for "none".
        if drive.as_str() == "/" {
            return Ok(false);
        }
        let drive = DriveProxy::builder(bus).path(drive).build().await?;
        if drive.can_power_off().await? {
            drive.power_off(quietly()).await?;
        } else if drive.ejectable().await? {
            drive.eject(quietly()).await?;
        } else {
            return Ok(false);
        }
        Ok(true)
    })
}

fn quietly<'a>() -> Asked<'a> {
    HashMap::from([("auth.no_user_interaction", Variant::from(true))])
}

/// Runs `call` on UDisks2's object for `device`.
fn with_object<T>(
    device: &Device,
    call: impl AsyncFnOnce(&Connection, OwnedObjectPath) -> zbus::Result<T>,
) -> Result<T, UdisksError> {
    let unavailable = |error: &dyn std::fmt::Display| UdisksError::Unavailable(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unavailable(&error))?;
    let talk = async {
        let bus = Connection::system().await.map_err(|error| unavailable(&error))?;
        let path = object(&bus, device).await?;
        call(&bus, path).await.map_err(|error| judge(&error))
    };
    runtime.block_on(async {
        let slow = |_| UdisksError::Other("it does not answer".to_owned());
        tokio::time::timeout(PATIENCE, talk).await.map_err(slow)?
    })
}

/// How often and after which pause UDisks2 is asked for a device that it does not know: it hears of it from
/// udev, as we do, and may be a moment later.
const TRIES: u32 = 20;

const PAUSE: Duration = Duration::from_millis(100);

async fn object(bus: &Connection, device: &Device) -> Result<OwnedObjectPath, UdisksError> {
    let manager = ManagerProxy::new(bus).await.map_err(|error| judge(&error))?;
    let node = device.node.to_string_lossy();
    let wanted = rustix::fs::makedev(device.devnum.0, device.devnum.1);
    for _ in 0..TRIES {
        let spec = HashMap::from([("path", Variant::from(&*node))]);
        let found = manager.resolve_device(spec, HashMap::new()).await.map_err(|e| judge(&e))?;
        for path in found {
            let block = BlockProxy::builder(bus).path(path.clone()).build();
            let block = block.await.map_err(|e| judge(&e))?;
            // A node's name may belong to another drive by now.
            if block.device_number().await.is_ok_and(|number| number == wanted) {
                return Ok(path);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(UdisksError::Gone)
}

/// What an answer of UDisks2 means.
fn judge(error: &zbus::Error) -> UdisksError {
    match error {
        zbus::Error::MethodError(name, text, _) => {
            judge_answer(name.as_str(), text.as_deref().unwrap_or_default())
        }
        // The errors of D-Bus itself, which the bus gives for a service that is not there.
        zbus::Error::FDO(error) => {
            judge_answer(error.name().as_str(), error.description().unwrap_or_default())
        }
        // The bus or UDisks2 went away.
        zbus::Error::InputOutput(_) | zbus::Error::Connection(..) => {
            UdisksError::Unavailable(error.to_string())
        }
        other => UdisksError::Other(crate::text::sanitize::line(&other.to_string())),
    }
}

/// By the name of the error (UDisks2's reference manual, "Errors") and what it says.
fn judge_answer(name: &str, text: &str) -> UdisksError {
    let text = crate::text::sanitize::line(text.trim());
    if let Some(kind) = name.strip_prefix("org.freedesktop.UDisks2.Error.") {
        return match kind {
            "AlreadyMounted" | "MountedByOtherUser" => UdisksError::AlreadyMounted,
            // NotAuthorized, NotAuthorizedCanObtain, NotAuthorizedDismissed
            _ if kind.starts_with("NotAuthorized") => UdisksError::NotAuthorised(text),
            "DeviceBusy" => UdisksError::Busy(text),
            "OptionNotPermitted" => UdisksError::OptionNotPermitted(text),
            _ => UdisksError::Other(text),
        };
    }
    match name.strip_prefix("org.freedesktop.DBus.Error.") {
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoServer" | "Disconnected") => {
            UdisksError::Unavailable(text)
        }
        // It is installed and cannot be started.
        Some(kind) if kind.starts_with("Spawn.") => UdisksError::Unavailable(text),
        // dbus-daemon leaves starting to systemd: the unit is masked or not there.
        None if name.starts_with("org.freedesktop.systemd1.") => UdisksError::Unavailable(text),
        Some("UnknownObject" | "UnknownInterface" | "UnknownMethod") => UdisksError::Gone,
        Some("AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired") => {
            UdisksError::NotAuthorised(text)
        }
        _ => UdisksError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_their_names() {
        let own = |name: &str| judge_answer(&format!("org.freedesktop.UDisks2.Error.{name}"), "x");
        for later in ["NotAuthorized", "NotAuthorizedCanObtain", "NotAuthorizedDismissed"] {
            assert!(matches!(own(later), UdisksError::NotAuthorised(_)), "{later}");
        }
        assert!(matches!(own("AlreadyMounted"), UdisksError::AlreadyMounted));
        assert!(matches!(own("DeviceBusy"), UdisksError::Busy(_)));
        assert!(matches!(own("OptionNotPermitted"), UdisksError::OptionNotPermitted(_)));
        assert!(matches!(own("Failed"), UdisksError::Other(_)));
        for missing in [
            "org.freedesktop.DBus.Error.ServiceUnknown",
            "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
            "org.freedesktop.systemd1.NoSuchUnit",
        ] {
            assert!(matches!(judge_answer(missing, "x"), UdisksError::Unavailable(_)), "{missing}");
        }
        let unknown = judge_answer("org.freedesktop.DBus.Error.UnknownObject", "x");
        assert!(matches!(unknown, UdisksError::Gone));
    }
}
