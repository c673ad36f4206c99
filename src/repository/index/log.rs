//! An append log: frames with length, number and checksum behind a header.
//!
//! It owns how a torn tail is told from damage; what the frames mean is the index's business. A frame
//! that was synced is never written again.
//!
//! A header is the magic, the generation and a checksum; a frame is `length u32 | number u64 |
//! checksum 16 bytes | payload`, little-endian, numbers counting from 1. Checksums are BLAKE3, cut to
//! 16 bytes, over generation, number and payload, so that a frame of an older file that shines through
//! does not pass.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use crate::fs::tree::error::TreeError;
use crate::fs::writer::DriveFile;
use crate::repository::error::RepositoryError;

const MAGIC: &[u8; 8] = b"BKMIDX2\n";

const HEADER: usize = 8 + 8 + 16;

const FRAME_HEADER: usize = 4 + 8 + 16;

/// Largest payload that is read or written. A batch's frame holds at most some thousand paths; the
/// bound keeps a damaged or hostile length from taking the memory.
pub(super) const MAX_PAYLOAD: usize = 256 << 20;

/// Largest log that is read, in bytes: that of some 40 million files. A drive that feigns an endless file is
/// not read to its end.
const MAX_LOG: u64 = 8 << 30;

/// Bytes behind the end that are looked at: a run that was cut off before its second sync wrote there.
const LOOKED_AT: usize = 64 << 10;

/// Bytes of room for appends that even a small log takes.
const LEAST_ROOM: u64 = 64 << 10;

/// An open log at its end, ready to append.
#[derive(Debug)]
pub(crate) struct LogWriter<'t> {
    file: DriveFile<'t>,
    generation: u64,
    next_number: u64,
    end: u64,
}

/// What was read from a log.
#[derive(Debug)]
pub(crate) struct LogEnd {
    /// Generation in the header.
    pub(crate) generation: u64,
    /// Number that the next frame gets.
    pub(super) next_number: u64,
    /// Where the last sound frame ends, in bytes.
    pub(crate) end: u64,
}

impl<'t> LogWriter<'t> {
    /// Starts a log in an empty file; durable only after [`LogWriter::sync`].
    pub(crate) fn start(mut file: DriveFile<'t>, generation: u64) -> Result<Self, TreeError> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&generation.to_le_bytes());
        header.extend_from_slice(&checksum(generation, 0, MAGIC));
        file.write_at(&header, 0)?;
        Ok(Self { file, generation, next_number: 1, end: HEADER as u64 })
    }

    /// Goes on behind what [`read`] found. `clean`: the last run came to its end there, so that zeros behind it are
    /// room that was taken. All else is cut off: a frame behind a torn one would count once that is replaced.
    pub(crate) fn resume(
        mut file: DriveFile<'t>,
        from: &LogEnd,
        clean: bool,
    ) -> Result<Self, TreeError> {
        if file.stat()?.size > from.end {
            let mut behind = vec![0; LOOKED_AT];
            file.file().read_at(&mut behind, from.end).map_err(|e| file.error("read", e))?;
            if !clean || behind.iter().any(|byte| *byte != 0) {
                file.set_len(from.end)?;
            }
        }
        Ok(Self { file, generation: from.generation, next_number: from.next_number, end: from.end })
    }

    /// Takes room for appends, as much as the log has now and a little more: they change nothing then of what
    /// the file system knows of the file but its time.
    pub(super) fn take_room(&mut self) -> Result<(), TreeError> {
        let to = self.end.saturating_mul(2).saturating_add(LEAST_ROOM);
        self.file.take_room(self.end, to)
    }

    /// Appends one frame; durable only after [`LogWriter::sync`].
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<(), TreeError> {
        let end = self.write(payload)?;
        self.advance(end);
        Ok(())
    }

    /// Appends one frame and makes it durable. Where that fails the log goes on behind the frame before, so
    /// it can be done again.
    pub(crate) fn append_synced(&mut self, payload: &[u8]) -> Result<(), TreeError> {
        let end = self.write(payload)?;
        self.file.sync()?;
        self.advance(end);
        Ok(())
    }

