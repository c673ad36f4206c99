//! What several commands print in the same way.

use std::io::{self, Write};

use crate::cli::error::CliError;
use crate::model::problem::Problem;
use crate::text::human;

/// Prints a value as JSON and a line break.
pub(crate) fn print_json(
    value: &impl serde::Serialize,
    pretty: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    writeln!(out, "{}", crate::text::sanitize::json(&text?))
}

/// Says something to the person at the keyboard, beside the results.
pub(crate) fn say(message: &str) {
    if !message.is_empty() {
        // Nobody is left to be told that standard error is closed.
        drop(writeln!(io::stderr(), "bkm-agent: {message}"));
    }
}

/// How many problems and notes are printed each; JSON and the catalog have all.
const SHOWN: usize = 20;

/// Prints a list of paths with what is to be said of them.
pub(super) fn print_list(
    one: &str,
    many: &str,
    list: &[Problem],
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {}:", human::count(list.len() as u64, one, many))?;
    for problem in list.iter().take(SHOWN) {
        writeln!(out, "    {}: {}", problem.path, crate::text::sanitize::line(&problem.reason))?;
    }
    if let Some(more) = list.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "    … and {more} more (--json shows all)")?;
    }
    Ok(())
}
