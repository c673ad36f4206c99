//! Writes a restore as a POSIX shell script, to be run where this program is not.
//!
//! Names come from a drive: each is quoted whole, and none is ever a word of the script. Where a version
//! lies is decided here, since a shell has no hashes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::fs::content;
use crate::fs::tree::handle::Tree;
use crate::history::timeline::{Body, Proof, Version, Versions};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::index::contents::Index;
use crate::repository::index::record::Content;
use crate::repository::layout;
use crate::restore::error::RestoreError;
use crate::restore::options::How;
use crate::restore::selection::Selection;

/// The functions that the lines for files, links and folders call.
const FUNCTIONS: &str = include_str!("script.sh");

/// What a script is made of.
#[derive(Debug)]
pub struct Script<'a> {
    /// The repository.
    pub repository: &'a Tree,
    /// Its index: it knows the hashes of what is in the mirror.
    pub index: &'a Index,
    /// The tree to restore from.
    pub versions: &'a Versions,
    /// As of when that is, for people.
    pub as_of: &'a str,
    /// Where the repository is, if nothing else is said.
    pub from: &'a Path,
    /// Where to restore to, if nothing else is said.
    pub to: &'a Path,
    /// Set-id bits and owners; what exists is decided when the script runs.
    pub how: &'a How,
}

/// Why a script was not written.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// There is nothing to restore.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// It cannot be written.
    #[error("the script cannot be written")]
    Write(#[from] io::Error),
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// Files and links that the script restores.
    pub files: u64,
    /// What it cannot.
    pub problems: Vec<Problem>,
}

