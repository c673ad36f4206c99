//! What is believed of a catalog; it is checked once, when it is read. Pure.

use crate::repository::catalog::document::{Catalog, CatalogEntry};
use crate::repository::limits::MAX_TIMESTAMP;

/// What is wrong with the catalog of `increment`; `None` if it can be taken.
pub(crate) fn catalog(catalog: &Catalog, increment: &str) -> Option<&'static str> {
    // What is there and cannot be read must not pass for what is not there: a file without a hash is
    // restored unchecked.
    let unreadable = |entry: &CatalogEntry| {
        (entry.blake3.is_some() && entry.hash().is_none())
            || (entry.link_target_bytes.is_some() && entry.target().is_none())
    };
    if catalog.backup_name != increment {
        Some("it names another increment")
    } else if catalog.backup_timestamp.len() > MAX_TIMESTAMP {
        Some("its time is none")
    } else if catalog.file_catalog.values().any(unreadable) {
        Some("a hash or a link's target in it is no hexadecimal text")
    } else {
        None
    }
}
