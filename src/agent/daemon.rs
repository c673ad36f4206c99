//! The event loop of the agent, on one thread.
//!
//! It decides nothing (that is `controller`) and never blocks (that is `jobs`): it hands on events and ends in
//! order when it is told to.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::Instant;

use crate::agent::event::Input;
use crate::agent::lock;
use crate::agent::session::{Agent, Message};
use crate::agent::settings::Settings;
use crate::desktop::login::{Inhibitor, Login, Told};
use crate::drive::monitor::{Event, Monitor, MonitorError};
use crate::drive::udev::udev_runs;
use crate::notify::notifications::Notifications;
use crate::notify::texts::text::Act;
use crate::text::language::Language;

/// How long runs may take to stop in order. With what follows it stays within the 5 s that the
/// service is given.
const STOP_WAIT: Duration = Duration::from_secs(4);

/// How long the last notification, and taking away mounts that are still busy, may take.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// Why the agent could not go on. Everything that concerns one drive or one profile is logged and
/// survived instead.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The operating system refused something at the start.
    #[error("the agent cannot start: {0}")]
    Start(#[source] io::Error),
    /// udev cannot be listened to.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// Another one runs, or the state folder cannot be written.
    #[error(transparent)]
    Lock(#[from] lock::LockError),
    /// The thread that listens to udev ended.
    #[error("the agent no longer hears of drives (the udev monitor ended, see the log)")]
    Deaf,
}

/// Listens and backs up until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> Result<(), AgentError> {
    let _lock = lock::take(&settings.state_dir)?;
    // It only tells the agents of users; anybody could be in its way.
    let system = settings.system.then(lock::take_system);
    if let Some(Err(error)) = &system {
        tracing::warn!("{}", crate::text::error_chain::in_words(error));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AgentError::Start)?;
    let result = runtime.block_on(listen(settings));
    // A thread that a dying drive holds in the kernel must not hold up the end.
    runtime.shutdown_background();
    result
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

async fn listen(settings: Settings) -> Result<(), AgentError> {
    let catch = |kind| signal(kind).map_err(AgentError::Start);
    let mut signals = Signals {
        terminate: catch(SignalKind::terminate())?,
        interrupt: catch(SignalKind::interrupt())?,
        reload: catch(SignalKind::hangup())?,
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    let (heard, mut events) = mpsc::unbounded_channel();
    let monitor = Monitor::start(&watched(&settings.profile_dirs), heard)?;
    // After the watch has begun: a profile that is written meanwhile is read twice rather than never.
    let (notifications, chosen) = Notifications::start(Language::from_env());
    let mut agent = Agent::new(settings, notifications, tell);
    if !udev_runs() {
        tracing::warn!("udev does not run here: no drive will be seen");
    }
    notify(&[NotifyState::Ready]);
    let login = Login::start().await;
    let ended = serve(&mut agent, &mut signals, &mut told, &mut events, login, chosen).await;
    notify(&[NotifyState::Stopping]);
    stop(&mut agent, &mut told).await;
    drop(monitor);
    ended
}

/// The loop itself; ends with a signal.
async fn serve(
    agent: &mut Agent,
    signals: &mut Signals,
    told: &mut UnboundedReceiver<Message>,
    events: &mut UnboundedReceiver<Event>,
    mut login: Login,
    mut chosen: UnboundedReceiver<(u64, Act)>,
) -> Result<(), AgentError> {
    let mut status = String::new();
    let mut inhibitor: Option<Inhibitor> = None;
    let mut was_quiet = true;
    loop {
        // Held as long as a drive is in use, so that sleep waits until what runs has stopped in order.
        if agent.quiet() {
            drop(inhibitor.take());
        } else if was_quiet {
            inhibitor = login.inhibit("a backup is running").await;
        }
        was_quiet = agent.quiet();
        let now = agent.status();
        if now != status {
            notify(&[NotifyState::Status(&now)]);
            status = now;
        }
        // In this order: a signal outranks events, and the end of a run what comes after it.
        tokio::select! {
            biased;
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.reload.recv() => agent.reload(),
            Some(message) = told.recv() => agent.take(message),
            Some((key, act)) = chosen.recv() => agent.chosen(key, act),
            Some(word) = login.next() => match word {
                Told::Sleep(asleep) => agent.give(Input::Sleep(asleep)),
                Told::SessionChanged => agent.give(Input::Login),
            },
            event = events.recv() => match event {
                Some(Event::Device { action, device }) => agent.give(Input::Device(action, device)),
                Some(Event::Present(devices)) => {
                    agent.give(Input::Present(devices));
                    agent.at_start = false;
                }
                Some(Event::MountsChanged) => agent.give(Input::Mounts),
                Some(Event::FilesChanged) => agent.reload(),
                None => return Err(AgentError::Deaf),
            },
        }
    }
}

/// The folders of profiles to watch. The user's own is made if it is missing, so that the first profile that
/// is put there is seen.
fn watched(dirs: &[PathBuf]) -> Vec<PathBuf> {
    if let Some(own) = dirs.first().filter(|own| !own.exists()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(own);
        if let Err(error) = made {
            tracing::warn!("{}: cannot be made: {error}", own.display());
        }
    }
    dirs.to_vec()
}

/// Stops what runs, in order while there is time for it.
async fn stop(agent: &mut Agent, told: &mut UnboundedReceiver<Message>) {
    tracing::info!("stopping");
    let deadline = Instant::now() + STOP_WAIT;
    agent.give(Input::Stop);
    while !agent.quiet() {
        match tokio::time::timeout_at(deadline, told.recv()).await {
            Ok(Some(message)) => agent.take(message),
            Ok(None) => break,
            Err(_) => {
                tracing::warn!("a run does not stop in time; the next one finishes what it began");
                break;
            }
        }
    }
    agent.abandon(LAST_WORDS).await;
}

/// Tells systemd; without it there is nobody to tell.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd was not told: {error}");
    }
}
