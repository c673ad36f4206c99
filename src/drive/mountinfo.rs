//! Reads `/proc/self/mountinfo`, the kernel's own list of mounts, byte by byte.
//!
//! It must never stumble over a mount point that is not UTF-8 or holds spaces: labels come from
//! drives. Pure but for [`read`].

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// The list's path.
pub const PATH: &str = "/proc/self/mountinfo";

/// As much of the list as is read: `fs.mount-max` is 100,000 mounts, a line is rarely over 200 bytes.
const MAX_BYTES: u64 = 64 << 20;

/// One mount, as `proc_pid_mountinfo(5)` describes the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Number of this mount, as `statx` gives it; reused after unmounting.
    pub mount_id: u64,
    /// Number of the mount it lies on.
    pub parent_id: u64,
    /// Major and minor number of the file system; anonymous (major 0) for btrfs.
    pub dev: (u32, u32),
    /// The folder of the file system that is the mount's root: `/`, or less for a bind mount.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Options of the mount: `rw,nosuid`.
    pub options: String,
    /// File system type as the kernel names it: `ext4`, `fuseblk`.
    pub fs_type: String,
    /// What is mounted: usually a device node.
    pub source: PathBuf,
    /// Options of the file system, which all its mounts share.
    pub super_options: String,
}

impl MountEntry {
    /// Whether the mount or the whole file system is read-only.
    pub fn read_only(&self) -> bool {
        let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
        has_ro(&self.options) || has_ro(&self.super_options)
    }
}

/// The mounts that this process sees now.
pub fn read() -> io::Result<Vec<MountEntry>> {
    let mut text = Vec::new();
    File::open(PATH)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(parse(&text))
}

/// The mounts that `text` lists, in its order; a line that is not understood is left out.
pub fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|&b| b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&b| b == b' ');
    let mount_id = number(fields.next()?)?;
    let parent_id = number(fields.next()?)?;
    let mut dev = fields.next()?.splitn(2, |&b| b == b':');
    let dev = (number(dev.next()?)?, number(dev.next()?)?);
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    let options = text(fields.next()?);
    // Any number of optional fields ("shared:1") stands before the lone hyphen.
    fields.by_ref().find(|field| *field == b"-")?;
    Some(MountEntry {
        mount_id,
        parent_id,
        dev,
        root,
        point,
        options,
        fs_type: text(fields.next()?),
        source: path(fields.next()?),
        super_options: text(fields.next().unwrap_or_default()),
    })
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// Undoes the kernel's `\ooo` escapes (space, tab, line feed, backslash, `#`), once, from left to
/// right: a folder that is really called `a\040b` is listed as `a\134040b` and must stay it.
fn unescape(field: &[u8]) -> Vec<u8> {
    let octal = |b: u8| (b'0'..=b'7').contains(&b).then(|| u32::from(b - b'0'));
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'\\', [a, b, c, tail @ ..]) = (byte, after)
            && let (Some(a), Some(b), Some(c)) = (octal(*a), octal(*b), octal(*c))
            && let Ok(decoded) = u8::try_from(a * 64 + b * 8 + c)
        {
            out.push(decoded);
            rest = tail;
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt as _;

    const LIST: &[u8] = b"22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a\n\
        36 22 8:1 / /media/a/My\\040D\xc3\xafsk\\0571 rw,nosuid shared:1 master:2 - ext4 /dev/sda1 ro\n\
        37 22 0:45 /@ /mnt/a\\134040b rw - btrfs /dev/sdb1 rw\n\
        garbage\n\
        38 22 8:17 / /media/caf\xe9 rw - vfat /dev/sdb1 rw\n";

    #[test]
    fn reads_escapes_optional_fields_and_names_that_are_not_utf8() {
        let list = parse(LIST);
        assert_eq!(list.len(), 4);
        let [overlay, ext4, btrfs, vfat] = list.as_slice() else { panic!("four") };
        assert!(!overlay.read_only());
        assert_eq!(ext4.point, PathBuf::from("/media/a/My Dïsk/1"));
        assert_eq!((ext4.mount_id, ext4.parent_id, ext4.dev), (36, 22, (8, 1)));
        assert!(ext4.read_only(), "the file system's own options count");
        assert_eq!(btrfs.point, PathBuf::from("/mnt/a\\040b"));
        assert_eq!(btrfs.root, PathBuf::from("/@"));
        assert_eq!(vfat.point.as_os_str().as_bytes(), b"/media/caf\xe9");
    }

    #[test]
    fn reads_the_list_of_this_machine() {
        assert!(read().unwrap().iter().any(|m| m.point.as_os_str() == "/proc"));
    }

    fn escape(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &b in bytes {
            if matches!(b, b' ' | b'\t' | b'\n' | b'\\' | b'#') {
                out.extend(format!("\\{b:03o}").bytes());
            } else {
                out.push(b);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn any_mount_point_comes_back(name in proptest::collection::vec(1u8.., 0..40)) {
            let mut line = b"36 22 8:1 / /".to_vec();
            line.extend(escape(&name));
            line.extend(b" rw - ext4 /dev/sda1 rw");
            let mut expected = b"/".to_vec();
            expected.extend(&name);
            let list = parse(&line);
            prop_assert_eq!(list.len(), 1);
            prop_assert_eq!(list[0].point.as_os_str().as_bytes(), expected.as_slice());
        }
    }
}
