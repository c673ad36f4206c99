//! The exit codes, and an error as the command line shows it.

use std::error::Error;
use std::io;

use crate::text::error_chain::in_words;

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
    pub(crate) fn and(self, other: Self) -> Self {
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
    pub(crate) fn new(error: &dyn Error, exit: Exit) -> Self {
        Self { message: in_words(error), exit }
    }

    /// The user asked for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Usage }
    }

    /// It did not work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
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
