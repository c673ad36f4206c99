//! What a hook prints, as lines for the log, and no more of them than a log bears.

use std::mem;

/// The longest line that is logged, in bytes; the rest of it is left out.
const MAX_LINE: usize = 4096;

/// How many lines of one hook are logged.
const MAX_LINES: usize = 200;

/// How many bytes of one hook are logged.
const MAX_BYTES: usize = 64 << 10;

/// How much of the last line an error quotes, in characters.
const MAX_QUOTED: usize = 200;

/// Takes in what a hook prints, and logs it line by line.
pub(super) struct Output<L: FnMut(&str)> {
    log: L,
    /// The line that has no end yet, without what is beyond its limit.
    line: Vec<u8>,
    /// Its length as it was printed, in bytes.
    length: usize,
    lines: usize,
    bytes: usize,
    left_out: usize,
    last: String,
}

impl<L: FnMut(&str)> Output<L> {
    pub(super) fn new(log: L) -> Self {
        let line = Vec::new();
        Self { log, line, length: 0, lines: 0, bytes: 0, left_out: 0, last: String::new() }
    }

    /// Takes in the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        if let Some(first) = pieces.next() {
            self.add(first);
        }
        for piece in pieces {
            self.end_line();
            self.add(piece);
        }
    }

    /// There will be no more. Gives the last line that was not empty, as an error can quote it.
    pub(super) fn finish(mut self) -> String {
        if self.length > 0 {
            self.end_line();
        }
        if self.left_out > 0 {
            (self.log)(&format!("… and {} bytes more, which are not logged", self.left_out));
        }
        self.last
    }

    fn add(&mut self, piece: &[u8]) {
        self.length += piece.len();
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend(piece.iter().take(room));
    }

    fn end_line(&mut self) {
        let line = mem::take(&mut self.line);
        let length = mem::take(&mut self.length);
        let text = String::from_utf8_lossy(&line);
        let shown = crate::text::sanitize::line(text.trim_end());
        if shown.is_empty() {
            return;
        }
        if self.lines < MAX_LINES && self.bytes + line.len() <= MAX_BYTES {
            (self.log)(&shown);
            self.lines += 1;
            self.bytes += line.len();
            self.left_out += length - line.len();
        } else {
            self.left_out += length;
        }
        self.last = shown.chars().take(MAX_QUOTED).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut lines = Vec::new();
        let mut output = Output::new(|line: &str| lines.push(line.to_owned()));
        for piece in pieces {
            output.take(piece);
        }
        let last = output.finish();
        (lines, last)
    }

    #[test]
    fn lines_are_put_together_and_made_safe() {
        let (lines, last) = logged(&[b"on", b"e\r\n\n", b"t\x1b[2Jw\xff\nthree", b"\n", b"end"]);
        assert_eq!(lines, ["one", "t\\u{1b}[2Jw\u{fffd}", "three", "end"]);
        assert_eq!(last, "end");
        assert_eq!(logged(&[]), (Vec::new(), String::new()));
    }

    #[test]
    fn a_flood_is_cut_and_counted_and_its_last_line_known() {
        let (lines, last) = logged(&[&b"y\n".repeat(100_000), b"why\n"]);
        assert_eq!(lines.len(), 201);
        assert_eq!(lines.last().unwrap(), "… and 99803 bytes more, which are not logged");
        assert_eq!(last, "why");
        let (lines, last) = logged(&[&vec![b'x'; 1 << 20]]);
        assert_eq!((lines.len(), lines[0].len(), last.len()), (2, MAX_LINE, MAX_QUOTED));
        let (lines, _) = logged(&[[vec![b'x'; 4095], vec![b'\n']].concat().repeat(100).as_slice()]);
        assert_eq!(lines.len(), 17, "16 lines of 4 KiB, and the count of the rest");
    }
}
