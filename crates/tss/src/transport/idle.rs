//! An open connection to a TPM, and what of a critical section outlives the operation it was entered for.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::device::Device;
use super::error::Fault;
use super::libtpms::Instance;
use super::lock::Lock;
use super::socket::Socket;

/// How long a bare TPM stays with one process while its threads keep coming. Whoever else waits for it,
/// by our lock or by a program's own means, gets it then. A TPM whose commands take longer than this gains
/// nothing from it: what it costs to take the TPM anew is little beside them.
const LONGEST: Duration = Duration::from_millis(20);

/// An open connection of any kind.
#[derive(Debug)]
pub(super) enum Stream {
    Device(Device),
    Socket(Socket),
    InProcess(Instance),
}

impl Stream {
    pub(super) fn exchange(
        &mut self,
        command: &[u8],
        wait: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self {
            Self::Device(device) => device.exchange(command, wait),
            Self::Socket(socket) => socket.exchange(command, wait),
            Self::InProcess(instance) => instance.exchange(command),
        }
    }

    /// Whether the next command can go here: the other end has neither closed it nor said anything.
    fn is_quiet(&self) -> bool {
        match self {
            Self::Device(device) => device.is_intact(),
            Self::Socket(socket) => socket.is_quiet(),
            Self::InProcess(_) => true,
        }
    }
}

/// A bare TPM that is this process's alone, between two of its operations: the second one need not lock
/// and connect again.
#[derive(Debug)]
pub(crate) struct IdleTransaction {
    // Declared first: closed before the lock is given up, or the next holder would wait for us.
    pub(super) stream: Stream,
    pub(super) lock: Lock,
    /// When the lock was taken.
    pub(super) since: Instant,
    /// The transport that left it.
    pub(super) transport: u64,
}

impl IdleTransaction {
    /// Whether the process may go on having it.
    pub(crate) fn may_stay(&self) -> bool {
        self.since.elapsed() < LONGEST
    }

    /// Whether it can still be used.
    pub(crate) fn is_usable(&self) -> bool {
        self.lock.is_own() && self.stream.is_quiet()
    }
}
