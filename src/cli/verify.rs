//! `verify`: whether everything on the drive is as it was backed up.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde_json::json;

use crate::backup::options::Monitor as _;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::say;
use crate::cli::progress::Bar;
use crate::cli::signals;
use crate::cli::target::{Opened, Which};
use crate::host::dirs;
use crate::integrity::heal::{HealError, heal as heal_versions, heal_folders};
use crate::integrity::verify::error::VerifyError;
use crate::integrity::verify::finding::{Damage, Finding, Verified};
use crate::integrity::verify::options::Check;
use crate::integrity::verify::prove::{Proven, record};
use crate::integrity::verify::run::{self, verify_repository};
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::source::open::Source;
use crate::state::memory::{self, Store};
use crate::text::error_chain::in_words;
use crate::text::human;

/// How many findings and notes are printed each; JSON has all.
const SHOWN: usize = 50;

/// Check that every version on the drive is there and is what was backed up
///
/// Reads every file once and compares its hash with the recorded one. No backup to the same repository
/// can run meanwhile.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Compare presence and sizes only; read no content
    #[arg(long)]
    quick: bool,
    /// Bring back what is damaged or missing, from another sound copy on the drive or from the source
    #[arg(long, conflicts_with = "quick")]
    heal: bool,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Outcome {
    done: Verified,
    /// Whether all of the repository was looked at.
    whole: bool,
    healed: usize,
}

/// Verifies a repository.
pub fn verify(args: &VerifyArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let opened = args.which.open_folder(!args.heal)?;
    let verified = with_bar(args, &opened);
    if let Ok(Outcome { done, whole: true, .. }) = &verified
        && done.findings.is_empty()
        && !args.quick
        && let Some((profile, device)) = opened.remembered()
    {
        Store::new(&dirs::state_dir()).update(&profile.name, &device, |memory| {
            memory.last_verified = Some(memory::now());
        });
    }
    let repository = opened.tree.shown().display().to_string();
    opened.close();
    let mut outcome = verified?;
    if !outcome.done.proven.is_empty() {
        let note = recorded(args, &outcome.done.proven);
        outcome.done.notes.push(note);
    }
    if args.json {
        print_json(args, &repository, &outcome, out)?;
    } else {
        print(args, &outcome, out)?;
    }
    Ok(if outcome.done.findings.is_empty() { Exit::Done } else { Exit::Problems })
}

/// Writes down the hashes of what the Python tool left without; says what came of it. What was mounted for
/// reading is mounted anew for that.
fn recorded(args: &VerifyArgs, proven: &[Proven]) -> String {
    let stop = AtomicBool::new(false);
    let written = args.which.open_folder(false).and_then(|opened| {
        let written =
            record(&opened.tree, proven, &stop).map_err(|e| CliError::new(&e, Exit::Failed));
        opened.close();
        written
    });
    let count = |n| human::count(n, "version", "versions");
    match written {
        Ok(n) => format!("{} of the Python backup-manager are proven from now on", count(n)),
        Err(e) => {
            let n = count(proven.len() as u64);
            format!(
                "the hashes of {n} of the Python backup-manager were not written down: {}",
                e.message
            )
        }
    }
}

fn with_bar(args: &VerifyArgs, opened: &Opened) -> Result<Outcome, CliError> {
    let stop = signals::stop_flag()?;
    let bar = Bar::new(!args.json);
    bar.begin("verifying", 0);
    let check = Check {
        quick: args.quick,
        stop: &stop,
        planned: &|bytes| bar.more(bytes),
        told: &|bytes| bar.copied(0, bytes),
    };
    let verified = if args.heal {
        heal(opened, &check, &bar)
    } else {
        verify_repository(&opened.tree, &check)
            .map(|(done, unclosed)| Outcome { done, whole: !unclosed, healed: 0 })
            .map_err(|e| verify_error(&e))
    };
    bar.finish();
    verified
}

