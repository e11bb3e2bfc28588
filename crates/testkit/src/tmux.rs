//! A terminal with a screen, by tmux: what a program has drawn is read as people see it.

use crate::process::{Daemon, Run, wait_for};
use crate::scratch::Scratch;
use crate::tools::need;
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A tmux of its own with one window; it ends on drop, and the program in it by SIGHUP.
pub struct Tmux {
    _server: Daemon,
    dir: Scratch,
}

impl Tmux {
    /// Runs a program on a screen of so many columns and lines.
    pub fn start(run: &Run, columns: u16, lines: u16) -> Self {
        let dir = Scratch::new();
        let tmux = need("tmux", "tmux");
        let command = || {
            let mut command = Command::new(&tmux);
            command
                .arg("-S")
                .arg(dir.join("socket"))
                .args(["-f", "/dev/null"]);
            // It looks at its own environment for what its windows get.
            command.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
            command
        };
        let server = Daemon::spawn(command().arg("-D"));
        wait_for("tmux", PATIENCE, || dir.join("socket").exists());
        let this = Self {
            _server: server,
            dir,
        };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        this.tmux(&[
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &lines,
            "exec sleep 1000000",
        ]);
        this.tmux(&["set-option", "-g", "status", "off"]);
        this.tmux(&["set-option", "-g", "escape-time", "0"]);
        // The terminal stays when the program has ended, as it does below a shell.
        let inner = format!(
            "echo $$ >{}\n{}\n",
            this.dir.join("pid").display(),
            line(run)
        );
        let inner = this.dir.write("inner", inner);
        let outer = format!(
            "sh {}\necho \"status $?\"\nexec sleep 1000000\n",
            inner.display()
        );
        let outer = this.dir.write("outer", outer);
        this.tmux(&[
            "respawn-pane",
            "-k",
            &format!("exec sh {}", outer.display()),
        ]);
        this
    }

    #[track_caller]
    fn tmux(&self, args: &[&str]) -> String {
        let done = Run::new(need("tmux", "tmux"))
            .arg("-S")
            .arg(self.dir.join("socket"))
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .ok();
        done.out()
    }

    /// What is to be seen.
    #[track_caller]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the sequences for colours.
    #[track_caller]
    pub fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until all of this is to be seen, and gives the screen.
    #[track_caller]
    pub fn sees(&self, texts: &[&str]) -> String {
        self.until(
            |screen| texts.iter().all(|text| screen.contains(text)),
            &format!("{texts:?}"),
        )
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub fn until(&self, mut is_right: impl FnMut(&str) -> bool, what: &str) -> String {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_right(&screen) {
                return screen;
            }
            assert!(std::time::Instant::now() < end, "no {what} in\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the terminal is called: programs set that by an escape sequence.
    #[track_caller]
    pub fn title(&self) -> String {
        self.tmux(&["display-message", "-p", "#{pane_title}"])
    }

    /// Keys by tmux's names, or characters.
    #[track_caller]
    pub fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.tmux(&args);
    }

    #[track_caller]
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// The program's.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let file = self.dir.join("pid");
        let mut pid = None;
        wait_for("the program's pid", PATIENCE, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            pid = text
                .strip_suffix('\n')
                .map(|text| text.parse().expect("a pid"));
            pid.is_some()
        });
        pid.expect("found")
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the call takes two numbers. The shell that waits for the program has no other.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Closes the terminal.
    #[track_caller]
    pub fn close(&self) {
        self.tmux(&["kill-session"]);
    }

    /// Waits for the program's end; its status, as a shell says it.
    #[track_caller]
    pub fn end(&self) -> i32 {
        let status = |screen: &str| {
            let mut lines = screen.lines();
            lines.find_map(|line| {
                // A killed one leaves what stood behind it.
                let rest = line.trim().strip_prefix("status ")?;
                rest.split_whitespace().next()?.parse().ok()
            })
        };
        let screen = self.until(|screen| status(screen).is_some(), "end of the program");
        status(&screen).expect("found")
    }

    /// Whether the terminal is as a shell wants it: what is typed is shown, on the usual screen, with a cursor.
    #[track_caller]
    pub fn is_as_usual(&self) -> bool {
        let flags = self.tmux(&[
            "display-message",
            "-p",
            "#{alternate_on} #{cursor_flag} #{pane_tty}",
        ]);
        let words: Vec<&str> = flags.split_whitespace().collect();
        let modes = Run::new("stty").args(["-F", words[2], "-a"]).done().out();
        words[..2] == ["0", "1"] && modes.contains(" icanon") && modes.contains(" echo ")
    }
}

/// The program with its environment and directory as a line for a shell.
fn line(run: &Run) -> String {
    let command = &run.command;
    let quoted = |text: &std::ffi::OsStr| {
        format!("'{}'", text.to_str().expect("text").replace('\'', r"'\''"))
    };
    let mut line = String::new();
    if let Some(directory) = command.get_current_dir() {
        let _ = write!(line, "cd {} && ", quoted(directory.as_os_str()));
    }
    line.push_str("exec env");
    // Options come first.
    for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
        let _ = write!(line, " -u {}", name.to_str().expect("text"));
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(line, " {}={}", name.to_str().expect("text"), quoted(value));
        }
    }
    let _ = write!(line, " {}", quoted(command.get_program()));
    for argument in command.get_args() {
        let _ = write!(line, " {}", quoted(argument));
    }
    line
}
