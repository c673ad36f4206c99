//! What a tree holds, to be compared with what it held or with another tree.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// `file`, `link`, `folder` or `special`.
    pub(crate) kind: &'static str,
    /// Hash of a file's content.
    pub(crate) hash: Option<blake3::Hash>,
    /// Length of a file.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime_ns: i128,
    /// Where a link points.
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) ino: u64,
    /// The first path of those that are hard links to one file.
    pub(crate) twin_of: Option<Vec<u8>>,
}

/// A tree, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<Vec<u8>, Node>);

impl Snapshot {
    /// Looks at everything below `root`, but not at `root` itself.
    pub(crate) fn of(root: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        walk(root, &mut Vec::new(), &mut nodes);
        Self(nodes).with_twins()
    }

    /// The part that `keep` picks.
    pub(crate) fn only(&self, keep: impl Fn(&[u8]) -> bool) -> Self {
        let nodes = self.0.iter().filter(|(path, _)| keep(path));
        Self(nodes.map(|(p, n)| (p.clone(), n.clone())).collect()).with_twins()
    }

    /// Finds out anew which paths are hard links to one another.
    fn with_twins(mut self) -> Self {
        let mut first: HashMap<u64, (Vec<u8>, u32)> = HashMap::new();
        for (path, node) in self.0.iter().filter(|(_, n)| n.kind == "file") {
            first.entry(node.ino).or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
        for node in self.0.values_mut() {
            node.twin_of = match first.get(&node.ino) {
                Some((path, 2..)) if node.kind == "file" => Some(path.clone()),
                _ => None,
            };
        }
        self
    }

    /// How `other` differs, in words; empty if it does not. Inode numbers count with `inodes`.
    pub(crate) fn differences(&self, other: &Self, inodes: bool) -> String {
        let mut text = String::new();
        for (path, node) in &self.0 {
            let shown = shown(path);
            match other.0.get(path) {
                None => writeln!(text, "  {shown}: is missing ({})", node.kind).unwrap(),
                Some(found) => {
                    for what in node.differences(found, inodes) {
                        writeln!(text, "  {shown}: {what}").unwrap();
                    }
                }
            }
        }
        for (path, node) in &other.0 {
            if !self.0.contains_key(path) {
                writeln!(text, "  {}: is too much ({})", shown(path), node.kind).unwrap();
            }
        }
        text
    }
}

impl Node {
    fn differences(&self, found: &Self, inodes: bool) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, then: String, now: String| {
            if then != now {
                differences.push(format!("{what} was {then}, is {now}"));
            }
        };
        compare("kind", self.kind.to_owned(), found.kind.to_owned());
        compare("hash", format!("{:?}", self.hash), format!("{:?}", found.hash));
        compare("size", self.size.to_string(), found.size.to_string());
        compare("mode", format!("{:o}", self.mode), format!("{:o}", found.mode));
        compare(
            "owner",
            format!("{}:{}", self.uid, self.gid),
            format!("{}:{}", found.uid, found.gid),
        );
        compare("mtime", self.mtime_ns.to_string(), found.mtime_ns.to_string());
        compare("target", format!("{:?}", self.target), format!("{:?}", found.target));
        compare("xattrs", format!("{:?}", self.xattrs), format!("{:?}", found.xattrs));
        let twin = |node: &Self| node.twin_of.as_deref().map(shown);
        compare("twin", format!("{:?}", twin(self)), format!("{:?}", twin(found)));
        if inodes {
            compare("inode", self.ino.to_string(), found.ino.to_string());
        }
        differences
    }
}

/// A path for messages.
pub(crate) fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

fn walk(folder: &Path, prefix: &mut Vec<u8>, nodes: &mut BTreeMap<Vec<u8>, Node>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let kind = match meta.file_type() {
            t if t.is_dir() => "folder",
            t if t.is_symlink() => "link",
            t if t.is_fifo() || t.is_socket() || t.is_block_device() || t.is_char_device() => {
                "special"
            }
            _ => "file",
        };
        let length = prefix.len();
        if length > 0 {
            prefix.push(b'/');
        }
        prefix.extend_from_slice(entry.file_name().as_bytes());
        let is_file = kind == "file";
        let node = Node {
            kind,
            hash: is_file.then(|| blake3::hash(&std::fs::read(&path).unwrap())),
            size: if is_file { meta.len() } else { 0 },
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            target: (kind == "link")
                .then(|| std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()),
            xattrs: if is_file || kind == "folder" { xattrs(&path) } else { Vec::new() },
            ino: meta.ino(),
            twin_of: None,
        };
        nodes.insert(prefix.clone(), node);
        if kind == "folder" {
            walk(&path, prefix, nodes);
        }
        prefix.truncate(length);
    }
}

/// The attributes that are backed up.
fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 64 * 1024];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return Vec::new();
    };
    names.truncate(length);
    let mut found = Vec::new();
    let kept = |name: &[u8]| {
        name.starts_with(b"user.")
            || name.starts_with(b"system.posix_acl")
            || name == b"security.capability"
    };
    for name in names.split(|&b| b == 0).filter(|name| kept(name)) {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    found
}
