//! `repair`: rebuilds the records of a repository from the files on the drive.

use std::io::Write;

use clap::Args;

use crate::backup::options::Monitor as _;
use crate::cli::error::{CliError, Exit};
use crate::cli::progress::Bar;
use crate::cli::signals;
use crate::cli::target::Which;
use crate::integrity::repair::error::RepairError;
use crate::integrity::repair::repairer::Tools;
use crate::integrity::repair::run::repair as repair_records;
use crate::text::human;

/// How many lines of a kind are printed; JSON has all.
const SHOWN: usize = 50;

/// Rebuild lost or broken records from the files on the drive
///
/// For a repository that other commands call damaged, or whose files were copied, edited or removed by
/// hand. No file of the backup is changed; the records before are kept in .bkm until the next repair.
#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Repairs a repository.
pub fn repair(args: &RepairArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let opened = args.which.open_folder(false)?;
    let repaired = signals::stop_flag().and_then(|stop| {
        let bar = Bar::new(!args.json);
        bar.begin("reading", 0);
        let tools = Tools {
            stop: &stop,
            planned: &|bytes| bar.more(bytes),
            told: &|bytes| bar.copied(0, bytes),
        };
        let repaired = repair_records(&opened.tree, &tools);
        bar.finish();
        repaired.map_err(|e| {
            let exit = if matches!(e, RepairError::Stopped) { Exit::Stopped } else { Exit::Failed };
            CliError::new(&e, exit)
        })
    });
    opened.close();
    let repaired = repaired?;
    let exit = if repaired.problems.is_empty() { Exit::Done } else { Exit::Problems };
    if args.json {
        let text = serde_json::to_string(&repaired).map_err(|e| CliError::new(&e, Exit::Failed))?;
        writeln!(out, "{text}")?;
        return Ok(exit);
    }
    lines("", &repaired.done, out)?;
    lines("problem: ", &repaired.problems, out)?;
    lines("note: ", &repaired.notes, out)?;
    let problems = human::count(repaired.problems.len() as u64, "problem", "problems");
    match (repaired.done.is_empty(), exit) {
        (true, _) => writeln!(out, "nothing to repair: the records are in line with the drive")?,
        (false, Exit::Done) => {
            writeln!(out, "repaired; `bkm-agent verify` checks the content of all versions")?;
        }
        (false, _) => {
            writeln!(out, "repaired, with {problems}; what is on the drive is as it was")?;
        }
    }
    Ok(exit)
}

fn lines(before: &str, lines: &[String], out: &mut dyn Write) -> Result<(), CliError> {
    for line in lines.iter().take(SHOWN) {
        writeln!(out, "{before}{}", crate::text::sanitize::line(line))?;
    }
    if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "{before}… and {more} more (--json shows all)")?;
    }
    Ok(())
}
