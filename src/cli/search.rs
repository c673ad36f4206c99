//! `search`: versions of files in all backups that are known, by name, place, size and time.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Exit};
use crate::cli::paint::Paint;
use crate::cli::repositories::{Shelf, Shelved, minute, second};
use crate::cli::source_path::in_source;
use crate::cli::target::Which;
use crate::history::filter::{Filter, Folder, Wish, is_glob};
use crate::history::reader::{PastError, Whereabouts};
use crate::model::relpath::RelPath;
use crate::repository::index::increment::Increment;
use crate::state::catalogs::entry::{Entry, Role};
use crate::text::human;
use crate::text::sanitize::line;

/// Search the versions of all backups, also of drives that are not here
///
/// A drive in the cupboard is searched by what this computer keeps of it: all tracked files. Files that are only
/// mirrored are found when the drive is here. Everything that is given must hold; of several masks, one. Sizes:
/// K, M, G, T are thousands (as they are shown), KiB, MiB, GiB, TiB times 1024.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// A name: `*.jpg`, or a word that is anywhere in it; with a `/`, of the path. Upper and lower case differ
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    mask: Vec<String>,
    /// How large: '>100M', '<1G', '10K-100K', or bytes
    #[arg(long, value_name = "SIZE", num_args = 1..)]
    size: Vec<String>,
    /// When the file was changed last: 2026-01-15, '>2026-01-15', '<…', '2026-01-01..2026-02-01'
    #[arg(long, value_name = "TIME", num_args = 1..)]
    time: Vec<String>,
    /// In this folder, or those that a pattern matches; relative to the source (or absolute, inside it)
    #[arg(long, value_name = "PATH|GLOB", num_args = 1..)]
    path: Vec<String>,
    /// Only in the last N increments of each backup
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last_backups: Option<u32>,
    /// Only what was deleted: each file's last version
    #[arg(long)]
    deleted: bool,
    /// Show where the plain file of each version lies
    #[arg(long)]
    full_paths: bool,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object with the array `results`
    #[arg(long)]
    json: bool,
}

/// Searches.
pub fn search(args: &SearchArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    // Before any drive is touched: what was mistyped is said at once.
    filter(args, &[])?;
    let shelf = Shelf::open(&args.which)?;
    // Standard output would be written to line by line.
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    let found = in_all(args, &shelf, Paint::for_stdout(), &mut out);
    let flushed = out.flush();
    shelf.close();
    let exit = found?;
    flushed?;
    Ok(exit)
}

fn filter(args: &SearchArgs, folders: &[Folder]) -> Result<Filter, CliError> {
    let wish = Wish {
        masks: &args.mask,
        folders,
        sizes: &args.size,
        times: &args.time,
        deleted: args.deleted,
    };
    Filter::new(&wish, &TimeZone::system()).map_err(|e| CliError::new(&e, Exit::Usage))
}

/// The folders to search in, of a repository with this source.
fn folders(args: &SearchArgs, source: Option<&Path>) -> Result<Vec<Folder>, CliError> {
    let folder = |text: &String| {
        let path = Path::new(text);
        if is_glob(text) {
            let inside = source.and_then(|source| path.strip_prefix(source).ok()).unwrap_or(path);
            if inside.is_absolute() {
                // Said as for any other path.
                in_source(inside, source)?;
            }
            return Ok(Folder::Glob(inside.to_string_lossy().into_owned()));
        }
        Ok(in_source(path, source)?.map_or(Folder::All, Folder::Path))
    };
    args.path.iter().map(folder).collect()
}

