//! A TPM 2.0 for one test.

use super::net::Endpoint;
use super::ports::free_ports;
use super::process::{Daemon, Run, wait_for};
use super::scratch::Scratch;
use super::tools::need;
use super::tpm::{self, OWNER, Raw, STANDARD_PRIMARY, cc};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where a storage root key lives by convention.
pub const SRK: u32 = 0x8100_0001;

/// A swtpm process with a state directory of its own.
pub struct Swtpm {
    // Before the directory: fields are dropped in order.
    daemon: Option<Daemon>,
    endpoint: Endpoint,
    dir: Scratch,
}

/// What a TPM holds that somebody should have flushed.
#[derive(Debug, PartialEq, Eq)]
pub struct Objects {
    pub transient: Vec<u32>,
    pub loaded_sessions: Vec<u32>,
    pub saved_sessions: Vec<u32>,
}

impl Objects {
    pub fn none(&self) -> bool {
        self.transient.is_empty()
            && self.loaded_sessions.is_empty()
            && self.saved_sessions.is_empty()
    }
}

impl Swtpm {
    /// A fresh TPM behind a unix socket.
    pub fn start() -> Self {
        Self::launch(None, false)
    }

    /// A fresh TPM behind a TCP port; its control channel is at the next one.
    pub fn start_tcp() -> Self {
        Self::launch(None, true)
    }

    /// A TPM with a copy of the state in `state`, a directory with `tpm2-00.permall`.
    pub fn with_state(state: &Path) -> Self {
        Self::launch(Some(state), false)
    }

    fn launch(state: Option<&Path>, tcp: bool) -> Self {
        let dir = Scratch::new();
        fs::create_dir(dir.join("state")).expect("the state directory is new");
        for file in state
            .into_iter()
            .flat_map(|s| fs::read_dir(s).expect("a state directory"))
        {
            let file = file.expect("a directory entry");
            if file.path().extension().is_some_and(|e| e == "permall") {
                fs::copy(file.path(), dir.join("state").join(file.file_name())).expect("copied");
            }
        }
        let endpoint = if tcp {
            Endpoint::Tcp(free_ports(2))
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
        let server = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(port) => format!("type=tcp,port={port}"),
            Endpoint::Unix(path) => format!("type=unixio,path={}", path.display()),
        };
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .expect("a log file");
        let mut command = Command::new(need("swtpm", "swtpm"));
        command
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", self.dir.join("state").display()))
            .args(["--server", &server(&self.endpoint)])
            .args(["--ctrl", &server(&self.endpoint.control())])
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

    /// For `TPM_TCTI`.
    pub fn address(&self) -> String {
        self.endpoint.tcti("swtpm")
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// The state directory; swtpm has it locked while it runs.
    pub fn state(&self) -> std::path::PathBuf {
        self.dir.join("state")
    }

    /// A raw connection. While it is open nobody else gets an answer: drop it soon.
    pub fn raw(&self) -> Raw {
        Raw::connect(&self.endpoint).expect("swtpm accepts")
    }

    /// TPM2_Shutdown, then the end of the process; the address remains.
    pub fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        // Otherwise the dictionary-attack counter rises. A client that hangs on must not hang us too.
        if let Ok(stream) = self.endpoint.connect() {
            use std::io::Write;
            stream.timeout(Duration::from_secs(1));
            let mut stream = stream;
            let _ = stream.write_all(&tpm::command(0x8001, cc::SHUTDOWN, &[0, 0]));
            let _ = tpm::read_frame(&mut stream);
        }
        daemon.signal(libc::SIGTERM);
        if daemon.wait(Duration::from_secs(2)).is_none() {
            daemon.kill();
        }
    }

    /// Ends the process as a power failure would.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Starts again after `stop` or `kill`, at the same address.
    pub fn start_again(&mut self) {
        if let Endpoint::Unix(path) = &self.endpoint {
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(format!("{}.ctrl", path.display()));
        }
        self.boot();
    }

    /// A TPM reset: transient objects and sessions are gone.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Makes the standard EC primary of the owner hierarchy persistent at 0x81000001.
    pub fn provision_srk(&self) {
        self.provision_srk_at(SRK);
    }

    pub fn provision_srk_at(&self, handle: u32) {
        let mut raw = self.raw();
        let primary = raw.create_primary(OWNER, &STANDARD_PRIMARY);
        raw.persist(primary, handle);
        raw.flush(primary);
    }

    /// Transient objects and sessions that exist now.
    pub fn objects(&self) -> Objects {
        let mut raw = self.raw();
        Objects {
            transient: raw.handles(0x8000_0000),
            loaded_sessions: raw.handles(0x0200_0000),
            saved_sessions: raw.handles(0x0300_0000),
        }
    }

    /// Asserts that nobody has left anything in the TPM.
    #[track_caller]
    pub fn assert_clean(&self) {
        let objects = self.objects();
        assert!(objects.none(), "left in the TPM: {objects:x?}");
    }

    /// Flushes whatever anybody has left in the TPM.
    pub fn flush(&self) {
        for kind in ["-t", "-l", "-s"] {
            self.tool(&format!("tpm2_flushcontext {kind}")).ok();
        }
    }

    /// One of tpm2-tools, talking to this TPM.
    pub fn tool(&self, line: &str) -> Run {
        tool(&self.address(), line)
    }
}

/// One of tpm2-tools with the TPM at `address`.
pub fn tool(address: &str, line: &str) -> Run {
    let mut words = line.split_whitespace();
    let program = need(words.next().expect("a program"), "tpm2-tools");
    Run::new(program).args(words).env("TPM2TOOLS_TCTI", address)
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}
