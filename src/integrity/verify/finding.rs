//! What verifying finds: the kinds of damage, one finding, and all of them together.
//!
//! It only holds them: it reads nothing of the drive.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::integrity::damage::Damaged;
use crate::integrity::verify::prove::Proven;
use crate::model::relpath::RelPath;

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// Its content or kind is not what was backed up.
    Damaged,
    /// It is not there.
    Missing,
    /// The drive does not give it out.
    Unreadable,
    /// It is right, but not the file that the record knows.
    Replaced,
    /// It is there, but no record knows of it.
    Unlisted,
}

/// One version, or record, that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The source's path; none if a catalog or a whole increment is concerned.
    pub path: Option<RelPath>,
    /// The increment that lists it; none: the mirror.
    pub increment: Option<String>,
    /// What is wrong.
    pub damage: Damage,
    /// The same in words.
    pub reason: String,
    /// Where on the drive, relative to the repository.
    #[serde(serialize_with = "as_text")]
    pub place: PathBuf,
    /// Which others are the same file: increments, or "mirror".
    pub shared_with: Vec<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Versions that were looked at.
    pub versions: u64,
    /// Bytes that were read; if quick, of the versions' lengths.
    pub bytes: u64,
    /// Seconds that it took.
    pub duration_s: f64,
    /// What is wrong, in the order of the mirror and then of increments.
    pub findings: Vec<Finding>,
    /// Versions that nobody had hashed before.
    pub proven: Vec<Proven>,
    /// What is no damage but worth a word.
    pub notes: Vec<String>,
    /// The damaged versions, each with all its names, and the findings that it makes up.
    pub damaged: Vec<(Damaged, Vec<usize>)>,
    /// Folders of the mirror that are missing, with their modes, and which finding each is.
    pub folders: Vec<(RelPath, u32, usize)>,
}

fn as_text<S: serde::Serializer>(place: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&place.to_string_lossy())
}
