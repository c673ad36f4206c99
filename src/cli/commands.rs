//! Reads the command line, runs the command and ends with its exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::error::CliError;
use crate::cli::output::say;
use crate::cli::{
    check, daemon, delete, diff, drives, list, pair, prune, repair, restore, run, search, status,
    unpair, verify, versions, why,
};

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
