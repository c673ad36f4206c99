//! Puts a sound copy in the place of a damaged file, under all of its names.

use crate::fs::tree::handle::Tree;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::HealedName;
use crate::repository::index::contents::Index;
use crate::repository::index::record::Identity;
use crate::repository::layout;
use crate::transaction::steps::{expect, mismatch, with_parents};

/// Where a drive has links: puts the staged file in the place of each damaged name. Doing it again does no
/// harm. `again`: the staged file is not taken on trust.
pub(super) fn put_in_place(
    tree: &Tree,
    index: &Index,
    stage: &str,
    new: Identity,
    names: &[HealedName],
    again: bool,
) -> Result<(), RepositoryError> {
    let staged = layout::staged(stage);
    let one_more = layout::staged(&format!("{stage}-name"));
    if again && tree.stat(&staged)?.is_some() {
        expect(tree, &staged, new)?;
    }
    for name in names {
        let Some(path) = name.within.path(index, &name.place) else { continue };
        match tree.stat(&path)? {
            Some(found) if new.is(&found) => {}
            Some(found) if name.found().is_some_and(|damaged| damaged.is(&found)) => {
                tree.remove_file(&one_more)?;
                tree.link(&staged, &one_more)?;
                tree.rename_over(&one_more, &path)?;
            }
            // Nothing was there, or somebody removed it: putting it there loses nothing.
            None => with_parents(tree, &path, || tree.link(&staged, &path))?,
            Some(found) => return Err(mismatch(tree, &path, Some(&found))),
        }
    }
    tree.remove_file(&one_more)?;
    tree.remove_file(&staged)?;
    Ok(())
}

/// The staging name of a damaged file that is being replaced on a drive without links.
pub(super) fn damaged_name(stage: &str) -> String {
    format!("{stage}-damaged")
}

/// Without links: the damaged file leaves to the staging area, the staged one takes its place. Returns the
/// staging name of what left.
pub(crate) fn displace(
    tree: &Tree,
    index: &Index,
    stage: &str,
    names: &[HealedName],
) -> Result<Option<String>, RepositoryError> {
    let Some((name, path)) =
        names.first().and_then(|name| Some((name, name.within.path(index, &name.place)?)))
    else {
        return Ok(None);
    };
    let mut left = None;
    match tree.stat(&path)? {
        Some(found) if name.found().is_some_and(|damaged| damaged.is(&found)) => {
            let aside = damaged_name(stage);
            tree.rename_new(&path, &layout::staged(&aside))?;
            left = Some(aside);
        }
        None => {}
        Some(found) => return Err(mismatch(tree, &path, Some(&found))),
    }
    with_parents(tree, &path, || tree.rename_new(&layout::staged(stage), &path))?;
    Ok(left)
}
