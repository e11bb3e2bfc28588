//! tcsd on a [`Swtpm12`], for one test.

use crate::net::Endpoint;
use crate::ports::free_port;
use crate::process::{Daemon, Run, wait_for};
use crate::scratch::{Scratch, set_mode};
use crate::swtpm12::{Swtpm12, data};
use crate::tools::{is_root, need};
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A tcsd process with a port, a configuration and a persistent storage of its own.
pub struct Tcsd {
    // Before the directory: fields are dropped in order.
    daemon: Option<Daemon>,
    port: u16,
    tpm: u16,
    dir: Scratch,
}

impl Tcsd {
    /// On a TPM behind a TCP port. Its storage knows the SRK of the TPM in `tests/data/tpm12`.
    pub fn start(tpm: &Swtpm12) -> Self {
        Self::launch(tpm, true)
    }

    /// With an empty storage, as on a machine whose TPM has no owner yet, or whose system.data was lost.
    pub fn without_storage(tpm: &Swtpm12) -> Self {
        Self::launch(tpm, false)
    }

    fn launch(tpm: &Swtpm12, knows_srk: bool) -> Self {
        assert!(
            is_root(),
            "tcsd wants a configuration that belongs to root and the group tss: run the tests as root"
        );
        let Endpoint::Tcp(tpm) = *tpm.endpoint() else {
            panic!("tcsd reaches a TPM behind a TCP port: Swtpm12::owned_tcp");
        };
        let dir = Scratch::new();
        fs::create_dir(dir.join("ps")).expect("the storage is new");
        if knows_srk {
            fs::copy(data("system.data"), dir.join("ps/system.data")).expect("copied");
        }
        let mut this = Self {
            daemon: None,
            port: free_port(),
            tpm,
            dir,
        };
        let storage = this.dir.join("ps");
        let conf = this.dir.write(
            "tcsd.conf",
            format!(
                "port = {}\nnum_threads = 10\nsystem_ps_file = {}/system.data\ndisable_ipv6 = 1\n",
                this.port,
                storage.display()
            ),
        );
        // tcsd insists on these owners and modes and ends with status 4 otherwise.
        Run::new("chown").arg("root:tss").arg(&conf).ok();
        Run::new("chown").words("-R tss:tss").arg(&storage).ok();
        set_mode(&conf, 0o640);
        set_mode(&storage, 0o700);
        this.boot();
        this
    }

    fn boot(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .expect("a log file");
        // The change of user takes back what Daemon::spawn asked the kernel for, so it is asked again.
        let mut command = Command::new(need("setpriv", "util-linux"));
        command
            .args(["--reuid", "tss", "--regid", "tss", "--clear-groups"])
            .args(["--pdeathsig", "KILL"])
            .arg(need("tcsd", "trousers"))
            .args(["-e", "-f", "-c"])
            .arg(self.dir.join("tcsd.conf"))
            .env("TCSD_TCP_DEVICE_HOSTNAME", "127.0.0.1")
            .env("TCSD_TCP_DEVICE_PORT", self.tpm.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log);
        let mut daemon = Daemon::spawn(&mut command);
        let endpoint = Endpoint::Tcp(self.port);
        wait_for("tcsd's start", Duration::from_secs(30), || {
            if let Some(status) = daemon.ended() {
                panic!("tcsd ended, {status}: {}", self.dir.read_text("log"));
            }
            endpoint.connect().is_ok()
        });
        self.daemon = Some(daemon);
    }

    /// For `TPM12_TCTI`.
    pub fn address(&self) -> String {
        Endpoint::Tcp(self.port).tcti("tcsd")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What tcsd has written so far.
    pub fn log(&self) -> String {
        self.dir.read_text("log")
    }

    /// Its end in mid-call.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Another tcsd at the same address, with what the one before had stored.
    pub fn restart(&mut self) {
        self.kill();
        self.boot();
    }

    /// A program of another client of tcsd's: libtspi finds this tcsd by its environment.
    pub fn client(&self, program: &str, package: &str) -> Run {
        Run::new(need(program, package))
            .env("TSS_TCSD_HOSTNAME", "127.0.0.1")
            .env("TSS_TCSD_PORT", self.port.to_string())
    }
}

/// Somebody at a port who passes everything on to tcsd and back: the best that a false tcsd can be. It listens at
/// every address of this machine, and at a copy of each in IPv6.
pub struct Relay {
    _daemon: Daemon,
    port: u16,
}

const RELAY: &str = "
import socket, sys, threading
listener = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for end in (a, b):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    near, _ = listener.accept()
    far = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
    for ends in ((near, far), (far, near)):
        threading.Thread(target=pump, args=ends, daemon=True).start()
";

impl Relay {
    /// As a user of this name.
    pub fn start(user: &str, tcsd: &Tcsd) -> Self {
        let port = free_port();
        let mut command = Command::new(need("setpriv", "util-linux"));
        command
            .args(["--reuid", user, "--clear-groups", "--pdeathsig", "KILL"])
            .args(["/usr/bin/python3", "-I", "-c", RELAY])
            .args([port.to_string(), tcsd.port.to_string()]);
        let mut daemon = Daemon::spawn(&mut command);
        let endpoint = Endpoint::Tcp(port);
        wait_for("the relay's start", Duration::from_secs(30), || {
            assert!(daemon.ended().is_none(), "the relay (python3) ended");
            endpoint.connect().is_ok()
        });
        Self {
            _daemon: daemon,
            port,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}
