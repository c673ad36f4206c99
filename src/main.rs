//! The `bkm-agent` binary: everything it does is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bkm_agent::cli::commands::main()
}
