//! `format.json`: says that a folder is a repository and which version of the format it has; and the
//! texts that explain the drive to people. Called by `repository`.

use std::io::Read as _;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{RepositoryError, layout, short};
use crate::drive::tree::Tree;

/// The version of the format that this program writes; a reader refuses a newer one.
pub const VERSION: u64 = 1;

const MAGIC: &str = "bkm-agent repository";

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    #[serde(rename = "format")]
    magic: String,
    version: u64,
    #[serde(default)]
    keeps_versions: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    made_by: String,
}

/// Whether `tree` holds a repository that this program can read.
pub(super) fn check(tree: &Tree) -> Result<bool, RepositoryError> {
    let opened = tree.open_file(Path::new(layout::FORMAT)).map_err(super::record_error)?;
    let Some(file) = opened else {
        return Ok(false);
    };
    let mut bytes = Vec::new();
    file.take(64 * 1024).read_to_end(&mut bytes).map_err(RepositoryError::Read)?;
    parse(&bytes).map(|()| true)
}

/// Whether this is the `format.json` of a repository that this program can read.
pub(super) fn parse(bytes: &[u8]) -> Result<(), RepositoryError> {
    let damaged = |what: String| RepositoryError::Damaged(format!("{}: {what}", layout::FORMAT));
    let format: Format = serde_json::from_slice(bytes).map_err(|e| damaged(short(&e)))?;
    if format.magic != MAGIC {
        return Err(damaged("it is not ours".to_owned()));
    }
    if format.version > VERSION {
        return Err(RepositoryError::Newer(format.version));
    }
    Ok(())
}

/// Writes `format.json`.
pub(super) fn write(tree: &Tree) -> Result<(), RepositoryError> {
    let format = Format {
        magic: MAGIC.to_owned(),
        version: VERSION,
        keeps_versions: "hardlink".to_owned(),
        created: jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        made_by: concat!("bkm-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let text = serde_json::to_vec_pretty(&format)
        .map_err(|e| RepositoryError::Read(std::io::Error::other(e)))?;
    let staged = layout::staged("format");
    let mut file = tree.create_file(&staged, 0o600)?;
    file.write_all(&text)?;
    file.sync()?;
    Ok(tree.rename_over(&staged, Path::new(layout::FORMAT))?)
}

/// Tries what keeping versions needs: a second name for a file.
pub(super) fn probe_links(tree: &Tree) -> Result<(), RepositoryError> {
    let (one, two) = (layout::staged("probe-1"), layout::staged("probe-2"));
    drop(tree.create_file(&one, 0o600)?);
    let linked = tree.link(&one, &two);
    tree.remove_file(&one)?;
    match linked {
        Ok(()) => {
            tree.remove_file(&two)?;
            Ok(())
        }
        Err(e) if e.is(Errno::PERM) || e.is(Errno::OPNOTSUPP) || e.is(Errno::NOSYS) => {
            Err(RepositoryError::NoLinks(tree.shown().to_owned()))
        }
        Err(e) => Err(e.into()),
    }
}

/// Writes the repository's `README.txt`, unless one is there.
pub(super) fn write_readme(tree: &Tree) -> Result<(), RepositoryError> {
    place_text(tree, Path::new(layout::README), README)
}

/// Writes a short `README.txt` beside the repository's folder `name`, unless one is there.
pub fn write_readme_beside(parent: &Tree, name: &str) -> Result<(), RepositoryError> {
    let text = BESIDE.replace("{name}", name);
    place_text(parent, Path::new(layout::README), &text)
}

fn place_text(tree: &Tree, path: &Path, text: &str) -> Result<(), RepositoryError> {
    if tree.stat(path)?.is_some() {
        return Ok(());
    }
    // It gets its name when it is whole: one that is there is never looked at again.
    let part = path.with_file_name(layout::README_PART);
    tree.remove_file(&part)?;
    let mut file = tree.create_file(&part, 0o600)?;
    file.write_all(text.as_bytes())?;
    let attributes = crate::drive::attributes::Attributes {
        mode: 0o644,
        owner: None,
        mtime_ns: super::now_ns(),
    };
    file.set_attributes(&attributes)?;
    Ok(tree.rename_new(&part, path)?)
}

const BESIDE: &str = "\
The folder \"{name}\" beside this text is a backup made by bkm-agent. It holds plain files: no
program is needed to read them.

The folder is closed to other users. On another Linux computer open it as root, or take it over:

    sudo chown -R \"$USER\" \"{name}\"

README.txt inside it says what lies where. On Windows and macOS a driver for this drive's file
system is needed, nothing else.
";

const README: &str = "\
This is a backup made by bkm-agent. Everything here is plain files that any computer can read
without that program.

mirror/
    Your files as they were at the last backup. To get everything back, copy this folder.

backup_YYYYMMDD_HHMMSS/
    One folder per backup that found changes:
    track/      files that were new or changed in that backup, as they were then
    deleted/    the last version of files that had vanished
    backup_YYYYMMDD_HHMMSS.json
                a list of those files with size, time, hash, owner and permissions

To get an older version of a file back, look for it below track/ in the newest backup folder that is
not later than the day you want, and copy it.

Please do not edit files in here: a file in mirror/ and the same file below track/ may be one and the
same on the disk, so an edit would change both. Copy first, then edit.

.bkm/
    The program's own records. Not needed for reading files.

With bkm-agent installed:

    bkm-agent list --repo FOLDER
    bkm-agent restore --repo FOLDER PATH --to DESTINATION
";
