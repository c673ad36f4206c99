//! Removes increments that the profile's retention does not keep, and versions that somebody wants gone.
//!
//! What later points in time still need moves to the next increment that stays, every reference to what goes is
//! written anew, and `restore --at` any increment that stays brings the same as before. Never the newest complete
//! increment goes. All of it is one record in the index before the first file moves, so that one that was cut off
//! is finished by the next run (`carry_out`, and where the drive has no journal `torn`).

pub(super) mod carry_out;
pub mod keep;
mod merge;
mod plan;
pub(super) mod torn;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;

use crate::config::Retention;
use crate::drive::tree::TreeError;
use crate::relpath::RelPath;
use crate::repository::catalog::Catalog;
use crate::repository::format::{Format, Keeping};
use crate::repository::index::{Index, Prune, Rewritten};
use crate::repository::{Repository, RepositoryError, Status, layout, stage_catalog};
use keep::Fate;
pub use plan::{Going, Plan};
use plan::{Planner, What};

/// Why nothing is removed, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A file that no record knows.
    #[error(
        "{} was not put there by the backup, and would be removed with the increment: move it elsewhere, then try again",
        crate::sanitize::line(&.0.to_string_lossy())
    )]
    Stranger(PathBuf),
    /// A version that is not what was backed up.
    #[error(
        "{} is not what the records say; nothing was removed. `bkm-agent verify` says more",
        crate::sanitize::line(&.0.to_string_lossy())
    )]
    Damaged(PathBuf),
    /// A run has to be ended first.
    #[error(
        "an interrupted backup has to be ended before anything is removed: `bkm-agent run` does it"
    )]
    Unclosed,
    /// Removing would use space that an unclean end left in doubt.
    #[error(
        "the drive was pulled out during a backup; until its file system is checked nothing is removed: unmount it and run `sudo fsck -a` on it, then `sudo bkm-agent run --device` with it"
    )]
    Unchecked,
    /// No increment has this name.
    #[error("there is no increment {0} (see `bkm-agent list`)")]
    NoIncrement(String),
    /// The increment lists no such path.
    #[error(
        "nothing in it matches{}",
        if *.current { "; versions that the newest increment brought are what the source has: exclude or delete them there, and back up, before they can be deleted here" } else { "" }
    )]
    NothingMatches {
        /// Whether it is the newest one, of which only deleted files can go.
        current: bool,
    },
    /// The newest complete increment stays.
    #[error("the newest increment cannot be removed")]
    Newest,
    /// Told to stop.
    #[error("stopped; the next run finishes what was begun")]
    Stopped,
    /// An operation on the drive failed, or its records cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<TreeError> for PruneError {
    fn from(e: TreeError) -> Self {
        Self::Repository(e.into())
    }
}

/// What is removed.
#[derive(Clone, Copy)]
pub enum Wish<'a> {
    /// Whole increments, by sequence.
    Increments(&'a BTreeSet<u64>),
    /// The versions of an increment, by its name, at the paths that are selected.
    Versions(&'a str, &'a dyn Fn(&RelPath) -> bool),
}

/// What becomes of each increment that `index` lists under the rules, at the time `now`.
pub fn fates(index: &Index, rules: &Retention, now: Timestamp) -> Vec<Fate> {
    keep::fates(index.increments(), rules, now)
}

/// The increments that go.
pub fn going(fates: &[Fate]) -> BTreeSet<u64> {
    fates.iter().filter(|fate| fate.goes()).map(|fate| fate.sequence).collect()
}

/// Finds out what would be removed; writes nothing.
pub fn plan(
    tree: &crate::drive::tree::Tree,
    index: &Index,
    format: &Format,
    wish: &Wish<'_>,
    stop: &AtomicBool,
) -> Result<Plan, PruneError> {
    if index.is_unclosed() {
        return Err(PruneError::Unclosed);
    }
    planned(&Planner { tree, index, format, stages: false, stop }, wish)
}

