//! Replaces a small file of this computer (never of the drive) so that a reader or a crash sees the
//! old or the new one, whole. The drive's files go through `fs::tree`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Writes `content` to `path`, mode 0600; makes the folders above it (0700) if they are missing. Durable
/// when it returns.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    stage(path, content, true)?;
    File::open(folder_of(path))?.sync_all()
}

/// The same without waiting for the disk: for what may be lost with the computer's power.
pub fn replace_soon(path: &Path, content: &[u8]) -> io::Result<()> {
    stage(path, content, false)
}

/// Waits until what [`replace_soon`] wrote to `path` is durable.
pub fn settle(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn stage(path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let staged = folder.join(name);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
    file.write_all(content)?;
    if sync {
        file.sync_all()?;
    }
    put(&staged, path)
}

/// Puts a file that was written beside `path` in its place.
#[expect(clippy::disallowed_methods, reason = "this is the one place for files of the computer")]
pub(crate) fn put(staged: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(staged, path)
}

#[cfg(test)]
mod tests {
    #[test]
    fn replaces_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/state.json");
        super::replace(&path, b"one").unwrap();
        super::replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        super::replace_soon(&path, b"two").unwrap();
        super::settle(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
