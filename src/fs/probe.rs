//! What the file system of a drive can do, found by trying it.
//!
//! It creates and removes a few empty files in a folder of the caller's and nothing else; it never goes by
//! the name of a file system.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;

/// Which file names the file system takes as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// All of up to 255 bytes, and it tells upper from lower case: ext4, xfs, btrfs, f2fs.
    #[default]
    Any,
    /// All that are text, of up to 255 UTF-16 units: NTFS.
    Text,
    /// Those that Windows takes as well; upper and lower case are one: FAT, exFAT.
    Portable,
    /// The same, and no other letters than ASCII's.
    Ascii,
}

/// What a file system can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ability {
    /// A file can have two names.
    pub links: bool,
    /// Which names it takes.
    pub names: Names,
}

/// Tries what the file system can do, with files in the folder `place`, which nobody else uses.
pub fn probe(tree: &Tree, place: &Path) -> Result<Ability, TreeError> {
    Ok(Ability { links: takes_links(tree, place)?, names: names(tree, place)? })
}

/// Whether a file can have a second name, and both have one inode number.
fn takes_links(tree: &Tree, place: &Path) -> Result<bool, TreeError> {
    let (one, two) = (place.join("probe-1"), place.join("probe-2"));
    tree.remove_file(&one)?;
    tree.remove_file(&two)?;
    drop(tree.create_file(&one, 0o600)?);
    let linked = tree.link(&one, &two);
    let inode = |path: &Path| tree.stat(path).map(|found| found.map(|found| found.ino));
    let same = linked.is_ok() && inode(&one)? == inode(&two)?;
    tree.remove_file(&one)?;
    match linked {
        Ok(()) => {
            tree.remove_file(&two)?;
            Ok(same)
        }
        Err(e)
            if [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS, Errno::MLINK]
                .iter()
                .any(|errno| e.is(*errno)) =>
        {
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

fn names(tree: &Tree, place: &Path) -> Result<Names, TreeError> {
    let refused = |name: &[u8]| keeps(tree, place, OsStr::from_bytes(name)).map(|keeps| !keeps);
    if refused("probe-\u{e4}\u{44f}".as_bytes())? {
        return Ok(Names::Ascii);
    }
    for name in ["probe-:?*\"<>|\\", "probe-dot.", "probe-space "] {
        if refused(name.as_bytes())? {
            return Ok(Names::Portable);
        }
    }
    let lower = place.join("probe-case");
    tree.remove_file(&lower)?;
    drop(tree.create_file(&lower, 0o600)?);
    let confused = tree.stat(&place.join("PROBE-CASE"))?.is_some();
    tree.remove_file(&lower)?;
    Ok(match (confused, refused(b"probe-\xe9")?) {
        (true, _) => Names::Portable,
        (_, true) => Names::Text,
        _ => Names::Any,
    })
}

/// Whether a file called `name` can be made in `place`, and is listed under that name then.
fn keeps(tree: &Tree, place: &Path, name: &OsStr) -> Result<bool, TreeError> {
    let path = place.join(name);
    match tree.create_file(&path, 0o600) {
        Ok(file) => drop(file),
        // Left by an earlier try that was cut off.
        Err(e) if e.is(Errno::EXIST) => {}
        // A full, failing or write-protected drive says nothing about names. All else does; drivers
        // answer EINVAL, ENOENT, EILSEQ or EPERM.
        Err(e)
            if [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::NODEV, Errno::DQUOT]
                .iter()
                .any(|errno| e.is(*errno)) =>
        {
            return Err(e);
        }
        Err(_) => return Ok(false),
    }
    let listed = tree.list(place, 1_000_000)?.contains(&OsString::from(name));
    tree.remove_file(&path)?;
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linux_file_system_can_do_all_and_nothing_is_left_of_the_probe() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let place = Path::new("place");
        tree.create_folder(place, 0o700, None).unwrap();
        let found = probe(&tree, place).unwrap();
        assert_eq!(found, Ability { links: true, names: Names::Any });
        assert_eq!(tree.list(place, 10).unwrap(), Vec::<OsString>::new());
    }

    #[test]
    fn a_file_system_without_links_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let faults = std::sync::Arc::new(crate::fs::faults::Faults::none().without_links());
        let tree = Tree::open(dir.path()).unwrap().with_faults(faults);
        assert!(!probe(&tree, Path::new("")).unwrap().links);
    }
}
