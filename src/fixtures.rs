//! What earlier versions of this program wrote, kept in `tests/fixtures`: today's code must write the same
//! bytes, and read them.
//!
//! Only in tests. An upgrade of a library that changes one byte of what lies on drives or on this computer fails
//! here. A fixture is never written anew: another form needs another version of the format.

use std::fs;
use std::path::Path;

/// Compares what is written today with the fixture `name`, line by line in the message of a failure, and returns
/// it. A fixture that is not there yet is written, and the test fails this once.
#[track_caller]
pub(crate) fn same_as(name: &str, today: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let Ok(before) = fs::read_to_string(&file) else {
        fs::write(&file, today).unwrap();
        panic!("{name} was not there; it is now: look at it, and commit it");
    };
    for (number, (before, today)) in (1..).zip(before.lines().zip(today.lines())) {
        assert_eq!(today, before, "{name}, line {number} is not written as before");
    }
    assert_eq!(today, before, "{name} is not written as before");
    before
}

/// Lines of a name and bytes in hexadecimal.
pub(crate) fn hex_lines(named: &[(&str, Vec<u8>)]) -> String {
    let hex = crate::repository::catalog::document::hex;
    let lines = named.iter().map(|(name, bytes)| [name, " ", &hex(bytes), "\n"].concat());
    lines.collect()
}

/// The bytes of such lines.
pub(crate) fn bytes_of_lines(text: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes = |line: &str| {
        let (_, hex) = line.split_once(' ').unwrap();
        hex.as_bytes().chunks(2).map(byte).collect()
    };
    text.lines().map(bytes).collect()
}
