//! The file that keeps a repository's catalogs on this computer: one chapter for each increment.
//!
//! It is a cache: what is torn, damaged or of another version is never believed, and never more than a reason
//! to read the drive again. Looking at the chapters' heads reads nothing of their entries.
//!
//! ```text
//! file     = magic, frame of Whose, chapters
//! chapter  = frame of Head, whose `body` says how many bytes of frames with entries follow
//! frame    = length u32 | body u64 | checksum 16 bytes | payload        (little-endian)
//! ```
//!
//! Payloads are postcard. Checksums are over the place in the file, `body` and payload. A chapter's head is
//! written after its entries, so that one that was cut off has none.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use crate::repository::catalog::document::Catalog;
use crate::repository::index::log::checksum;
use crate::repository::versioning::Keeping;
use crate::state::catalogs::entry::{Entry, Head, by_folder};

/// Changed whenever the form of the file changes: another one is as good as none.
const MAGIC: &[u8; 8] = b"BKMCTL2\n";

const FRAME_HEADER: usize = 4 + 8 + 16;

/// `body` of the frames that have none.
const WHOSE: u64 = u64::MAX;

const ENTRIES: u64 = u64::MAX - 1;

/// Entries are gathered into frames of about this many bytes.
const CHUNK: usize = 64 << 10;

/// Largest payload that is read or written: an entry with the longest paths and all attributes that a file
/// can have is far below.
const MAX_PAYLOAD: usize = 4 << 20;

/// Largest file, in bytes: that of some 40 million versions.
const MAX_FILE: u64 = 4 << 30;

/// Which repository's catalogs these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The profile's name.
    pub profile: String,
    /// What the drive is known by, as in the agent's memory.
    pub key: String,
    /// Label of the file system when this was begun.
    pub label: Option<String>,
    /// UUID of the file system; `None` without a drive.
    pub uuid: Option<String>,
    /// The repository's folder: relative to the drive, or of this computer.
    pub place: String,
    /// How old versions are kept there.
    pub keeping: Keeping,
    /// How often the repository's records were rebuilt: catalogs may have been then.
    pub repairs: u64,
}

/// An increment in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chapter {
    pub(super) head: Head,
    /// Where its entries begin and end, in bytes.
    at: u64,
    end: u64,
}

/// What a file has.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) whose: Whose,
    pub(super) chapters: Vec<Chapter>,
    /// Where the last whole chapter ends, in bytes.
    pub(super) end: u64,
}

/// Looks at the heads of all chapters; `None` if the file is not one of ours. What is behind the last whole
/// chapter does not count.
pub(super) fn contents(file: &mut (impl Read + Seek)) -> io::Result<Option<Contents>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(512, file);
    let mut magic = Vec::new();
    reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    let mut end = MAGIC.len() as u64;
    if magic != MAGIC || length > MAX_FILE {
        return Ok(None);
    }
    let Some((body, payload)) = read_frame(&mut reader, end)? else { return Ok(None) };
    let Ok(whose) = postcard::from_bytes(&payload) else { return Ok(None) };
    if body != WHOSE {
        return Ok(None);
    }
    end += size_of_frame(payload.len());
    let mut chapters = Vec::new();
    while let Some((body, payload)) = read_frame(&mut reader, end)? {
        let at = end + size_of_frame(payload.len());
        let Some(after) = at.checked_add(body).filter(|after| *after <= length) else { break };
        let Ok(head) = postcard::from_bytes::<Head>(&payload) else { break };
        let Ok(ahead) = i64::try_from(body) else { break };
        reader.seek_relative(ahead)?;
        chapters.push(Chapter { head, at, end: after });
        end = after;
    }
    Ok(Some(Contents { whose, chapters, end }))
}

/// Hands the entries of a chapter to `visit`; `false` if they cannot be believed (what was handed over until
/// then can).
pub(super) fn entries(
    file: &mut (impl Read + Seek),
    chapter: &Chapter,
    visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
) -> io::Result<bool> {
    let mut seen = 0;
    let whole = payloads(file, chapter, &mut |payload| {
        let mut rest = payload;
        while !rest.is_empty() {
            let Ok((entry, after)) = postcard::take_from_bytes::<Entry<'_>>(rest) else {
                return Ok(false);
            };
            visit(&entry)?;
            seen += 1;
            rest = after;
        }
        Ok(true)
    })?;
    Ok(whole && seen == chapter.head.counts.entries)
}

