//! The bars of `list --detailed`: how much each run brought, beside the one that brought most.
//!
//! The bar of something that goes on is `progress`.

use std::io::stdout;

/// Longest bar, in columns.
const LONGEST: u64 = 40;

/// Columns where the terminal does not say: it is none.
const COLUMNS: u64 = 80;

/// Bars on one scale.
pub(super) struct Bars {
    largest: u64,
    columns: u64,
    blocks: bool,
}

impl Bars {
    /// Bars for values up to the largest of `values`, for this terminal and locale.
    pub(super) fn new(values: impl Iterator<Item = u64>) -> Self {
        let columns =
            rustix::termios::tcgetwinsize(stdout()).map_or(COLUMNS, |size| size.ws_col.into());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(std::env::var_os)
            .find(|value| !value.is_empty());
        let blocks = locale.is_some_and(|locale| {
            let locale = locale.to_string_lossy().to_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        // A margin on either side.
        let columns = columns.saturating_sub(4).clamp(1, LONGEST);
        Self { largest: values.max().unwrap_or(0), columns, blocks }
    }

    /// The bar of `value`; `None` for nothing. Something is never shown as nothing.
    pub(super) fn of(&self, value: u64) -> Option<String> {
        const BLOCKS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        if value == 0 || self.largest == 0 {
            return None;
        }
        let parts = if self.blocks { 8 } else { 1 };
        let length =
            u128::from(value) * u128::from(self.columns * parts) / u128::from(self.largest);
        let length = usize::try_from(length.max(1)).unwrap_or(1);
        if !self.blocks {
            return Some("#".repeat(length));
        }
        let rest = BLOCKS.get(length % 8).copied().unwrap_or_default();
        Some("█".repeat(length / 8) + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values_beside_the_largest() {
        let shown = |blocks| {
            let bars = Bars { largest: 1000, columns: 4, blocks };
            [0, 1, 250, 500, 700, 1000, u64::MAX / 1000].map(|value| bars.of(value.min(1000)))
        };
        let text = |bars: &[&str]| {
            bars.iter().map(|bar| (!bar.is_empty()).then(|| (*bar).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(shown(true).to_vec(), text(&["", "▏", "█", "██", "██▊", "████", "████"]));
        assert_eq!(shown(false).to_vec(), text(&["", "#", "#", "##", "##", "####", "####"]));
        let largest = Bars { largest: u64::MAX, columns: 40, blocks: true };
        assert_eq!(largest.of(u64::MAX), Some("█".repeat(40)));
    }
}
