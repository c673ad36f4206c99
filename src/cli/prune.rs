//! `prune`: remove increments that the profile's retention does not keep.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::backup::place::folder_of;
use crate::cli::error::{CliError, Exit};
use crate::cli::signals;
use crate::cli::target::{Opened, Which};
use crate::host::dirs;
use crate::prune::error::PruneError;
use crate::prune::plan::work::{Going, Plan};
use crate::prune::removal::{self, Wish};
use crate::prune::retention::Fate;
use crate::repository::error::RepositoryError;
use crate::repository::format;
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::history::history_of;
use crate::repository::index::increment::Increment;
use crate::state::catalogs::store::{Catalogs, New};
use crate::state::frozen;
use crate::text::human;

/// Remove increments that the profile's retention does not keep
///
/// What later points in time still need moves to the next increment that stays: `restore --at` any of those
/// brings the same as before. The newest complete increment always stays. A run does this by itself when the
/// profile has a retention.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Show what would go, why, and how much room it makes; remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Removes what the retention does not keep.
pub fn prune(args: &PruneArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let opened = args.which.open_folder(args.dry_run)?;
    let pruned = from(args, &opened);
    opened.close();
    let (increments, fates, plan) = pruned?;
    if args.json {
        crate::cli::output::print_json(
            &as_json(args.dry_run, &increments, &fates, &plan),
            false,
            out,
        )?;
    } else {
        print(args.dry_run, &increments, &fates, &plan, out)?;
    }
    Ok(Exit::Done)
}

type Pruned = (Vec<Increment>, Vec<Fate>, Plan);

fn from(args: &PruneArgs, opened: &Opened) -> Result<Pruned, CliError> {
    let Some(profile) = &opened.profile else {
        return Err(CliError::usage(
            "what is kept is said by a profile: name it with --profile or --config",
        ));
    };
    if profile.retention.is_off() {
        return Err(CliError::usage(format!(
            "the profile {0} keeps every increment. To change that add to {1}, for example:\n\"retention\": {{ \"keep_last\": 10, \"keep_daily\": 14, \"keep_weekly\": 8, \"keep_monthly\": 24 }}",
            profile.name,
            profile.file.display()
        )));
    }
    let fates_of = |index: &Index| removal::fates(index, &profile.retention, Timestamp::now());
    if args.dry_run {
        let (index, _) = Repository::read_index(&opened.tree).map_err(|e| failed(&e.into()))?;
        let fates = fates_of(&index);
        let plan = planned(opened, &index, &Wish::Increments(&removal::going(&fates)))?;
        return Ok((index.increments().to_vec(), fates, plan));
    }
    check_not_frozen(opened)?;
    let mut repository = open(opened)?;
    let increments = repository.index().increments().to_vec();
    let fates = fates_of(repository.index());
    let plan = carried_out(opened, &mut repository, &Wish::Increments(&removal::going(&fates)))?;
    Ok((increments, fates, plan))
}

/// Until the user has looked at a great change of the source, what is old may be all there is.
pub(super) fn check_not_frozen(opened: &Opened) -> Result<(), CliError> {
    let Some(profile) = &opened.profile else { return Ok(()) };
    if frozen::is_frozen(&dirs::state_dir(), &profile.name) {
        return Err(CliError::failed(format!(
            "the last backup was stopped since much of {} vanished or changed, so nothing old is removed now. Look at the source; if it is as it should be: bkm-agent run --profile {} --accept-mass-change",
            profile.source.display(),
            profile.name
        )));
    }
    Ok(())
}

/// What would be removed.
pub(super) fn planned(opened: &Opened, index: &Index, wish: &Wish<'_>) -> Result<Plan, CliError> {
    let tree = &opened.tree;
    let format = format::read(tree).map_err(|e| failed(&e.into()))?.unwrap_or_default();
    let stop = signals::stop_flag()?;
    removal::plan(tree, index, &format, wish, &stop).map_err(|e| failed(&e))
}

/// Opens the repository for writing.
pub(super) fn open(opened: &Opened) -> Result<Repository<'_>, CliError> {
    let missing = || RepositoryError::Missing(opened.tree.shown().to_owned());
    let repository = Repository::open(&opened.tree).map_err(|e| failed(&e.into()))?;
    repository.ok_or_else(|| failed(&missing().into()))
}

/// Removes it, also from what this computer keeps of the catalogs.
pub(super) fn carried_out(
    opened: &Opened,
    repository: &mut Repository<'_>,
    wish: &Wish<'_>,
) -> Result<Plan, CliError> {
    let stop = signals::stop_flag()?;
    let plan = removal::prune(repository, wish, &stop).map_err(|e| failed(&e))?;
    if let Some((profile, device)) = opened.remembered() {
        let (place, history) = (folder_of(profile), history_of(repository.index()));
        let catalogs = Catalogs::new(&dirs::state_dir());
        let new = New { history: &history, made: None };
        let kept = catalogs.keep(&profile.name, &device, &place, &opened.tree, &new, &stop);
        if let Err(error) = kept {
            crate::cli::output::say(&crate::text::error_chain::in_words(&error));
        }
    }
    Ok(plan)
}

pub(super) fn failed(e: &PruneError) -> CliError {
    let exit = match e {
        PruneError::Stopped => Exit::Stopped,
        PruneError::NoIncrement(_) => Exit::Usage,
        _ => Exit::Failed,
    };
    CliError::new(e, exit)
}

fn as_json(dry_run: bool, all: &[Increment], fates: &[Fate], plan: &Plan) -> serde_json::Value {
    let kept: Vec<_> = all
        .iter()
        .zip(fates)
        .filter(|(_, fate)| !fate.goes())
        .map(|(increment, fate)| {
            json!({
                "name": increment.name,
                "timestamp": increment.timestamp,
                "kept_by": fate.kept_by,
            })
        })
        .collect();
    json!({ "dry_run": dry_run, "removed": plan.going, "kept": kept, "frees": plan.frees })
}

fn print(
    dry_run: bool,
    all: &[Increment],
    fates: &[Fate],
    plan: &Plan,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    for (increment, fate) in all.iter().zip(fates) {
        let time = crate::text::sanitize::line(&increment.timestamp);
        let name = &increment.name;
        match plan.going.iter().find(|going| going.name == *name) {
            Some(going) => writeln!(out, "- {name}  {time}  no rule keeps it; {}", words(going))?,
            None => writeln!(out, "  {name}  {time}  kept: {}", fate.kept_by.join(", "))?,
        }
    }
    let count = human::count(plan.going.len() as u64, "increment", "increments");
    let size = human::size(plan.frees);
    if plan.going.is_empty() {
        writeln!(out, "Nothing to remove: each increment is kept by a rule.")?;
    } else if dry_run {
        writeln!(
            out,
            "{count} would be removed, which frees {size}; nothing was written (dry run)."
        )?;
    } else {
        writeln!(out, "{count} removed, {size} freed.")?;
    }
    Ok(())
}

/// What becomes of an increment's versions.
pub(super) fn words(going: &Going) -> String {
    let versions = |n| human::count(n, "version", "versions");
    let frees = human::size(going.frees);
    let dropped = format!("{} dropped, frees {frees}", versions(going.dropped));
    match &going.into {
        Some(into) if going.moved > 0 => {
            format!("{} moved to {into}, {dropped}", versions(going.moved))
        }
        _ => dropped,
    }
}
