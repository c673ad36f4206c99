//! Whether two texts name the same file system.

/// UUIDs are hexadecimal numbers: `b4c4-f001` is `B4C4-F001`.
pub(super) fn same_uuid(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