/// Verifies, and brings back what can be.
fn heal(opened: &Opened, check: &Check<'_>, bar: &Bar) -> Result<Outcome, CliError> {
    let failed = |e: RepositoryError| CliError::new(&e, Exit::Failed);
    let missing = || RepositoryError::Missing(opened.tree.shown().to_owned());
    let repository = Repository::open(&opened.tree).map_err(failed)?;
    let mut repository = repository.ok_or_else(|| failed(missing()))?;
    if repository.index().is_unclosed() {
        return Err(CliError::new(&HealError::Unclosed, Exit::Failed));
    }
    let keeping = repository.format().keeps_versions;
    let (tree, none) = (repository.tree(), BTreeSet::new());
    let mut done = run::verify(tree, repository.index(), keeping, &none, check)
        .map_err(|e| verify_error(&e))?;
    let source = opened.profile.as_ref().and_then(|profile| {
        let source = Source::open(&profile.source);
        source.inspect_err(|e| done.notes.push(in_words(e))).ok()
    });
    let (damaged, made_up): (Vec<_>, Vec<_>) =
        std::mem::take(&mut done.damaged).into_iter().unzip();
    let (folders, found): (Vec<_>, Vec<_>) = std::mem::take(&mut done.folders)
        .into_iter()
        .map(|(place, mode, finding)| ((place, mode), finding))
        .unzip();
    bar.begin("healing", damaged.iter().map(|version| version.size).sum());
    let heal_error = |e: HealError| {
        let exit = if matches!(e, HealError::Stopped) { Exit::Stopped } else { Exit::Failed };
        CliError::new(&e, exit)
    };
    if !folders.is_empty() {
        heal_folders(tree, &folders).map_err(heal_error)?;
    }
    let mut over: BTreeSet<usize> = found.into_iter().collect();
    if !damaged.is_empty() {
        let healed =
            heal_versions(&mut repository, &damaged, source.as_ref(), check.stop, check.told)
                .map_err(heal_error)?;
        over.extend(healed.iter().zip(made_up).filter(|(healed, _)| **healed).flat_map(|(_, f)| f));
    }
    let findings = std::mem::take(&mut done.findings).into_iter().enumerate();
    done.findings = findings.filter(|(at, _)| !over.contains(at)).map(|(_, f)| f).collect();
    Ok(Outcome { done, whole: true, healed: over.len() })
}

fn verify_error(e: &VerifyError) -> CliError {
    let exit = if matches!(e, VerifyError::Stopped) { Exit::Stopped } else { Exit::Failed };
    CliError::new(e, exit)
}

fn print_json(
    args: &VerifyArgs,
    repository: &str,
    outcome: &Outcome,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let done = &outcome.done;
    let object = json!({
        "repository": repository,
        "quick": args.quick,
        "versions": done.versions,
        "bytes": done.bytes,
        "healed": outcome.healed,
        "proven": done.proven.len(),
        "findings": done.findings,
        "notes": done.notes,
        "duration_s": done.duration_s,
    });
    Ok(writeln!(out, "{object}")?)
}

fn print(args: &VerifyArgs, outcome: &Outcome, out: &mut dyn Write) -> Result<(), CliError> {
    let done = &outcome.done;
    let line = crate::text::sanitize::line;
    for finding in done.findings.iter().take(SHOWN) {
        writeln!(out, "{}", words(finding))?;
    }
    if let Some(more) = done.findings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "… and {more} more (--json shows all)")?;
    }
    for note in done.notes.iter().take(SHOWN) {
        writeln!(out, "note: {}", line(note))?;
    }
    if let Some(more) = done.notes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "note: … and {more} more (--json shows all)")?;
    }
    let versions = human::count(done.versions, "version", "versions");
    let (size, time) = (human::size(done.bytes), human::duration(done.duration_s));
    let read = if args.quick { "by presence and size" } else { "read" };
    if outcome.healed > 0 {
        let healed = human::count(outcome.healed as u64, "finding", "findings");
        writeln!(out, "healed: {healed}")?;
    }
    if done.findings.is_empty() {
        writeln!(out, "verified: {versions}, {size} {read}, in {time}")?;
    } else {
        let found = human::count(done.findings.len() as u64, "finding", "findings");
        writeln!(out, "{found} in {versions}, {size} {read}, in {time}")?;
        say(hint(args, done));
    }
    Ok(())
}

/// What helps.
fn hint(args: &VerifyArgs, done: &Verified) -> &'static str {
    let of_records = |finding: &Finding| {
        finding.path.is_none() || matches!(finding.damage, Damage::Replaced | Damage::Unlisted)
    };
    let records = done.findings.iter().any(of_records);
    let content = !done.findings.iter().all(of_records);
    match (content, records) {
        (true, _) if args.heal => {
            "what is left has no other sound copy, neither on the drive nor in the source; `bkm-agent \
             list --detailed` and other backups may help"
        }
        (_, false) => {
            "`bkm-agent verify --heal` brings back what has another sound copy, on the drive or in \
             the source"
        }
        (false, true) => "`bkm-agent repair` brings the records in line with what is on the drive",
        (true, true) => {
            "`bkm-agent repair` brings the records in line with what is on the drive; then \
             `bkm-agent verify --heal` brings back what has another sound copy"
        }
    }
}

/// One finding on one line.
fn words(finding: &Finding) -> String {
    let line = crate::text::sanitize::line;
    let damage = match finding.damage {
        Damage::Damaged => "damaged",
        Damage::Missing => "missing",
        Damage::Unreadable => "unreadable",
        Damage::Replaced => "replaced",
        Damage::Unlisted => "unlisted",
    };
    let increment = finding.increment.as_deref().unwrap_or("mirror");
    let what = match &finding.path {
        Some(path) => format!("{path} in {}", line(increment)),
        None => line(increment),
    };
    let place = line(&finding.place.to_string_lossy());
    let shared = if finding.shared_with.is_empty() {
        String::new()
    } else {
        format!("; the same file in {}", line(&finding.shared_with.join(", ")))
    };
    format!("{damage:10} {what} ({place}): {}{shared}", line(&finding.reason))
}
