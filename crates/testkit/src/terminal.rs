//! Pseudo-terminals: a stand-in for the kernel's managed device, with a swtpm behind, and one at which somebody types.

use crate::net::Endpoint;
use crate::process::{Daemon, Run};
use crate::scratch::Scratch;
use crate::swtpm::Swtpm;
use crate::tpm::{Raw, read_frame};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The device. Unlike the kernel's it flushes nothing when it is closed.
pub struct Terminal {
    dir: Scratch,
    /// Keeps the line up while no client has it open.
    _open: File,
}

impl Terminal {
    pub fn start(tpm: &Swtpm) -> Self {
        let (mut master, path) = pair(true);
        let open = File::options().read(true).write(true).open(&path);
        let dir = Scratch::new();
        // The name says that it is a managed one.
        std::os::unix::fs::symlink(&path, dir.join("tpmrm0")).expect("a new link");
        let endpoint: Endpoint = tpm.endpoint().clone();
        thread::spawn(move || {
            // Connected for each command: the test itself can ask the TPM in between.
            while let Ok(Some(command)) = read_frame(&mut master) {
                let answer = Raw::connect(&endpoint).and_then(|mut tpm| tpm.transmit(&command));
                if answer.and_then(|bytes| master.write_all(&bytes)).is_err() {
                    break;
                }
            }
        });
        Self {
            dir,
            _open: open.expect("the terminal's other end"),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join("tpmrm0")
    }

    /// For `TPM_TCTI`.
    pub fn address(&self) -> String {
        format!("device:{}", self.path().display())
    }
}

/// A program at a terminal, and somebody who reads and types there.
pub struct Typist {
    daemon: Daemon,
    keyboard: File,
    /// Keeps the line up, and tells how it is set.
    line: File,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of what is shown was read.
    read: usize,
}

impl Typist {
    /// The terminal is the program's standard input, output and error, and controls it.
    pub fn start(mut run: Run) -> Self {
        let (master, path) = pair(false);
        let line = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(&path)
            .expect("the terminal's other end");
        let end = || line.try_clone().expect("a descriptor");
        run.command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing; standard input is the
        // terminal by then.
        unsafe {
            run.command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let daemon = Daemon::spawn(&mut run.command);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let screen = Arc::clone(&shown);
        let mut reader = master.try_clone().expect("a descriptor");
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                screen.lock().expect("shown").extend(&bytes[..count]);
            }
        });
        Self {
            daemon,
            keyboard: master,
            line,
            shown,
            read: 0,
        }
    }

    /// What has been on the screen so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("shown")).into_owned()
    }

    /// Waits until `text` is shown, behind what was waited for before.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.shown();
            if let Some(at) = shown.get(self.read..).and_then(|rest| rest.find(text)) {
                self.read += at + text.len();
                return;
            }
            assert!(Instant::now() < end, "no {text:?} in {shown:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("typed");
    }

    pub fn signal(&self, signal: i32) {
        self.daemon.signal(signal);
    }

    /// Whether the terminal shows what is typed, and knows Ctrl-C.
    pub fn is_as_usual(&self) -> bool {
        // SAFETY: an all-zero termios is a value that tcgetattr fills, of a terminal that is open.
        let mode = unsafe {
            let mut mode: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.line.as_raw_fd(), &mut mode), 0);
            mode.c_lflag
        };
        let usual = libc::ECHO | libc::ICANON | libc::ISIG;
        mode & usual == usual
    }

    /// Waits for the program's end; its status, and what was shown.
    #[track_caller]
    pub fn end(&mut self) -> (ExitStatus, String) {
        let status = self.daemon.wait(Duration::from_secs(60));
        let status = status.unwrap_or_else(|| panic!("it has not ended: {}", self.shown()));
        // What was written last may still be on its way.
        thread::sleep(Duration::from_millis(50));
        (status, self.shown())
    }
}

/// A pseudo-terminal, with the usual editing or raw: its controlling end, and the path of the other.
fn pair(is_raw: bool) -> (File, PathBuf) {
    // SAFETY: posix_openpt takes flags; the descriptor it returns is owned by nobody else, and the
    // other calls take that descriptor, integers to be filled, or a buffer with its length.
    unsafe {
        let fd = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(fd >= 0, "no pseudo-terminal");
        let master = File::from_raw_fd(fd);
        assert_eq!(libc::grantpt(fd), 0);
        assert_eq!(libc::unlockpt(fd), 0);
        let mut mode: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(master.as_raw_fd(), &mut mode), 0);
        if is_raw {
            libc::cfmakeraw(&mut mode);
        }
        assert_eq!(libc::tcsetattr(master.as_raw_fd(), libc::TCSANOW, &mode), 0);
        let mut name = [0; 128];
        assert_eq!(libc::ptsname_r(fd, name.as_mut_ptr(), name.len()), 0);
        let name = std::ffi::CStr::from_ptr(name.as_ptr());
        (master, name.to_str().expect("a path").into())
    }
}
