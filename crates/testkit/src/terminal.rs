//! A stand-in for the kernel's managed device: a pseudo-terminal with a swtpm behind.

use crate::net::Endpoint;
use crate::scratch::Scratch;
use crate::swtpm::Swtpm;
use crate::tpm::{Raw, read_frame};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::thread;

/// The device. Unlike the kernel's it flushes nothing when it is closed.
pub struct Terminal {
    dir: Scratch,
    /// Keeps the line up while no client has it open.
    _open: File,
}

impl Terminal {
    pub fn start(tpm: &Swtpm) -> Self {
        let (mut master, path) = pair();
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

/// A pseudo-terminal without any editing: its controlling end, and the path of the other.
fn pair() -> (File, PathBuf) {
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
        libc::cfmakeraw(&mut mode);
        assert_eq!(libc::tcsetattr(master.as_raw_fd(), libc::TCSANOW, &mode), 0);
        let mut name = [0; 128];
        assert_eq!(libc::ptsname_r(fd, name.as_mut_ptr(), name.len()), 0);
        let name = std::ffi::CStr::from_ptr(name.as_ptr());
        (master, name.to_str().expect("a path").into())
    }
}