fn in_all(
    args: &SearchArgs,
    shelf: &Shelf,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let mut exit = shelf.exit;
    let mut printer = Printer::new(args, paint, out);
    printer.begin()?;
    let (mut outside, mut searched) = (None, false);
    for shelved in &shelf.all {
        // An absolute path is inside the source of some profiles and not of others.
        let folders = match folders(args, shelved.source()) {
            Ok(folders) => folders,
            Err(error) => {
                outside.get_or_insert(error);
                continue;
            }
        };
        searched = true;
        let filter = filter(args, &folders)?;
        exit = exit.and(in_one(args, shelved, shelf.all.len() > 1, &filter, &mut printer)?);
    }
    match outside {
        Some(error) if !searched => Err(error),
        _ => {
            printer.end(shelf)?;
            Ok(exit)
        }
    }
}

fn in_one(
    args: &SearchArgs,
    shelved: &Shelved,
    several: bool,
    filter: &Filter,
    printer: &mut Printer<'_>,
) -> Result<Exit, CliError> {
    let failed = |e: PastError| match e {
        PastError::Asker(e) => CliError::from(e),
        PastError::Repository(_) => CliError::new(&e, Exit::Failed),
    };
    let Some(past) = shelved.past() else { return Ok(Exit::Done) };
    let whereabouts = (args.full_paths || args.json)
        .then(|| past.whereabouts(|path| filter.takes_path(path)))
        .transpose()
        .map_err(failed)?;
    let mut found = InOne { shelved, several, whereabouts, zone: TimeZone::system(), told: false };
    let all = past.increments().len();
    let last = args.last_backups.map_or(all, |n| all.min(n as usize));
    for (at, increment) in past.increments().enumerate().skip(all - last) {
        printer.group = false;
        let take = &mut |entry: &Entry<'_>| {
            if filter.takes(entry) {
                printer.found(&mut found, Some(increment), entry)
            } else {
                Ok(())
            }
        };
        past.entries(at, take).map_err(failed)?;
    }
    if args.last_backups.is_none() && !filter.only_deleted() {
        printer.group = false;
        let take = &mut |entry: &Entry<'_>| {
            if filter.takes(entry) { printer.found(&mut found, None, entry) } else { Ok(()) }
        };
        past.mirrored(take).map_err(failed)?;
    }
    Ok(shelved.settle(&past))
}

/// What is needed to tell of one repository.
struct InOne<'a> {
    shelved: &'a Shelved,
    several: bool,
    whereabouts: Option<Whereabouts<'a>>,
    zone: TimeZone,
    /// Whether its heading is printed.
    told: bool,
}

/// Prints what is found as it is found.
struct Printer<'a> {
    out: &'a mut dyn Write,
    json: bool,
    full_paths: bool,
    paint: Paint,
    total: u64,
    size: u64,
    /// Whether the heading of the increment is printed.
    group: bool,
    folder: Option<Vec<u8>>,
}

