//! One notification: its words and its buttons.

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The headline.
    pub summary: String,
    /// The lines below it.
    pub body: String,
    /// Whether the user has to do something about it.
    pub urgent: bool,
    /// Whether it only says how far a run is. Such a text is shown quietly, at most once a second, not
    /// again once the user closed it, and a later one can take its place before it was shown.
    pub passing: bool,
    /// How much is done, in percent.
    pub progress: Option<u8>,
    /// What the user can choose, in the order of the buttons.
    pub actions: Vec<Act>,
}

/// What a notification offers. Nothing that needs more trust than a click: services match actions to
/// notifications by a number alone, so none may do more than the command line would without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Show the backup in the file manager; also what a click on the notification itself does.
    OpenFolder,
    /// Unmount the drive, so that it can be pulled.
    Eject,
    /// Run the backup that waits.
    RunNow,
    /// Stop the run in order.
    Stop,
}
