//! Bounds the memory that reading a drive's records takes, so that a hostile drive cannot use it up.
//!
//! What is decoded can be a hundred times as large in memory as on the drive. So every path and every
//! element of an inner list is paid for while it is decoded, from a budget that depends on this
//! computer's memory. Decoders are derived and take no arguments: the budget is the thread's, for the
//! time of [`within`].

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use rustix::process::Resource;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// What a path and all that is recorded with it take in memory, in bytes: measured with a catalog of a
/// million files (884 each); a record of the index takes less.
pub(crate) const PER_PATH: u64 = 900;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// As much memory as one reading of records may take: three quarters of this computer's or, where it may take
/// less, of this process's control group (a container, `MemoryMax=` of a unit); or half of what this process is
/// limited to.
pub(crate) fn memory() -> u64 {
    // Asked once: histories have thousands of catalogs, each of which is read within a budget.
    static GROUP: OnceLock<u64> = OnceLock::new();
    let group = *GROUP.get_or_init(|| group_limit().unwrap_or(u64::MAX));
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    #[expect(clippy::useless_conversion, reason = "its type differs between processors")]
    let all = u64::try_from(info.totalram).unwrap_or(u64::MAX).saturating_mul(unit);
    let limit = rustix::process::getrlimit(Resource::As).current.unwrap_or(u64::MAX);
    (all.min(group) / 4 * 3).min(limit / 2)
}

/// The least memory that a control group above this process may take; `None` if that cannot be told.
fn group_limit() -> Option<u64> {
    let mut system = System::new().ok()?;
    let own = sysinfo::get_current_pid().ok()?;
    let nothing_more = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, nothing_more);
    Some(system.process(own)?.cgroup_limits()?.total_memory)
}

/// Decodes with what is left of a budget, and leaves there what is left then. It is `None` once the
/// decoder asked for more than that: then its error says nothing else.
pub(crate) fn within<T>(left: &mut Option<u64>, decode: impl FnOnce() -> T) -> T {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let outside = Restore(LEFT.replace(left.unwrap_or(0)));
    let decoded = decode();
    let after = LEFT.get();
    *left = (after > 0).then_some(after);
    drop(outside);
    decoded
}

/// Pays for one path and what is recorded with it.
pub(crate) fn pay_path<E: Error>() -> Result<(), E> {
    pay(PER_PATH)
}

/// Something needs more memory than one reading may take; named by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge(pub(crate) &'static str);

/// Whether so many paths, gathered from several readings, fit into the memory; `what` names them.
pub(crate) fn check_paths(paths: usize, what: &'static str) -> Result<(), TooLarge> {
    if (paths as u64).saturating_mul(PER_PATH) <= memory() { Ok(()) } else { Err(TooLarge(what)) }
}

fn pay<E: Error>(bytes: u64) -> Result<(), E> {
    let left = LEFT.get().saturating_sub(bytes);
    LEFT.set(left);
    if left > 0 { Ok(()) } else { Err(E::custom("too large for this computer's memory")) }
}

/// What an element costs: lists double when they grow, and most elements own one or two more pieces.
fn cost_of<T>() -> u64 {
    size_of::<T>() as u64 * 2 + 64
}

/// Decodes a list of which each element is paid for.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = seq.next_element()? {
                pay(cost_of::<T>())?;
                list.push(element);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List(PhantomData))
}

/// Decodes a list that will not grow.
pub(crate) fn slice<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Box<[T]>, D::Error> {
    list(deserializer).map(Vec::into_boxed_slice)
}

/// Decodes a map of texts of which each entry is paid for.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Texts;
    impl<'de> Visitor<'de> for Texts {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut texts = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                pay(cost_of::<(String, String)>())?;
                texts.insert(name, value);
            }
            Ok(texts)
        }
    }
    deserializer.deserialize_map(Texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::relpath::RelPath;

    #[test]
    fn decoding_ends_where_the_budget_does_and_goes_on_without_one() {
        let text = r#"["a","b","c"]"#;
        let decode = || serde_json::from_str::<Vec<RelPath>>(text);
        let mut left = Some(PER_PATH * 4);
        assert_eq!(within(&mut left, decode).unwrap().len(), 3);
        assert_eq!(left, Some(PER_PATH));
        assert!(within(&mut left, decode).is_err());
        assert_eq!(left, None);
        assert_eq!(decode().unwrap().len(), 3, "outside of it nothing is counted");
    }

    #[test]
    fn the_budget_is_a_part_of_the_memory() {
        assert!(memory() > 16 << 20 && memory() < 1 << 50, "{}", memory());
    }
}
