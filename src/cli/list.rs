//! `list`: the increments of a repository, or of all that are known.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::cli::bar::Bars;
use crate::cli::error::{CliError, Exit};
use crate::cli::repositories::{Label, Shelf, Shelved};
use crate::cli::target::Which;
use crate::history::list::{Listed, list as increments};
use crate::repository::catalog::document::{CatalogEntry, EntryCategory};
use crate::repository::status::Status;
use crate::text::human;

/// List the increments: what each run found new, changed or deleted
///
/// A repository that is not here is listed from what this computer keeps of it. Without a word of which, all
/// that are known are listed.
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

/// An increment and whose it is.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    listed: &'a Listed,
    #[serde(flatten)]
    label: &'a Label,
}

/// Lists the increments, oldest first.
pub fn list(args: &ListArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let shelf = Shelf::open(&args.which)?;
    let listed =
        shelf.all.iter().map(|shelved| of_one(args, shelved)).collect::<Result<Vec<_>, _>>();
    let printed = listed.and_then(|listed| {
        let exit = listed.iter().fold(shelf.exit, |exit, (_, one)| exit.and(*one));
        let all = || shelf.all.iter().zip(listed.iter().map(|(listed, _)| listed));
        if args.json {
            let rows: Vec<_> = all()
                .flat_map(|(shelved, listed)| {
                    listed.iter().map(|listed| Row { listed, label: &shelved.label })
                })
                .collect();
            crate::cli::output::print_json(&rows, true, out)?;
            return Ok(exit);
        }
        for (shelved, listed) in all() {
            if shelf.all.len() > 1 || !shelved.label.here {
                writeln!(out, "{}", shelved.heading())?;
            }
            if listed.is_empty() {
                writeln!(out, "No increments yet: nothing tracked was backed up.")?;
            }
            let bars = args.detailed.then(|| Bars::new(listed.iter().map(|i| i.size)));
            for increment in listed {
                print(increment, bars.as_ref(), out)?;
            }
        }
        Ok(exit)
    });
    shelf.close();
    printed
}

fn of_one(args: &ListArgs, shelved: &Shelved) -> Result<(Vec<Listed>, Exit), CliError> {
    let Some(past) = shelved.past() else { return Ok((Vec::new(), Exit::Done)) };
    let listed = increments(&past, args.detailed).map_err(|e| CliError::new(&e, Exit::Failed))?;
    Ok((listed, shelved.settle(&past)))
}

fn print(increment: &Listed, bars: Option<&Bars>, out: &mut dyn Write) -> Result<(), CliError> {
    let interrupted = match increment.status {
        Status::Complete => "",
        Status::Interrupted => "  interrupted",
    };
    let problems = match increment.problems {
        0 => String::new(),
        n => format!(", {}", human::count(n, "problem", "problems")),
    };
    let moved = match increment.moved_or_touched {
        0 => String::new(),
        n => format!(", {n} moved or touched"),
    };
    let unproven = match increment.unproven {
        0 => String::new(),
        n => format!(", {n} unproven until verified"),
    };
    let overwritten = match increment.overwritten {
        0 => String::new(),
        n => format!(", {n} overwritten"),
    };
    writeln!(
        out,
        "{}  {}  {} new or changed ({}){moved}, {} deleted{unproven}{overwritten}{problems}{interrupted}",
        increment.name,
        crate::text::sanitize::line(&increment.timestamp),
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
        let time = crate::text::sanitize::line(&file.entry.mtime_iso);
        let time: String = time.chars().take(19).collect();
        let word = match &file.entry {
            CatalogEntry { overwritten: true, .. } => {
                " (overwritten by a later version)".to_owned()
            }
            CatalogEntry { unproven: true, .. } => " (unproven)".to_owned(),
            CatalogEntry { moved_from: Some(from), .. } => format!(" (was {from})"),
            _ => String::new(),
        };
        writeln!(out, "  {sign} {size:>9}  {time}  {}{word}", file.path)?;
    }
    Ok(())
}
