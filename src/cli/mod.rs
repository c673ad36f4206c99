//! The command line: one file per command. Parses, calls, prints; nothing else of the program does.

pub mod check;

/// How the program ends.
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

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// For the user.
    pub message: String,
    /// How the program ends.
    pub exit: Exit,
}

/// Runs the command line.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
