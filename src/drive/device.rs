//! A block device as udev describes it.

/// A block device that may hold a file system, in plain values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// `/dev/sdb1`.
    pub node: std::path::PathBuf,
    /// Major and minor number.
    pub devnum: (u32, u32),
    /// File system type as udev names it (`ext4`, `vfat`).
    pub fs_type: Option<String>,
    /// UUID of the file system.
    pub uuid: Option<String>,
    /// Label of the file system, decoded.
    pub label: Option<String>,
}
