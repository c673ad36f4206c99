//! The largest values that are believed of a record on a drive, whoever wrote it.

/// Sequences stay below this: the largest that every reader of JSON keeps exactly.
pub(crate) const MAX_SEQUENCE: u64 = 1 << 53;

/// Longest time that is taken, in bytes; ours have 25.
pub(crate) const MAX_TIMESTAMP: usize = 64;

/// Largest catalog that is read, in bytes: a million files need some 400 MB.
pub(crate) const MAX_CATALOG: u64 = 2 << 30;
