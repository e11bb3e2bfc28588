//! The way to one TPM, used in critical sections.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::device::Device;
use super::endpoint::{Endpoint, Sharing};
use super::error::{ErrorKind, Fault, TransportError};
use super::frame;
use super::idle::{IdleTransaction, Stream};
use super::libtpms::Instance;
use super::lock::Lock;
use crate::os::poll::deadline_in;
use crate::transport::lock::record::Record;

/// How long to wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the TPM to become free.
    pub lock_wait: Duration,
    /// For the answer to one command. Without effect on a TPM inside the process, which answers
    /// before the call returns.
    pub command_wait: Duration,
}

impl Default for Limits {
    /// 30 s for the lock; 90 s for a command, since key generation is slow on real chips.
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_secs(30),
            command_wait: Duration::from_secs(90),
        }
    }
}

/// What became of the connection since the previous transaction; what is loaded in the TPM depends on
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Continuity {
    /// The very same uninterrupted connection, or nobody else can have used the TPM: what was loaded is
    /// still there.
    Kept,
    /// The TPM was given up in between. Others may have used it: what was loaded may be gone, or
    /// its handle may lead to another object.
    Released,
    /// Nothing that this process has loaded can be there.
    Reset,
}

/// The way to one TPM. A process has one per TPM, used by whoever has the turn in the TPM's
/// [`Queue`](crate::schedule::Queue).
#[derive(Debug)]
pub struct Transport {
    endpoint: Arc<Endpoint>,
    limits: Limits,
    /// Tells this transport from others of the process.
    id: u64,
    /// The process that had the last transaction; 0 before the first.
    owner: u32,
    /// The open device between transactions, on a managed TPM.
    kept: Option<Device>,
}

impl Transport {
    /// A transport to the TPM at `endpoint`; nothing is opened yet.
    pub fn new(endpoint: Arc<Endpoint>, limits: Limits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            endpoint,
            limits,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            owner: 0,
            kept: None,
        }
    }

    /// The TPM this transport leads to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Enters a critical section: the TPM is this caller's alone until the transaction is dropped.
    ///
    /// # Errors
    ///
    /// Of all kinds but `Cut`: the TPM is not there, not permitted, or busy for the whole
    /// [`Limits::lock_wait`].
    pub fn transaction(&mut self) -> Result<Transaction<'_>, TransportError> {
        self.transaction_within(self.limits.lock_wait)
    }

    /// The same with a waiting time of its own: an exit handler waits only briefly.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction).
    pub fn transaction_within(
        &mut self,
        lock_wait: Duration,
    ) -> Result<Transaction<'_>, TransportError> {
        let endpoint = Arc::clone(&self.endpoint);
        let deadline = deadline_in(lock_wait);
        let own = std::process::id();
        let entered = match endpoint.sharing() {
            Sharing::Managed => self.enter_managed(own, deadline),
            Sharing::Bare => self.enter_bare(own, deadline),
            Sharing::InProcess => endpoint
                .state_directory()
                .and_then(|directory| Instance::begin(directory, deadline))
                .map(|instance| Entered::alone(Stream::InProcess(instance), Continuity::Reset)),
            Sharing::Daemon => Err(Fault::new(
                ErrorKind::Unsupported,
                "this is tcsd, which serves a TPM 1.2; a TPM 2.0 is needed, and has another address",
            )),
        };
        let entered = entered.map_err(|fault| endpoint.error(fault))?;
        self.owner = own;
        let continuity = entered.continuity;
        log::trace!("transaction on {}: {continuity:?}", endpoint.address());
        Ok(Transaction {
            transport: self,
            stream: Some(entered.stream),
            used: entered.used,
            failure: None,
            continuity,
            lock: entered.lock,
            since: entered.since,
        })
    }

    /// Closes the connection kept between transactions, if there is one. No TPM command is sent: the
    /// kernel's resource manager drops what belonged to it.
    pub fn release(&mut self) {
        self.kept = None;
    }

    fn enter_managed(&mut self, own: u32, deadline: Instant) -> Result<Entered, Fault> {
        // After a fork the descriptor is shared with the parent: any use would mix the answers.
        let device = self
            .kept
            .take()
            .filter(|device| self.owner == own && device.is_intact());
        if let Some(device) = device {
            return Ok(Entered::alone(Stream::Device(device), Continuity::Kept));
        }
        let device = self.endpoint.open_device(deadline)?;
        Ok(Entered::alone(Stream::Device(device), Continuity::Reset))
    }

    fn enter_bare(&mut self, own: u32, deadline: Instant) -> Result<Entered, Fault> {
        let continuity = if self.owner == own {
            Continuity::Released
        } else {
            Continuity::Reset
        };
        if let Some(open) = self.endpoint.queue().take_idle() {
            let ours = open.transport == self.id && self.owner == own;
            return Ok(Entered {
                stream: open.stream,
                used: true,
                lock: Some(open.lock),
                since: open.since,
                continuity: if ours { Continuity::Kept } else { continuity },
            });
        }
        let lock = self.endpoint.lock(deadline)?;
        let since = Instant::now();
        let stream = if self.endpoint.is_device() {
            Stream::Device(self.endpoint.open_device(deadline)?)
        } else {
            Stream::Socket(self.endpoint.connect(deadline)?)
        };
        Ok(Entered {
            stream,
            used: false,
            lock: Some(lock),
            since,
            continuity,
        })
    }
}

