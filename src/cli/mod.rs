//! cli

pub mod daemon;
pub mod drives;
pub mod status;

use clap::Parser;

/// How the program ends. Stand-in.
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
}

#[derive(Debug, Parser)]
enum Command {
    Daemon(daemon::DaemonArgs),
    Drives(drives::DrivesArgs),
    Status(status::StatusArgs),
}

/// Runs the command line. Stand-in.
pub fn main() -> std::process::ExitCode {
    let mut out = std::io::stdout().lock();
    let exit = match Command::parse() {
        Command::Daemon(args) => Ok(daemon::daemon(&args)),
        Command::Drives(args) => drives::drives(&args, &mut out),
        Command::Status(args) => status::status(&args, &mut out),
    };
    std::process::ExitCode::from(exit.unwrap_or(Exit::Failed) as u8)
}
