//! `delete`: remove versions of some files from one increment.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::prune::{carried_out, check_not_frozen, failed, open, planned, words};
use crate::cli::target::Which;
use crate::model::relpath::RelPath;
use crate::prune::removal::Wish;
use crate::repository::handle::Repository;
use crate::restore::selection::Selection;
use crate::text::human;

/// Remove versions of files from one increment
///
/// As of that increment the files are not there any more. Where a later point in time shows the same version, it
/// moves to the next increment, and goes when it is deleted there as well; what the newest increment brought is
/// what the source has, and stays.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Which increment (see `list`)
    #[arg(value_name = "INCREMENT")]
    increment: String,
    /// What matches this pattern: against the name, or against the path if it has a `/`
    #[arg(long, value_name = "GLOB", num_args = 1.., required = true)]
    mask: Vec<String>,
    /// Show what would go and how much room it makes; remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Removes the versions.
pub fn delete(args: &DeleteArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let selection =
        Selection::new(Vec::new(), &args.mask).map_err(|e| CliError::new(&e, Exit::Usage))?;
    let selects = |path: &RelPath| selection.selects(path);
    let opened = args.which.open_folder(args.dry_run)?;
    let wish = Wish::Versions(&args.increment, &selects);
    let deleted = if args.dry_run {
        let read = Repository::read_index(&opened.tree).map_err(|e| failed(&e.into()));
        read.and_then(|(index, _)| planned(&opened, &index, &wish))
    } else {
        check_not_frozen(&opened)
            .and_then(|()| open(&opened))
            .and_then(|mut repository| carried_out(&opened, &mut repository, &wish))
    };
    opened.close();
    let plan = deleted?;
    if args.json {
        let object = json!({ "dry_run": args.dry_run, "deleted": plan.going, "frees": plan.frees });
        crate::cli::output::print_json(&object, false, out)?;
        return Ok(Exit::Done);
    }
    for going in &plan.going {
        writeln!(out, "{}: {}", going.name, words(going))?;
        if let Some(into) = going.into.as_ref().filter(|_| going.moved > 0) {
            writeln!(
                out,
                "What moved is part of later points in time; it can be deleted from {into} too."
            )?;
        }
    }
    let size = human::size(plan.frees);
    if args.dry_run {
        writeln!(out, "{size} would be freed; nothing was written (dry run).")?;
    } else {
        writeln!(out, "{size} freed.")?;
    }
    Ok(Exit::Done)
}
