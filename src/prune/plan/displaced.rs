//! What takes over a version that lies at one place alone, on drives without hard links.
//!
//! Its content is with the increment that brought it, or in the mirror; whoever lists it later only points
//! there. So when that increment goes, the version moves to the first one that stays and lists it.

use std::collections::HashSet;

use crate::model::relpath::RelPath;
use crate::prune::error::PruneError;
use crate::prune::plan::work::{Files, Work, place_of};
use crate::repository::catalog::document::{Catalog, CatalogEntry, EntryCategory};
use crate::repository::index::increment::Increment;
use crate::repository::index::prune::Move;
use crate::repository::names::fold;
use crate::repository::versioning::Keeping;

impl Work<'_> {
    /// Versions whose content is with an increment that goes, where a version lies at one place.
    pub(super) fn displaced_moves(
        &self,
        heir: &Increment,
        catalog: &mut Catalog,
        files: &[Files],
    ) -> Result<Vec<Move>, PruneError> {
        self.let_go_of_what_collides(catalog, files);
        let mut moves = Vec::new();
        for (path, entry) in &catalog.file_catalog {
            let bringer = entry.content_in.as_deref();
            let files = files.iter().find(|files| Some(files.increment.name.as_str()) == bringer);
            let Some(files) = files else { continue };
            if entry.target().is_none() {
                moves.extend(self.one_move(heir, path, entry, files)?);
            }
        }
        Ok(moves)
    }

    /// A deleted file's last version would come to lie beside what the heir has. Where the two cannot, since a
    /// file stands where a folder is needed or the drive takes the names for one, it goes: no point in time
    /// shows it.
    pub(super) fn let_go_of_what_collides(&self, catalog: &mut Catalog, files: &[Files]) {
        let names = self.by.format.names;
        let folded = |place: &RelPath| fold(names, place.as_bytes());
        let is_new = |entry: &CatalogEntry| {
            entry.category == EntryCategory::Deleted
                && files.iter().any(|f| entry.content_in.as_deref() == Some(&f.increment.name))
        };
        let (mut taken, mut above) = (HashSet::new(), HashSet::new());
        let add = |place: &RelPath, taken: &mut HashSet<_>, above: &mut HashSet<_>| {
            taken.insert(folded(place));
            above.extend(place.ancestors().map(|folder| folded(&folder)));
        };
        for (path, entry) in &catalog.file_catalog {
            if !is_new(entry) {
                add(place_of(path, entry), &mut taken, &mut above);
            }
        }
        let mut collide = Vec::new();
        for (path, entry) in catalog.file_catalog.iter().filter(|(_, entry)| is_new(entry)) {
            let place = place_of(path, entry);
            let at = folded(place);
            let is_below = place.ancestors().any(|folder| taken.contains(&folded(&folder)));
            if taken.contains(&at) || above.contains(&at) || is_below {
                collide.push(path.clone());
            } else {
                add(place, &mut taken, &mut above);
            }
        }
        for path in collide {
            catalog.file_catalog.remove(&path);
            if self.any_stays && self.alive.has(&path) {
                catalog.gone.push(path);
            }
        }
        catalog.gone.sort_unstable();
    }

    /// Takes over versions that the catalog lists and whose heir does not, where a version lies at one place. A
    /// deleted file's last version goes: no point in time shows it, and it could lie in the way. Says whether
    /// the catalog changed.
    pub(super) fn be_late_heir(
        &mut self,
        increment: &Increment,
        catalog: &mut Catalog,
    ) -> Result<bool, PruneError> {
        let mut goes = Vec::new();
        if self.keeping == Keeping::Hardlink {
            return Ok(false);
        }
        for (path, entry) in &catalog.file_catalog {
            let Some(name) = &entry.content_in else { continue };
            let key = (name.clone(), path.clone());
            let is_link = entry.target().is_some();
            let has_heir = !self.heirs.contains_key(name)
                || !self.went(path, entry)
                || (!is_link && self.taken.get(path) == Some(&entry.hash()))
                || self.late.contains_key(&key);
            if has_heir {
                continue;
            }
            let gone = self.gone.iter().find(|(files, _)| files.increment.name == *name);
            let Some((files, _)) = gone else { continue };
            let from = files.increment.sequence;
            if !is_link && entry.category == EntryCategory::Deleted {
                goes.push(path.clone());
                continue;
            }
            if !is_link {
                let found = self.one_move(increment, path, entry, files)?;
                self.plan.prune.moves.extend(found);
                self.late.insert(key, increment.name.clone());
            }
            let record = self.by.index.records().get(path);
            if record.is_some_and(|record| record.brought_by == from) {
                self.owners.insert(path.clone(), increment.sequence);
            }
        }
        for path in &goes {
            catalog.file_catalog.remove(path);
            if self.alive.has(path) {
                catalog.gone.push(path.clone());
            }
        }
        catalog.gone.sort_unstable();
        Ok(!goes.is_empty())
    }
}
