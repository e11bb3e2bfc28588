//! A server program in a process group of its own.

use crate::net::Endpoint;
use crate::process::{Daemon, Run, wait_for};
use crate::scratch::Scratch;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

/// A running server and whatever it has forked; all of it ends on drop.
///
/// It has a group of its own because httpd signals its whole group when it ends.
pub struct Service {
    name: &'static str,
    daemon: Daemon,
    dir: Scratch,
}

impl Service {
    /// Starts `run`, which must stay in the foreground; returns when every port is open. `dir` is where
    /// its files are; `output` in it is what it writes.
    pub fn start(name: &'static str, run: Run, dir: Scratch, ports: &[u16]) -> Self {
        Self::try_start(name, run, dir, ports).unwrap_or_else(|said| panic!("{name} ended: {said}"))
    }

    /// The same of one that may well end instead: what it said then.
    pub fn try_start(
        name: &'static str,
        mut run: Run,
        dir: Scratch,
        ports: &[u16],
    ) -> Result<Self, String> {
        let output = File::create(dir.join("output")).expect("a log file");
        run.command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second descriptor"))
            .stderr(output);
        let daemon = Daemon::spawn(&mut run.command);
        let mut this = Self { name, daemon, dir };
        let mut ended = None;
        wait_for(name, Duration::from_secs(60), || {
            ended = this.daemon.ended();
            ended.is_some()
                || ports
                    .iter()
                    .all(|&port| Endpoint::Tcp(port).connect().is_ok())
        });
        match ended {
            Some(status) => Err(format!("{status}: {}", this.output())),
            None => Ok(this),
        }
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.daemon.ended().is_some()
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    /// Whether its memory, as far as it can be written, has these bytes somewhere.
    pub fn has_in_memory(&self, wanted: &[u8]) -> bool {
        let file = |name| format!("/proc/{}/{name}", self.pid());
        let maps = fs::read_to_string(file("maps")).expect("its maps");
        let memory = File::open(file("mem")).expect("its memory");
        maps.lines().any(|line| {
            let mut words = line.split(' ');
            let (range, mode) = (
                words.next().expect("a range"),
                words.next().expect("a mode"),
            );
            let number = |text| u64::from_str_radix(text, 16).expect("a number");
            let (start, end) = range.split_once('-').expect("a range");
            let (start, end) = (number(start), number(end));
            let mut bytes = vec![0; usize::try_from(end - start).expect("a length")];
            // What is reserved and not there, or gone meanwhile, has nothing.
            mode.starts_with("rw")
                && memory.read_exact_at(&mut bytes, start).is_ok()
                && bytes.windows(wanted.len()).any(|some| some == wanted)
        })
    }

    pub fn output(&self) -> String {
        self.dir.read_text("output")
    }

    pub fn dir(&self) -> &Scratch {
        &self.dir
    }

    pub fn signal(&self, signal: i32) {
        self.daemon.signal(signal);
    }

    /// Ends it with `signal` and waits until the last of its processes is gone.
    #[track_caller]
    pub fn end(mut self, signal: i32) -> std::process::ExitStatus {
        // HAProxy's master, for one, misses a signal that comes while it still starts.
        let status = (0..15).find_map(|_| {
            self.daemon.signal(signal);
            self.daemon.wait(Duration::from_secs(2))
        });
        let status = status.unwrap_or_else(|| panic!("{} stays: {}", self.name, self.output()));
        let group = self.daemon.pid();
        // SAFETY: signal 0 only asks whether the group exists.
        wait_for("the last worker", Duration::from_secs(30), || unsafe {
            libc::kill(-group, 0) != 0
        });
        status
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.daemon.ended().is_none() {
            self.daemon.signal(libc::SIGTERM);
            self.daemon.wait(Duration::from_secs(5));
        }
        // SAFETY: kill has no memory effects. The group is ours: its number stays taken while it has
        // a member, and a number that was given up a moment ago is not given out again yet.
        unsafe { libc::kill(-self.daemon.pid(), libc::SIGKILL) };
    }
}
