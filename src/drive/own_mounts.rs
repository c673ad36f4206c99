//! Which mounts this program had UDisks2 make, so that one left behind by an agent that was killed is still
//! unmounted by the next.
//!
//! One small file per mount in the user's runtime folder, which ends with the session as the mounts do.
//! Losing it costs nothing but that the drive stays mounted.

use std::path::PathBuf;

use crate::drive::mounted::Mounted;
use crate::drive::mountinfo::MountEntry;

/// Remembers that `mounted` was made for us.
pub(super) fn remember(mounted: &Mounted) {
    let Some(file) = file(mounted.mount_id) else {
        return;
    };
    let point = mounted.point.as_os_str().as_encoded_bytes();
    if let Err(error) = crate::host::atomic_file::replace_soon(&file, point) {
        tracing::warn!("{}: cannot be written: {error}", file.display());
    }
}

/// Whether the mount is one that was made for us: by its number, which the kernel gives again once a mount is
/// gone, and its place. So what is gone must be forgotten.
pub(super) fn is_ours(entry: &MountEntry) -> bool {
    let point = file(entry.mount_id).and_then(|file| std::fs::read(file).ok());
    point.is_some_and(|point| point == entry.point.as_os_str().as_encoded_bytes())
}

/// Forgets the mount, which is gone.
pub(super) fn forget(mount_id: u64) {
    if let Some(file) = file(mount_id) {
        let _none = std::fs::remove_file(file);
    }
}

fn file(mount_id: u64) -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)?;
    folder.is_absolute().then(|| folder.join("bkm-agent/mounts").join(mount_id.to_string()))
}
