//! A TPM 2.0 for one test.

use crate::net::Endpoint;
use crate::process::Run;
use crate::simulator::{Family, Simulator, Socket};
use crate::tools::need;
use crate::tpm::{self, OWNER, Raw, STANDARD_PRIMARY, cc};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a storage root key lives by convention.
pub const SRK: u32 = 0x8100_0001;

/// A swtpm process in TPM 2.0 mode.
pub struct Swtpm {
    simulator: Simulator,
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
        Self::launch(None, Socket::Unix)
    }

    /// A fresh TPM behind a TCP port; its control channel is at the next one.
    pub fn start_tcp() -> Self {
        Self::launch(None, Socket::Tcp)
    }

    /// A TPM with a copy of the state in `state`, a directory with `tpm2-00.permall`.
    pub fn with_state(state: &Path) -> Self {
        Self::launch(Some(state), Socket::Unix)
    }

    fn launch(state: Option<&Path>, socket: Socket) -> Self {
        Self {
            simulator: Simulator::start(Family::Tpm2, state, socket),
        }
    }

    /// For `TPM_TCTI`.
    pub fn address(&self) -> String {
        self.simulator.address()
    }

    pub fn endpoint(&self) -> &Endpoint {
        self.simulator.endpoint()
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.simulator.pid()
    }

    /// The state directory; swtpm has it locked while it runs.
    pub fn state(&self) -> PathBuf {
        self.simulator.state()
    }

    /// A raw connection. While it is open nobody else gets an answer: drop it soon.
    pub fn raw(&self) -> Raw {
        Raw::connect(self.endpoint()).expect("swtpm accepts")
    }

    /// TPM2_Shutdown, then the end of the process; the address remains.
    pub fn stop(&mut self) {
        if self.pid().is_none() {
            return;
        }
        // Otherwise the dictionary-attack counter rises. A client that hangs on must not hang us too.
        if let Ok(mut stream) = self.endpoint().connect() {
            stream.timeout(Duration::from_secs(1));
            let _ = stream.write_all(&tpm::command(0x8001, cc::SHUTDOWN, &[0, 0]));
            let _ = tpm::read_frame(&mut stream);
        }
        self.simulator.stop();
    }

    /// Ends the process as a power failure would.
    pub fn kill(&mut self) {
        self.simulator.kill();
    }

    /// Starts again after `stop` or `kill`, at the same address.
    pub fn start_again(&mut self) {
        self.simulator.start_again();
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
