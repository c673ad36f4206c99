//! What a restore did, or would do.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::problem::Problem;
use crate::model::relpath::RelPath;

/// What a restore did.
#[derive(Debug, Default, Serialize)]
pub struct Restored {
    /// Files and links that were put in place.
    pub restored: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Folders that were made or given their attributes.
    pub folders: u64,
    /// Files and links that were there already, with the same content.
    pub already_there: u64,
    /// Files and links whose place was taken and that were left out for it, as asked.
    pub left: u64,
    /// What got another name beside what exists: its path, and that of what was made.
    pub beside: BTreeMap<RelPath, RelPath>,
    /// Files, links and folders that belong to who restored them, since only root can give them away.
    pub others: u64,
    /// Of what was restored, files whose content nobody has proven: the Python tool may have overwritten it.
    #[serde(skip_serializing_if = "crate::history::list::is_zero")]
    pub unproven: u64,
    /// What could not be done.
    pub problems: Vec<Problem>,
}

/// What would be done with one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The path.
    pub path: RelPath,
    /// What would be done.
    pub action: Action,
    /// Length of a file, else 0.
    pub size: u64,
    /// Its other name, where it would get one.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub beside: Option<RelPath>,
}

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Put where nothing is.
    Restore,
    /// Put in the place of what exists.
    Replace,
    /// Put beside what exists.
    Beside,
    /// Nothing but owner, mode, times: the content is there.
    Attributes,
    /// Nothing: it is there.
    Same,
    /// Nothing: its place is taken.
    Leave,
    /// Make a folder.
    Folder,
}

/// What a restore would do.
#[derive(Debug, Default, Serialize)]
pub struct Preview {
    /// Path by path; folders that exist are left out.
    pub steps: Vec<Step>,
    /// What would not be done.
    pub problems: Vec<Problem>,
}
