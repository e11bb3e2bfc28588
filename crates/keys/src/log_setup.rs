//! Logging: off unless asked for, to standard error unless told otherwise.
//!
//! Each line is written by itself: nothing is held open in somebody else's process, no lock is left to a forked child
//! (syslog(3) has one), and a log that was rotated away is not written to.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use tss::os::AppendOnly;

use crate::printable;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error, wherever that leads.
    StandardError,
    /// The system's log (RFC 3164 to /dev/log).
    Syslog,
    /// systemd's journal, by its own protocol.
    Journal,
    /// The end of a file, which is made if it is not there, for its owner alone.
    File(PathBuf),
}

const SYSLOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";
const NAME: &str = "tpm-provider";

/// That of the process: the first that was asked for. Nothing is there until then.
static TARGET: AppendOnly<Target> = AppendOnly::new();

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            let text = printable::line(&text);
            let target = TARGET.iter().next().unwrap_or(&Target::StandardError);
            // A log that cannot be written is nobody's problem but its reader's.
            let _ = target.write(record.level(), &text);
        }
    }

    fn flush(&self) {}
}

impl Target {
    /// Reads `stderr`, `syslog`, `journal` or `file:PATH`, an absolute one: the host's own directory is anywhere.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "stderr" => Self::StandardError,
            "syslog" => Self::Syslog,
            "journal" => Self::Journal,
            _ => {
                let path = Path::new(text.strip_prefix("file:")?);
                Self::File(path.is_absolute().then(|| path.to_owned())?)
            }
        })
    }

    fn write(&self, level: Level, text: &str) -> io::Result<()> {
        let name = level.as_str().to_ascii_lowercase();
        let line = format!("{NAME}[{}] {name}: {text}\n", std::process::id());
        match self {
            Self::StandardError => {
                // Past the standard library's lock, which a child forked meanwhile would find taken. One write, so
                // that lines of several processes do not mix.
                let copy = io::stderr().as_fd().try_clone_to_owned()?;
                File::from(copy).write_all(line.as_bytes())
            }
            Self::Syslog => {
                // Facility daemon.
                let priority = 3 << 3 | severity(level);
                let pid = std::process::id();
                send(
                    SYSLOG,
                    &format!("<{priority}>{NAME}[{pid}]: {name}: {text}"),
                )
            }
            Self::Journal => {
                let priority = severity(level);
                send(
                    JOURNAL,
                    &format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={NAME}\nMESSAGE={text}\n"),
                )
            }
            Self::File(path) => {
                // Neither through a link that somebody has put there, nor into a pipe that nobody reads.
                let mut file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
                    .open(path)?;
                let line = format!("{} {line}", utc(SystemTime::now()));
                file.write_all(line.as_bytes())
            }
        }
    }
}

/// One datagram; nobody waits for a reader.
fn send(path: &str, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    socket.send(message.as_bytes()).map(drop)
}

/// RFC 5424, 6.2.1.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A time as RFC 3339 has it, in seconds. By the days of the Gregorian calendar's cycles of 400 years, which begin in
/// March: libc's functions read files and take locks.
fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = match month {
        0..=9 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    format!(
        "{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        era * 400 + year + next,
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Turns logging on at `level`; off leaves it as it is. `target` is where to; the first that is said counts.
///
/// Level and target are the process's: of several provider instances the most talkative wins.
pub fn enable(level: LevelFilter, target: Option<&Target>) {
    // Not a `Once`, in which a child forked by another thread would wait for ever.
    static SET: AtomicBool = AtomicBool::new(false);
    if let Some(target) = target {
        TARGET.find_or_add(|_| true, || target.clone());
    }
    if !SET.swap(true, Ordering::Relaxed) {
        // Fails only where a host that is written in Rust has a logger of its own, which then
        // serves us too.
        let _ = log::set_logger(&Lines);
    }
    log::set_max_level(level.max(log::max_level()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_file_grows_by_whole_lines_and_no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let target = Target::File(path.clone());
        target.write(Level::Error, "one").unwrap();
        target.write(Level::Info, "two").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("] error: one") && lines[1].ends_with("] info: two"));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Target::File(link).write(Level::Error, "three").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn words_that_name_a_target() {
        assert_eq!(Target::parse("journal"), Some(Target::Journal));
        assert_eq!(
            Target::parse("file:/var/log/tpm.log"),
            Some(Target::File("/var/log/tpm.log".into()))
        );
        for wrong in ["", "Journal", "file:", "file:tpm.log", "/var/log/tpm.log"] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }
}