/// What a transaction begins with.
struct Entered {
    stream: Stream,
    /// Whether commands have gone through the stream.
    used: bool,
    lock: Option<Lock>,
    /// When the lock was taken.
    since: Instant,
    continuity: Continuity,
}

impl Entered {
    /// On a TPM that needs no lock.
    fn alone(stream: Stream, continuity: Continuity) -> Self {
        Self {
            stream,
            used: false,
            lock: None,
            since: Instant::now(),
            continuity,
        }
    }
}

/// A critical section: commands in it reach the TPM without those of others in between.
#[derive(Debug)]
pub struct Transaction<'a> {
    transport: &'a mut Transport,
    /// `None` once a command has failed: what the TPM would say next is not known.
    stream: Option<Stream>,
    /// Whether commands have gone through the stream.
    used: bool,
    failure: Option<Fault>,
    continuity: Continuity,
    lock: Option<Lock>,
    /// When the lock was taken.
    since: Instant,
}

impl Transaction<'_> {
    /// Sends one command and returns its one response, header included.
    ///
    /// The TPM's own refusals are responses, not errors.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] or [`ErrorKind::Protocol`] for a command whose size is wrong; nothing is
    /// sent then. Any other failure ends the connection, and later calls in this transaction return
    /// [`ErrorKind::Cut`] with its text.
    pub fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        let endpoint = &self.transport.endpoint;
        frame::check_command(command).map_err(|fault| endpoint.error(fault))?;
        // Back in its place once the exchange is complete, and never after a panic in it.
        let Some(mut stream) = self.stream.take() else {
            return Err(self.earlier_failure());
        };
        self.used = true;
        match stream.exchange(command, self.transport.limits.command_wait) {
            Ok(response) => {
                self.stream = Some(stream);
                log::trace!(
                    "command of {} bytes, {} back",
                    command.len(),
                    response.len()
                );
                Ok(response)
            }
            Err(fault) => {
                let error = endpoint.error(fault.clone());
                log::debug!("{error}");
                self.failure = Some(fault);
                Err(error)
            }
        }
    }

    /// Connects anew, under the same lock, where the TPM is a simulator behind a socket and a command has
    /// gone through the connection; nothing on any other TPM. An swtpm that tcsd shares hangs up after
    /// every answer (`--server ...,disconnect`), at a moment that cannot be told from one in the middle
    /// of the next command.
    ///
    /// # Errors
    ///
    /// As [`Transport::transaction`]; the transaction is unusable then.
    pub fn renew(&mut self) -> Result<(), TransportError> {
        if !self.used || !matches!(self.stream, Some(Stream::Socket(_))) {
            return Ok(());
        }
        // The old one first: a simulator lets a second client wait.
        self.stream = None;
        let deadline = deadline_in(self.transport.limits.command_wait);
        match self.transport.endpoint.connect(deadline) {
            Ok(socket) => {
                self.stream = Some(Stream::Socket(socket));
                self.used = false;
                Ok(())
            }
            Err(fault) => {
                let error = self.transport.endpoint.error(fault.clone());
                self.failure = Some(fault);
                Err(error)
            }
        }
    }

    /// What became of the connection since the previous transaction of this transport.
    pub fn continuity(&self) -> Continuity {
        self.continuity
    }

    /// How the TPM is shared.
    pub fn sharing(&self) -> Sharing {
        self.transport.endpoint.sharing()
    }

    /// The bytes that users of a bare TPM share; `None` on any other TPM.
    pub fn record(&mut self) -> Option<&mut Record> {
        self.lock.as_mut().map(|lock| &mut lock.record)
    }

    /// Replaces the bytes that users of a bare TPM share, at once; nothing on any other TPM. What
    /// exceeds [`Record::CAPACITY`] is not kept.
    pub fn set_record(&mut self, bytes: &[u8]) {
        if let Some(lock) = &mut self.lock {
            lock.record.set(bytes);
            lock.save();
        }
    }

    fn earlier_failure(&self) -> TransportError {
        let what = match &self.failure {
            Some(fault) => format!("the connection was given up earlier: {}", fault.what),
            None => "the connection is closed".to_owned(),
        };
        self.transport
            .endpoint
            .error(Fault::new(ErrorKind::Cut, what))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        match (self.stream.take(), self.lock.take()) {
            (Some(Stream::Device(device)), _) if self.sharing() == Sharing::Managed => {
                self.transport.kept = Some(device);
            }
            (Some(stream), Some(lock)) => {
                let open = IdleTransaction {
                    stream,
                    lock,
                    since: self.since,
                    transport: self.transport.id,
                };
                self.transport.endpoint.queue().leave_idle(open);
            }
            // Closed before the lock is given up, or the next holder would wait for us.
            (stream, lock) => {
                drop(stream);
                drop(lock);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_endpoints_move_between_threads() {
        fn sent<T: Send>() {}
        fn shared<T: Sync>() {}
        sent::<Transport>();
        sent::<Endpoint>();
        shared::<Endpoint>();
        sent::<TransportError>();
        shared::<TransportError>();
    }

    #[test]
    fn the_limits_leave_time_for_key_generation() {
        let limits = Limits::default();
        assert_eq!(limits.lock_wait.as_secs(), 30);
        assert_eq!(limits.command_wait.as_secs(), 90);
    }
}
