//! A browser without a window: Debian's Chromium, driven through the `WebDriver` protocol.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::needs::skipped;

/// How long is waited for something to appear on a page.
const PATIENCE: Duration = Duration::from_mins(1);

/// A session of a browser, which ends with it.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts a browser whose user reads `language`; `None` with the reason printed where there is none.
    pub(crate) fn start(language: &str) -> Option<Self> {
        match Self::try_start(language) {
            Ok(browser) => Some(browser),
            Err(why) => {
                skipped(format_args!("no browser: {why}"));
                None
            }
        }
    }

    fn try_start(language: &str) -> Result<Self, String> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("chromedriver: {e} (Debian: chromium, chromium-driver)"))?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        // What it still says goes nowhere; a closed pipe would end it.
        drop(std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop)));
        let mut browser = Self { driver, port: port.unwrap_or(0), session: String::new() };
        let args = [
            "--headless=new",
            // Tests run as root, where the sandbox does not.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            &format!("--lang={language}"),
            &format!("--accept-lang={language}"),
        ];
        let options = json!({
            "args": args,
            "prefs": { "intl.accept_languages": language },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = browser.request("POST", "/session", &wanted)?;
        let id = session["sessionId"].as_str().ok_or("it tells no session")?;
        id.clone_into(&mut browser.session);
        Ok(browser)
    }

    /// Opens the file of this computer.
    pub(crate) fn open(&self, file: &Path) {
        self.go(&address(file));
    }

    /// Goes to an address.
    pub(crate) fn go(&self, address: &str) {
        self.command("/url", &json!({ "url": address }));
    }

    /// What the body of a function in the page returns.
    pub(crate) fn eval(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The same as text.
    pub(crate) fn text(&self, script: &str) -> String {
        let value = self.eval(script);
        value.as_str().unwrap_or_else(|| panic!("{script}: {value}")).to_owned()
    }

    /// The same as texts.
    pub(crate) fn texts(&self, script: &str) -> Vec<String> {
        let value = self.eval(script);
        let texts = value.as_array().unwrap_or_else(|| panic!("{script}: {value}"));
        texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the expression is true in the page.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) {
        let begun = Instant::now();
        while self.eval(&format!("return Boolean({expression});")) != json!(true) {
            assert!(begun.elapsed() < PATIENCE, "it does not come to pass: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types into the element; keys are characters of the `WebDriver` protocol.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let found = json!({ "using": "css selector", "value": selector });
        let element = self.command("/element", &found);
        let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.command(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Does something of the `DevTools` protocol.
    pub(crate) fn devtools(&self, name: &str, params: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({ "cmd": name, "params": params }))
    }

    /// Gives the page a size in pixels, and light or dark colours.
    pub(crate) fn look(&self, (width, height): (u32, u32), dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// A picture of what is seen, as base64 of a PNG.
    pub(crate) fn picture(&self) -> String {
        let shot = self.devtools("Page.captureScreenshot", &json!({ "format": "png" }));
        shot["data"].as_str().unwrap().to_owned()
    }

    /// What the console was told since it was last asked.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.command("/se/log", &json!({ "type": "browser" }));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.request("POST", &path, body).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = body.to_string();
        let io = |e: std::io::Error| e.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(io)?;
        stream.set_read_timeout(Some(PATIENCE * 2)).map_err(io)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).map_err(io)?;
        stream.write_all(body.as_bytes()).map_err(io)?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).map_err(io)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(|_| "an answer without length")?;
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).map_err(io)?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ended = self.request("DELETE", &format!("/session/{}", self.session), &json!({}));
        let _killed = self.driver.kill();
        let _waited = self.driver.wait();
    }
}

/// The address of a file of this computer.
pub(crate) fn address(file: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;

    let mut address = "file://".to_owned();
    for &byte in file.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            write!(address, "%{byte:02X}").unwrap();
        }
    }
    address
}
