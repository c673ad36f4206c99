//! What damages a drive.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Changes one byte and neither the length nor the time.
pub(crate) fn flip(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 0).unwrap();
    file.set_modified(time).unwrap();
}
