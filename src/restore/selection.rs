//! What is to be restored: paths, masks, or everything.
//!
//! It only picks, and says so when there is nothing to pick.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::history::timeline::{Body, Version, Versions};
use crate::model::relpath::RelPath;
use crate::restore::error::RestoreError;

/// Longest mask that is taken, as for rules.
const MAX_MASK: usize = 4096;

/// What to restore.
#[derive(Debug, Default)]
pub struct Selection {
    paths: Vec<RelPath>,
    by_name: GlobSet,
    by_path: GlobSet,
    everything: bool,
}

/// How much a selection is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Files and links.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl Selection {
    /// Selects `paths` with all below them and what `masks` match; without either, everything. A mask
    /// without `/` is matched against the name, one with `/` against the path.
    pub fn new(paths: Vec<RelPath>, masks: &[String]) -> Result<Self, RestoreError> {
        let (mut by_name, mut by_path) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for mask in masks {
            let bad = |reason: String| RestoreError::Mask { mask: mask.clone(), reason };
            if mask.len() > MAX_MASK || mask.matches('{').count() > 16 {
                return Err(bad("it is too long".to_owned()));
            }
            let glob = GlobBuilder::new(mask.trim_start_matches("./"))
                .literal_separator(true)
                .build()
                .map_err(|e| bad(e.kind().to_string()))?;
            if mask.contains('/') { &mut by_path } else { &mut by_name }.add(glob);
        }
        let build = |set: &GlobSetBuilder| {
            set.build().map_err(|e| RestoreError::Mask {
                mask: masks.join(" "),
                reason: e.kind().to_string(),
            })
        };
        Ok(Self {
            everything: paths.is_empty() && masks.is_empty(),
            paths,
            by_name: build(&by_name)?,
            by_path: build(&by_path)?,
        })
    }

    /// How much is to be restored of `versions`; an error if nothing is, or nothing at a path that was
    /// named.
    pub fn amount(&self, versions: &Versions) -> Result<Amount, RestoreError> {
        let picked = self.pick(versions)?;
        Ok(picked.iter().fold(Amount::default(), |sum, (_, version)| match &version.body {
            Body::File { size, .. } => {
                Amount { files: sum.files + 1, bytes: sum.bytes.saturating_add(*size) }
            }
            Body::Link(_) => Amount { files: sum.files + 1, ..sum },
            Body::Folder => sum,
        }))
    }

    /// Whether it picks `path`.
    pub fn selects(&self, path: &RelPath) -> bool {
        self.everything
            || self.paths.iter().any(|p| p == path || path.is_below(p))
            || self.by_name.is_match(path.name())
            || self.by_path.is_match(path.as_path())
    }

    /// The selected versions in the order of paths; what is named and not there is an error.
    pub(super) fn pick<'v>(
        &self,
        versions: &'v Versions,
    ) -> Result<Vec<(&'v RelPath, &'v Version)>, RestoreError> {
        for path in &self.paths {
            if !versions.keys().any(|p| p == path || p.is_below(path)) {
                return Err(RestoreError::NothingAt(path.clone()));
            }
        }
        let picked: Vec<_> = versions.iter().filter(|(path, _)| self.selects(path)).collect();
        if picked.is_empty() { Err(RestoreError::NothingMatches) } else { Ok(picked) }
    }
}
