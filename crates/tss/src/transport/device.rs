//! A character device of the kernel's TPM driver.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::error::{ErrorKind, Fault};
use super::frame;
use crate::os::file;
use crate::os::guarded_fd::{CloseInChild, GuardedFd};
use crate::os::poll::{self, Ready, deadline_in};
use crate::os::task;

/// An open device. Closing it ends what the driver's resource manager keeps for it.
#[derive(Debug)]
pub(super) struct Device {
    kept: GuardedFd,
    // Declared last: noted until it is closed, or a child would keep its copy. If somebody else gets the number
    // in between, the child finds that it leads to another file.
    _close_in_child: CloseInChild,
}

impl Device {
    /// How a device is opened: with O_NONBLOCK a write queues the command and poll waits for the
    /// answer; without it the write itself blocks for as long as the TPM works.
    pub(super) const FLAGS: OFlags = OFlags::RDWR.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

    pub(super) fn new(fd: OwnedFd) -> Result<Self, Fault> {
        let kept = GuardedFd::new(fd).map_err(|error| Fault::os("examining the device", &error))?;
        if !kept.status().is_character_device() {
            return Err(Fault::new(
                ErrorKind::Address,
                "it is not a character device",
            ));
        }
        Ok(Self {
            _close_in_child: CloseInChild::new(&kept),
            kept,
        })
    }

    /// Whether the descriptor is still open and still leads to this device.
    pub(super) fn is_intact(&self) -> bool {
        self.kept.get().is_some()
    }

    /// One write, one wait, one read: the driver knows nothing smaller than a command.
    pub(super) fn exchange(
        &mut self,
        command: &[u8],
        wait: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let lost = || {
            Fault::new(
                ErrorKind::Cut,
                "the host has closed or reused the device's descriptor",
            )
        };
        let fd = self.kept.get().ok_or_else(lost)?;
        let deadline = deadline_in(wait);
        let written =
            file::write(fd, command).map_err(|error| Fault::os("writing to the device", &error))?;
        if written != command.len() {
            return Err(Fault::new(
                ErrorKind::Protocol,
                format!("the device took {written} of {} bytes", command.len()),
            ));
        }
        let mut response = Zeroizing::new(vec![0; frame::MAX_COMMAND]);
        let length = loop {
            let ready = poll::wait(fd, Ready::ToRead, deadline)
                .map_err(|error| Fault::os("waiting for the device", &error))?;
            if !ready {
                return Err(timeout(wait));
            }
            match file::read(fd, &mut response) {
                Ok(length) => break length,
                // Ready for something else, such as the next command.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        return Err(timeout(wait));
                    }
                    task::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(Fault::os("reading from the device", &error)),
            }
        };
        if length == 0 {
            return Err(Fault::new(ErrorKind::Cut, "the device gave no answer"));
        }
        response.truncate(length);
        frame::check_response(&response)?;
        Ok(response)
    }
}

pub(super) fn timeout(wait: Duration) -> Fault {
    Fault::new(
        ErrorKind::Timeout,
        format!("no answer within {} s", wait.as_secs_f32()),
    )
}
