//! A TPM 1.2 for one test.

use super::net::Endpoint;
use super::ports::free_port;
use super::process::{Daemon, wait_for};
use super::scratch::Scratch;
use super::tools::{need, root};
use super::tpm::{code, command, read_frame};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What comes from `tests/data/tpm12`.
pub fn data(name: &str) -> PathBuf {
    root().join("tests/data/tpm12").join(name)
}

/// A swtpm process in TPM 1.2 mode, with a state directory of its own.
pub struct Swtpm12 {
    // Before the directory: fields are dropped in order.
    daemon: Option<Daemon>,
    endpoint: Endpoint,
    dir: Scratch,
}

/// What a TPM 1.2 holds that somebody should have flushed: handles.
#[derive(Debug, PartialEq, Eq)]
pub struct Objects12 {
    pub keys: Vec<u32>,
    pub sessions: Vec<u32>,
}

impl Swtpm12 {
    /// The TPM that the key files in `tests/data/tpm12` belong to, behind a unix socket. The secrets of its
    /// owner and its SRK are the well-known one.
    pub fn owned() -> Self {
        Self::launch(true, false)
    }

    /// The same behind a TCP port, each command in a connection of its own, so that tcsd can use it.
    pub fn owned_tcp() -> Self {
        Self::launch(true, true)
    }

    /// Fresh from the factory, without an owner, behind a unix socket.
    pub fn unowned() -> Self {
        Self::launch(false, false)
    }

    /// The same behind a TCP port, for tcsd.
    pub fn unowned_tcp() -> Self {
        Self::launch(false, true)
    }

    fn launch(owned: bool, tcp: bool) -> Self {
        let dir = Scratch::new();
        fs::create_dir(dir.join("state")).expect("the state directory is new");
        if owned {
            fs::copy(data("tpm-00.permall"), dir.join("state/tpm-00.permall")).expect("copied");
        }
        let endpoint = if tcp {
            Endpoint::Tcp(free_port())
        } else {
            Endpoint::Unix(dir.join("tpm"))
        };
        let mut this = Self {
            daemon: None,
            endpoint,
            dir,
        };
        this.boot();
        this
    }

    fn boot(&mut self) {
        let server = match &self.endpoint {
            // swtpm serves one connection at a time, and tcsd keeps its last one open: with `disconnect`
            // each ends with its reply.
            Endpoint::Tcp(port) => format!("type=tcp,port={port},bindaddr=127.0.0.1,disconnect"),
            Endpoint::Unix(path) => format!("type=unixio,path={}", path.display()),
        };
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .expect("a log file");
        let mut command = Command::new(need("swtpm", "swtpm"));
        command
            .args(["socket", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", self.dir.join("state").display()))
            .args(["--server", &server])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log);
        let mut daemon = Daemon::spawn(&mut command);
        let endpoint = self.endpoint.clone();
        wait_for("swtpm's start", Duration::from_secs(30), || {
            if let Some(status) = daemon.ended() {
                panic!("swtpm ended, {status}: {}", self.dir.read_text("log"));
            }
            endpoint.connect().is_ok()
        });
        self.daemon = Some(daemon);
    }

    /// For `TPM12_TCTI`.
    pub fn address(&self) -> String {
        self.endpoint.tcti("swtpm")
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends the process, as a power failure would.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// A TPM reset: loaded keys and sessions are gone.
    pub fn restart(&mut self) {
        self.kill();
        if let Endpoint::Unix(path) = &self.endpoint {
            let _ = fs::remove_file(path);
        }
        self.boot();
    }

    /// Sends a command without authorization, in a connection of its own; what follows the return code 0.
    pub fn ask(&self, ordinal: u32, body: &[u8]) -> Vec<u8> {
        let mut stream = self.endpoint.connect().expect("swtpm accepts");
        stream.timeout(Duration::from_secs(60));
        stream
            .write_all(&command(0x00C1, ordinal, body))
            .expect("swtpm reads");
        let reply = read_frame(&mut stream)
            .expect("swtpm answers")
            .expect("swtpm does not hang up");
        assert_eq!(code(&reply), 0, "ordinal {ordinal:#x}: {reply:02x?}");
        reply[10..].to_vec()
    }

    /// Keys and sessions that exist now.
    pub fn objects(&self) -> Objects12 {
        Objects12 {
            keys: self.handles(1),
            sessions: self.handles(2),
        }
    }

    /// TPM_GetCapability of TPM_CAP_HANDLE for a resource type: TPM_RT_KEY 1, TPM_RT_AUTH 2.
    fn handles(&self, resource: u32) -> Vec<u32> {
        let words = [0x14, 4, resource].map(u32::to_be_bytes).concat();
        let reply = self.ask(0x65, &words);
        // A size of four bytes, a count of two, the handles.
        let handles = reply[6..]
            .chunks_exact(4)
            .map(|handle| u32::from_be_bytes(handle.try_into().expect("four bytes")))
            .collect::<Vec<_>>();
        assert_eq!(
            handles.len(),
            usize::from(u16::from_be_bytes([reply[4], reply[5]]))
        );
        handles
    }

    /// Asserts that nobody has left anything in the TPM.
    #[track_caller]
    pub fn assert_clean(&self) {
        let objects = self.objects();
        assert!(
            objects.keys.is_empty() && objects.sessions.is_empty(),
            "left in the TPM: {objects:x?}"
        );
    }
}

impl Drop for Swtpm12 {
    fn drop(&mut self) {
        self.daemon = None;
    }
}
