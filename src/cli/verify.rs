//! `verify`: whether everything on the drive is as it was backed up.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::locate::{Opened, Which};
use super::progress::Bar;
use super::{CliError, Exit, say, signals};
use crate::agent::memory::{self, Store};
use crate::backup::Monitor as _;
use crate::history::verify::{Check, Damage, Finding, Verified, VerifyError, verify_repository};
use crate::{human, state_dir};

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
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Verifies a repository.
pub fn verify(args: &VerifyArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let opened = args.which.open_folder(true)?;
    let verified = check(args, &opened);
    if let Ok((done, false)) = &verified
        && done.findings.is_empty()
        && !args.quick
        && let Some((profile, device)) = opened.remembered()
    {
        Store::new(&state_dir::state_dir()).update(&profile.name, &device, |memory| {
            memory.last_verified = Some(memory::now());
        });
    }
    let repository = opened.tree.shown().display().to_string();
    opened.close();
    let (done, _) = verified?;
    if args.json {
        print_json(args, &repository, &done, out)?;
    } else {
        print(args, &done, out)?;
    }
    Ok(if done.findings.is_empty() { Exit::Done } else { Exit::Problems })
}

fn check(args: &VerifyArgs, opened: &Opened) -> Result<(Verified, bool), CliError> {
    let stop = signals::stop_flag()?;
    let bar = Bar::new(!args.json);
    bar.begin("verifying", 0);
    let check = Check {
        quick: args.quick,
        stop: &stop,
        planned: &|bytes| bar.more(bytes),
        told: &|bytes| bar.copied(0, bytes),
    };
    let verified = verify_repository(&opened.tree, &check);
    bar.finish();
    verified.map_err(|e| {
        let exit = if matches!(e, VerifyError::Stopped) { Exit::Stopped } else { Exit::Failed };
        CliError::new(&e, exit)
    })
}

fn print_json(
    args: &VerifyArgs,
    repository: &str,
    done: &Verified,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let object = json!({
        "repository": repository,
        "quick": args.quick,
        "versions": done.versions,
        "bytes": done.bytes,
        "findings": done.findings,
        "notes": done.notes,
        "duration_s": done.duration_s,
    });
    Ok(writeln!(out, "{object}")?)
}

fn print(args: &VerifyArgs, done: &Verified, out: &mut dyn Write) -> Result<(), CliError> {
    let line = crate::sanitize::line;
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
    if done.findings.is_empty() {
        writeln!(out, "verified: {versions}, {size} {read}, in {time}")?;
    } else {
        let found = human::count(done.findings.len() as u64, "finding", "findings");
        writeln!(out, "{found} in {versions}, {size} {read}, in {time}")?;
        say(hint(done));
    }
    Ok(())
}

/// What helps.
fn hint(done: &Verified) -> &'static str {
    let of_records = |finding: &Finding| {
        finding.path.is_none() || matches!(finding.damage, Damage::Replaced | Damage::Unlisted)
    };
    let records = done.findings.iter().any(of_records);
    let content = !done.findings.iter().all(of_records);
    match (content, records) {
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
    let line = crate::sanitize::line;
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
