//! Puts together what is one damaged file: names those that share it, and finds sound copies to heal it from.
//!
//! It only looks, and heals nothing: that is `integrity::heal`. It comes after all versions were judged.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::integrity::damage::{Damaged, DamagedName};
use crate::integrity::expected::{Body, Expected, Listing, current};
use crate::integrity::verify::error::VerifyError;
use crate::integrity::verify::finding::{Damage, Finding};
use crate::integrity::verify::verifier::{Key, Seen, Verifier, Wrong};
use crate::repository::catalog::file::read_catalog;
use crate::repository::index::record::Identity;
use crate::repository::layout;

impl Verifier<'_> {
    /// Puts together what is one file: names those that share it, and finds sound copies.
    pub(super) fn group(&mut self) -> Result<(), VerifyError> {
        let mut groups: HashMap<Key, Vec<usize>> = HashMap::new();
        for (at, wrong) in self.wrong.iter().enumerate() {
            groups.entry(wrong.key.clone()).or_default().push(at);
        }
        let who = |wrong: &Wrong| {
            wrong.expected.increment.clone().unwrap_or_else(|| layout::MIRROR.to_owned())
        };
        let mut wanted: HashMap<[u8; 32], Vec<PathBuf>> = HashMap::new();
        let mut order: Vec<&Vec<usize>> = groups.values().collect();
        order.sort_unstable();
        for group in order {
            let members: Vec<&Wrong> = group.iter().filter_map(|at| self.wrong.get(*at)).collect();
            for wrong in &members {
                let mut others: Vec<String> = Vec::new();
                for other in members.iter().filter(|other| other.at != wrong.at) {
                    let name = who(other);
                    if name != who(wrong) && !others.contains(&name) {
                        others.push(name);
                    }
                }
                if let Some(finding) = self.done.findings.get_mut(wrong.at) {
                    finding.shared_with = others;
                }
            }
            for (version, findings) in damaged_versions(&members, &self.done.findings) {
                wanted.entry(version.hash).or_default();
                self.done.damaged.push((version, findings));
            }
        }
        if wanted.is_empty() || self.check.quick {
            return Ok(());
        }
        self.find_sound(&mut wanted)?;
        for (version, _) in &mut self.done.damaged {
            version.sound = wanted.get(&version.hash).cloned().unwrap_or_default();
        }
        Ok(())
    }

    /// Finds files of the drive that were read and have the content.
    fn find_sound(&self, wanted: &mut HashMap<[u8; 32], Vec<PathBuf>>) -> Result<(), VerifyError> {
        let mut look = |version: &Expected| {
            let Body::File { hash: Some(hash), .. } = version.body else { return };
            let Some(sound) = wanted.get_mut(&hash) else { return };
            for (_, place, found) in self.look(version) {
                let Ok(Some(found)) = found else { continue };
                let seen = self.seen.get(&self.key(&place, Some(&found)));
                if matches!(seen, Some(Seen::Hash(now)) if *now == hash) && !sound.contains(&place)
                {
                    sound.push(place);
                }
            }
        };
        for (path, record) in self.index.records().iter() {
            look(&current(path, record));
        }
        let listing = Listing::new(self.index, self.keeping);
        for increment in self.index.increments() {
            if self.check.stop.load(Ordering::Relaxed) {
                return Err(VerifyError::Stopped);
            }
            // What cannot be read is a finding already.
            if let Ok(catalog) = read_catalog(self.tree, &increment.name) {
                listing.catalog(increment.sequence, &catalog).iter().for_each(&mut look);
            }
        }
        Ok(())
    }
}

/// The versions in a group of names that were one file, one for each content that was backed up; with the
/// findings that it makes up.
fn damaged_versions(members: &[&Wrong], findings: &[Finding]) -> Vec<(Damaged, Vec<usize>)> {
    let mut versions: Vec<(Damaged, Vec<usize>)> = Vec::new();
    for wrong in members {
        let damage = findings.get(wrong.at).map(|finding| finding.damage);
        let (size, hash, target) = match &wrong.expected.body {
            Body::File { size, hash: Some(hash) } => (*size, *hash, None),
            Body::Link(target) => {
                (target.len() as u64, *blake3::hash(target).as_bytes(), Some(target.clone()))
            }
            Body::File { hash: None, .. } | Body::Folder => continue,
        };
        // A folder in its place has to be moved away by hand.
        let is_folder = wrong.found.is_some_and(|found| found.file_type.is_dir());
        if damage == Some(Damage::Replaced) || is_folder || wrong.expected.at.is_some() {
            continue;
        }
        let name = DamagedName {
            within: wrong.within,
            path: wrong.expected.path.clone(),
            place: wrong.expected.place.clone(),
            found: wrong.found.map(|found| Identity { ino: found.ino, size: found.size }),
        };
        let same = |(v, _): &&mut (Damaged, _)| (v.hash, &v.target) == (hash, &target);
        if let Some((version, made_up)) = versions.iter_mut().find(same) {
            made_up.push(wrong.at);
            // In displace several versions can be one file under one name.
            if !version.names.contains(&name) {
                version.names.push(name);
            }
            continue;
        }
        let version = Damaged {
            size,
            hash,
            target,
            attributes: wrong.expected.attributes.clone(),
            names: vec![name],
            sound: Vec::new(),
        };
        versions.push((version, vec![wrong.at]));
    }
    versions
}
