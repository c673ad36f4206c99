//! Asks for a passphrase, without showing it.
//!
//! From the terminal, or where standard input is none, its first line: for scripts.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::error::CliError;
use crate::desktop::secrets::Passphrase;
use crate::drive::device::Device;

/// The terminal shows again what is typed when this is dropped.
struct Hidden(Termios);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The passphrase of `container`.
pub(super) fn ask(container: &Device) -> Result<Passphrase, CliError> {
    let failed = |error: io::Error| CliError::failed(format!("no passphrase was read: {error}"));
    let hidden = if io::stdin().is_terminal() {
        write!(io::stderr(), "Passphrase of {}: ", container.name())?;
        Some(hide().map_err(failed)?)
    } else {
        None
    };
    let mut typed = Vec::new();
    io::stdin().lock().read_until(b'\n', &mut typed).map_err(failed)?;
    if hidden.is_some() {
        drop(hidden);
        writeln!(io::stderr())?;
    }
    if typed.last() == Some(&b'\n') {
        typed.pop();
    }
    if typed.is_empty() {
        return Err(CliError::usage("no passphrase was given"));
    }
    Ok(Passphrase::new(typed))
}

fn hide() -> io::Result<Hidden> {
    let before = tcgetattr(io::stdin())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
    Ok(Hidden(before))
}
