//! The virtual machine as a process, and what can be done in it from outside: commands and files
//! through the guest agent (it has no network), and its journal, which it sends out line by line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::base64;
use crate::host::wait_for;
use crate::image::Image;
use crate::json_socket::JsonSocket;

/// Until a user is logged in. It takes half a minute; four times that on a machine that is busy.
const BOOT: Duration = Duration::from_secs(240);
/// For one step: emulation is slow, and the machine may be busy with other things.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// What runs as alice finds her session by these.
const ALICE: &str = "HOME=/home/alice XDG_RUNTIME_DIR=/run/user/1000 \
DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus LC_ALL=C.UTF-8";

/// A running machine; it ends with this value.
pub(crate) struct Guest {
    qemu: Child,
    /// qemu's own monitor.
    pub(crate) monitor: JsonSocket,
    agent: JsonSocket,
    journal: PathBuf,
}

/// A place in the journal: what comes after it is new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

impl Guest {
    /// Boots `image` with `payload` as its second disk, until alice is logged in. `folder` takes
    /// sockets and logs.
    pub(crate) fn boot(image: &Image, payload: &Path, folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        let drive = |file: &Path, more: &str| {
            format!("file={},format=raw,if=virtio,{more}", file.display())
        };
        let socket = |id: &str| format!("socket,id={id},server=on,wait=off,path={}", at(id));
        let log = fs::File::create(folder.join("qemu.log")).unwrap();
        // It ends with this process, however that ends.
        let qemu = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            // Never KVM because there is a node for it: where it is nested it may hang.
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35"])
            .args(["-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-vga", "std"])
            .arg("-kernel")
            .arg(&image.kernel)
            .arg("-initrd")
            .arg(&image.initramfs)
            .args(["-append", "console=ttyS0 quiet mitigations=off systemd.show_status=0"])
            .args(["-drive", &drive(&image.disk, "snapshot=on")])
            .args(["-drive", &drive(payload, "readonly=on")])
            .args(["-device", "qemu-xhci,id=usb", "-device", "virtio-serial"])
            .args(["-serial", &format!("file:{}", at("console"))])
            .args(["-chardev", &format!("file,id=journal,path={}", at("journal"))])
            .args(["-device", "virtconsole,chardev=journal"])
            .args(["-chardev", &socket("agent")])
            .args(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"])
            .args(["-chardev", &socket("monitor"), "-mon", "chardev=monitor,mode=control"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut qemu = Ending(Some(qemu));
        let mut monitor = JsonSocket::connect(&folder.join("monitor"));
        monitor.must("qmp_capabilities", &Value::Null);
        let journal = folder.join("journal");
        let deadline = Instant::now() + BOOT;
        loop {
            let text = text_of(&journal, 0);
            if text.contains("Main User Target") {
                break;
            }
            assert!(Instant::now() < deadline, "the guest does not come up:\n{text}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut agent = JsonSocket::connect(&folder.join("agent"));
        agent.must("guest-sync", &json!({ "id": 1 }));
        Self { qemu: qemu.0.take().unwrap(), monitor, agent, journal }
    }

    /// What a shell in the guest says, as root. It must succeed.
    #[track_caller]
    pub(crate) fn sh(&mut self, script: &str) -> String {
        let (code, said) = self.try_sh(script);
        assert_eq!(code, 0, "{script}\n{said}");
        said
    }

    /// The same for what may fail: exit code, and both outputs.
    #[track_caller]
    pub(crate) fn try_sh(&mut self, script: &str) -> (i64, String) {
        let command = json!({ "path": "/bin/sh", "arg": ["-c", script], "capture-output": true });
        let pid = self.agent.must("guest-exec", &command)["pid"].clone();
        let deadline = Instant::now() + STEP * 2;
        let mut pause = Duration::from_millis(30);
        loop {
            let status = self.agent.must("guest-exec-status", &json!({ "pid": pid }));
            if status["exited"] == true {
                let said = ["out-data", "err-data"]
                    .map(|stream| base64::decode(status[stream].as_str().unwrap_or_default()));
                let said = String::from_utf8_lossy(&said.concat()).into_owned();
                return (status["exitcode"].as_i64().unwrap_or(-1), said);
            }
            assert!(Instant::now() < deadline, "does not end: {script}");
            // Answering costs the guest time as well.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// A shell as alice, outside of her session: she may do less there, but it starts at once.
    #[track_caller]
    pub(crate) fn alice(&mut self, script: &str) -> String {
        let (code, said) = self.try_alice(script);
        assert_eq!(code, 0, "{script}\n{said}");
        said
    }

    /// The same for what may fail.
    #[track_caller]
    pub(crate) fn try_alice(&mut self, script: &str) -> (i64, String) {
        self.write("/run/alice.sh", script.as_bytes());
        self.try_sh(&format!("cd /home/alice && runuser -u alice -- env {ALICE} sh /run/alice.sh"))
    }

    /// A shell that alice's own systemd starts, as her desktop's programs are: polkit counts it to her
    /// session.
    #[track_caller]
    pub(crate) fn desktop(&mut self, script: &str) -> (i64, String) {
        self.write("/run/desktop.sh", script.as_bytes());
        self.try_sh(&format!(
            "runuser -u alice -- env {ALICE} systemd-run --user --quiet --wait --pipe --collect sh \
             /run/desktop.sh"
        ))
    }

    /// Writes a file, as root, readable for all.
    #[track_caller]
    pub(crate) fn write(&mut self, path: &str, content: &[u8]) {
        let open = json!({ "path": path, "mode": "w" });
        let handle = self.agent.must("guest-file-open", &open);
        for chunk in content.chunks(1 << 20) {
            let write = json!({ "handle": handle, "buf-b64": base64::encode(chunk) });
            let written = self.agent.must("guest-file-write", &write)["count"].as_u64();
            assert_eq!(written, Some(chunk.len() as u64), "{path}");
        }
        self.agent.must("guest-file-close", &json!({ "handle": handle }));
    }

    /// Tells the agent to do what gives no answer, since the guest sleeps then.
    pub(crate) fn without_answer(&mut self, script: &str) {
        let command = json!({ "path": "/bin/sh", "arg": ["-c", script] });
        self.agent.must("guest-exec", &command);
    }

    /// This place in the journal.
    pub(crate) fn mark(&self) -> Mark {
        Mark(fs::metadata(&self.journal).map_or(0, |file| file.len()))
    }

    /// The journal since then.
    pub(crate) fn journal(&self, since: Mark) -> String {
        text_of(&self.journal, since.0)
    }

    /// What the agent logged since then.
    pub(crate) fn agent_log(&self, since: Mark) -> String {
        lines_with(&self.journal(since), " bkm-agent[").join("\n")
    }

    /// Waits for a line of the agent's log that holds all of `words`.
    #[track_caller]
    pub(crate) fn wait_logged(&self, since: Mark, time: Duration, words: &[&str]) -> String {
        wait_for(&format!("{words:?} in the agent's log"), time, || {
            let log = self.agent_log(since);
            log.lines().find(|line| holds_all(line, words)).map(str::to_owned)
        })
    }

    /// The notifications since then, each as it was asked for: words, hints and all.
    pub(crate) fn shown(&self, since: Mark) -> Vec<String> {
        let journal = self.journal(since);
        let mut shown: Vec<String> = Vec::new();
        for line in lines_with(&journal, " python3[") {
            let said = line.split_once("]: ").map_or("", |(_, said)| said);
            if said.contains(" Notify \"bkm-agent\" ") {
                shown.push(said.to_owned());
            } else if !said.starts_with(|c: char| c.is_ascii_digit())
                && let Some(last) = shown.last_mut()
            {
                // A body of several lines.
                last.push('\n');
                last.push_str(said);
            }
        }
        shown
    }

    /// Waits for a notification that holds all of `words`.
    #[track_caller]
    pub(crate) fn wait_shown(&self, since: Mark, time: Duration, words: &[&str]) -> String {
        wait_for(&format!("a notification with {words:?}"), time, || {
            self.shown(since).into_iter().find(|shown| holds_all(shown, words))
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ended = self.qemu.kill();
        let _status = self.qemu.wait();
    }
}

/// Ends the machine where its boot fails.
struct Ending(Option<Child>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(qemu) = &mut self.0 {
            let _ended = qemu.kill();
            let _status = qemu.wait();
        }
    }
}

pub(crate) fn holds_all(text: &str, words: &[&str]) -> bool {
    words.iter().all(|word| text.contains(word))
}

fn lines_with<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(word)).collect()
}

/// A log from `start` on. The end of the last line may be on its way.
fn text_of(log: &Path, start: u64) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut bytes = Vec::new();
    if let Ok(mut file) = fs::File::open(log) {
        file.seek(SeekFrom::Start(start)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
    }
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    String::from_utf8_lossy(&bytes).replace('\r', "")
}
