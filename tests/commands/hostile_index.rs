//! A hostile drive: indexes that lie, with sound checksums. What every command must keep to is in
//! `support::attack`.

use std::fs;

use serde::Serialize;

use crate::support::attack::{Attacked, words};

/// The parts of an index that can be written without a record: the types of `docs/format.md`.
#[derive(Serialize)]
#[allow(dead_code, reason = "the variants count")]
enum Frame {
    Base(Vec<(Vec<u8>, ())>),
    State { next_sequence: u64, increments: Vec<Increment> },
    Batch { run: Option<RunMark>, changes: Vec<Change> },
    Closing,
    Closed,
}

#[derive(Serialize, Clone)]
struct Increment {
    sequence: u64,
    name: String,
    timestamp: String,
    status: u8,
    folder_time_s: i64,
}

#[derive(Serialize)]
struct RunMark {
    sequence: u64,
    name: String,
    timestamp: String,
}

#[derive(Serialize)]
#[allow(dead_code, reason = "the variants count")]
enum Change {
    Put,
    Note,
    Remove { path: Vec<u8> },
    Folder,
    RemoveFolder { path: Vec<u8> },
}

fn checksum(number: u64, payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&1_u64.to_le_bytes()).update(&number.to_le_bytes()).update(payload);
    hasher.finalize().as_bytes()[..16].try_into().unwrap()
}

/// An index of generation 1 with sound checksums around these payloads.
fn index_of(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut index = b"BKMIDX2\n".to_vec();
    index.extend(1_u64.to_le_bytes());
    index.extend(checksum(0, b"BKMIDX2\n"));
    for (payload, number) in payloads.iter().zip(1_u64..) {
        index.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        index.extend(number.to_le_bytes());
        index.extend(checksum(number, payload));
        index.extend(payload);
    }
    index
}

fn bytes(frame: &Frame) -> Vec<u8> {
    postcard::to_stdvec(frame).unwrap()
}

/// Payloads of the index at `path`.
fn payloads(index: &[u8]) -> Vec<Vec<u8>> {
    let (mut payloads, mut rest) = (Vec::new(), &index[32..]);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        payloads.push(rest[28..28 + length].to_vec());
        rest = &rest[28 + length..];
    }
    payloads
}

