//! An error with its causes, as one line for people.
//!
//! Messages of this program do not repeat their cause; this joins them.

use std::error::Error;

/// The message and those of its causes, joined by colons; control characters escaped.
pub fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat their cause in their own message.
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = error.source();
    }
    crate::text::sanitize::line(&words)
}
