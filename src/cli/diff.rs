//! `diff`: what changed between two backups, or since one.

use std::io::Write;

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::print_list;
use crate::cli::signals;
use crate::cli::target::{Held, Which};
use crate::config::profile::Profile;
use crate::fs::tree::handle::Tree;
use crate::history::diff::{self, Change, Difference};
use crate::history::point;
use crate::history::timeline::{self, Versions};
use crate::model::problem::Problem;
use crate::repository::index::increment::Increment;
use crate::source::entry::ScanOptions;
use crate::source::open::Source;
use crate::source::scan::{ScanError, scan};
use crate::text::human;

/// Show what is new, changed, moved or deleted between two backups, or since one
///
/// Files and links that are tracked are compared; of files that are only mirrored there is one state alone.
/// Without B the source is compared as it is now: a file with the size and time of A is taken to be the
/// same. A moved file is one whose content is that of a single one that is gone.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Increment (see `list`) or time: 2026-11-23, '2026-11-23 09:15'
    #[arg(value_name = "A")]
    before: String,
    /// What to compare it with; without it the source as it is now
    #[arg(value_name = "B")]
    after: Option<String>,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Both sides.
struct Sides {
    before: Versions,
    after: Versions,
    /// What they are called.
    names: [String; 2],
    problems: Vec<Problem>,
}

/// Compares two points in time.
pub fn diff(args: &DiffArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let held = args.which.hold()?;
    let sides = sides(args, &held);
    held.close();
    let sides = sides?;
    let found = diff::between(&sides.before, &sides.after);
    if args.json {
        let [before, after] = &sides.names;
        let object = json!({
            "before": before, "after": after, "differences": found, "problems": sides.problems,
        });
        crate::cli::output::print_json(&object, false, out)?;
    } else {
        print(&found, &sides.names, out)?;
        print_list("problem", "problems", &sides.problems, out)?;
    }
    Ok(if sides.problems.is_empty() { Exit::Done } else { Exit::Problems })
}

fn sides(args: &DiffArgs, held: &Held) -> Result<Sides, CliError> {
    let (name, mut before) = at(held, &args.before)?;
    if let Some(other) = &args.after {
        let (other, after) = at(held, other)?;
        return Ok(Sides { before, after, names: [name, other], problems: Vec::new() });
    }
    let Some(profile) = &held.opened.profile else {
        return Err(CliError::usage(
            "with --repo name two backups: the source is known to a profile only",
        ));
    };
    let (after, problems) = source_now(profile, &held.opened.tree, &mut before)?;
    let source = crate::text::sanitize::line(&profile.source.to_string_lossy());
    Ok(Sides { before, after, names: [name, source], problems })
}

fn at(held: &Held, at: &str) -> Result<(String, Versions), CliError> {
    let index = &held.reading.index;
    let increment: &Increment = point::find(index.increments(), at, &TimeZone::system())
        .map_err(|e| CliError::new(&e, Exit::Failed))?;
    let versions = timeline::at(&held.opened.tree, index, increment.sequence)
        .map_err(|e| CliError::new(&e, Exit::Failed))?;
    Ok((increment.name.clone(), versions))
}

/// What the profile tracks in the source now.
fn source_now(
    profile: &Profile,
    repository: &Tree,
    before: &mut Versions,
) -> Result<(Versions, Vec<Problem>), CliError> {
    let stop = signals::stop_flag()?;
    let source = Source::open(&profile.source).map_err(|e| CliError::new(&e, Exit::Failed))?;
    let own: Vec<_> = rustix::fs::fstat(repository.handle())
        .map(|stat| (stat.st_dev, stat.st_ino))
        .into_iter()
        .collect();
    let options = ScanOptions {
        one_file_system: profile.one_file_system,
        skip: &own,
        stop: &stop,
        known: None,
    };
    let scan = scan(&source, &profile.rules, &options).map_err(|e| {
        let exit = if matches!(e, ScanError::Stopped) { Exit::Stopped } else { Exit::Failed };
        CliError::new(&e, exit)
    })?;
    diff::now(&source, &scan, before, &stop).map_err(|e| CliError::new(&e, Exit::Stopped))
}

fn print(
    found: &[Difference],
    [before, after]: &[String; 2],
    out: &mut dyn Write,
) -> Result<(), CliError> {
    writeln!(out, "{before} → {after} (tracked files)")?;
    for difference in found {
        let word = word(difference.change);
        let size = human::size(difference.size);
        write!(out, "  {word:8} {size:>9}  {}", difference.path)?;
        if let Some(before) = difference.size_before {
            write!(out, " (was {})", human::size(before))?;
        }
        if let Some(from) = &difference.moved_from {
            write!(out, " (was {from})")?;
        }
        writeln!(out)?;
    }
    let changes = [Change::New, Change::Changed, Change::Moved, Change::Touched, Change::Deleted];
    let totals = changes.map(|change| {
        let of = || found.iter().filter(|difference| difference.change == change);
        let bytes = of().fold(0, |sum, d| u64::saturating_add(sum, d.size));
        format!("{} {} ({})", of().count(), word(change), human::size(bytes))
    });
    Ok(writeln!(out, "{}", totals.join(", "))?)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Changed => "changed",
        Change::Touched => "touched",
        Change::Moved => "moved",
        Change::Deleted => "deleted",
    }
}
