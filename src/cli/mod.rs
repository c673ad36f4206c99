//! The command line: one file per command. Parses, calls, prints; nothing else of the program prints.

mod bar;
pub mod check;
pub mod daemon;
pub mod delete;
pub mod diff;
pub mod drives;
mod file_system;
pub mod list;
mod locate;
mod new_profile;
mod paint;
pub mod pair;
mod passphrase;
mod progress;
mod prometheus;
pub mod prune;
pub mod repair;
pub mod restore;
mod restored;
pub mod run;
pub mod search;
mod shelf;
mod signals;
mod source_path;
pub mod status;
pub mod unpair;
pub mod verify;
pub mod versions;
pub mod why;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::in_words::in_words;

/// How the program ends; the numbers are documented in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Done with problems.
    Problems = 3,
    /// Stopped by Ctrl-C or SIGTERM at a safe point (128 + SIGINT, as shells do).
    Stopped = 130,
}

impl Exit {
    /// What this and `other` come to together: the worse of the two.
    fn and(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Done => 0,
            Self::Problems => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Stopped => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// For the user.
    pub message: String,
    /// How the program ends.
    pub exit: Exit,
}

impl CliError {
    /// An error of the library, with its causes.
    fn new(error: &dyn Error, exit: Exit) -> Self {
        Self { message: in_words(error), exit }
    }

    /// The user asked for something that cannot be.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Usage }
    }

    /// It did not work.
    fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Failed }
    }
}

impl From<io::Error> for CliError {
    /// An error of printing; a reader that went away (`| head`) is none.
    fn from(error: io::Error) -> Self {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        let message = if gone { String::new() } else { format!("cannot print: {error}") };
        Self { message, exit: if gone { Exit::Done } else { Exit::Failed } }
    }
}

/// Plug in a drive and the backup starts by itself.
#[derive(Debug, Parser)]
#[command(name = "bkm-agent", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Daemon(daemon::DaemonArgs),
    Run(run::RunArgs),
    List(list::ListArgs),
    Diff(diff::DiffArgs),
    Search(search::SearchArgs),
    Versions(versions::VersionsArgs),
    Restore(restore::RestoreArgs),
    Verify(verify::VerifyArgs),
    Prune(prune::PruneArgs),
    Delete(delete::DeleteArgs),
    Repair(repair::RepairArgs),
    Status(status::StatusArgs),
    Why(why::WhyArgs),
    Drives(drives::DrivesArgs),
    Pair(pair::PairArgs),
    Unpair(unpair::UnpairArgs),
    Check(check::CheckArgs),
}

/// Runs the command line: prints results to standard output and errors to standard error.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = io::stdout().lock();
    let ended = match &arguments.command {
        Command::Daemon(args) => Ok(daemon::daemon(args)),
        Command::Run(args) => run::run(args, &mut out),
        Command::List(args) => list::list(args, &mut out),
        Command::Diff(args) => diff::diff(args, &mut out),
        Command::Search(args) => search::search(args, &mut out),
        Command::Versions(args) => versions::versions(args, &mut out),
        Command::Restore(args) => restore::restore(args, &mut out),
        Command::Verify(args) => verify::verify(args, &mut out),
        Command::Prune(args) => prune::prune(args, &mut out),
        Command::Delete(args) => delete::delete(args, &mut out),
        Command::Repair(args) => repair::repair(args, &mut out),
        Command::Status(args) => status::status(args, &mut out).map_err(CliError::from),
        Command::Why(args) => why::why(args, &mut out),
        Command::Drives(args) => drives::drives(args, &mut out).map_err(CliError::from),
        Command::Pair(args) => pair::pair(args, &mut out),
        Command::Unpair(args) => unpair::unpair(args, &mut out),
        Command::Check(args) => check::check(args, &mut out),
    };
    let exit = match ended.and_then(|exit| Ok(out.flush().map(|()| exit)?)) {
        Ok(exit) => exit,
        Err(error) => {
            say(&error.message);
            error.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Prints a value as JSON and a line break.
fn print_json(value: &impl serde::Serialize, pretty: bool, out: &mut dyn Write) -> io::Result<()> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    writeln!(out, "{}", crate::sanitize::json(&text?))
}

/// Says something to the person at the keyboard, beside the results.
fn say(message: &str) {
    if !message.is_empty() {
        // Nobody is left to be told that standard error is closed.
        drop(writeln!(io::stderr(), "bkm-agent: {message}"));
    }
}
