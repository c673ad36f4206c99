//! `format.json`: says that a folder is a repository and which version of the format it has; and the
//! texts that explain the drive to people. Called by `repository`.

use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{RepositoryError, layout, short};
use crate::drive::ability::{self, Names};
use crate::drive::tree::Tree;

/// The version of the format that this program writes; a reader refuses a newer one.
pub const VERSION: u64 = 3;

const MAGIC: &str = "bkm-agent repository";

/// How old versions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeping {
    /// A version is one inode with a name in the mirror and one in its increment.
    Hardlink,
    /// A version lies in the mirror alone, and is moved to its increment when it is replaced.
    Displace,
}

/// What a repository is, and what its drive can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    #[serde(rename = "format")]
    magic: String,
    version: u64,
    /// How old versions are kept.
    pub keeps_versions: Keeping,
    /// Which names the drive takes.
    #[serde(default)]
    pub names: Names,
    /// The driver that said so; another one is asked again.
    #[serde(default)]
    file_system: i64,
    #[serde(default)]
    created: String,
    #[serde(default)]
    made_by: String,
}

/// The format of the repository in `tree`; `None` if there is none. An error if this program cannot read
/// it.
pub fn read(tree: &Tree) -> Result<Option<Format>, RepositoryError> {
    let opened = tree.open_file(Path::new(layout::FORMAT)).map_err(super::record_error)?;
    let Some(file) = opened else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(64 * 1024).read_to_end(&mut bytes).map_err(RepositoryError::Read)?;
    parse(&bytes).map(Some)
}

/// What this `format.json` says, if it is of a repository that this program can read.
pub(super) fn parse(bytes: &[u8]) -> Result<Format, RepositoryError> {
    let damaged = |what: String| RepositoryError::Damaged(format!("{}: {what}", layout::FORMAT));
    // The version is looked at first: what a later one means by the rest is not known here.
    let of: Version = serde_json::from_slice(bytes).map_err(|e| damaged(short(&e)))?;
    if of.magic != MAGIC {
        return Err(damaged("it is not ours".to_owned()));
    }
    match of.version {
        VERSION => {}
        newer if newer > VERSION => return Err(RepositoryError::Newer(newer)),
        older => return Err(damaged(format!("it has format {older} of a trial version"))),
    }
    serde_json::from_slice(bytes).map_err(|e| damaged(short(&e)))
}

/// What every version of `format.json` says.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "format")]
    magic: String,
    version: u64,
}

impl Default for Format {
    /// Of a drive that was not asked yet.
    fn default() -> Self {
        Self {
            magic: MAGIC.to_owned(),
            version: VERSION,
            keeps_versions: Keeping::Hardlink,
            names: Names::Any,
            file_system: 0,
            created: jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            made_by: concat!("bkm-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Format {
    /// Of a repository that is made now in `tree`, whose staging area is there: tries what the drive can
    /// do.
    pub(super) fn found(tree: &Tree) -> Result<Self, RepositoryError> {
        let ability = ability::probe(tree, Path::new(layout::STAGE))?;
        Ok(Self {
            keeps_versions: if ability.links { Keeping::Hardlink } else { Keeping::Displace },
            names: ability.names,
            file_system: tree.file_system()?,
            ..Self::default()
        })
    }

    /// Whether a plan for a drive of the one format is one for the other as well.
    pub fn plans_like(&self, other: &Self) -> bool {
        (self.keeps_versions, self.names) == (other.keeps_versions, other.names)
    }

    /// The format for the drive as it is now: another driver, or another drive that the repository was
    /// copied to, may be able to do less.
    pub(super) fn checked(self, tree: &Tree) -> Result<Self, RepositoryError> {
        let file_system = tree.file_system()?;
        if file_system == self.file_system {
            return Ok(self);
        }
        let ability = ability::probe(tree, Path::new(layout::STAGE))?;
        if self.keeps_versions == Keeping::Hardlink && !ability.links {
            return Err(RepositoryError::Damaged(
                "its drive could keep hard links, and this one cannot".to_owned(),
            ));
        }
        // What was stored under an escaped name stays so: only new names follow.
        let format = Self { file_system, names: ability.names, ..self };
        // Without a journal replacing it could leave none; there it is asked again each time.
        if format.keeps_versions == Keeping::Hardlink {
            write(tree, &format)?;
        }
        Ok(format)
    }
}

/// Writes `format.json`.
pub(super) fn write(tree: &Tree, format: &Format) -> Result<(), RepositoryError> {
    let text = serde_json::to_vec_pretty(format)
        .map_err(|e| RepositoryError::Read(std::io::Error::other(e)))?;
    let staged = layout::staged("format");
    tree.remove_file(&staged)?;
    let mut file = tree.create_file(&staged, 0o600)?;
    file.write_all(&text)?;
    file.sync()?;
    Ok(tree.rename_over(&staged, Path::new(layout::FORMAT))?)
}

/// Writes the repository's `README.txt`, unless one is there.
pub(super) fn write_readme(tree: &Tree, keeping: Keeping) -> Result<(), RepositoryError> {
    let versions = match keeping {
        Keeping::Hardlink => LINKED,
        Keeping::Displace => DISPLACED,
    };
    place_text(tree, Path::new(layout::README), &README.replace("{versions}", versions))
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

{versions}.bkm/
    The program's own records. Not needed for reading files.

With bkm-agent installed:

    bkm-agent list --repo FOLDER
    bkm-agent restore --repo FOLDER PATH --to DESTINATION
";

const LINKED: &str = "\
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

";

const DISPLACED: &str = "\
backup_YYYYMMDD_HHMMSS/
    One folder per backup that found changes:
    track/      files that this backup had brought, and that a later one replaced or deleted
    backup_YYYYMMDD_HHMMSS.json
                a list of the files that it brought or found deleted, with size, time and hash

To get an older version of a file back, find the newest list that names it and is not later than the day
you want. The file lies below track/ in that backup folder; if it is not there, the one in mirror/ is
still the same. \"content_in\" in the list names another backup folder to look in.

A file whose name this drive cannot have lies under another name, which the list gives as \"stored_as\".
Symbolic links, owners and permissions are in the lists alone; bkm-agent brings them back.

Please do not edit files in here. Copy first, then edit.

";
