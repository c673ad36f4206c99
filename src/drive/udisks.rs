//! Mounting, unmounting, unlocking and powering off through UDisks2, as desktops do: the way for a user, who
//! may not do it alone.
//!
//! Each call makes a connection to the system bus and a small runtime for it (some 2 ms), so that commands
//! and the agent's blocking jobs use it alike; it blocks, within a time limit, and must not be called on the
//! event loop's thread. It never lets a dialog come up: a background service does not ask for passwords.
//! Called by `mount` and `luks`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, Variant};

use super::device::Device;

/// How long one call may take. UDisks2 answers when the kernel has done it: unmounting writes out what is
/// cached, which on a slow stick takes its time. Much later it would be killed by nobody, only not waited for.
const PATIENCE: Duration = Duration::from_mins(10);

/// The error of D-Bus that UDisks2 has for a file system it has mounted already.
const ALREADY_MOUNTED: &str = "org.freedesktop.UDisks2.Error.AlreadyMounted";

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
}

/// Mounts `device`; where. `options` are mount options beside UDisks2's own.
pub fn mount(device: &Device, options: &str) -> Result<PathBuf, UdisksError> {
    with_object(device, async |bus, path| {
        let file_system = FilesystemProxy::builder(bus).path(path).build().await?;
        let mut asked = quietly();
        if !options.is_empty() {
            asked.insert("options", Variant::from(options));
        }
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

/// Cuts the power of the drive that `device` is on, or ejects its medium. Nothing of it may be mounted.
pub fn power_off(device: &Device) -> Result<(), UdisksError> {
    with_object(device, async |bus, path| {
        let block = BlockProxy::builder(bus).path(path).build().await?;
        let drive = DriveProxy::builder(bus).path(block.drive().await?).build().await?;
        if drive.can_power_off().await? {
            drive.power_off(quietly()).await
        } else {
            drive.eject(quietly()).await
        }
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
    let (name, text) = match error {
        zbus::Error::MethodError(name, text, _) => {
            (name.as_str(), text.clone().unwrap_or_default())
        }
        // D-Bus's own errors: nobody has the name, the object is not there, it did not answer.
        zbus::Error::FDO(error) => match error.as_ref() {
            zbus::fdo::Error::ServiceUnknown(text) | zbus::fdo::Error::NameHasNoOwner(text) => {
                return UdisksError::Unavailable(text.clone());
            }
            zbus::fdo::Error::UnknownObject(_)
            | zbus::fdo::Error::UnknownInterface(_)
            | zbus::fdo::Error::UnknownMethod(_) => return UdisksError::Gone,
            zbus::fdo::Error::AccessDenied(text) | zbus::fdo::Error::AuthFailed(text) => {
                return UdisksError::NotAuthorised(text.clone());
            }
            other => return UdisksError::Other(other.to_string()),
        },
        other => return UdisksError::Other(other.to_string()),
    };
    let text = crate::sanitize::line(text.trim());
    match name.strip_prefix("org.freedesktop.UDisks2.Error.") {
        _ if name == ALREADY_MOUNTED => UdisksError::AlreadyMounted,
        // NotAuthorized, NotAuthorizedCanObtain, NotAuthorizedDismissed
        Some(kind) if kind.starts_with("NotAuthorized") => UdisksError::NotAuthorised(text),
        Some("DeviceBusy") => UdisksError::Busy(text),
        _ => UdisksError::Other(text),
    }
}
