//! A swtpm process with a state directory of its own: what the TPMs of both families are made of.

use crate::net::Endpoint;
use crate::ports::free_ports;
use crate::process::{Daemon, wait_for};
use crate::scratch::Scratch;
use crate::tools::need;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The specification that a simulated TPM follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Tpm12,
    Tpm2,
}

/// How it listens; its control channel is beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    Unix,
    Tcp,
}

pub struct Simulator {
    // Before the directory: fields are dropped in order.
    daemon: Option<Daemon>,
    family: Family,
    endpoint: Endpoint,
    dir: Scratch,
}

impl Simulator {
    /// Starts one, with a copy of the state in `state`, a directory with a `*.permall`, or else fresh.
    pub fn start(family: Family, state: Option<&Path>, socket: Socket) -> Self {
        let dir = Scratch::new();
        let own = dir.join("state");
        fs::create_dir(&own).expect("the state directory is new");
        let files = state.map(|state| fs::read_dir(state).expect("a state directory"));
        for file in files.into_iter().flatten() {
            let file = file.expect("a directory entry");
            if file.path().extension().is_some_and(|e| e == "permall") {
                fs::copy(file.path(), own.join(file.file_name())).expect("copied");
            }
        }
        let endpoint = match socket {
            Socket::Unix => Endpoint::Unix(dir.join("tpm")),
            Socket::Tcp => Endpoint::Tcp(free_ports(2)),
        };
        let mut this = Self {
            daemon: None,
            family,
            endpoint,
            dir,
        };
        this.start_again();
        this
    }

    /// Starts it after its end, at the same address.
    pub fn start_again(&mut self) {
        let control = self.endpoint.control();
        for endpoint in [&self.endpoint, &control] {
            if let Endpoint::Unix(path) = endpoint {
                let _ = fs::remove_file(path);
            }
        }
        let mut server = listen_at(&self.endpoint);
        let mut command = Command::new(need("swtpm", "swtpm"));
        command.args(["socket", "--flags", "not-need-init,startup-clear"]);
        match (self.family, &self.endpoint) {
            (Family::Tpm2, _) => drop(command.arg("--tpm2")),
            // swtpm serves one connection at a time, and tcsd keeps its last one open: with `disconnect`
            // each ends with its reply.
            (Family::Tpm12, Endpoint::Tcp(_)) => server.push_str(",disconnect"),
            (Family::Tpm12, Endpoint::Unix(_)) => {}
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .expect("a log file");
        command
            .arg("--tpmstate")
            .arg(format!("dir={}", self.state().display()))
            .args(["--server", &server, "--ctrl", &listen_at(&control)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log);
        let mut daemon = Daemon::spawn(&mut command);
        wait_for("swtpm's start", Duration::from_secs(30), || {
            if let Some(status) = daemon.ended() {
                panic!("swtpm ended, {status}: {}", self.dir.read_text("log"));
            }
            self.endpoint.connect().is_ok()
        });
        self.daemon = Some(daemon);
    }

    /// In the grammar of `TPM_TCTI`.
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
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Ends the process and lets it do what it does at its end; the address remains.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(libc::SIGTERM);
            daemon.wait(Duration::from_secs(2));
        }
    }

    /// Ends the process as a power failure would.
    pub fn kill(&mut self) {
        self.daemon = None;
    }
}

/// In the words of swtpm's command line.
fn listen_at(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(port) => format!("type=tcp,port={port},bindaddr=127.0.0.1"),
        Endpoint::Unix(path) => format!("type=unixio,path={}", path.display()),
    }
}
