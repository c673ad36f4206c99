//! `restore`: get files back.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::tz::TimeZone;

use super::locate::{Located, Which};
use super::progress::Bar;
use super::run::print_list;
use super::source_path::in_source;
use super::{CliError, Exit, signals};
use crate::backup::Monitor as _;
use crate::drive::tree::Tree;
use crate::history::point;
use crate::history::restore::{How, RestoreError, Restored, Selection, restore as bring_back};
use crate::history::timeline::{self, Versions};
use crate::human;
use crate::relpath::RelPath;

/// Restore files, folders or the whole tree
///
/// Paths are those of the source; below DIR they are laid out as they were there. Without PATH and
/// --mask everything is restored. Without --at the files come as of the last backup; with it the
/// tracked files come as of then (files that are only mirrored have no history).
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Files or folders, relative to the source (or absolute, inside it)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What matches this pattern: against the name, or against the path if it has a `/`
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    mask: Vec<String>,
    /// Where to; made if it does not exist
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// As of this increment (see `list`) or time: 2026-11-23, '2026-11-23 09:15'
    #[arg(long, value_name = "INCREMENT|TIME")]
    at: Option<String>,
    /// Replace files that exist
    #[arg(long)]
    overwrite: bool,
    /// Give set-user-ID and set-group-ID bits back as well; else they are left off, and named
    #[arg(long)]
    keep_set_id: bool,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Restores what is asked for.
pub fn restore(args: &RestoreArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let located = args.which.open()?;
    let restored = from(args, &located);
    located.close();
    let restored = restored?;
    let exit = if restored.problems.is_empty() { Exit::Done } else { Exit::Problems };
    if args.json {
        super::print_json(&restored, false, out)?;
        return Ok(exit);
    }
    let folders = match restored.folders {
        0 => String::new(),
        n => format!(" and {}", human::count(n, "folder", "folders")),
    };
    writeln!(
        out,
        "restored {} ({}){folders} to {}",
        human::count(restored.restored, "file", "files"),
        human::size(restored.bytes),
        crate::sanitize::line(&args.to.to_string_lossy())
    )?;
    print_list("problem", "problems", &restored.problems, out)?;
    Ok(exit)
}

fn from(args: &RestoreArgs, located: &Located) -> Result<Restored, CliError> {
    let source = located.profile.as_ref().map(|profile| profile.source.as_path());
    let paths: Vec<RelPath> = args
        .paths
        .iter()
        .map(|path| in_source(path, source))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    // `restore .` means everything, also beside other paths.
    let everything = !args.paths.is_empty() && paths.len() < args.paths.len();
    let failed = |e: RestoreError| {
        let exit = match e {
            RestoreError::Stopped(_) => Exit::Stopped,
            RestoreError::Mask { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        CliError::new(&e, exit)
    };
    let selection = if everything {
        Selection::new(Vec::new(), &[])
    } else {
        Selection::new(paths, &args.mask)
    }
    .map_err(failed)?;
    let versions = versions(args, located)?;
    // Before the destination is made: a name that was mistyped leaves no empty folder.
    let bytes = selection.bytes(&versions).map_err(failed)?;
    std::fs::create_dir_all(&args.to)
        .map_err(|e| CliError::failed(format!("cannot make {}: {e}", args.to.display())))?;
    let destination = Tree::open(&args.to).map_err(|e| CliError::new(&e, Exit::Failed))?;
    let stop = signals::stop_flag()?;
    let bar = Bar::new(!args.json);
    bar.begin("restoring", bytes);
    let told = |bytes| bar.copied(0, bytes);
    let restored = bring_back(
        &located.tree,
        &versions,
        &selection,
        &destination,
        How { overwrite: args.overwrite, keep_set_id: args.keep_set_id },
        &stop,
        &told,
    );
    bar.finish();
    restored.map_err(failed)
}

fn versions(args: &RestoreArgs, located: &Located) -> Result<Versions, CliError> {
    let Some(at) = &args.at else {
        return Ok(timeline::now(&located.index));
    };
    let increment = point::find(located.index.increments(), at, &TimeZone::system())
        .map_err(|e| CliError::new(&e, Exit::Failed))?;
    timeline::at(&located.tree, &located.index, increment.sequence)
        .map_err(|e| CliError::new(&e, Exit::Failed))
}
