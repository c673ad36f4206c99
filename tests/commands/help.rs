//! The help of each command. The texts are in `snapshots/`; `INSTA_UPDATE=always` writes them anew.

use crate::support::home::Home;

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    shown!("help", home.shown(&["--help"]));
    for command in [
        "run", "list", "diff", "search", "versions", "restore", "verify", "prune", "delete",
        "repair", "status", "why", "drives", "pair", "unpair", "check", "daemon",
    ] {
        shown!(format!("help_{command}"), home.shown(&[command, "-h"]));
    }
    assert_eq!(home.bkm(&[]).status.code(), Some(2));
    shown!(home.shown(&["rnu"]), @r"
    exit 2
    --- stderr
    error: unrecognized subcommand 'rnu'

    Usage: bkm-agent <COMMAND>

    For more information, try '--help'.
    ");
}
