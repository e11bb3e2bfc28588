//! A host that takes one step at a time: `tests/c/steps.c`, so that things can happen to the TPM in between.

use crate::cc;
use crate::openssl::Openssl;
use crate::process::{Daemon, Run};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::Duration;

/// The running program; killed on drop.
pub struct Client {
    daemon: Daemon,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// Compiles the program into the directory of `openssl`.
pub fn program(openssl: &Openssl) -> PathBuf {
    let program = openssl.dir().join("steps");
    if program.exists() {
        program
    } else {
        cc::compile(openssl.dir(), "steps", "-lcrypto")
    }
}

impl Client {
    /// Starts it in the environment of `openssl`.
    pub fn start(openssl: &Openssl) -> Self {
        Self::run(openssl.client(program(openssl)))
    }

    /// Starts a command that becomes the program.
    pub fn run(mut run: Run) -> Self {
        run.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut daemon = Daemon::spawn(&mut run.command);
        let to = daemon.child().stdin.take();
        let from = BufReader::new(daemon.child().stdout.take().expect("piped"));
        Self { daemon, to, from }
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    /// Tells it a step without waiting for the answer.
    pub fn tell(&mut self, step: &str) {
        let to = self.to.as_mut().expect("still open");
        writeln!(to, "{step}").expect("the client reads");
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the client answers");
        assert!(line.ends_with('\n'), "the client ended: {:?}", self.end());
        line.trim_end().to_owned()
    }

    #[track_caller]
    pub fn ask(&mut self, step: &str) -> String {
        self.tell(step);
        self.answer()
    }

    /// A step that succeeds; what it says besides.
    #[track_caller]
    pub fn ok(&mut self, step: &str) -> String {
        let answer = self.ask(step);
        match answer.strip_prefix("ok") {
            Some(rest) => rest.trim().to_owned(),
            None => panic!("{step}: {answer}"),
        }
    }

    /// A step that fails with an error that has all of `texts` in it.
    #[track_caller]
    pub fn fails(&mut self, step: &str, texts: &[&str]) -> String {
        let answer = self.ask(step);
        assert!(answer.starts_with("error "), "{step}: {answer}");
        for text in texts {
            assert!(
                answer.contains(text),
                "{step} should say {text:?}: {answer}"
            );
        }
        answer
    }

    /// Closes its input and waits; main returns, and nothing was freed.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        self.to = None;
        self.daemon
            .wait(Duration::from_secs(60))
            .expect("the client ends")
    }

    pub fn kill(&mut self) {
        self.daemon.kill();
    }
}
