//! `format.json`: says that a folder is a repository and which version of the format it has.

use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fs::probe::{self, Names};
use crate::fs::tree::handle::Tree;
use crate::repository::error::{RepositoryError, short};
use crate::repository::layout;
use crate::repository::versioning::{Keeping, VERSION};

const MAGIC: &str = "bkm-agent repository";

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
    let opened = tree
        .open_file(Path::new(layout::FORMAT))
        .map_err(crate::repository::error::record_error)?;
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
            created: jiff::ZonedDateTime::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            made_by: concat!("bkm-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Format {
    /// Of a repository that is made now in `tree`, whose staging area is there: tries what the drive can
    /// do.
    pub(super) fn found(tree: &Tree) -> Result<Self, RepositoryError> {
        let ability = probe::probe(tree, Path::new(layout::STAGE))?;
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
        let ability = probe::probe(tree, Path::new(layout::STAGE))?;
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
