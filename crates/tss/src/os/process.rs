//! Who a process is, so that what a dead one left in the TPM can be told from what a living one uses.
//!
//! A wrong "it has ended" takes a living process's objects from it, a wrong "it lives" leaves an object until its
//! room is needed. So whoever cannot be judged from here lives: a process of another pid namespace (a container
//! that shares a TPM's socket), and everybody where this process does not know its own namespace.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process};

use super::fork_safe::AppendOnly;

/// A process: its number, and when it started, since numbers come round.
///
/// In the record it is what all versions write: pid and start time. Outside of the machine's first pid namespace
/// the start time's upper bits say which namespace it is, which no start time reaches; versions that do not know
/// this take such a process for one that has ended, as they do with everybody of another namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Process id.
    pub(crate) pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks after boot, 0 where that cannot be read; and the
    /// [`Namespace`].
    pub(crate) started: u64,
}

/// Which pid namespace a process is in: 0 for the machine's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Namespace(u32);

impl Namespace {
    /// `PROC_PID_INIT_INO`: the first one's inode, on every machine.
    const FIRST: u32 = 0xEFFF_FFFC;
    /// One that could not be found out.
    const UNKNOWN: Self = Self(0xFF_FFFF);

    fn of_inode(inode: u64) -> Self {
        // Namespaces that are made later have inodes from 0xF0000000 on, one after the other.
        match (inode as u32).wrapping_sub(Self::FIRST) {
            0 => Self(0),
            distance => Self(distance % (Self::UNKNOWN.0 - 1) + 1),
        }
    }
}

/// Start times below this: 348 years of 100 ticks a second.
const TICKS: u32 = 40;

/// What a process found out about itself while it could see `/proc`: it may change its root later.
struct Seen {
    process: Process,
}

static SEEN: AppendOnly<Seen> = AppendOnly::new();
/// The namespace that this process or the one it was forked from saw last, and one more.
static NAMESPACE: AtomicU32 = AtomicU32::new(0);

impl Process {
    /// This process. After a fork the answer changes.
    pub(crate) fn current() -> Self {
        let pid = std::process::id();
        if let Some((_, ticks)) = own_stat()
            && let Some(namespace) = own_namespace()
        {
            NAMESPACE.store(namespace.0 + 1, Ordering::Relaxed);
            let process = Self::new(pid, ticks, namespace);
            SEEN.find_or_add(|seen| seen.process == process, || Seen { process });
            return process;
        }
        let known = SEEN.iter().find(|seen| seen.process.pid == pid);
        known.map_or_else(
            || Self::new(pid, 0, inherited_namespace()),
            |seen| seen.process,
        )
    }

    fn new(pid: u32, ticks: u64, namespace: Namespace) -> Self {
        Self {
            pid,
            started: ticks & ((1 << TICKS) - 1) | u64::from(namespace.0) << TICKS,
        }
    }

    fn ticks(self) -> u64 {
        self.started & ((1 << TICKS) - 1)
    }

    fn namespace(self) -> Namespace {
        Namespace((self.started >> TICKS) as u32)
    }

    /// Whether the process has certainly ended. Where that cannot be told, it has not: what is possibly in use
    /// is left alone.
    pub(crate) fn has_ended(self) -> bool {
        self.has_ended_for(Self::current())
    }

    fn has_ended_for(self, own: Self) -> bool {
        let namespace = own.namespace();
        if namespace == Namespace::UNKNOWN || namespace != self.namespace() {
            return false;
        }
        // The kernel is asked, not /proc: with hidepid others have no entry there, and a /proc of another
        // namespace has somebody else's.
        match is_alive(self.pid) {
            None => false,
            Some(false) => true,
            Some(true) => {
                self.ticks() != 0
                    && shows_own_namespace()
                    && stat_of(self.pid).is_some_and(|stat| {
                        is_past(&stat)
                            || parse_start_time(&stat).is_some_and(|ticks| ticks != self.ticks())
                    })
            }
        }
    }
}

/// Whether there is a process of this number in this process's pid namespace; `None` if the kernel does not say.
fn is_alive(pid: u32) -> Option<bool> {
    // 0 and what is negative would mean groups of processes.
    let pid = i32::try_from(pid).ok().filter(|&pid| pid > 0);
    match test_kill_process(Pid::from_raw(pid?)?) {
        Ok(()) | Err(Errno::PERM) => Some(true),
        Err(Errno::SRCH) => Some(false),
        Err(_) => None,
    }
}

