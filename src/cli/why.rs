//! `bkm-agent why`: what the last plug-in came to, step by step, and what to do about it.
//!
//! It reads what the agent kept of the last plug-ins, or replays a recording of one; it looks at no drive
//! but for its node's name.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::agent::attach_log::{Record, Step, Trail};
use crate::agent::lock;
use crate::agent::replay::{Known, replay};
use crate::agent::state::{Mark, WAY};
use crate::cli::error::{CliError, Exit};
use crate::cli::target::{named_profiles, pairings};
use crate::config::profile::drive_of;
use crate::drive::capture;
use crate::drive::device::Device;
use crate::host::dirs;
use crate::pairing::wanted::wanted;
use crate::state::memory::Store;
use crate::text::sanitize::line;

/// The largest recording that is read, in bytes; one of a plug-in has some 20 kB.
const MAX_RECORDING: u64 = 16 << 20;

/// Say why the last plug-in did or did not start a backup
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The drive: its node (/dev/sdb1), label or UUID; without it, the last one that was plugged in
    #[arg(value_name = "DEV")]
    pub device: Option<String>,
    /// Replay a recording of `udevadm monitor --udev --property` with your profiles, without any drive
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    pub replay: Option<PathBuf>,
    /// With --replay: only the profile with this name
    #[arg(long, value_name = "NAME", requires = "replay", conflicts_with = "config")]
    pub profile: Option<String>,
    /// With --replay: the profile in this file
    #[arg(long, value_name = "FILE", requires = "replay")]
    pub config: Option<PathBuf>,
    /// Print a JSON array with one object per plug-in
    #[arg(long)]
    pub json: bool,
}

/// Prints the checklist of the last plug-in, or of those in a recording.
pub fn why(args: &WhyArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let records = match &args.replay {
        Some(file) => replayed(args, file)?,
        None => vec![last(args.device.as_deref())?],
    };
    if args.json {
        let shown: Vec<_> = records.iter().map(as_json).collect();
        crate::cli::output::print_json(&shown, true, out)?;
        return Ok(Exit::Done);
    }
    for record in &records {
        print(record, out)?;
    }
    if args.replay.is_none() && !lock::is_held(&dirs::state_dir()) {
        writeln!(out, "{NOT_RUNNING}")?;
    }
    Ok(Exit::Done)
}

const NOT_RUNNING: &str =
    "The agent is not running now: systemctl --user start bkm-agent (or: bkm-agent daemon)";

/// The last plug-in of the drive that is named, or of any.
fn last(named: Option<&str>) -> Result<Record, CliError> {
    let trail = Trail::load(&dirs::state_dir());
    let found = if let Some(named) = named {
        // `/dev/disk/by-label/X` leads to a node.
        let node = std::fs::canonicalize(named).unwrap_or_default();
        trail.records().rfind(|record| is_named(record, named, &node))
    } else {
        let mut latest = trail.records().rev();
        latest.find(|r| r.matters()).or_else(|| trail.records().next_back())
    };
    found.cloned().ok_or_else(|| {
        let running = lock::is_held(&dirs::state_dir());
        let what = match (named, running) {
            (_, false) => {
                return CliError::failed(format!(
                    "the agent has seen no such drive, and it is not running. {NOT_RUNNING}"
                ));
            }
            (Some(named), true) => match Device::from_node(Path::new(named)) {
                Ok(device) if !device.has_file_system() && !device.is_luks() => format!(
                    "{}: no file system is on it that is known here; \
                     a partition of it may have one (bkm-agent drives lists them)",
                    line(named)
                ),
                Ok(_) => format!("{}: the agent was not told of it by udev", line(named)),
                Err(error) => crate::text::error_chain::in_words(&error),
            },
            (None, true) => {
                "the agent has seen no drive yet: plug one in; if it is, `lsblk -f` shows whether \
                 the computer sees it"
                    .to_owned()
            }
        };
        CliError::failed(what)
    })
}

fn is_named(record: &Record, named: &str, node: &Path) -> bool {
    record.node == named
        || (!record.node.is_empty() && Path::new(&record.node) == node)
        || record.label.as_deref() == Some(named)
        || record.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(named))
}

