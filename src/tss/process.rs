//! Who a process is, so that what a dead one left in the TPM can be told from what a living one uses.
#![forbid(unsafe_code)]

use std::fs;

/// A process: its number, and when it started, since numbers come round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tss) struct Process {
    /// Process id.
    pub(in crate::tss) pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks after boot; 0 where that cannot be read.
    pub(in crate::tss) started: u64,
}

impl Process {
    /// This process. After a fork the answer changes.
    pub(in crate::tss) fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started: start_time(pid).unwrap_or(0),
        }
    }

    /// Whether the process has certainly ended. Where `/proc` does not tell, it has not: what is
    /// possibly in use is left alone.
    pub(in crate::tss) fn has_ended(self) -> bool {
        match start_time(self.pid) {
            Some(started) => self.started != 0 && started != self.started,
            // Without our own entry there is no /proc here, so the missing one says nothing.
            None => {
                start_time(std::process::id()).is_some()
                    && !fs::exists(format!("/proc/{}", self.pid)).unwrap_or(true)
            }
        }
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

/// The start time in a `stat` line. The second field, the program's name, may hold anything, also
/// parentheses and blanks; the fields after the last parenthesis are plain.
pub(in crate::tss) fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    // What follows begins with field 3.
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_program_name_does_not_confuse_the_parser() {
        let fields = (3..=30)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let stat = format!("7 (evil) S 1 2 (x) {fields}");
        assert_eq!(parse_start_time(stat.as_bytes()), Some(22));
        assert_eq!(parse_start_time(b"7 (short) S 1"), None);
        assert_eq!(parse_start_time(b""), None);
    }

    #[test]
    fn we_are_alive_and_a_child_that_was_waited_for_is_not() {
        let own = Process::current();
        assert_ne!(own.started, 0);
        assert!(!own.has_ended());
        assert!(
            Process {
                started: own.started + 1,
                ..own
            }
            .has_ended()
        );
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let started = start_time(child.id()).unwrap_or(1);
        child.wait().unwrap();
        assert!(
            Process {
                pid: child.id(),
                started
            }
            .has_ended()
        );
    }
}