/// Whether there is certainly no process `pid` as this process counts them.
pub fn is_gone(pid: u32) -> bool {
    let possible = (1..=i32::MAX as u32).contains(&pid);
    !possible || is_alive(pid) == Some(false)
}

/// The user as whom this process acts now.
pub fn effective_user() -> u32 {
    geteuid().as_raw()
}

/// The pid and the start time in this process's own entry, which it has in a `/proc` of any namespace it is in
/// or below.
fn own_stat() -> Option<(u32, u64)> {
    let stat = fs::read("/proc/self/stat").ok()?;
    let pid = stat.split(|&byte| byte == b' ').next()?;
    let pid = std::str::from_utf8(pid).ok()?.parse().ok()?;
    Some((pid, parse_start_time(&stat)?))
}

/// Whether the numbers in `/proc` are those of this process's namespace.
fn shows_own_namespace() -> bool {
    own_stat().is_some_and(|(pid, _)| pid == std::process::id())
}

fn own_namespace() -> Option<Namespace> {
    let status = fs::metadata("/proc/self/ns/pid").ok()?;
    Some(Namespace::of_inode(status.ino()))
}

/// The one that this process or its parent saw: a child is in its parent's, unless the parent has asked for a new
/// one, whose first process has no parent that it can see.
fn inherited_namespace() -> Namespace {
    let known = NAMESPACE.load(Ordering::Relaxed).checked_sub(1);
    match known {
        Some(number) if std::os::unix::process::parent_id() != 0 => Namespace(number),
        _ => Namespace::UNKNOWN,
    }
}

fn stat_of(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/stat")).ok()
}

/// The flag of a task that will not return to its program (`PF_EXITING` in the kernel's sched.h).
const EXITING: u64 = 4;

/// Whether a process is at its end, though its parent has not taken note of that yet: a killed worker is there until its
/// master looks after it, and its locks are free before. Of a process with threads the first may have ended alone.
fn is_past(stat: &[u8]) -> bool {
    let field = |number| parse_field(stat, number);
    let ends = matches!(field(3), Some("Z" | "X" | "x"))
        || field(9).is_some_and(|flags| flags.parse().is_ok_and(|flags: u64| flags & EXITING != 0));
    ends && matches!(field(20), Some("0" | "1"))
}

/// The start time in a `stat` line. The second field, the program's name, may hold anything, also
/// parentheses and blanks; the fields after the last parenthesis are plain.
pub(crate) fn parse_start_time(stat: &[u8]) -> Option<u64> {
    parse_field(stat, 22)?.parse().ok()
}

