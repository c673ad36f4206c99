//! Which programs hold a mount busy: for the message that it cannot be unmounted.
//!
//! It reads `/proc` alone, so a user sees his own programs only. Nothing on the drive is opened.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// How many programs are looked for; a message names three.
const ENOUGH: usize = 8;

/// A program that has something open on a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its name, as the kernel has it; safe to show.
    pub name: String,
}

/// The programs that have a file open or mapped, a working directory, or themselves below `point`.
pub fn of(point: &Path) -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, process)| holds(process, point))
        .map(|(pid, process)| {
            let name = fs::read(process.join("comm")).unwrap_or_default();
            let name = crate::text::sanitize::line(String::from_utf8_lossy(&name).trim());
            Holder { pid, name }
        })
        .take(ENOUGH)
        .collect()
}

fn holds(process: &Path, point: &Path) -> bool {
    let leads_there = |link: PathBuf| fs::read_link(link).is_ok_and(|to| to.starts_with(point));
    ["cwd", "root", "exe"].iter().any(|link| leads_there(process.join(link)))
        || fs::read_dir(process.join("fd"))
            .is_ok_and(|open| open.flatten().any(|file| leads_there(file.path())))
        || fs::read(process.join("maps")).is_ok_and(|maps| is_mapped(&maps, point))
}

/// Whether a line of `maps`, as `proc_pid_maps(5)` describes it, names a file below `point`: a program may
/// close what it has mapped.
fn is_mapped(maps: &[u8], point: &Path) -> bool {
    let name = |line: &'_ [u8]| line.iter().position(|&b| b == b'/');
    maps.split(|&b| b == b'\n').any(|line| {
        let path = name(line).and_then(|at| line.get(at..));
        path.is_some_and(|path| Path::new(OsStr::from_bytes(path)).starts_with(point))
    })
}

/// `by vlc (process 1234) and bash (process 77)`
pub(super) fn in_words(holders: &[Holder]) -> String {
    const NAMED: usize = 3;
    if holders.is_empty() {
        return "by a program (of another user, or of the system)".to_owned();
    }
    let named = holders.iter().take(NAMED);
    let named: Vec<_> = named.map(|h| format!("{} (process {})", h.name, h.pid)).collect();
    let more = if holders.len() > NAMED { " and others" } else { "" };
    format!("by {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_counts() {
        let maps = b"7f00-7f01 r--p 00000000 08:11 42     /media/anna/My Disk/lib.so\n\
            7f02-7f03 rw-p 00000000 00:00 0      [heap]\n7f04-7f05 rw-p 00000000 00:00 0\n";
        assert!(is_mapped(maps, Path::new("/media/anna/My Disk")));
        assert!(!is_mapped(maps, Path::new("/media/anna/My")));
        assert!(!is_mapped(b"", Path::new("/media")));
    }

    #[test]
    fn who_has_a_file_open_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().canonicalize().unwrap();
        assert_eq!(of(&point), []);
        let _open = fs::File::create(point.join("x")).unwrap();
        let holders = of(&point);
        assert_eq!(holders.len(), 1);
        assert_eq!(holders[0].pid, std::process::id());
        assert!(in_words(&holders).contains(&format!("(process {})", std::process::id())));
        assert!(in_words(&[]).contains("another user"));
        let four = vec![holders[0].clone(); 4];
        assert!(in_words(&four).ends_with("and others"));
    }
}
