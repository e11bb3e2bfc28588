//! Child processes that end with the test.

use crate::tools::need;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No command of a test takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until `ready`; fails the test after `timeout`.
pub fn wait_for(what: &str, timeout: Duration, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + timeout;
    while !ready() {
        assert!(Instant::now() < end, "{what}: not within {timeout:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A running program; killed and reaped on drop.
pub struct Daemon(Child);

impl Daemon {
    /// Starts `command`. The kernel ends it with the thread that started it, so that it goes even
    /// when the test run is killed.
    pub fn spawn(command: &mut Command) -> Self {
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self(child)
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid")
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child is not reaped while self lives, so the pid is still its.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// The status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end and gives the status; `None` when it is still there after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + timeout;
        loop {
            let status = self.ended();
            if status.is_some() || Instant::now() >= end {
                return status;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// SIGKILL, and reaped.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command about to run, with what goes to its standard input.
pub struct Run {
    pub command: Command,
    stdin: Vec<u8>,
    patience: Duration,
}

/// What a command left.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    line: String,
}

impl Run {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            stdin: Vec::new(),
            patience: PATIENCE,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds the words of `line`.
    pub fn words(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The same as a user without any rights, for which one must be root.
    pub fn as_nobody(self) -> Self {
        let own = &self.command;
        let mut run = Self::new(need("setpriv", "util-linux"))
            .words("--reuid 65534 --regid 65534 --clear-groups --")
            .arg(own.get_program())
            .args(own.get_args())
            .stdin(self.stdin);
        run.patience = self.patience;
        if let Some(dir) = own.get_current_dir() {
            run = run.dir(dir);
        }
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => run.command.env(name, value),
                None => run.command.env_remove(name),
            };
        }
        run
    }

    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs to the end, whatever it is; a command that outlasts its patience fails the test.
    pub fn done(mut self) -> Done {
        let line = format!("{:?}", self.command);
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut daemon = Daemon::spawn(&mut self.command);
        let mut to = daemon.child().stdin.take().expect("piped");
        let out = drain(daemon.child().stdout.take().expect("piped"));
        let err = drain(daemon.child().stderr.take().expect("piped"));
        let input = self.stdin;
        // A command may well end without reading what it is given.
        let feeder = thread::spawn(move || drop(to.write_all(&input)));
        let status = daemon.wait(self.patience);
        if status.is_none() {
            daemon.kill();
        }
        feeder.join().expect("fed");
        let stdout = out.join().expect("read");
        let stderr = err.join().expect("read");
        let Some(status) = status else {
            panic!(
                "{line}\nstill ran after {:?}; {}",
                self.patience,
                show(&stdout, &stderr)
            );
        };
        Done {
            status,
            stdout,
            stderr,
            line,
        }
    }

    /// Runs and asserts success.
    #[track_caller]
    pub fn ok(self) -> Done {
        let done = self.done();
        assert!(done.status.success(), "{done:#}");
        done
    }

    /// Runs and asserts a failure that is reported: by an exit code, never by a signal.
    #[track_caller]
    pub fn fails(self) -> Done {
        let done = self.done();
        assert!(
            done.status.code().is_some_and(|code| code != 0),
            "should have failed\n{done:#}"
        );
        done
    }
}

impl Done {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Asserts that standard error contains `text`, wherever lines are broken.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let unbroken = unbroken(&self.err());
        assert!(
            self.err().contains(text) || unbroken.contains(text),
            "should say {text:?}\n{self:#}"
        );
        self
    }

    /// Asserts that neither output contains `text`, wherever lines are broken.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(
            [self.err(), self.out()]
                .iter()
                .all(|said| !said.contains(text) && !unbroken(said).contains(text)),
            "should not say {text:?}\n{self:#}"
        );
        self
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n{}\n{}",
            self.line,
            self.status,
            show(&self.stdout, &self.stderr)
        )
    }
}

/// A text in one line, as it was before it was broken into lines for a terminal.
pub fn unbroken(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    lines.join(" ")
}

fn show(stdout: &[u8], stderr: &[u8]) -> String {
    let (out, err) = (
        String::from_utf8_lossy(stdout),
        String::from_utf8_lossy(stderr),
    );
    format!("--- stdout\n{out}\n--- stderr\n{err}")
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}
