//! Colours, on a terminal only.

use std::io::IsTerminal as _;

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    /// Colours if standard output is a terminal that has them and nobody objects (<https://no-color.org>).
    pub(super) fn for_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        Self(std::io::stdout().is_terminal() && !dumb && set("NO_COLOR").is_none())
    }

    /// What a list is divided by.
    pub(super) fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    /// A folder.
    pub(super) fn folder(self, text: &str) -> String {
        self.with("34", text)
    }

    /// What is gone.
    pub(super) fn gone(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What is there.
    pub(super) fn there(self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
