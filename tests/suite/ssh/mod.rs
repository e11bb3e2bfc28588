//! Keys for SSH: `tpmctl ssh`, `tpmctl ssh-agent`, and OpenSSH's programs with them.

mod agent;
mod agent_input;
mod guide;
mod host_keys;
mod keys;
mod pins;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use testkit::bench::Bench;
use testkit::process::{Run, wait_for};
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::sshd::Sshd;
use testkit::tools::need;

/// A user with a TPM.
struct Home {
    bench: Bench,
}

impl Home {
    fn new() -> Self {
        Self::of(Bench::new())
    }

    /// A user with a certain TPM.
    fn of(bench: Bench) -> Self {
        std::fs::create_dir(bench.openssl.dir().join("run")).expect("a directory");
        Self { bench }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bench.openssl.dir().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.bench.openssl.dir().read_text(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        self.bench.openssl.dir().write(name, text)
    }

    /// `tpmctl` at home.
    fn tpmctl(&self, line: &str) -> Run {
        self.bench
            .tpmctl(line)
            .env("HOME", self.file(""))
            .env("USER", "alice")
            .env("XDG_RUNTIME_DIR", self.file("run"))
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("SSH_ASKPASS")
            .env_remove("SSH_ASKPASS_REQUIRE")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
    }

    /// A key for logging in, and the line for its host.
    fn key(&self, line: &str) -> String {
        self.tpmctl(&format!("ssh new {line}")).ok().out()
    }

    /// Runs what comes behind on the host, if that lets us in with a key of the agent's.
    fn logs_in(&self, server: &Sshd, options: &str) -> Run {
        let options = format!("-o {} {options}", self.socket());
        server.ssh(self.tool("ssh", ""), &options)
    }

    /// One of OpenSSH's programs at home, with the agent.
    fn tool(&self, program: &str, line: &str) -> Run {
        Run::new(need(program, "openssh-client"))
            .dir(self.file(""))
            .env("SSH_AUTH_SOCK", self.file("run/tpm-ssh-agent.sock"))
            .words(line)
    }

    fn agent(&self, line: &str) -> Service {
        self.agent_of(self.tpmctl(&format!("ssh-agent {line}")))
    }

    /// The agent; it listens when this returns.
    fn agent_of(&self, run: Run) -> Service {
        let service = Service::start("ssh-agent", run, Scratch::new(), &[]);
        let socket = self.file("run/tpm-ssh-agent.sock");
        wait_for("the agent", Duration::from_secs(30), || {
            UnixStream::connect(&socket).is_ok()
        });
        service
    }

    fn socket(&self) -> String {
        format!(
            "IdentityAgent={}",
            self.file("run/tpm-ssh-agent.sock").display()
        )
    }

    /// A program that answers questions with what is in the file `answer`, and notes them in `asked`; without the file it
    /// refuses.
    fn askpass(&self) -> PathBuf {
        let at = self.file("");
        let script = format!(
            "#!/bin/sh\ncd {}\nprintf '%s|%s\\n' \"$SSH_ASKPASS_PROMPT\" \"$1\" >>asked\ncat answer 2>/dev/null\n",
            at.display()
        );
        let path = self.write("askpass", &script);
        testkit::scratch::set_mode(&path, 0o755);
        path
    }

    /// The agent of a user with a desktop.
    fn agent_that_asks(&self, line: &str) -> Service {
        let run = self.tpmctl(&format!("ssh-agent {line}"));
        self.agent_of(
            run.env("SSH_ASKPASS", self.askpass())
                .env("SSH_ASKPASS_REQUIRE", "force"),
        )
    }

    /// How often somebody was asked.
    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
