//! Whether a device has a file system that can take a backup, and what would help if it has none.
//!
//! It never formats: it names the command.

use std::path::Path;

use crate::cli::error::CliError;
use crate::drive::device::Device;
use crate::text::sanitize::line;

/// File systems that can only be read, here or anywhere.
const ONLY_READ: [&str; 5] = ["iso9660", "squashfs", "erofs", "cramfs", "apfs"];

/// Refuses what cannot take a backup, and says what would.
pub(super) fn check_file_system(device: &Device) -> Result<(), CliError> {
    let node = device.node.display();
    if let Some(fs_type) = &device.fs_type
        && ONLY_READ.contains(&fs_type.as_str())
    {
        return Err(CliError::failed(format!(
            "{node} has a file system that cannot be written here ({}).{}",
            line(fs_type),
            format_words(device)
        )));
    }
    if device.has_file_system() {
        return Ok(());
    }
    Err(CliError::failed(if device.fs_usage.as_deref() == Some("crypto") {
        format!(
            "{node} is encrypted and locked. Unlock it (by a click in the file manager, or udisksctl unlock -b {node}), then pair what appears then: `bkm-agent drives` names it"
        )
    } else {
        match partitions(&device.node).as_slice() {
            [] => format!("{node} has no file system.{}", format_words(device)),
            parts => format!("{node} has partitions; name the one to use: {}", parts.join(", ")),
        }
    }))
}

/// How to make a file system, since the program never does.
fn format_words(device: &Device) -> String {
    format!(
        " bkm-agent never formats a drive. To make a file system for it, which erases all that is on it: sudo mkfs.ext4 -L BACKUP {}",
        device.node.display()
    )
}

/// The same, where an error says that the file system is of no use here.
pub(super) fn format_hint(device: &Device, error: &str) -> String {
    if error.contains("has no driver") {
        format!(". If nothing on it is needed:{}", format_words(device))
    } else {
        String::new()
    }
}

/// The nodes of the disk's partitions.
fn partitions(node: &Path) -> Vec<String> {
    let Some(name) = node.file_name() else { return Vec::new() };
    let folder = Path::new("/sys/class/block").join(name);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| entry.path().join("partition").exists());
    let mut parts: Vec<_> =
        parts.map(|part| format!("/dev/{}", part.file_name().to_string_lossy())).collect();
    parts.sort();
    parts
}