/// Writes these payloads as the index, and lets no stamp know better; all commands must call it damaged,
/// or `says`.
fn refused(attacked: &mut Attacked, what: &str, payloads: &[Vec<u8>], says: &str) {
    let meta = attacked.repository().join(".bkm");
    fs::write(meta.join("index"), index_of(payloads)).unwrap();
    drop(fs::remove_file(meta.join("stamp")));
    for args in [&["list"][..], &["restore", "--to", "now"], &["run"]] {
        let output = attacked.command(args);
        let said = words(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {args:?}: {said}");
        assert!(said.contains(says) && said.len() < 2000, "{what}: {args:?}: {said}");
    }
    assert!(!attacked.home.at("now").exists(), "{what}");
}

const REPAIR: &str = "bkm-agent repair";

fn increment(sequence: u64, name: &str) -> Increment {
    let timestamp = "2026-11-23T09:15:00+01:00".to_owned();
    Increment { sequence, name: name.to_owned(), timestamp, status: 0, folder_time_s: 0 }
}

#[test]
fn an_index_whose_increments_lead_elsewhere_is_damaged() {
    let mut attacked = Attacked::new();
    let sound = "backup_20261123_091500";
    let state = |increments: Vec<Increment>, next_sequence| {
        vec![bytes(&Frame::State { next_sequence, increments })]
    };
    for name in
        ["..", "../../outside", "/etc", "", "mirror", ".bkm", "backup_20261123_09150/", "a\0b"]
    {
        refused(&mut attacked, name, &state(vec![increment(1, name)], 2), REPAIR);
        let run = RunMark { sequence: 1, name: name.to_owned(), timestamp: String::new() };
        let changes = vec![Change::Remove { path: b"a.txt".to_vec() }];
        let batch = bytes(&Frame::Batch { run: Some(run), changes });
        refused(&mut attacked, name, &[state(Vec::new(), 1), vec![batch]].concat(), REPAIR);
    }
    let long = Increment { timestamp: "9".repeat(1 << 20), ..increment(1, sound) };
    let other = "backup_20261123_091501";
    for (what, increments, next) in [
        ("sequence 0", vec![increment(0, sound)], 1),
        ("the same sequence", vec![increment(1, sound), increment(1, other)], 2),
        ("sequences that fall", vec![increment(2, sound), increment(1, other)], 3),
        ("the same name", vec![increment(1, sound), increment(2, sound)], 3),
        ("the last sequence", vec![increment(u64::MAX, sound)], u64::MAX),
        ("a next one that was", vec![increment(7, sound)], 7),
        ("a next one that cannot be", Vec::new(), u64::MAX),
        ("a long time", vec![long], 2),
    ] {
        refused(&mut attacked, what, &state(increments, next), REPAIR);
    }
    for (what, sequence) in [("an old sequence", 1), ("the largest", u64::MAX)] {
        let name = other.to_owned();
        let run = Some(RunMark { sequence, name, timestamp: String::new() });
        let batch = bytes(&Frame::Batch { run, changes: Vec::new() });
        let base = state(vec![increment(4, sound)], 5);
        refused(&mut attacked, what, &[base, vec![batch]].concat(), REPAIR);
    }
}

#[test]
fn an_index_whose_staged_names_or_paths_lead_elsewhere_is_damaged() {
    let mut attacked = Attacked::new();
    // The names of staged files are looked for in what the program wrote, and replaced by others,
    // so that this test knows nothing of what a record is.
    attacked.home.write("work/staged.txt", "content");
    attacked.home.done(&["run"]);
    let index = fs::read(attacked.repository().join(".bkm/index")).unwrap();
    let sound = payloads(&index);
    let found = sound.iter().position(|p| p[0] == 2 && find(p, b"staged.txt").is_some()).unwrap();
    let other = ["..", "/a", "", "../../mirror/a.txt", "/etc/passwd", "a\0", "../index", "é"];
    for evil in other.into_iter().chain(["a/..", "a/", "a/b/1", "abc/1"]) {
        let mut payloads = sound.clone();
        let payload = &mut payloads[found];
        let staged = (0..payload.len())
            .rev()
            .find(|at| {
                let is_name = |name: &[u8]| name[2] == b'/' && name[3].is_ascii_digit();
                payload[*at] == 4 && payload.get(at + 1..at + 5).is_some_and(is_name)
            })
            .unwrap();
        let mut name = vec![u8::try_from(evil.len()).unwrap()];
        name.extend(evil.as_bytes());
        payload.splice(staged..staged + 5, name);
        refused(&mut attacked, evil, &payloads, REPAIR);
    }
    for evil in [&b"../../out"[..], b"/etc/passwd", b"", b"a//b", b"..", b"a/\0"] {
        for (what, change) in [
            ("removed", Change::Remove { path: evil.to_vec() }),
            ("removed folder", Change::RemoveFolder { path: evil.to_vec() }),
        ] {
            let batch = bytes(&Frame::Batch { run: None, changes: vec![change] });
            refused(&mut attacked, what, &[sound.clone(), vec![batch]].concat(), REPAIR);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn an_index_that_would_take_all_memory_is_refused() {
    let mut attacked = Attacked::new();
    let state = bytes(&Frame::State { next_sequence: 1, increments: Vec::new() });
    // One frame of as many changes as its 256 MiB hold.
    let changes: usize = (250 << 20) / 3;
    let mut batch = vec![2, 0];
    batch.extend(postcard::to_stdvec(&changes).unwrap());
    batch.extend([2, 1, b'a'].repeat(changes));
    refused(&mut attacked, "a full frame", &[state.clone(), batch.clone()], "memory");
    // A length of the rest that is not there.
    let mut lying = index_of(&[state.clone(), vec![4]]);
    lying.extend((255_u32 << 20).to_le_bytes());
    fs::write(attacked.repository().join(".bkm/index"), lying).unwrap();
    let output = attacked.command(&["list"]);
    assert_eq!(output.status.code(), Some(0), "a torn tail: {}", words(&output));
    // Frames without end, each of them small.
    batch.truncate(2);
    batch.extend(postcard::to_stdvec(&1000_u32).unwrap());
    batch.extend([2, 1, b'a'].repeat(1000));
    let mut many = vec![state];
    many.extend(std::iter::repeat_n(batch, 2000));
    refused(&mut attacked, "many frames", &many, "memory");
    let increments = (10_u64..3_000_000).flat_map(|n| {
        let mut one = postcard::to_stdvec(&n).unwrap();
        one.extend([0, 0, 0, 0]);
        one
    });
    let mut state = vec![1];
    state.extend(postcard::to_stdvec(&u64::MAX).unwrap());
    state.extend(postcard::to_stdvec(&2_999_990_u32).unwrap());
    state.extend(increments);
    refused(&mut attacked, "increments", &[state], "memory");
}

#[test]
fn an_index_that_is_cut_off_or_random_is_damaged() {
    let mut attacked = Attacked::new();
    let path = attacked.repository().join(".bkm/index");
    let whole = fs::read(&path).unwrap();
    let mut random = whole.clone();
    blake3::Hasher::new().finalize_xof().fill(&mut random);
    let cut = (0..whole.len()).step_by(whole.len() / 20).map(|len| whole[..len].to_vec());
    for text in cut.chain([random]) {
        fs::write(&path, &text).unwrap();
        for args in [&["list"][..], &["restore", "--to", "now"], &["run"]] {
            let output = attacked.command(args);
            assert_eq!(output.status.code(), Some(1), "{} bytes", text.len());
            assert!(words(&output).contains(REPAIR));
        }
        assert_eq!(fs::read(&path).unwrap(), text, "damage is left as it is");
    }
}
