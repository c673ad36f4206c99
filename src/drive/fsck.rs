//! Whether a FAT or exFAT file system was unmounted in order, and its check if it was not.
//!
//! These have no journal: what was in flight when the plug was pulled may be half there, and its space may
//! count as free. It reads one sector of a device that nobody has mounted, and leaves repairing to the file
//! system's own program.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a file system was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Unmounted in order.
    InOrder,
    /// Pulled out, or the computer went down.
    Torn,
    /// Another file system, or it cannot be read.
    Unknown,
}

/// What the first sector says: the mark that a driver sets when it mounts for writing and takes away when
/// it unmounts (Microsoft's exFAT specification, 3.1.13 `VolumeFlags`, bit 1; for FAT the bit that Linux
/// and dosfstools keep in `BS_Reserved1`, at 0x25 and for FAT32 at 0x41).
pub fn left(sector: &[u8]) -> Left {
    let at = |from: usize, text: &[u8]| sector.get(from..from + text.len()) == Some(text);
    let mark = if at(3, b"EXFAT   ") {
        sector.get(106).map(|flags| flags & 2)
    } else if at(82, b"FAT32   ") {
        sector.get(0x41).map(|flags| flags & 1)
    } else if at(54, b"FAT") {
        sector.get(0x25).map(|flags| flags & 1)
    } else {
        None
    };
    match mark {
        Some(0) => Left::InOrder,
        Some(_) => Left::Torn,
        None => Left::Unknown,
    }
}

/// Sees to it that the file system on `node`, which is not mounted, is in order; says whether it is known
/// to be. Needs the right to write to the device.
pub fn make_sure(node: &Path) -> bool {
    let mut sector = [0; 512];
    let opened = File::open(node);
    if opened.and_then(|mut device| device.read_exact(&mut sector)).is_err() {
        return false;
    }
    match left(&sector) {
        Left::InOrder => true,
        Left::Torn => repair(node, sector.get(3..11) == Some(b"EXFAT   ")),
        Left::Unknown => false,
    }
}

/// Runs the file system's own check, which mends what needs no decision. `false` if it cannot, or is not
/// installed.
fn repair(node: &Path, exfat: bool) -> bool {
    let (program, argument) = if exfat { ("fsck.exfat", "-p") } else { ("fsck.fat", "-a") };
    // A user's search path leads to neither on some systems.
    let places = ["/usr/sbin", "/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
    let Some(program) = places.into_iter().find(|program| program.is_file()) else {
        return false;
    };
    let ended = Command::new(program)
        .arg(argument)
        .arg(node)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // 0: in order, 1: was mended (fsck(8)).
    ended.is_ok_and(|ended| matches!(ended.code(), Some(0 | 1)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// An image with an empty file system; `None` if the program to make it is not here.
    fn image(program: &str, arguments: &[&str]) -> Option<tempfile::NamedTempFile> {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut make = Command::new(program);
        make.args(arguments).arg(image.path()).env("PATH", path);
        let made = make.stdout(Stdio::null()).stderr(Stdio::null()).status();
        made.is_ok_and(|made| made.success()).then_some(image)
    }

    fn state(image: &tempfile::NamedTempFile) -> Left {
        let mut sector = [0; 512];
        image.as_file().read_exact_at(&mut sector, 0).unwrap();
        left(&sector)
    }

    #[test]
    fn a_torn_file_system_is_told_and_put_in_order() {
        let kinds: [(&str, &[&str], u64, u8); 4] = [
            ("mkfs.exfat", &[], 106, 2),
            ("mkfs.fat", &["-F", "32", "-s", "1"], 0x41, 1),
            ("mkfs.fat", &["-F", "16"], 0x25, 1),
            ("mkfs.fat", &["-F", "12", "-s", "128"], 0x25, 1),
        ];
        for (program, arguments, at, mark) in kinds {
            let Some(image) = image(program, arguments) else {
                eprintln!("skipped: {program} is missing");
                continue;
            };
            assert_eq!(state(&image), Left::InOrder, "{program} {arguments:?}");
            assert!(make_sure(image.path()));
            image.as_file().write_all_at(&[mark], at).unwrap();
            assert_eq!(state(&image), Left::Torn, "{program} {arguments:?}");
            assert!(make_sure(image.path()), "{program} {arguments:?}");
            assert_eq!(state(&image), Left::InOrder, "{program} {arguments:?} after the check");
        }
    }

    #[test]
    fn other_file_systems_and_short_ones_are_unknown() {
        assert_eq!(left(&[0; 512]), Left::Unknown);
        assert_eq!(left(b""), Left::Unknown);
        let mut exfat = vec![0; 20];
        exfat[3..11].copy_from_slice(b"EXFAT   ");
        assert_eq!(left(&exfat), Left::Unknown);
    }
}
