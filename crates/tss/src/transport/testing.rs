//! Real parts for tests: swtpm, processes of our own, a stand-in for the kernel's device.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use testkit::ports::free_port;

use super::{Address, Endpoint, Family, Limits, Origin, Transaction, Transport};

/// TPM2_GetRandom of eight bytes.
pub(super) const GET_RANDOM: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 8];

/// An swtpm of this test alone; it ends with this value.
pub(super) struct Swtpm {
    child: Child,
    pub(super) address: String,
}

impl Swtpm {
    pub(super) fn unix_of(family: Family, state: &Path, sockets: &Path) -> Self {
        let socket = sockets.join("swtpm.sock");
        let _ = fs::remove_file(&socket);
        let server = format!("type=unixio,path={},mode=0777", socket.display());
        let child = spawn(family, state, &server);
        wait_for("swtpm's socket", || UnixStream::connect(&socket).is_ok());
        Self {
            child,
            address: format!("swtpm:path={}", socket.display()),
        }
    }

    pub(super) fn tcp(state: &Path) -> Self {
        let port = free_port();
        let server = format!("type=tcp,port={port},bindaddr=127.0.0.1");
        let child = spawn(Family::Tpm2, state, &server);
        wait_for("swtpm's port", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        Self {
            child,
            address: format!("swtpm:host=127.0.0.1,port={port}"),
        }
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(family: Family, state: &Path, server: &str) -> Child {
    let mut command = Command::new("swtpm");
    command.arg("socket");
    if family == Family::Tpm2 {
        command.arg("--tpm2");
    }
    command
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .args(["--server", server, "--flags", "not-need-init,startup-clear"])
        .stdin(Stdio::null())
        // One line for each client that leaves.
        .stderr(Stdio::null());
    // SAFETY: prctl is async-signal-safe. It ends swtpm even if the test is killed.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        })
    };
    command.spawn().unwrap_or_else(|error| {
        panic!("swtpm cannot be started ({error}): apt-get install swtpm");
    })
}

pub(super) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{what} did not come"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// A temporary directory that any user may enter, with a place for lock files in it.
pub(super) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("locks", 0o1777), ("state", 0o700)] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        Self { directory }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(super) fn lock_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("locks")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(super) fn endpoint(&self, address: &str) -> Arc<Endpoint> {
        endpoint_in(&self.path().join("locks"), address)
    }

    pub(super) fn transport(&self, address: &str) -> Transport {
        Transport::new(self.endpoint(address), limits())
    }
}

pub(super) fn endpoint_in(locks: &Path, address: &str) -> Arc<Endpoint> {
    let address: Address = address.parse().unwrap();
    let locks = [locks.to_str().unwrap()];
    Endpoint::with_locks_in(address, Origin::Environment("TPM_TCTI"), &locks, None).unwrap()
}

pub(super) fn limits() -> Limits {
    Limits {
        lock_wait: Duration::from_secs(20),
        command_wait: Duration::from_secs(20),
    }
}

/// The response code of a response.
pub(super) fn code(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}

/// Eight random bytes of the TPM.
pub(super) fn random(transaction: &mut Transaction<'_>) -> [u8; 8] {
    let response = transaction.transact(&GET_RANDOM).unwrap();
    assert_eq!((code(&response), response.len()), (0, 20), "{response:?}");
    response[12..].try_into().unwrap()
}

/// What tells a test that it runs in a process of its own.
const ALONE: &str = "TPM_PROVIDER_TEST_ALONE";