    /// Writes one frame behind the last; returns where it ends.
    fn write(&mut self, payload: &[u8]) -> Result<u64, TreeError> {
        let length = match u32::try_from(payload.len()) {
            Ok(length) if payload.len() <= MAX_PAYLOAD => length,
            _ => return Err(self.file.error("write", io::ErrorKind::FileTooLarge.into())),
        };
        let mut frame = Vec::with_capacity(FRAME_HEADER + payload.len());
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&self.next_number.to_le_bytes());
        frame.extend_from_slice(&checksum(self.generation, self.next_number, payload));
        frame.extend_from_slice(payload);
        self.file.write_at(&frame, self.end)?;
        Ok(self.end + frame.len() as u64)
    }

    fn advance(&mut self, end: u64) {
        self.end = end;
        self.next_number += 1;
    }

    /// Makes all appended frames durable.
    pub(super) fn sync(&mut self) -> Result<(), TreeError> {
        self.file.sync()
    }

    /// Cuts off what an append that failed left behind the last frame, and makes that durable.
    pub(crate) fn cut_off(&mut self) -> Result<(), TreeError> {
        if self.file.stat()?.size > self.end {
            self.file.set_len(self.end)?;
            self.file.sync()?;
        }
        Ok(())
    }

    /// Where the log ends, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The log's generation.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

/// Reads a log from its start and hands each sound payload to `take`.
///
/// `synced` says up to which byte the stamp knows the log of a generation to be durable. What fails
/// its checksum before that point, or is followed by a sound frame, is damage; at the end it is the
/// torn tail of an append that the power cut off.
pub(super) fn read(
    mut file: impl Read + Seek,
    synced: Option<(u64, u64)>,
    mut take: impl FnMut(Vec<u8>) -> Result<(), RepositoryError>,
) -> Result<LogEnd, RepositoryError> {
    let damaged = |what: &str| RepositoryError::Damaged(format!("the index: {what}"));
    file.seek(SeekFrom::Start(0)).map_err(RepositoryError::Read)?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER];
    reader.read_exact(&mut header).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
        _ => RepositoryError::Read(e),
    })?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (generation, check) = rest.split_at(8);
    let generation = u64_of(generation);
    if magic != MAGIC || check != checksum(generation, 0, MAGIC) {
        return Err(damaged("its header is not one of ours"));
    }
    let mut log = LogEnd { generation, next_number: 1, end: HEADER as u64 };
    loop {
        match read_frame(&mut reader, generation).map_err(RepositoryError::Read)? {
            ReadFrame::Sound { number, payload } if number == log.next_number => {
                log.end += (FRAME_HEADER + payload.len()) as u64;
                log.next_number += 1;
                if log.end > MAX_LOG {
                    return Err(damaged("it is too large for an index"));
                }
                take(payload)?;
            }
            ReadFrame::Sound { .. } => return Err(damaged("a frame is missing")),
            ReadFrame::Nothing => break,
            ReadFrame::Bad { whole } => {
                let follows = whole
                    && matches!(
                        read_frame(&mut reader, generation).map_err(RepositoryError::Read)?,
                        ReadFrame::Sound { .. }
                    );
                if follows {
                    return Err(damaged("a frame in the middle fails its checksum"));
                }
                break;
            }
        }
    }
    match synced {
        Some((of, up_to)) if of == generation && log.end < up_to => {
            Err(damaged("frames that were written and synced are gone or fail their checksum"))
        }
        _ => Ok(log),
    }
}

enum ReadFrame {
    Sound {
        number: u64,
        payload: Vec<u8>,
    },
    /// Fails its checksum; `whole` if all bytes that its length names are there.
    Bad {
        whole: bool,
    },
    Nothing,
}

fn read_frame(reader: &mut impl Read, generation: u64) -> io::Result<ReadFrame> {
    let mut header = Vec::with_capacity(FRAME_HEADER);
    reader.by_ref().take(FRAME_HEADER as u64).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(ReadFrame::Nothing);
    }
    let Some((length, rest)) = header.split_at_checked(4) else {
        return Ok(ReadFrame::Bad { whole: false });
    };
    let Some((number, check)) = rest.split_at_checked(8) else {
        return Ok(ReadFrame::Bad { whole: false });
    };
    let length = usize::try_from(u64_of(length)).unwrap_or(usize::MAX);
    if check.len() != 16 || length > MAX_PAYLOAD {
        return Ok(ReadFrame::Bad { whole: false });
    }
    let mut payload = Vec::new();
    // Grows as bytes arrive, so a lying length in a short file costs nothing.
    reader.by_ref().take(length as u64).read_to_end(&mut payload)?;
    let number = u64_of(number);
    if payload.len() < length {
        Ok(ReadFrame::Bad { whole: false })
    } else if checksum(generation, number, &payload) == check {
        Ok(ReadFrame::Sound { number, payload })
    } else {
        Ok(ReadFrame::Bad { whole: true })
    }
}

