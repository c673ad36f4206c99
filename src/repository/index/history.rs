//! Which catalogs an index names, so that what was kept of them can be compared.

use crate::repository::index::contents::Index;
use crate::repository::index::increment::Increment;

/// An increment as the index lists it, and how often its catalog was written anew.
pub type Revised = (Increment, u32);

/// The increments of a repository, oldest first.
pub fn history_of(index: &Index) -> Vec<Revised> {
    let is_in_hand = |i: &Increment| {
        index.pruning().is_some_and(|(prune, _)| prune.catalog_of(i.sequence).is_some())
    };
    // What is read while a catalog is being written anew counts for this once.
    let revision =
        |i: &Increment| if is_in_hand(i) { u32::MAX } else { index.revision(i.sequence) };
    let revised = |i: &Increment| (i.clone(), revision(i));
    index.increments().iter().map(revised).collect()
}
