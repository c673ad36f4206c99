//! What a restore did, or would do, in words.

use std::io::Write;
use std::path::Path;

use crate::cli::error::CliError;
use crate::cli::output::print_list;
use crate::restore::report::{Action, Preview, Restored};
use crate::text::human;

/// How many renamed files are listed; JSON has all.
const SHOWN: usize = 50;

/// A path for people.
pub(super) fn shown(path: &Path) -> String {
    crate::text::sanitize::line(&path.to_string_lossy())
}

/// Prints what was done.
pub(super) fn print(done: &Restored, to: &Path, out: &mut dyn Write) -> Result<(), CliError> {
    let folders = match done.folders {
        0 => String::new(),
        n => format!(" and {}", human::count(n, "folder", "folders")),
    };
    let files = human::count(done.restored, "file", "files");
    writeln!(out, "restored {files} ({}){folders} to {}", human::size(done.bytes), shown(to))?;
    existing(done.already_there, done.left, out)?;
    for (path, name) in done.beside.iter().take(SHOWN) {
        writeln!(out, "  {path} is now beside the one that exists: {name}")?;
    }
    if let Some(more) = done.beside.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "  … and {more} more (--json shows all)")?;
    }
    if done.others > 0 {
        let others = human::count(done.others, "file or folder", "files and folders");
        writeln!(
            out,
            "  {others} of other owners or groups are yours now: only root can give them back"
        )?;
    }
    if done.unproven > 0 {
        writeln!(
            out,
            "  {} of them unproven: the Python backup-manager may have overwritten older versions; what \
             `bkm-agent verify` reads once is checked from then on",
            done.unproven
        )?;
    }
    print_list("problem", "problems", &done.problems, out)
}

fn existing(same: u64, left: u64, out: &mut dyn Write) -> Result<(), CliError> {
    if same > 0 {
        writeln!(out, "  {} there already", human::count(same, "file was", "files were"))?;
    }
    if left > 0 {
        writeln!(
            out,
            "  {} left as they are",
            human::count(left, "existing file", "existing files")
        )?;
    }
    Ok(())
}

/// Prints what would be done.
pub(super) fn print_preview(
    found: &Preview,
    to: &Path,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let (mut files, mut bytes, mut folders, mut same, mut left) = (0, 0u64, 0, 0, 0);
    for step in &found.steps {
        let word = match step.action {
            Action::Restore => "restore",
            Action::Replace => "replace",
            Action::Beside => "beside",
            Action::Attributes => "touch",
            Action::Same => "same",
            Action::Leave => "leave",
            Action::Folder => "folder",
        };
        match step.action {
            Action::Restore | Action::Replace | Action::Beside => {
                files += 1;
                bytes = bytes.saturating_add(step.size);
            }
            Action::Attributes | Action::Same => same += 1,
            Action::Leave => left += 1,
            Action::Folder => folders += 1,
        }
        let size =
            if step.action == Action::Folder { String::new() } else { human::size(step.size) };
        match &step.beside {
            Some(name) => writeln!(out, "  {word:7} {size:>9}  {} as {name}", step.path)?,
            None => writeln!(out, "  {word:7} {size:>9}  {}", step.path)?,
        }
    }
    let folders = match folders {
        0 => String::new(),
        n => format!(" and {}", human::count(n, "folder", "folders")),
    };
    let files = human::count(files, "file", "files");
    let size = human::size(bytes);
    writeln!(
        out,
        "{files} ({size}){folders} to restore to {}; nothing was written (dry run)",
        shown(to)
    )?;
    existing(same, left, out)?;
    print_list("problem", "problems", &found.problems, out)
}
