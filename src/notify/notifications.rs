//! What the agent holds to show notifications and to hear what was chosen in them.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::notify::dispatcher;
use crate::notify::texts::text::{Act, Text};
use crate::text::language::Language;

/// Hands texts to the desktop's notification service.
#[derive(Debug, Clone)]
pub struct Notifications {
    orders: mpsc::UnboundedSender<dispatcher::Order>,
    language: Language,
}

impl Notifications {
    /// Starts the task that talks to the service; it labels buttons in `language`. To be called within
    /// a tokio runtime.
    ///
    /// The receiver gets what users choose: the notification's key, and the action. It was offered by
    /// the text that the notification showed; whether it still makes sense is the receiver's to find
    /// out. Who lets it go unread loses nothing else.
    pub fn start(language: Language) -> (Self, mpsc::UnboundedReceiver<(u64, Act)>) {
        let (orders, waiting) = mpsc::unbounded_channel();
        let (choose, chosen) = mpsc::unbounded_channel();
        drop(tokio::spawn(dispatcher::serve(waiting, choose, language)));
        (Self { orders, language }, chosen)
    }

    /// The language that texts are to be written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Shows `text` as the notification `key`, in place of what it showed before. Passing texts can be
    /// handed over as often as they change.
    pub fn show(&self, key: u64, text: Text) {
        let _ended = self.orders.send(dispatcher::Order::Show(key, text));
    }

    /// Lets go of the notification `key`; it stays on the screen as long as the desktop likes, but
    /// nothing that is chosen there is heard any more.
    pub fn forget(&self, key: u64) {
        let _ended = self.orders.send(dispatcher::Order::Forget(key));
    }

    /// Waits until everything was shown, at most for `limit`.
    pub async fn flush(&self, limit: Duration) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(dispatcher::Order::Flush(done)).is_ok() {
            let _late = tokio::time::timeout(limit, wait).await;
        }
    }
}
