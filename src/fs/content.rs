//! Reads content in bounded pieces, hashing it, and writes it if wanted. Keeps holes.
//!
//! Knows nothing of what the content is for.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::SeekFrom;

use crate::fs::page_cache::{ReadBehind, WriteBehind};
use crate::fs::tree::error::TreeError;
use crate::fs::writer::DriveFile;

/// Bytes per read: large enough that calls cost nothing, small enough that a stop is noticed within a
/// second on a slow drive.
const CHUNK: usize = 1 << 20;

/// Bytes of a hole that are hashed at a time.
const HOLE_PIECE: u64 = 256 << 20;

thread_local! {
    /// One buffer per worker: a fresh one per file would cost more than reading a small file.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Why a copy ended early.
#[derive(Debug)]
pub enum CopyError {
    /// The source cannot be read.
    Source(io::Error),
    /// The drive cannot be written.
    Drive(TreeError),
    /// The run was told to stop.
    Stopped,
}

impl From<TreeError> for CopyError {
    fn from(e: TreeError) -> Self {
        Self::Drive(e)
    }
}

/// Hash of the first `size` bytes, `sparse`: skipping holes; `None` if told to stop.
pub fn hash(
    file: &File,
    size: u64,
    sparse: bool,
    stop: &AtomicBool,
) -> io::Result<Option<[u8; 32]>> {
    hash_and_tell(file, size, sparse, stop, &|_| {})
}

/// The same; `told` hears of bytes as they are done.
pub fn hash_and_tell(
    file: &File,
    size: u64,
    sparse: bool,
    stop: &AtomicBool,
    told: &dyn Fn(u64),
) -> io::Result<Option<[u8; 32]>> {
    let mut hasher = blake3::Hasher::new();
    let read = each_piece(file, size, sparse, stop, |piece| {
        let len = match piece {
            Piece::Data(bytes, _) => {
                hasher.update(bytes);
                bytes.len() as u64
            }
            Piece::Hole(len, _) => {
                hash_zeros(&mut hasher, len);
                len
            }
        };
        told(len);
        Ok(())
    });
    match read {
        Ok(_) => Ok(Some(hasher.finalize().into())),
        Err(CopyError::Stopped) => Ok(None),
        Err(CopyError::Source(e)) => Err(e),
        Err(CopyError::Drive(e)) => Err(e.source),
    }
}

/// Whether both files have at least `size` bytes, and begin with the same ones. Reads up to the first difference; not
/// if told to stop.
pub fn begin_alike(one: &File, two: &File, size: u64, stop: &AtomicBool) -> io::Result<bool> {
    let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
    let mut behind = [ReadBehind::new(one, size), ReadBehind::new(two, size)];
    let mut offset = 0;
    while offset < size {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let want = usize::try_from(size - offset).unwrap_or(CHUNK).min(CHUNK);
        for (file, buffer) in [one, two].into_iter().zip(&mut buffers) {
            buffer.resize(want, 0);
            match file.read_exact_at(buffer, offset) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                other => other?,
            }
        }
        let [of_one, of_two] = &buffers;
        if of_one != of_two {
            return Ok(false);
        }
        offset += want as u64;
        for behind in &mut behind {
            behind.read(offset);
        }
    }
    Ok(true)
}

/// Copies the first `size` bytes of `from` to `to`, which has `there` bytes already: they are kept as
/// far as they are the same (a part that an earlier run left is compared, not believed). `sparse`: look
/// for holes. Returns length and hash; `told` hears of bytes as they are done.
pub fn copy(
    from: &File,
    size: u64,
    sparse: bool,
    to: &mut DriveFile<'_>,
    there: u64,
    stop: &AtomicBool,
    told: &dyn Fn(u64),
) -> Result<(u64, [u8; 32]), CopyError> {
    let mut hasher = blake3::Hasher::new();
    // How far `to` may be as it should, and how long it is.
    let (mut kept, mut to_len) = (there, there);
    let mut behind = WriteBehind::new(to.pace());
    let copied = each_piece(from, size, sparse, stop, |piece| {
        match piece {
            Piece::Hole(len, offset) => {
                hash_zeros(&mut hasher, len);
                if offset < kept && next_data(to.file(), offset, kept).0 < offset + len {
                    to.set_len(offset)?;
                    (kept, to_len) = (offset, offset);
                }
                told(len);
            }
            Piece::Data(bytes, offset) => {
                hasher.update(bytes);
                let end = offset + bytes.len() as u64;
                if end > kept || !has(to, bytes, offset)? {
                    to.write_at(bytes, offset)?;
                    to_len = to_len.max(end);
                    behind.wrote(to, bytes.len() as u64, end)?;
                }
                told(bytes.len() as u64);
            }
        }
        Ok(())
    });
    // In any case: the drive is not left while it is waited for.
    let synced = behind.finish(to);
    let len = copied?;
    synced?;
    // A hole at the end, or a longer part of before.
    if to_len != len {
        to.set_len(len)?;
    }
    Ok((len, hasher.finalize().into()))
}