fn planned(planner: &Planner<'_>, wish: &Wish<'_>) -> Result<Plan, PruneError> {
    let increments = planner.index.increments();
    match wish {
        Wish::Increments(going) => {
            let newest = increments.iter().rev().find(|i| i.status == Status::Complete);
            if newest.is_some_and(|newest| going.contains(&newest.sequence)) {
                return Err(PruneError::Newest);
            }
            planner.plan(&What::Increments(going))
        }
        Wish::Versions(name, selects) => {
            let increment = increments.iter().find(|i| i.name == *name);
            let increment = increment.ok_or_else(|| PruneError::NoIncrement((*name).to_owned()))?;
            planner.plan(&What::Versions(increment.sequence, selects))
        }
    }
}

/// Writes catalogs anew and removes nothing: with a record in the index, so that what is made of catalogs
/// follows. An increment that `catalogs` name and the index does not is passed over.
pub fn rewrite(
    repository: &mut Repository<'_>,
    catalogs: &[Catalog],
    stop: &AtomicBool,
) -> Result<(), PruneError> {
    if repository.index().is_unclosed() {
        return Err(PruneError::Unclosed);
    }
    crate::repository::clear_stage(repository.tree(), super::stage::is_part)?;
    repository.begin_run()?;
    let done = rewritten(repository, catalogs, stop);
    let failing = |e: &PruneError| matches!(e, PruneError::Repository(RepositoryError::Drive(e)) if !e.is(rustix::io::Errno::NOSPC));
    // An error of the drive is told once; a later sync says nothing of what was lost with it.
    if done.as_ref().is_err_and(|e| !failing(e)) {
        let _settled = repository.settle();
    }
    done
}

fn rewritten(
    repository: &mut Repository<'_>,
    catalogs: &[Catalog],
    stop: &AtomicBool,
) -> Result<(), PruneError> {
    let tree = repository.tree();
    let mut prune = Prune::default();
    for catalog in catalogs {
        let sequence = catalog.sequence;
        let stage = format!("catalog-{sequence}");
        let (size, hash) = stage_catalog(tree, &layout::staged(&stage), catalog)?;
        if repository.format().keeps_versions == Keeping::Displace {
            stage_catalog(tree, &layout::staged(&Rewritten::spare(&stage)), catalog)?;
        }
        prune.rewritten.push(Rewritten { sequence, stage, size, hash });
    }
    carry_out::carry_out(repository, prune, stop)
}

/// Removes what `wish` says. One that was cut off is finished by the next run.
pub fn prune(
    repository: &mut Repository<'_>,
    wish: &Wish<'_>,
    stop: &AtomicBool,
) -> Result<Plan, PruneError> {
    if matches!(wish, Wish::Increments(going) if going.is_empty()) {
        return Ok(Plan::default());
    }
    if repository.index().is_unclosed() {
        return Err(PruneError::Unclosed);
    }
    let tree = repository.tree();
    if repository.format().keeps_versions == Keeping::Displace {
        let names = tree.list(Path::new(layout::META), 100_000)?;
        if names.iter().any(|name| name.to_string_lossy().starts_with(layout::UNCHECKED)) {
            return Err(PruneError::Unchecked);
        }
    }
    crate::repository::clear_stage(tree, super::stage::is_part)?;
    repository.begin_run()?;
    let done = carried_out(repository, wish, stop);
    if done.is_err() {
        // Where that fails as well, the next run takes what was in flight for torn.
        let _settled = repository.settle();
    }
    done
}

fn carried_out(
    repository: &mut Repository<'_>,
    wish: &Wish<'_>,
    stop: &AtomicBool,
) -> Result<Plan, PruneError> {
    let (tree, format) = (repository.tree(), repository.format().clone());
    let planner = Planner { tree, index: repository.index(), format: &format, stages: true, stop };
    let mut plan = match planned(&planner, wish) {
        Ok(plan) => plan,
        Err(e) => {
            // Nothing is in flight but what was staged.
            crate::repository::clear_stage(tree, super::stage::is_part)?;
            repository.close_run(|_| carry_out::no_increment())?;
            return Err(e);
        }
    };
    carry_out::carry_out(repository, std::mem::take(&mut plan.prune), stop)?;
    Ok(plan)
}

/// The staging name of what made room for what was staged as `name`.
fn replaced(name: &str) -> String {
    format!("{name}-replaced")
}
