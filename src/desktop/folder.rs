//! Shows a folder in the user's file manager.
//!
//! By message, so that the file manager runs as the desktop's own and not with the limits of this service.
//! It blocks until the file manager answered.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use zbus::Connection;

/// How long the desktop may take; it may have to start the file manager first.
const PATIENCE: Duration = Duration::from_secs(30);

#[zbus::proxy(
    interface = "org.freedesktop.FileManager1",
    default_service = "org.freedesktop.FileManager1",
    default_path = "/org/freedesktop/FileManager1"
)]
trait FileManager {
    fn show_folders(&self, uris: &[String], startup_id: &str) -> zbus::Result<()>;
}

/// Shows `folder`, an absolute path.
pub fn show(folder: &Path) -> zbus::Result<()> {
    let failed = |error: std::io::Error| zbus::Error::Failure(error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let bus = Connection::session().await?;
        let manager = FileManagerProxy::new(&bus).await?;
        let uris = [uri(folder)];
        let shown = manager.show_folders(&uris, "");
        let late = || zbus::Error::Failure("the file manager does not answer".to_owned());
        tokio::time::timeout(PATIENCE, shown).await.map_err(|_| late())?
    })
}

/// `file:///media/anna/My%20Disk`
fn uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _done = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_by_its_bytes() {
        assert_eq!(uri(Path::new("/media/My Dïsk")), "file:///media/My%20D%C3%AFsk");
    }
}
