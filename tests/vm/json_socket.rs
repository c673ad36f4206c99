//! Commands as JSON lines over a socket: what qemu's monitor (QMP) and the guest agent both speak.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for one answer. The guest may be busy for a while; it answers in the end.
const ANSWER: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct JsonSocket {
    lines: BufReader<UnixStream>,
    /// What came unasked: `{"event": …}`.
    events: Vec<Value>,
}

impl JsonSocket {
    /// Connects to a socket that qemu is about to make.
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = crate::host::wait_for("qemu's socket", Duration::from_secs(30), || {
            UnixStream::connect(path).ok()
        });
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        Self { lines: BufReader::new(stream), events: Vec::new() }
    }

    /// Sends a command and waits for its answer; the error is the other side's description.
    pub(crate) fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value, String> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments.clone();
        }
        writeln!(self.lines.get_mut(), "{request}").map_err(|error| error.to_string())?;
        loop {
            let line = self.line()?;
            if let Some(answer) = line.get("return") {
                return Ok(answer.clone());
            } else if let Some(error) = line.get("error") {
                return Err(format!("{command}: {}", error["desc"]));
            }
            self.events.push(line);
        }
    }

    /// The same where a refusal is the test's own fault.
    #[track_caller]
    pub(crate) fn must(&mut self, command: &str, arguments: &Value) -> Value {
        match self.ask(command, arguments) {
            Ok(answer) => answer,
            Err(error) => panic!("{command} {arguments}: {error}"),
        }
    }

    /// Waits for an event for which `is` holds, which may have come already, and takes it.
    #[track_caller]
    pub(crate) fn event(&mut self, what: &str, is: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + ANSWER;
        loop {
            if let Some(at) = self.events.iter().position(&is) {
                self.events.remove(at);
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for the event: {what}");
            let line = self.line().unwrap_or_else(|error| panic!("{what}: {error}"));
            self.events.push(line);
        }
    }

    fn line(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the virtual machine ended".to_owned());
        }
        // The agent marks the start of a new conversation with a byte that is no JSON.
        let line = line.trim_matches(|c: char| c == '\u{ff}' || c.is_whitespace());
        serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))
    }
}