/// The checksum of a frame or stamp: 16 bytes of BLAKE3 over where it stands and what it says.
pub(crate) fn checksum(generation: u64, number: u64, payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(payload);
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

/// A little-endian number from at most 8 bytes.
fn u64_of(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::tree::handle::Tree;
    use std::fs::OpenOptions;
    use std::path::Path;

    const NAME: &str = "index";

    fn log_of(payloads: &[&[u8]]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let file = tree.open_record_file(Path::new(NAME), true).unwrap();
        let mut log = LogWriter::start(file, 7).unwrap();
        for payload in payloads {
            log.append(payload).unwrap();
        }
        log.sync().unwrap();
        drop(log);
        (dir, tree)
    }

    fn read_all(
        tree: &Tree,
        synced: Option<(u64, u64)>,
    ) -> Result<(Vec<Vec<u8>>, LogEnd), RepositoryError> {
        let file = tree.open_file(Path::new(NAME)).unwrap().unwrap();
        let mut payloads = Vec::new();
        let end = read(&file, synced, |payload| {
            payloads.push(payload);
            Ok(())
        })?;
        Ok((payloads, end))
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_every_length() {
        let (dir, tree) = log_of(&[b"one", b"two", b"three"]);
        let path = dir.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        let two_end = HEADER + 2 * (FRAME_HEADER + 3);
        for len in two_end..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let (payloads, end) = read_all(&tree, Some((7, two_end as u64))).unwrap();
            assert_eq!(payloads, [b"one", b"two"], "cut to {len}");
            let file = tree.open_record_file(Path::new(NAME), false).unwrap();
            // A run that begins behind a clean end can be cut off as well.
            LogWriter::resume(file, &end, len % 2 == 0).unwrap().append(b"four").unwrap();
            assert_eq!(std::fs::read(&path).unwrap().len(), two_end + FRAME_HEADER + 4);
            let (payloads, _) = read_all(&tree, None).unwrap();
            assert_eq!(payloads, [&b"one"[..], b"two", b"four"], "cut to {len}, then appended");
        }
    }

    #[test]
    fn room_stays_only_behind_a_clean_end() {
        for (clean, length) in [(true, 100 << 10), (false, 0)] {
            let (dir, tree) = log_of(&[b"one"]);
            let path = dir.path().join(NAME);
            let mut whole = std::fs::read(&path).unwrap();
            let sound = whole.len();
            whole.resize(sound + (100 << 10), 0);
            std::fs::write(&path, &whole).unwrap();
            let (_, end) = read_all(&tree, Some((7, sound as u64))).unwrap();
            let file = tree.open_record_file(Path::new(NAME), false).unwrap();
            drop(LogWriter::resume(file, &end, clean).unwrap());
            assert_eq!(std::fs::read(&path).unwrap().len(), sound + length, "clean: {clean}");
        }
    }

    #[test]
    fn a_bad_frame_in_the_middle_is_damage_at_every_byte() {
        let (dir, tree) = log_of(&[b"one", b"two", b"three"]);
        let path = dir.path().join(NAME);
        let synced = Some((7, std::fs::metadata(&path).unwrap().len()));
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        for at in 0..file.metadata().unwrap().len() {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
            assert!(
                matches!(read_all(&tree, synced), Err(RepositoryError::Damaged(_))),
                "a flipped bit at byte {at} went unseen"
            );
            file.write_all_at(&byte, at).unwrap();
        }
        read_all(&tree, synced).unwrap();
    }

    #[test]
    fn a_tail_of_zeros_is_torn_not_damage() {
        let (dir, tree) = log_of(&[b"one"]);
        let path = dir.path().join(NAME);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() + 5000).unwrap();
        assert_eq!(read_all(&tree, None).unwrap().0, [b"one"]);
    }
}
