//! `versions`: every version of one file, over all drives.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::error::{CliError, Exit};
use crate::cli::paint::Paint;
use crate::cli::repositories::{Label, Shelf, Shelved, second};
use crate::cli::source_path::in_source;
use crate::cli::target::Which;
use crate::history::versions::{Event, FileVersion, FileVersions, versions as of_file};
use crate::model::relpath::RelPath;
use crate::repository::catalog::document::CatalogEntry;
use crate::text::human;
use crate::text::sanitize::line;

/// How much of a hash is shown, in hexadecimal digits.
const SHORT_HASH: usize = 12;

/// Show every version of a file, on all drives, also those that are not here
///
/// A file that was moved is followed to its earlier names.
#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// The file, relative to the source (or absolute, inside it)
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Print a JSON array with one object per version
    #[arg(long)]
    json: bool,
}

/// A version and whose it is.
#[derive(Serialize)]
struct Row<'a> {
    backup_name: Option<&'a str>,
    backup_timestamp: Option<&'a str>,
    sequence: Option<u64>,
    event: Event,
    current: bool,
    path: &'a RelPath,
    #[serde(flatten)]
    entry: &'a CatalogEntry,
    full_path: Option<PathBuf>,
    #[serde(flatten)]
    label: &'a Label,
}

/// Shows the versions of a file, oldest first on each drive.
pub fn versions(args: &VersionsArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let shelf = Shelf::open(&args.which)?;
    let shown = of_all(args, &shelf, out);
    shelf.close();
    shown
}

fn of_all(args: &VersionsArgs, shelf: &Shelf, out: &mut dyn Write) -> Result<Exit, CliError> {
    let zone = TimeZone::system();
    let (mut exit, mut outside, mut is_folder) = (shelf.exit, None, false);
    let mut all: Vec<(&Shelved, RelPath, FileVersions)> = Vec::new();
    let mut searched = false;
    for shelved in &shelf.all {
        let path = match in_source(&args.path, shelved.source()) {
            Ok(Some(path)) => path,
            Ok(None) => return Err(CliError::usage("that is the whole source; name a file in it")),
            // It may be inside the source of another profile.
            Err(error) => {
                outside.get_or_insert(error);
                continue;
            }
        };
        searched = true;
        let Some(past) = shelved.past() else { continue };
        let found = of_file(&past, &path, &zone).map_err(|e| CliError::new(&e, Exit::Failed))?;
        exit = exit.and(shelved.settle(&past));
        is_folder |= found.is_folder;
        if !found.versions.is_empty() {
            all.push((shelved, path, found));
        }
    }
    match outside {
        Some(error) if !searched => return Err(error),
        _ => {}
    }
    if all.is_empty() {
        let path = line(&args.path.to_string_lossy());
        return Err(CliError::failed(if is_folder {
            format!("{path} is a folder; `bkm-agent search --path {path}` shows what is in it")
        } else {
            format!("no backup that is known has anything at '{path}'")
        }));
    }
    if args.json {
        let rows: Vec<_> = all
            .iter()
            .flat_map(|(shelved, _, found)| found.versions.iter().map(|v| row(shelved, v)))
            .collect();
        crate::cli::output::print_json(&rows, true, out)?;
        return Ok(exit);
    }
    let paint = Paint::for_stdout();
    for (shelved, path, found) in &all {
        writeln!(out, "{}", paint.heading(&shelved.heading()))?;
        for version in &found.versions {
            print(version, path, paint, out)?;
        }
    }
    Ok(exit)
}

fn row<'a>(shelved: &'a Shelved, version: &'a FileVersion) -> Row<'a> {
    let FileVersion { increment, event, path, entry, current, place } = version;
    Row {
        backup_name: increment.as_ref().map(|increment| increment.name.as_str()),
        backup_timestamp: increment.as_ref().map(|increment| increment.timestamp.as_str()),
        sequence: increment.as_ref().map(|increment| increment.sequence),
        event: *event,
        current: *current,
        path,
        entry,
        full_path: place.as_ref().map(|place| shelved.full_path(place)),
        label: &shelved.label,
    }
}

fn print(
    version: &FileVersion,
    asked: &RelPath,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let FileVersion { increment, event, path, entry, current, place } = version;
    let time = increment.as_ref().map_or("mirror", |increment| increment.timestamp.as_str());
    let word = format!("{:8}", format!("{event:?}").to_lowercase());
    let word = match event {
        Event::Deleted => paint.gone(&word),
        Event::New | Event::Changed => paint.there(&word),
        _ => word,
    };
    let hash = entry.blake3.as_deref().and_then(|hash| hash.get(..SHORT_HASH));
    let place = match (place, &entry.link_target) {
        (_, Some(target)) => format!("→ {}", line(target)),
        (Some(place), None) => line(&place.to_string_lossy()),
        (None, None) => String::new(),
    };
    let was = if asked == path { String::new() } else { format!("  as {path}") };
    let current = if *current { "  (current)" } else { "" };
    writeln!(
        out,
        "  {:19}  {word} {:>9}  {:12}  {place}{was}{current}",
        second(time),
        human::size(entry.size),
        hash.unwrap_or("-"),
    )?;
    Ok(())
}