/// A field of a `stat` line by its number in proc(5), from 3 on.
fn parse_field(stat: &[u8], number: usize) -> Option<&str> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)
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
        assert_ne!(own.ticks(), 0);
        assert!(!own.has_ended());
        let later = Process {
            started: own.started + 1,
            ..own
        };
        assert!(later.has_ended(), "the number has come round");
        let (mut child, process) = sleeper();
        assert!(!process.has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended());
    }

    #[test]
    fn we_are_not_gone() {
        assert!(!is_gone(std::process::id()));
        assert!(!is_gone(1));
        assert!(is_gone(0));
        assert!(is_gone(u32::MAX));
    }

    fn sleeper() -> (std::process::Child, Process) {
        let child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let ticks = parse_start_time(&stat_of(child.id()).unwrap()).unwrap();
        let process = Process::new(child.id(), ticks, Process::current().namespace());
        (child, process)
    }

    #[test]
    fn a_child_that_nobody_has_waited_for_has_ended_too() {
        let (mut child, process) = sleeper();
        child.kill().unwrap();
        for _ in 0..10_000 {
            if process.has_ended() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(process.has_ended(), "a zombie counts as living");
        assert_eq!(is_alive(child.id()), Some(true), "it is one no more");
        child.wait().unwrap();
    }

    #[test]
    fn the_end_of_a_process_is_that_of_all_its_threads() {
        let stat = |state: &str, flags: u32, threads: u32| {
            let text =
                format!("7 (x) {state} 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 22");
            is_past(text.as_bytes())
        };
        assert!(stat("Z", 4, 1) && stat("X", 4, 0) && stat("R", 4, 1));
        assert!(!stat("Z", 4, 2), "the others go on");
        assert!(!stat("S", 0x40_0000, 1) && !stat("R", 0, 1));
        assert!(!is_past(b"") && !is_past(b"7 (Z) Z"));
    }

    #[test]
    fn whoever_cannot_be_judged_from_here_lives() {
        let own = Process::current();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let of = |namespace| Process::new(pid, 7, namespace);
        assert!(of(own.namespace()).has_ended());
        let other = Namespace::of_inode(0xF000_1234);
        assert_ne!(other, own.namespace());
        assert!(!of(other).has_ended(), "another namespace's");
        assert!(!of(Namespace::UNKNOWN).has_ended());
        // And where this process does not know its own.
        let lost = Process::new(own.pid, 0, Namespace::UNKNOWN);
        assert!(!of(Namespace::UNKNOWN).has_ended_for(lost));
        assert!(!of(own.namespace()).has_ended_for(lost));
        // A start time that nobody could read says nothing about a number that is in use.
        assert!(!Process::new(own.pid, 0, own.namespace()).has_ended());
    }

    #[test]
    fn in_the_first_namespace_a_process_is_what_all_versions_write() {
        let first = Namespace::of_inode(u64::from(Namespace::FIRST));
        assert_eq!(Process::new(7, 9, first), Process { pid: 7, started: 9 });
        let inodes = [0xF000_0000, 0xF000_0001, 0xF012_3456, 0xEFFF_FFFB, 5];
        let mut seen = vec![first, Namespace::UNKNOWN];
        for inode in inodes {
            let namespace = Namespace::of_inode(inode);
            assert!(!seen.contains(&namespace), "{inode:#x}");
            seen.push(namespace);
            let process = Process::new(7, 9, namespace);
            assert_eq!((process.ticks(), process.namespace()), (9, namespace));
        }
    }

    /// Tells a test that it runs again in other surroundings: the process that started it.
    const STARTER: &str = "TPM_PROVIDER_TEST_STARTER";

    fn starter() -> Option<Process> {
        let text = std::env::var(STARTER).ok()?;
        let (pid, started) = text.split_once(' ').unwrap();
        Some(Process {
            pid: pid.parse().unwrap(),
            started: started.parse().unwrap(),
        })
    }

    /// Runs the test again through `wrapper`, a shell's script that ends with the command; what it prints.
    /// `None` without root, who may change the surroundings.
    fn again(name: &str, wrapper: &str) -> Option<String> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let own = Process::current();
        let output = std::process::Command::new("sh")
            .args(["-c", wrapper, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg(format!("os::process::tests::{name}"))
            .env(STARTER, format!("{} {}", own.pid, own.started))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{said}");
        assert!(text.contains("1 passed"), "{text}{said}");
        Some(text)
    }

    #[test]
    fn with_hidepid_others_live() {
        let Some(starter) = starter() else {
            again(
                "with_hidepid_others_live",
                "exec unshare -m sh -c 'mount -t proc -o hidepid=2 proc /proc && \
                 exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"' sh \"$@\"",
            );
            return;
        };
        assert!(
            !fs::exists(format!("/proc/{}", starter.pid)).unwrap(),
            "it is hidden"
        );
        assert!(!starter.has_ended());
        let nobody = Process {
            pid: (1 << 22) - 1,
            ..starter
        };
        assert!(nobody.has_ended());
    }

    #[test]
    fn in_another_pid_namespace_everybody_lives() {
        let Some(starter) = starter() else {
            for wrapper in [
                "exec unshare -p -f --mount-proc \"$@\"",
                // The old namespace's /proc, as after a bare CLONE_NEWPID.
                "exec unshare -p -f \"$@\"",
            ] {
                let name = "in_another_pid_namespace_everybody_lives";
                let Some(text) = again(name, wrapper) else {
                    return;
                };
                let line = text
                    .lines()
                    .find_map(|line| line.split_once("it is "))
                    .unwrap();
                let (pid, started) = line.1.split_once(' ').unwrap();
                let inside = Process {
                    pid: pid.parse().unwrap(),
                    started: started.trim().parse().unwrap(),
                };
                // Its number is another's here, or nobody's.
                assert!(!inside.has_ended(), "{inside:?}");
            }
            return;
        };
        let own = Process::current();
        println!("it is {} {}", own.pid, own.started);
        assert_eq!(own.pid, std::process::id());
        assert_ne!(own.namespace(), starter.namespace());
        assert!(!own.has_ended());
        assert!(!starter.has_ended());
        let nobody = Process { pid: 30000, ..own };
        assert!(nobody.has_ended(), "of the own namespace the end shows");
    }
}
