//! `list`: the increments of a repository.

use std::io::Write;

use clap::Args;

use super::bar::Bars;
use super::locate::Which;
use super::{CliError, Exit};
use crate::history::list::{Listed, list as increments};
use crate::human;
use crate::repository::Status;
use crate::repository::catalog::EntryCategory;

/// List the increments: what each run found new, changed or deleted
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// List the files of each increment, with a bar for how much it brought
    #[arg(long)]
    detailed: bool,
    /// Print a JSON array with one object per increment
    #[arg(long)]
    json: bool,
}

/// Lists the increments, oldest first.
pub fn list(args: &ListArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let located = args.which.open()?;
    let listed = increments(&located.tree, &located.index, args.detailed)
        .map_err(|e| CliError::new(&e, Exit::Failed));
    located.close();
    let listed = listed?;
    if args.json {
        super::print_json(&listed, true, out)?;
        return Ok(Exit::Done);
    }
    if listed.is_empty() {
        writeln!(out, "No increments yet: nothing tracked was backed up.")?;
    }
    let bars = args.detailed.then(|| Bars::new(listed.iter().map(|i| i.size)));
    for increment in &listed {
        print(increment, bars.as_ref(), out)?;
    }
    Ok(Exit::Done)
}

fn print(increment: &Listed, bars: Option<&Bars>, out: &mut dyn Write) -> Result<(), CliError> {
    let interrupted = match increment.status {
        Status::Complete => "",
        Status::Interrupted => "  interrupted",
    };
    let problems = match increment.problems as u64 {
        0 => String::new(),
        n => format!(", {}", human::count(n, "problem", "problems")),
    };
    let moved = match increment.moved_or_touched {
        0 => String::new(),
        n => format!(", {n} moved or touched"),
    };
    writeln!(
        out,
        "{}  {}  {} new or changed ({}){moved}, {} deleted{problems}{interrupted}",
        increment.name,
        crate::sanitize::line(&increment.timestamp),
        increment.new_or_changed,
        human::size(increment.size),
        increment.deleted,
    )?;
    if let Some(bar) = bars.and_then(|bars| bars.of(increment.size)) {
        writeln!(out, "  {bar}")?;
    }
    for file in increment.files.iter().flatten() {
        let sign = match (file.entry.category, &file.entry.content_in) {
            (EntryCategory::Deleted, _) => '-',
            (EntryCategory::Tracked, Some(_)) => '=',
            (EntryCategory::Tracked, None) => '+',
        };
        let size = human::size(file.entry.size);
        let time = crate::sanitize::line(&file.entry.mtime_iso);
        let time: String = time.chars().take(19).collect();
        match &file.entry.moved_from {
            Some(from) => writeln!(out, "  {sign} {size:>9}  {time}  {} (was {from})", file.path)?,
            None => writeln!(out, "  {sign} {size:>9}  {time}  {}", file.path)?,
        }
    }
    Ok(())
}
