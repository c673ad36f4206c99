//! Other owners than at backup time: `--map-owner` and `--map-group`.
//!
//! It only maps numbers. Set-id bits do not come along to another owner: that is seen to where they are
//! set.

use std::collections::HashMap;

/// Which users and groups take whose place. Where nothing is said, everybody keeps what is theirs.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    users: HashMap<u32, u32>,
    groups: HashMap<u32, u32>,
}

/// Why a mapping is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnersError {
    /// It is not of the form `FROM:TO`.
    #[error("'{0}' is not FROM:TO, as in 1000:1001 or anna:ben")]
    NotAPair(String),
    /// No such user or group on this computer.
    #[error("this computer knows no {kind} '{name}'; of another computer's, give the number")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// What was given.
        name: String,
    },
    /// One is to become two.
    #[error("'{0}' is mapped twice")]
    Twice(String),
}

impl Owners {
    /// Reads mappings of users and of groups, each `FROM:TO` by name or number. Names are looked up in the
    /// texts of passwd(5) and group(5).
    pub fn parse(
        users: &[String],
        groups: &[String],
        passwd: &str,
        group: &str,
    ) -> Result<Self, OwnersError> {
        Ok(Self { users: map(users, "user", passwd)?, groups: map(groups, "group", group)? })
    }

    /// Who gets what belonged to `uid` and `gid`.
    pub fn of(&self, uid: u32, gid: u32) -> (u32, u32) {
        let to = |map: &HashMap<u32, u32>, id| map.get(&id).copied().unwrap_or(id);
        (to(&self.users, uid), to(&self.groups, gid))
    }
}

fn map(
    pairs: &[String],
    kind: &'static str,
    names: &str,
) -> Result<HashMap<u32, u32>, OwnersError> {
    let mut map = HashMap::new();
    for pair in pairs {
        let shown = || crate::text::sanitize::line(pair);
        let (from, to) = pair.split_once(':').ok_or_else(|| OwnersError::NotAPair(shown()))?;
        if map.insert(id(from, kind, names)?, id(to, kind, names)?).is_some() {
            return Err(OwnersError::Twice(crate::text::sanitize::line(from)));
        }
    }
    Ok(map)
}

/// A number, or the number of a name in the text of passwd(5) or group(5), whose first and third fields
/// mean the same.
fn id(name: &str, kind: &'static str, names: &str) -> Result<u32, OwnersError> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    };
    // The kernel takes the highest number for "leave it".
    let number = name.parse().ok().filter(|id| *id != u32::MAX);
    let found = number.or_else(|| if name.is_empty() { None } else { names.lines().find_map(of) });
    found.ok_or_else(|| OwnersError::Unknown { kind, name: crate::text::sanitize::line(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(users: &[&str], groups: &[&str]) -> Result<Owners, OwnersError> {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let passwd = "root:x:0:0::/root:/bin/sh\nanna:x:1000:100::/home/anna:/bin/sh\n";
        Owners::parse(&texts(users), &texts(groups), passwd, "users:x:100:\n")
    }

    #[test]
    fn users_and_groups_are_mapped_by_name_or_number() {
        let owners = parsed(&["anna:root", "1001:anna"], &["1000:users"]).unwrap();
        assert_eq!(owners.of(1000, 1000), (0, 100));
        assert_eq!(owners.of(1001, 0), (1000, 0));
        assert_eq!(owners.of(5, 6), (5, 6));
    }

    #[test]
    fn what_is_no_mapping_is_said() {
        assert!(matches!(parsed(&["anna"], &[]), Err(OwnersError::NotAPair(_))));
        for bad in ["bea:0", ":0", "0:", "-1:0", "4294967295:0", "anna:x:1"] {
            assert!(matches!(parsed(&[bad], &[]), Err(OwnersError::Unknown { .. })), "{bad}");
        }
        assert!(matches!(parsed(&["anna:1", "1000:2"], &[]), Err(OwnersError::Twice(_))));
        assert!(matches!(parsed(&[], &["anna:0"]), Err(OwnersError::Unknown { .. })));
    }
}
