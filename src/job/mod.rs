//! One backup as the agent and the `run` command make it: the drive, the hooks around it, the run, and what
//! this computer remembers of it.

pub mod backup_job;
pub mod drive;
pub mod hooks;