/// Hands the frames of a chapter to `take` until that says no; `false` if it did, or if one fails its checksum.
fn payloads(
    file: &mut (impl Read + Seek),
    chapter: &Chapter,
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    file.seek(SeekFrom::Start(chapter.at))?;
    let length = chapter.end - chapter.at;
    let buffer = usize::try_from(length.min(256 << 10)).unwrap_or_default();
    let mut reader = BufReader::with_capacity(buffer, file.take(length));
    let mut at = chapter.at;
    while at < chapter.end {
        // What cannot be read is as good as damaged.
        let Ok(Some((ENTRIES, payload))) = read_frame(&mut reader, at) else { return Ok(false) };
        at += size_of_frame(payload.len());
        if !take(&payload)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the frame that begins at `at`: its `body` and payload; `None` if there is no sound one.
fn read_frame(reader: &mut impl Read, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut header = Vec::with_capacity(FRAME_HEADER);
    reader.by_ref().take(FRAME_HEADER as u64).read_to_end(&mut header)?;
    let Some((length, rest)) = header.split_first_chunk::<4>() else { return Ok(None) };
    let Some((body, check)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let (length, body) = (u32::from_le_bytes(*length) as usize, u64::from_le_bytes(*body));
    if length > MAX_PAYLOAD {
        return Ok(None);
    }
    let mut payload = Vec::new();
    // Grows as bytes arrive, so a lying length in a short file costs nothing.
    reader.by_ref().take(length as u64).read_to_end(&mut payload)?;
    Ok((payload.len() == length && check == checksum(at, body, &payload))
        .then_some((body, payload)))
}

fn size_of_frame(payload: usize) -> u64 {
    (FRAME_HEADER + payload) as u64
}

/// Writes chapters.
pub(super) struct Writer<W: Write + Seek> {
    out: io::BufWriter<W>,
    end: u64,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file, which is empty.
    pub(super) fn start(file: W, whose: &Whose) -> io::Result<Self> {
        let mut writer = Self::go_on(file, 0)?;
        writer.out.write_all(MAGIC)?;
        writer.end = MAGIC.len() as u64;
        writer.frame(WHOSE, &encode(whose)?)?;
        Ok(writer)
    }

    /// Goes on with a file that is cut off at `end`, its [`Contents::end`].
    pub(super) fn go_on(mut file: W, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(end))?;
        Ok(Self { out: io::BufWriter::with_capacity(256 << 10, file), end })
    }

    /// Adds what a catalog says.
    pub(super) fn add(&mut self, head: &Head, catalog: &Catalog) -> io::Result<()> {
        self.chapter(head, |writer| {
            let mut chunk = Vec::new();
            for (path, entry) in by_folder(&catalog.file_catalog) {
                let entry = Entry::of_catalog(path, entry, |entry| encode(entry))?;
                if !chunk.is_empty() && chunk.len() + entry.len() > CHUNK {
                    writer.frame(ENTRIES, &chunk)?;
                    chunk.clear();
                }
                chunk.extend_from_slice(&entry);
            }
            if chunk.is_empty() { Ok(true) } else { writer.frame(ENTRIES, &chunk).map(|()| true) }
        })
        .map(|_whole| ())
    }

    /// Adds a chapter of another file; `false`, and nothing is added, if it cannot be believed.
    pub(super) fn copy(
        &mut self,
        from: &mut (impl Read + Seek),
        chapter: &Chapter,
    ) -> io::Result<bool> {
        self.chapter(&chapter.head, |writer| {
            payloads(from, chapter, &mut |payload| writer.frame(ENTRIES, payload).map(|()| true))
        })
    }

    /// Writes the entries, then the head before them.
    fn chapter(
        &mut self,
        head: &Head,
        entries: impl FnOnce(&mut Self) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let payload = encode(head)?;
        let at = self.end;
        let begin = at + size_of_frame(payload.len());
        self.out.seek(SeekFrom::Start(begin))?;
        self.end = begin;
        let whole = entries(self)?;
        let end = if whole { self.end } else { at };
        if whole {
            self.out.seek(SeekFrom::Start(at))?;
            self.end = at;
            self.frame(end - begin, &payload)?;
        }
        self.out.seek(SeekFrom::Start(end))?;
        self.end = end;
        Ok(whole)
    }

    fn frame(&mut self, body: u64, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        self.end += size_of_frame(payload.len());
        if payload.len() > MAX_PAYLOAD || self.end > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let at = self.end - size_of_frame(payload.len());
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&body.to_le_bytes())?;
        self.out.write_all(&checksum(at, body, payload))?;
        self.out.write_all(payload)
    }

    /// Hands everything to the file. What may be left behind [`Writer::end`] is to be cut off.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.end)
    }
}

fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(io::Error::other)
}

#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing {
    //! Any bytes are read or refused.

    use std::io::Cursor;

    use jiff::tz::TimeZone;

    use super::{Entry, MAGIC, checksum, contents, entries};

    /// A file as it is.
    pub(crate) fn file(bytes: &[u8]) -> usize {
        let mut file = Cursor::new(bytes);
        let Ok(Some(contents)) = contents(&mut file) else { return 0 };
        let mut seen = 0;
        for chapter in &contents.chapters {
            let mut visit = |entry: &Entry<'_>| {
                seen += 1;
                let _shown = (entry.split(), entry.to_catalog(&TimeZone::UTC));
                Ok(())
            };
            let _whole = entries(&mut file, chapter, &mut visit);
        }
        seen
    }

    /// Frames with sound checksums: `body` (one byte: the top ones stand for the kinds without), length
    /// (u16) and payload.
    pub(crate) fn frames(mut bytes: &[u8]) -> usize {
        let mut sound = MAGIC.to_vec();
        while let Some(([body, low, high], rest)) = bytes.split_first_chunk::<3>() {
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
            let (payload, rest) = rest.split_at(length);
            let body =
                if *body >= 254 { u64::MAX - 255 + u64::from(*body) } else { (*body).into() };
            let check = checksum(sound.len() as u64, body, payload);
            sound.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes());
            sound.extend_from_slice(&body.to_le_bytes());
            sound.extend_from_slice(&check);
            sound.extend_from_slice(payload);
            bytes = rest;
        }
        file(&sound)
    }
}
