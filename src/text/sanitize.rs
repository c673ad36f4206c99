//! Makes names safe to show: file names and labels come from drives and are not trusted.
//!
//! Everything that prints or notifies a name passes it through here; nothing that is stored does.

use std::fmt::Write as _;

/// `text` on one line: control, direction-changing, zero-width and tag characters become `\u{NN}`
/// escapes, so that a name can neither drive a terminal nor pass for another name.
pub fn line(text: &str) -> String {
    if !text.chars().any(is_deceptive) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The same for JSON text, which stays the same JSON: its own escapes leave out some of these.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Line breaks are the layout; within JSON's texts they are escaped already.
        if c != '\n' && is_deceptive(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a text cannot fail.
                let _done = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that a reader does not see but that change what he sees.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{061c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::{json, line};

    #[test]
    fn escapes_terminal_and_direction_tricks() {
        assert_eq!(line("Füße und Дом.txt"), "Füße und Дом.txt");
        assert_eq!(line("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        let name = "C1 \u{9b}2J, \u{202e} and \u{e0041}, \u{7f}";
        let text = json(&serde_json::to_string(name).unwrap());
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
        assert_eq!(line("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    }
}