impl<'a> Printer<'a> {
    fn new(args: &SearchArgs, paint: Paint, out: &'a mut dyn Write) -> Self {
        Self {
            out,
            json: args.json,
            full_paths: args.full_paths,
            paint,
            total: 0,
            size: 0,
            group: false,
            folder: None,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.json { write!(self.out, "{{\"results\":[") } else { Ok(()) }
    }

    fn found(
        &mut self,
        one: &mut InOne<'_>,
        increment: Option<&Increment>,
        entry: &Entry<'_>,
    ) -> io::Result<()> {
        self.total += 1;
        self.size = self.size.saturating_add(entry.size);
        let name = increment.map_or("", |increment| increment.name.as_str());
        let place = one.whereabouts.as_ref().and_then(|at| at.place(entry, name));
        let full_path = place.map(|place| one.shelved.full_path(&place));
        if self.json {
            let full_path = full_path.as_ref().map(|path| path.to_string_lossy());
            return self.as_json(one, increment, entry, full_path.as_deref());
        }
        if !one.told {
            one.told = true;
            if one.several || !one.shelved.label.here {
                let heading = one.shelved.heading();
                writeln!(self.out, "{}", self.paint.heading(&heading))?;
            }
        }
        if !self.group {
            self.group = true;
            self.folder = None;
            let heading = match increment {
                Some(Increment { name, timestamp, .. }) => {
                    format!("{}  {}", self.paint.heading(name), minute(timestamp))
                }
                None => format!(
                    "{}  as of the last backup, files without history",
                    self.paint.heading("mirror")
                ),
            };
            writeln!(self.out, "{heading}")?;
        }
        let (folder, name) = entry.split();
        if self.folder.as_deref() != Some(folder) {
            self.folder = Some(folder.to_vec());
            let shown = format!("{}/", shown(folder).unwrap_or_else(|| ".".to_owned()));
            writeln!(self.out, "  {}", self.paint.folder(&shown))?;
        }
        let sign = match (entry.role, entry.content_in) {
            (Role::Deleted, _) => self.paint.gone("-"),
            (Role::Tracked, None) => self.paint.there("+"),
            (Role::Tracked, Some(_)) => "=".to_owned(),
            (Role::Mirrored, _) => " ".to_owned(),
        };
        let (time, _) = crate::repository::catalog::document::time_texts(entry.mtime_ns, &one.zone);
        let was = entry.moved_from.and_then(shown);
        let was = was.map_or_else(String::new, |from| format!(" (was {from})"));
        writeln!(
            self.out,
            "    {sign} {:>9}  {}  {}{was}",
            human::size(entry.size),
            second(&time),
            shown(name).unwrap_or_default(),
        )?;
        if self.full_paths {
            let path = full_path.map_or_else(
                || "in the list of files alone: the drive has no links".to_owned(),
                |path| line(&path.to_string_lossy()),
            );
            writeln!(self.out, "        {path}")?;
        }
        Ok(())
    }

    fn as_json(
        &mut self,
        one: &InOne<'_>,
        increment: Option<&Increment>,
        entry: &Entry<'_>,
        full_path: Option<&str>,
    ) -> io::Result<()> {
        let Some((path, known)) = entry.to_catalog(&one.zone) else { return Ok(()) };
        let mut result = serde_json::to_value(&known)?;
        let mut ours = json!({
            "path": path,
            "backup_name": increment.map(|increment| &increment.name),
            "backup_timestamp": increment.map(|increment| &increment.timestamp),
            "sequence": increment.map(|increment| increment.sequence),
            "full_path": full_path,
        });
        let mut label = serde_json::to_value(&one.shelved.label)?;
        if let Some(result) = result.as_object_mut() {
            for more in [&mut ours, &mut label].into_iter().filter_map(Value::as_object_mut) {
                result.append(more);
            }
            if entry.role == Role::Mirrored {
                result.insert("category".to_owned(), "mirrored".into());
                result.insert("backup_path".to_owned(), Value::Null);
            }
        }
        let comma = if self.total > 1 { "," } else { "" };
        let text = serde_json::to_string(&result)?;
        write!(self.out, "{comma}\n{}", crate::text::sanitize::json(&text))
    }

    fn end(&mut self, shelf: &Shelf) -> io::Result<()> {
        if self.json {
            let labels: Vec<_> = shelf.all.iter().map(|shelved| &shelved.label).collect();
            let labels = serde_json::to_string(&labels)?;
            let Self { total, size, .. } = self;
            let labels = crate::text::sanitize::json(&labels);
            return writeln!(
                self.out,
                "\n],\"total\":{total},\"total_size\":{size},\"repositories\":{labels}}}"
            );
        }
        let away = shelf.all.iter().any(|shelved| !shelved.label.here);
        if self.total == 0 {
            let backups = human::count(shelf.all.len() as u64, "backup", "backups");
            let where_else = if away {
                "; files without history are only found while their drive is here"
            } else {
                ""
            };
            return writeln!(self.out, "Nothing matches in {backups}{where_else}.");
        }
        let versions = human::count(self.total, "version", "versions");
        writeln!(self.out, "{versions}, {}", human::size(self.size))
    }
}

/// A path for people.
fn shown(path: &[u8]) -> Option<String> {
    RelPath::new(path).ok().map(|path| path.to_string())
}
