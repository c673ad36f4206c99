//! What is asked to go, and the order in which it goes: plan, record, execute.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;

use crate::config::profile::Retention;
use crate::model::relpath::RelPath;
use crate::prune::error::PruneError;
use crate::prune::execute;
use crate::prune::plan::work::{Plan, Planner, What};
use crate::prune::retention::{self, Fate};
use crate::repository::catalog::document::Catalog;
use crate::repository::catalog::file::stage_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::format::Format;
use crate::repository::handle::Repository;
use crate::repository::index::contents::Index;
use crate::repository::index::prune::{Prune, Rewritten};
use crate::repository::layout;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;

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
    retention::fates(index.increments(), rules, now)
}

/// The increments that go.
pub fn going(fates: &[Fate]) -> BTreeSet<u64> {
    fates.iter().filter(|fate| fate.goes()).map(|fate| fate.sequence).collect()
}

/// Finds out what would be removed; writes nothing.
pub fn plan(
    tree: &crate::fs::tree::handle::Tree,
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
    crate::repository::staging::clear_stage(
        repository.tree(),
        crate::transaction::staged::is_part,
    )?;
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
    execute::carry_out(repository, prune, stop)
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
    crate::repository::staging::clear_stage(tree, crate::transaction::staged::is_part)?;
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
            crate::repository::staging::clear_stage(tree, crate::transaction::staged::is_part)?;
            repository.close_run(|_| execute::no_increment())?;
            return Err(e);
        }
    };
    execute::carry_out(repository, std::mem::take(&mut plan.prune), stop)?;
    Ok(plan)
}
