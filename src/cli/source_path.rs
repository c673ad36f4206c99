//! Paths of the command line as paths below a source.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::cli::error::CliError;
use crate::model::relpath::RelPath;

/// A path of the command line, relative to the source or absolute inside it, as one below the source; `None`
/// is the source itself. Without a `source`, no absolute path is inside it.
pub(super) fn in_source(path: &Path, source: Option<&Path>) -> Result<Option<RelPath>, CliError> {
    let relative = match source.map(|source| path.strip_prefix(source)) {
        Some(Ok(inside)) => inside,
        _ => path,
    };
    let parts: Vec<&[u8]> = relative
        .as_os_str()
        .as_bytes()
        .split(|&b| b == b'/')
        .enumerate()
        // `./a`, `a//b` and `a/` mean what they mean to a shell; a leading `/` does not.
        .filter(|(at, part)| *part != b"." && (!part.is_empty() || *at == 0))
        .map(|(_, part)| part)
        .collect();
    let joined = parts.join(&b'/');
    if joined.is_empty() {
        return Ok(None);
    }
    RelPath::new(&joined).map(Some).map_err(|_| {
        CliError::usage(format!(
            "{} is not a path below the source; write it as `bkm-agent list --detailed` shows it",
            crate::text::sanitize::line(&path.to_string_lossy())
        ))
    })
}