/// Starts the test `name` of this file again, in a process of its own, with `argument` for it.
pub(super) fn start_alone(name: &str, argument: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("transport::scenarios::{name}"),
            "--exact",
            "--nocapture",
        ])
        .args(["--include-ignored", "--test-threads=1"])
        .env(ALONE, argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The argument of [`start_alone`], in the process it started.
pub(super) fn alone() -> Option<String> {
    std::env::var(ALONE).ok()
}

/// Runs `body` in a process of its own: for what a process can do only once. `name` is the test's.
pub(super) fn in_own_process(name: &str, body: impl FnOnce()) {
    if alone().is_some() {
        return body();
    }
    let output = start_alone(name, "-").wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name} failed in its own process: {shown}\n{errors}"
    );
    assert!(
        !errors.contains("libtpms"),
        "libtpms must not write to descriptor 2: {errors}"
    );
    assert!(shown.contains("1 passed"), "{name} did not run: {shown}");
}

/// A child made by fork, as hosts make their workers. It runs `body`; the parent waits and gets the
/// bytes it returned, or `None` if it failed.
pub(crate) struct Forked {
    pid: libc::pid_t,
    results: File,
}

impl Forked {
    pub(crate) fn new(body: impl FnOnce() -> Vec<u8>) -> Self {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
        assert_eq!(made, 0);
        // SAFETY: pipe2 has just returned both, and nobody else owns them.
        let [results, mut report] = ends.map(|fd| unsafe { File::from_raw_fd(fd) });
        // SAFETY: the child runs ordinary code although the parent has other threads; glibc keeps
        // malloc usable, and the tests that fork use nothing else that others may have locked.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            let sent = result.is_ok_and(|bytes| report.write_all(&bytes).is_ok());
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(if sent { 0 } else { 1 }) };
        }
        Self { pid, results }
    }

    pub(crate) fn wait(mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.results.read_to_end(&mut bytes).unwrap();
        let mut status = 0;
        // SAFETY: our child, and a live int for its status.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        (libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0).then_some(bytes)
    }
}

/// A character device that answers TPM commands: a pseudo-terminal in raw mode, with swtpm behind.
pub(super) struct FakeDevice {
    pub(super) path: PathBuf,
    /// Keeps the line open while no client is there.
    pub(super) terminal: File,
}

impl FakeDevice {
    /// Answers whatever is written with `answer`.
    pub(super) fn new(mut answer: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let (master, path) = pseudo_terminal();
        let terminal = File::options().read(true).write(true).open(&path).unwrap();
        // SAFETY: a termios is integers only; tcgetattr fills it, and the descriptor is open.
        unsafe {
            let mut mode: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &mut mode), 0);
            libc::cfmakeraw(&mut mode);
            assert_eq!(
                libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &mode),
                0
            );
        }
        let mut master = File::from(master);
        thread::spawn(move || {
            let mut command = [0; 4096];
            while let Ok(length) = master.read(&mut command) {
                let answer = answer(&command[..length]);
                if length == 0 || master.write_all(&answer).is_err() {
                    break;
                }
            }
        });
        Self { path, terminal }
    }

    /// The address under the name of a resource-managed device.
    pub(super) fn managed(&self, place: &Place) -> String {
        let link = place.path().join("tpmrm0");
        std::os::unix::fs::symlink(&self.path, &link).unwrap();
        format!("device:{}", link.display())
    }

    pub(super) fn bare(&self) -> String {
        format!("device:{}", self.path.display())
    }
}

fn pseudo_terminal() -> (OwnedFd, PathBuf) {
    // SAFETY: posix_openpt takes flags; the descriptor it returns is owned by nobody else, and the
    // other calls take that descriptor and a buffer with its length.
    unsafe {
        let fd = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(fd >= 0, "no pseudo-terminal");
        let master = OwnedFd::from_raw_fd(fd);
        assert_eq!(libc::grantpt(fd), 0);
        assert_eq!(libc::unlockpt(fd), 0);
        let mut name = [0; 128];
        assert_eq!(libc::ptsname_r(fd, name.as_mut_ptr(), name.len()), 0);
        let name = std::ffi::CStr::from_ptr(name.as_ptr())
            .to_str()
            .unwrap()
            .to_owned();
        (master, PathBuf::from(name))
    }
}
