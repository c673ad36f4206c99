//! Gives what is restored its attributes: owner, mode, times, extended attributes, ACLs.
//!
//! What cannot be given back is a problem with a name, found by looking at what is there afterwards: file
//! systems and rights differ, and few say no. It never gives a set-id bit unasked.

use crate::fs::attributes::Attributes;
use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::fs::writer::DriveFile;
use crate::history::timeline::{Body, Version};
use crate::model::relpath::RelPath;
use crate::restore::restorer::Restorer;

impl Restorer<'_> {
    /// Gives a file that is whole its attributes; returns its inode.
    pub(super) fn finish(
        &mut self,
        path: &RelPath,
        version: &Version,
        to: &mut DriveFile<'_>,
    ) -> Result<u64, TreeError> {
        let plain = self.attributes(version);
        // One that exists may be closed even to its owner.
        if !self.root && to.stat()?.mode & 0o200 == 0 {
            to.set_attributes(&Attributes { mode: plain.mode | 0o200, ..plain })?;
        }
        to.remove_other_xattrs(&version.xattrs)?;
        // A change of owner takes capabilities away; without root there is none, and a file that is
        // read-only takes no attributes any more.
        if self.root {
            to.set_attributes(&plain)?;
        }
        for (name, value) in &version.xattrs {
            if !to.set_xattr(name, value)? {
                self.say_xattr(path, name);
            }
        }
        if !self.root {
            to.set_attributes(&plain)?;
        }
        // Last, since a change of owner takes them away; and only for the owner and group that they were
        // given for.
        let made = to.stat()?;
        let mut set_id = if self.how.keep_set_id { version.mode & 0o6000 } else { 0 };
        if made.uid != version.uid {
            set_id &= !0o4000;
        }
        if made.gid != version.gid {
            set_id &= !0o2000;
        }
        if set_id != 0 {
            to.set_attributes(&Attributes { mode: plain.mode | set_id, ..plain })?;
        }
        let made = to.stat()?;
        self.say_lost(path, version, Some(made));
        Ok(made.ino)
    }

    /// Whether what exists has a version's attributes, as far as a stat tells.
    pub(super) fn has_attributes(&self, version: &Version, found: &Found) -> bool {
        let wanted = self.attributes(version);
        let bits = if self.how.keep_set_id { 0o7777 } else { 0o1777 };
        let mode = found.file_type.is_symlink() || (found.mode ^ version.mode) & bits == 0;
        mode && wanted.owner == Some((found.uid, found.gid)) && wanted.mtime_ns == found.mtime_ns
    }

    /// What is set at first: without the set-id bits of files. For a folder set-gid means that what is made
    /// in it gets its group, which is no privilege.
    pub(super) fn attributes(&self, version: &Version) -> Attributes {
        let bits = match version.body {
            Body::Folder if self.how.keep_set_id => 0o7777,
            Body::Folder => 0o3777,
            _ => 0o1777,
        };
        let (uid, gid) = self.how.owners.of(version.uid, version.gid);
        Attributes {
            mode: version.mode & bits,
            // Without root a group can be given that one is a member of.
            owner: Some((if self.root { uid } else { self.uid }, gid)),
            mtime_ns: version.mtime_ns,
        }
    }

    /// What could not be given back is a problem to be named; `made` is what is there now.
    pub(super) fn say_lost(&mut self, path: &RelPath, version: &Version, made: Option<Found>) {
        let Some(made) = made else { return };
        let why = "the destination does not take it";
        let (uid, gid) = self.how.owners.of(version.uid, version.gid);
        match (made.uid == uid, made.gid == gid) {
            (true, true) => {}
            // A user restores for themselves: that is no problem of each file.
            _ if !self.root => self.done.others += 1,
            (false, true) => self.problem(path, format!("its owner {uid} was not restored: {why}")),
            (true, false) => self.problem(path, format!("its group {gid} was not restored: {why}")),
            (false, false) => {
                let reason = format!("its owner {uid} and group {gid} were not restored: {why}");
                self.problem(path, reason);
            }
        }
        if matches!(version.body, Body::Link(_)) {
            return;
        }
        if version.mode & !made.mode & 0o6000 != 0 {
            let why = if self.how.keep_set_id {
                "they were for another owner or group, or the destination does not take them"
            } else {
                "a backup is not trusted with them; --keep-set-id brings them back"
            };
            self.problem(path, format!("its set-id bits were not restored: {why}"));
        }
        if (version.mode ^ made.mode) & 0o1777 != 0 {
            let mode = version.mode & 0o1777;
            let reason =
                format!("its mode {mode:03o} was not restored: the destination does not take it");
            self.problem(path, reason);
        }
    }

    fn say_xattr(&mut self, path: &RelPath, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        self.problem(path, format!("the attribute {name} could not be set"));
    }

    pub(super) fn folder_attributes(
        &mut self,
        path: &RelPath,
        version: &Version,
    ) -> Result<(), TreeError> {
        let to = path.as_path();
        self.destination.remove_other_folder_xattrs(to, &version.xattrs)?;
        for (name, value) in &version.xattrs {
            if !self.destination.set_folder_xattr(to, name, value)? {
                self.say_xattr(path, name);
            }
        }
        self.destination.set_folder_attributes(to, &self.attributes(version))?;
        let made = self.destination.stat(to)?;
        self.say_lost(path, version, made);
        Ok(())
    }
}
