//! Desktop notifications: one per plug-in, updated as it goes on, and what the user chooses in them.
//!
//! A notification service that is missing, slow or broken never holds up or fails a run: everything
//! is handed to a task of its own (`dispatcher`), and the first failure is one line in the log. While
//! nothing is shown there is no timer and no connection.

pub mod action_listener;
pub mod catalogue;
pub mod dispatcher;
pub mod figures;
pub mod notifications;
pub mod service;
pub mod texts;
