//! The fields of a profile that later versions act on: their shape is checked now, and the user is told
//! that they have no effect yet.
//!
//! A field that gains its effect moves from here to `profile`. Called by `profile`.

use super::error::ConfigError;
use super::profile::duration;
use super::raw::RawLater;

/// Checks what this version does not act on, and says so for each.
pub(super) fn check(raw: &RawLater<'_>) -> Result<Vec<String>, ConfigError> {
    if let Some(given) = &raw.keep_within {
        duration(given)?;
    }
    let prunes = !raw.keep.is_empty() || raw.keep_within.is_some();
    let mut warnings = Vec::new();
    if prunes && raw.retention.is_some() {
        warnings.push("\"retention\" is not acted on yet: every increment is kept".to_owned());
    }
    Ok(warnings)
}