/// Whether the drive's file has these bytes at `offset`.
fn has(file: &DriveFile<'_>, bytes: &[u8], offset: u64) -> Result<bool, TreeError> {
    let mut there = vec![0; bytes.len()];
    match file.file().read_exact_at(&mut there, offset) {
        Ok(()) => Ok(there == bytes),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(file.error("read", e)),
    }
}

/// A stretch of a file: its bytes or its length, and where it starts.
enum Piece<'b> {
    Data(&'b [u8], u64),
    Hole(u64, u64),
}

/// Goes through the first `size` bytes; returns how many there were.
fn each_piece(
    file: &File,
    size: u64,
    sparse: bool,
    stop: &AtomicBool,
    mut take: impl FnMut(Piece<'_>) -> Result<(), CopyError>,
) -> Result<u64, CopyError> {
    let mut offset = 0;
    let mut behind = ReadBehind::new(file, size);
    BUFFER.with_borrow_mut(|buffer| {
        while offset < size {
            if stop.load(Ordering::Relaxed) {
                return Err(CopyError::Stopped);
            }
            let mut data_end = size;
            if sparse {
                let (data_start, end) = next_data(file, offset, size);
                if data_start > offset {
                    // In pieces as well: hashing the zeros of a large hole takes time.
                    let len = (data_start - offset).min(HOLE_PIECE);
                    take(Piece::Hole(len, offset))?;
                    offset += len;
                    continue;
                }
                data_end = end;
            }
            let want = usize::try_from(data_end - offset).unwrap_or(CHUNK).min(CHUNK);
            let room = buffer.get_mut(..want).unwrap_or_default();
            let got = match file.read_at(room, offset) {
                Ok(0) => break,
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(CopyError::Source(e)),
            };
            take(Piece::Data(room.get(..got).unwrap_or_default(), offset))?;
            offset += got as u64;
            behind.read(offset);
        }
        Ok(offset)
    })
}

/// Whether a file of the drive has holes, as far as its allocation tells.
pub fn has_holes(file: &File, size: u64) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_blocks.cast_unsigned() < size.div_ceil(512))
}

/// Start and end of the data at or after `offset`; without support for holes everything is data.
fn next_data(file: &File, offset: u64, size: u64) -> (u64, u64) {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) if start < size => {
            let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(size);
            (start, end.clamp(start + 1, size))
        }
        Ok(_) | Err(rustix::io::Errno::NXIO) => (size, size),
        Err(_) => (offset, size),
    }
}

fn hash_zeros(hasher: &mut blake3::Hasher, mut len: u64) -> &mut blake3::Hasher {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    while len > 0 {
        let piece = ZEROS.get(..usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
        hasher.update(piece);
        len -= piece.len() as u64;
    }
    hasher
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::tree::handle::Tree;

    const LEN: usize = 4 << 20;

    /// Copies `from` over what `part` left; returns what is on the drive then, and the hash told.
    fn copied_over(from: &File, part: &[u8]) -> (Vec<u8>, [u8; 32]) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let mut to = tree.create_file(Path::new("to"), 0o600).unwrap();
        to.write_at(part, 0).unwrap();
        let stop = AtomicBool::new(false);
        let (len, hash) =
            copy(from, LEN as u64, true, &mut to, part.len() as u64, &stop, &|_| {}).unwrap();
        assert_eq!(len, LEN as u64);
        (std::fs::read(dir.path().join("to")).unwrap(), hash)
    }

    #[test]
    fn a_hole_is_a_hole_also_where_an_earlier_part_had_data_behind_a_difference() {
        let from = tempfile::tempfile().unwrap();
        from.set_len(LEN as u64).unwrap();
        from.write_all_at(b"new head", 0).unwrap();
        from.write_all_at(b"new tail", LEN as u64 - 8).unwrap();
        let mut expected = vec![0; LEN];
        expected[..8].copy_from_slice(b"new head");
        expected[LEN - 8..].copy_from_slice(b"new tail");
        for part in [LEN, LEN / 2, LEN + 100, 5, 0] {
            let (found, hash) = copied_over(&from, &vec![7; part]);
            assert!(found == expected, "a part of {part} bytes shines through");
            assert_eq!(hash, *blake3::hash(&expected).as_bytes());
        }
    }
}