impl Script<'_> {
    /// Writes the script that restores what `selection` picks.
    pub fn write(
        &self,
        selection: &Selection,
        stop: &AtomicBool,
        out: &mut dyn Write,
    ) -> Result<Written, ScriptError> {
        let picked = selection.pick(self.versions)?;
        let mut written = Written::default();
        self.head(out)?;
        let mut folders: BTreeSet<RelPath> = BTreeSet::new();
        for (path, version) in &picked {
            folders.extend(path.ancestors());
            if version.body == Body::Folder {
                folders.insert((*path).clone());
            }
        }
        for (number, folder) in folders.iter().enumerate() {
            write!(out, "folder {number} ")?;
            line(out, &[folder.as_bytes()])?;
        }
        for (path, version) in &picked {
            match &version.body {
                Body::Folder => continue,
                Body::Link(target) => {
                    write!(out, "link ")?;
                    line(out, &[target, path.as_bytes(), self.owner(version).as_bytes()])?;
                }
                Body::File { size, .. } => {
                    if let Some(place) = self.place(path, version, stop)? {
                        let [mode, owner, time, second] = self.attributes(version);
                        let size = size.to_string();
                        write!(out, "file ")?;
                        let place = place.as_os_str().as_bytes();
                        let texts = [&size, &mode, &owner, &time, &second].map(String::as_bytes);
                        line(out, &[&[place, path.as_bytes()], texts.as_slice()].concat())?;
                    } else {
                        let reason = "it is missing from the drive, or damaged";
                        written.problems.push(Problem::new((*path).clone(), reason));
                        write!(out, "problem ")?;
                        line(
                            out,
                            &[path.as_bytes(), b"it was missing from the backup, or damaged"],
                        )?;
                        continue;
                    }
                }
            }
            written.files += 1;
        }
        // Inner folders first, and after all files: each entry that is made changes its folder's time.
        for (number, folder) in folders.iter().enumerate().rev() {
            let version = self.versions.get(folder).filter(|version| version.body == Body::Folder);
            if let Some(version) = version {
                let attributes = self.attributes(version);
                write!(out, "finished {number} ")?;
                let texts = attributes.each_ref().map(String::as_bytes);
                line(out, &[&[folder.as_bytes()], texts.as_slice()].concat())?;
            }
        }
        writeln!(out, "\necho \"$restored restored, $there there already, $problems problems\"")?;
        writeln!(out, "[ \"$problems\" -eq 0 ] || exit 3")?;
        Ok(written)
    }

    fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        let shown = |path: &Path| crate::text::sanitize::line(&path.to_string_lossy());
        let as_of = crate::text::sanitize::line(self.as_of);
        write!(
            out,
            "#!/bin/sh\n\
             # Made by bkm-agent: brings files back from a backup, without that program.\n\
             # As of: {as_of}\n\
             # From:  {}\n\
             # To:    {}\n\
             #\n\
             # Other places:     sh SCRIPT REPOSITORY [DESTINATION]\n\
             #                   (REPOSITORY is the backup's folder, the one with mirror/ in it)\n\
             # Replace files that exist and are not the same:  OVERWRITE=1 sh SCRIPT\n\
             #\n\
             # It ends with 0 if all is well, with 3 if there were problems (each is named), with 1 if it could\n\
             # not begin. It can be run again, and leaves what is there already. It cannot give back extended\n\
             # attributes and ACLs, nor owners unless root runs it, and makes copies of hard links.\n\n",
            shown(self.from),
            shown(self.to),
        )?;
        write!(out, "REPO=")?;
        line(out, &[self.from.as_os_str().as_bytes()])?;
        write!(out, "DEST=")?;
        line(out, &[self.to.as_os_str().as_bytes()])?;
        writeln!(out, "{FUNCTIONS}")
    }

    fn owner(&self, version: &Version) -> String {
        let (uid, gid) = self.how.owners.of(version.uid, version.gid);
        format!("{uid}:{gid}")
    }

    /// Mode, owner, time, and the time to the second as `touch -t` has it, in UTC.
    fn attributes(&self, version: &Version) -> [String; 4] {
        let mut mode = version.mode & 0o1777;
        // Another owner never gets them.
        if self.how.keep_set_id
            && self.how.owners.of(version.uid, version.gid) == (version.uid, version.gid)
        {
            mode = version.mode & 0o7777;
        }
        let time = Timestamp::from_nanosecond(version.mtime_ns.into()).unwrap_or_default();
        let time = time.to_zoned_datetime(TimeZone::UTC).datetime();
        let nanoseconds = time.subsec_nanosecond();
        [
            format!("{mode:04o}"),
            self.owner(version),
            format!("{}.{nanoseconds:09}", time.strftime("%Y-%m-%dT%H:%M:%S")),
            time.strftime("%Y%m%d%H%M.%S").to_string(),
        ]
    }

    /// Where a file's content lies: the first place that has it. What is in an increment never changes, so
    /// there the length says enough; what is in the mirror is believed only by its hash.
    fn place<'v>(
        &self,
        path: &RelPath,
        version: &'v Version,
        stop: &AtomicBool,
    ) -> Result<Option<&'v PathBuf>, RestoreError> {
        let Body::File { size, hash, places, .. } = &version.body else { return Ok(None) };
        if version.proof == Proof::Overwritten {
            return Ok(None);
        }
        for place in places {
            let Ok(Some(file)) = self.repository.open_file(place) else { continue };
            if file.metadata().is_ok_and(|meta| meta.len() != *size) {
                continue;
            }
            let in_increment = !place.starts_with(layout::MIRROR);
            if in_increment || hash.is_none_or(|hash| self.is_current(path, place, &hash)) {
                return Ok(Some(place));
            }
            let sparse = content::has_holes(&file, *size);
            match content::hash(&file, *size, sparse, stop) {
                Ok(None) => return Err(RestoreError::Stopped(0)),
                Ok(now) if now == *hash => return Ok(Some(place)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Whether the mirror has this content at `place`, by its record.
    fn is_current(&self, path: &RelPath, place: &Path, wanted: &[u8; 32]) -> bool {
        let record = self.index.records().get(path);
        record.is_some_and(|record| {
            matches!(&record.content, Content::File { hash, .. } if hash == wanted)
                && layout::mirror(record.place(path)) == place
        })
    }
}

/// Writes `words`, each quoted, on one line.
fn line(out: &mut dyn Write, words: &[&[u8]]) -> io::Result<()> {
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            out.write_all(b" ")?;
        }
        quoted(out, word)?;
    }
    out.write_all(b"\n")
}

/// Writes `word` so that a shell takes it as it is: within single quotes nothing means anything, but a
/// single quote itself.
fn quoted(out: &mut dyn Write, word: &[u8]) -> io::Result<()> {
    out.write_all(b"'")?;
    for (at, part) in word.split(|b| *b == b'\'').enumerate() {
        if at > 0 {
            out.write_all(br"'\''")?;
        }
        out.write_all(part)?;
    }
    out.write_all(b"'")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn shells() -> Vec<Vec<&'static str>> {
        let shells = [vec!["dash"], vec!["busybox", "sh"], vec!["bash", "--posix"], vec!["sh"]];
        let works = |shell: &Vec<&str>| {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", ":"]).output().is_ok_and(|o| o.status.success())
        };
        shells.into_iter().filter(works).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_come_through_any_shell(
            words in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![1..=255u8, proptest::sample::select(b"'\"\\$`!\n -*~".to_vec())], 0..40),
                1..8,
            ),
        ) {
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut script = b"LC_ALL=C; export LC_ALL; printf '%s|' ".to_vec();
            line(&mut script, &slices).unwrap();
            let expected: Vec<u8> = words.iter().flat_map(|w| [w.as_slice(), b"|"].concat()).collect();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("script");
            std::fs::write(&path, &script).unwrap();
            for shell in shells() {
                let output = Command::new(shell[0]).args(&shell[1..]).arg(&path).output().unwrap();
                prop_assert_eq!(&output.stdout, &expected, "{:?} {:?}", shell, output.stderr);
            }
        }
    }
}
