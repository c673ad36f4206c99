//! Every version of one file, also under the names that it had before.
//!
//! It holds the versions of that file alone.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::history::reader::{Past, PastError};
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::CatalogEntry;
use crate::repository::index::increment::Increment;
use crate::state::catalogs::entry::{Entry, Role};

/// What became of a file in an increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It appeared.
    New,
    /// Other content.
    Changed,
    /// Another path.
    Moved,
    /// The content of before: only attributes changed, or it is tracked from then on.
    Touched,
    /// It vanished.
    Deleted,
    /// It is in the mirror alone, without history.
    Mirrored,
}

/// A version of a file.
#[derive(Debug)]
pub struct FileVersion {
    /// The increment that lists it; `None` for what is only mirrored.
    pub increment: Option<Increment>,
    /// What became of the file.
    pub event: Event,
    /// Its path then.
    pub path: RelPath,
    /// What the catalog says of it.
    pub entry: CatalogEntry,
    /// Whether the file is like that in the mirror now.
    pub current: bool,
    /// Where its plain file lies, relative to the repository.
    pub place: Option<PathBuf>,
}

/// The versions of a file, and whether there is anything below its path, as in a folder.
#[derive(Debug, Default)]
pub struct FileVersions {
    /// Oldest first.
    pub versions: Vec<FileVersion>,
    /// Whether something lies below the path.
    pub is_folder: bool,
}

/// A path that the file had, up to the increment at this position.
struct Name {
    path: Vec<u8>,
    before: usize,
}

/// All versions of the file at `path`; times in `zone`.
pub fn versions(
    past: &Past<'_>,
    path: &RelPath,
    zone: &TimeZone,
) -> Result<FileVersions, PastError> {
    let mut found = FileVersions::default();
    let mut names = vec![Name { path: path.as_bytes().to_vec(), before: usize::MAX }];
    let mut listed: Vec<(Option<Increment>, Role, RelPath, CatalogEntry)> = Vec::new();
    let below = |entry: &Entry<'_>| {
        let rest = entry.path.strip_prefix(path.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    let increments: Vec<&Increment> = past.increments().collect();
    // Backwards, as a move tells the name before it.
    for (at, increment) in increments.iter().enumerate().rev() {
        let mut earlier = Vec::new();
        past.entries(at, &mut |entry| {
            found.is_folder |= below(entry);
            if names.iter().any(|name| at < name.before && name.path == entry.path) {
                earlier.extend(entry.moved_from.map(<[u8]>::to_vec));
                let known = entry.to_catalog(zone);
                listed
                    .extend(known.map(|(path, known)| {
                        (Some((*increment).clone()), entry.role, path, known)
                    }));
            }
            Ok(())
        })?;
        names.extend(earlier.into_iter().map(|path| Name { path, before: at }));
    }
    past.mirrored(&mut |entry| {
        found.is_folder |= below(entry);
        if entry.path == path.as_bytes() {
            let known = entry.to_catalog(zone);
            listed.splice(0..0, known.map(|(path, known)| (None, entry.role, path, known)));
        }
        Ok(())
    })?;
    listed.reverse();
    let whereabouts = past.whereabouts(|of| names.iter().any(|name| name.path == of))?;
    let last = listed.len().saturating_sub(1);
    let mut existed = false;
    for (at, (increment, role, known_as, entry)) in listed.into_iter().enumerate() {
        let event = match role {
            Role::Deleted => Event::Deleted,
            Role::Mirrored => Event::Mirrored,
            Role::Tracked if entry.moved_from.is_some() => Event::Moved,
            Role::Tracked if entry.content_in.is_some() => Event::Touched,
            Role::Tracked if existed => Event::Changed,
            Role::Tracked => Event::New,
        };
        existed = role != Role::Deleted;
        let by = increment.as_ref().map_or("", |increment| increment.name.as_str());
        let place = Entry::of_catalog(&known_as, &entry, |known| {
            whereabouts.place(&Entry { role, ..known.clone() }, by)
        });
        let current = at == last && existed && known_as == *path;
        found.versions.push(FileVersion {
            increment,
            event,
            path: known_as,
            entry,
            current,
            place,
        });
    }
    Ok(found)
}
