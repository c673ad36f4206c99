//! agent

pub mod attach;
pub mod due;
#[cfg(test)]
pub(crate) mod test_profile;
