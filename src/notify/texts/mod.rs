//! The words of the notifications: pure functions from what happened to what is shown.
//!
//! `progress` is what is said while a backup runs; `ended` says how it ended and
//! whether the drive can be pulled, `waiting` what has to happen before it starts, `trouble` what keeps
//! it from starting. Names come from drives and files and are sanitised by the catalogue; they are not
//! escaped for markup here, since only the notification service knows whether it reads markup. Reasons
//! that errors give are English in every language, as in the log.

pub mod ended;
pub mod progress;
pub mod text;
pub mod trouble;
pub mod waiting;
