//! What a person at a terminal should know though nobody asked for a log.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a notice was given in this process.
static GIVEN: AtomicBool = AtomicBool::new(false);

/// Gives a notice, the first time that it is called in a process: to the log, if the settings say anything of a log;
/// else to standard error, if that is what people or their log files read.
pub(crate) fn give_once(text: &str, has_log: bool) {
    if GIVEN.swap(true, Ordering::Relaxed) {
        return;
    }
    if has_log {
        log::warn!("{text}");
        return;
    }
    // Past the standard library's lock, which a child forked meanwhile would find taken.
    let Ok(copy) = std::io::stderr().as_fd().try_clone_to_owned() else {
        return;
    };
    let mut file = File::from(copy);
    if is_for_people(&file) {
        // One write, so that lines of several processes do not mix.
        let _ = file.write_all(format!("tpm-provider: note: {text}\n").as_bytes());
    }
}

/// Whether descriptor 2 is a terminal, a pipe with room for a line, or a plain file that is only written: a host may
/// have closed it, and have a connection or its data there now.
fn is_for_people(file: &File) -> bool {
    let Ok(kind) = file.metadata().map(|status| status.file_type()) else {
        return false;
    };
    if kind.is_file() {
        // A shell's `2>` opens so; a database does not.
        // SAFETY: F_GETFL takes a descriptor, which is open, and nothing else.
        let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
        return flags >= 0 && flags & libc::O_ACCMODE == libc::O_WRONLY;
    }
    if !kind.is_fifo() && !file.is_terminal() {
        return false;
    }
    // A pipe that nobody reads would end the host by a signal, and a full one stop it.
    let mut poll = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `poll` is one live structure, as the count says; with no time to wait the call returns at once.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    ready == 1 && poll.revents == libc::POLLOUT
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::pipe;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn sockets_data_files_and_pipes_without_a_reader_are_left_alone() {
        let dir = Scratch::new();
        let path = dir.write("file", "");
        let open = |write: bool, read: bool| {
            let file = OpenOptions::new().write(write).read(read).open(&path);
            file.unwrap()
        };
        assert!(is_for_people(&open(true, false)));
        assert!(!is_for_people(&open(true, true)));
        assert!(!is_for_people(&open(false, true)));
        let (near, _far) = UnixStream::pair().unwrap();
        assert!(!is_for_people(&File::from(OwnedFd::from(near))));
        assert!(!is_for_people(&File::open("/dev/null").unwrap()));
        let (read, write) = pipe().unwrap();
        let write = File::from(OwnedFd::from(write));
        assert!(is_for_people(&write));
        drop(read);
        assert!(!is_for_people(&write));
    }
}