/// What would become of the plug-ins of a recording.
fn replayed(args: &WhyArgs, file: &Path) -> Result<Vec<Record>, CliError> {
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| {
        CliError::failed(format!("{}: cannot be read: {error}", file.display()))
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(MAX_RECORDING).read_to_end(&mut bytes).map_err(unreadable)?;
    let events = capture::parse(&String::from_utf8_lossy(&bytes))
        .map_err(|error| CliError::usage(format!("{}: {error}", file.display())))?;
    let (profiles, _) = named_profiles(args.profile.as_deref(), args.config.as_deref())?;
    let profiles: Vec<_> = profiles.into_iter().filter(|p| drive_of(p).is_some()).collect();
    let (store, pairings) = (Store::new(&dirs::state_dir()), pairings());
    let known = Known {
        profiles: &profiles,
        wanted: &|profile, device| wanted(profile, device, &pairings),
        last_complete: &|profile, device| store.load(profile, device).completed_at(),
    };
    Ok(replay(&events, &known))
}

/// The steps with which the way of a profile, or of the drive as such, ended badly: those that no complete
/// backup follows.
fn bad_ends(record: &Record) -> Vec<&Step> {
    let decides = |step: &&Step| step.mark == Mark::Out || step.state == "flushed";
    let mut ends: Vec<&Step> = Vec::new();
    for step in record.steps.iter().filter(decides) {
        ends.retain(|end| end.profile != step.profile);
        ends.push(step);
    }
    ends.retain(|end| end.mark == Mark::Out);
    ends
}

/// What it comes to.
fn conclusion(record: &Record) -> &'static str {
    let last = record.steps.iter().rfind(|step| step.state != "unplugged");
    let is_backed_up = record.steps.iter().any(|step| step.state == "flushed");
    let is_last = |word: &str| last.is_some_and(|step| step.state.starts_with(word));
    match (is_backed_up, bad_ends(record).is_empty()) {
        _ if last.is_none() => "Nothing is known of it.",
        _ if last.is_some_and(|step| step.mark == Mark::Waiting) => "The backup waits.",
        (false, false) => "No backup was made.",
        (true, false) => "Not everything went well.",
        (false, true) => "It is under way.",
        (true, true) if is_last("safe to remove") => "It was backed up, and could be pulled.",
        (true, true) if is_last("finished") => {
            "It was backed up, and had to be ejected before it was pulled."
        }
        (true, true) => "It was backed up.",
    }
}

/// Steps of the way that were not reached, where it ended before.
fn not_reached(record: &Record) -> Vec<&'static str> {
    let reached = |word: &str| record.steps.iter().any(|step| step.state == word);
    if record.steps.iter().any(|step| step.state.starts_with("finished")) {
        return Vec::new();
    }
    let last = WAY.iter().rposition(|word| reached(word)).map_or(0, |at| at + 1);
    WAY.iter().skip(last).copied().collect()
}

fn print(record: &Record, out: &mut dyn Write) -> Result<(), CliError> {
    let label = record.label.as_deref().map_or(String::new(), |label| format!(" \"{label}\""));
    let was = if record.at_start { "there when the agent started" } else { "plugged in" };
    writeln!(out, "{}, {was} {}", line(&format!("{}{label}", record.node)), line(&record.since))?;
    for step in &record.steps {
        let sign = match step.mark {
            Mark::Passed => '✓',
            Mark::Waiting => '…',
            Mark::Out => '✗',
        };
        let text = said(step);
        let colon = if text.is_empty() { "" } else { ": " };
        writeln!(out, "  {sign} {}{colon}{text}", line(&step.state))?;
    }
    let rest = not_reached(record);
    if !rest.is_empty() {
        writeln!(out, "  - not reached: {}", rest.join(", "))?;
    }
    writeln!(out, "{}", conclusion(record))?;
    let waits = record.steps.last().filter(|step| step.mark == Mark::Waiting);
    for step in bad_ends(record).into_iter().chain(waits) {
        if let Some(remedy) = &step.remedy {
            writeln!(out, "What to do: {}", line(remedy))?;
        }
    }
    Ok(())
}

fn said(step: &Step) -> String {
    let profile = step.profile.as_deref().map(line);
    match (profile, line(&step.detail)) {
        (Some(profile), detail) if detail.is_empty() => profile,
        (Some(profile), detail) => format!("{profile}, {detail}"),
        (None, detail) => detail,
    }
}

fn as_json(record: &Record) -> serde_json::Value {
    json!({
        "device": record.node,
        "label": record.label,
        "uuid": record.uuid,
        "since": record.since,
        "at_start": record.at_start,
        "steps": record.steps,
        "not_reached": not_reached(record),
        "conclusion": conclusion(record),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::event::AttachId;
    use crate::agent::state::State;

    /// States with the profile that each is of, what they come to, and how many bad ends that are.
    type Case<'a> = (&'a [(Option<&'a str>, State)], &'a str, usize);

    #[test]
    fn what_it_comes_to_is_decided_by_each_profiles_end() {
        let refused = || State::Refused { why: "a copy".to_owned(), remedy: "pair it".to_owned() };
        let flushed = || State::Flushed(String::new());
        let failed = || State::Failed(String::new());
        let cases: [Case<'_>; 7] = [
            (&[(Some("a"), refused()), (None, State::SafeToRemove)], "No backup was made.", 1),
            (
                &[(Some("a"), flushed()), (None, State::SafeToRemove)],
                "It was backed up, and could be pulled.",
                0,
            ),
            (
                &[(Some("a"), State::NotDue(String::new())), (Some("a"), flushed())],
                "It was backed up.",
                0,
            ),
            (
                &[(Some("a"), refused()), (Some("b"), flushed()), (None, State::SafeToRemove)],
                "Not everything went well.",
                1,
            ),
            (&[(None, failed()), (None, State::Removed)], "No backup was made.", 1),
            (
                &[(Some("a"), State::Due(String::new())), (None, State::NotAuthorised)],
                "The backup waits.",
                0,
            ),
            (&[(Some("a"), State::Copying)], "It is under way.", 0),
        ];
        for (states, words, bad) in cases {
            let mut record = Record::new(AttachId(1), &Device::default(), false);
            for (profile, state) in states {
                record.add(*profile, state);
            }
            assert_eq!(conclusion(&record), words, "{states:?}");
            assert_eq!(bad_ends(&record).len(), bad, "{states:?}");
        }
    }
}
