//! The way to one TPM, used in critical sections.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::device::Device;
use super::endpoint::{Endpoint, Sharing};
use super::error::{ErrorKind, Fault, TransportError};
use super::frame;
use super::libtpms::Instance;
use super::lock::Lock;
use super::record::Record;
use super::socket::Socket;
use super::sys;

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

/// What became of the connection since the previous section; what is loaded in the TPM depends on
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Continuity {
    /// The very same uninterrupted connection: what was loaded is still there.
    Kept,
    /// The TPM was given up in between. Others may have used it: what was loaded may be gone, or
    /// its handle may lead to another object.
    Released,
    /// Nothing that this process has loaded can be there.
    Reset,
}

/// The way to one TPM. A process has one per TPM, used by whoever has the turn in the TPM's
/// [`Queue`](super::Queue).
#[derive(Debug)]
pub struct Channel {
    endpoint: Arc<Endpoint>,
    limits: Limits,
    /// The process that had the last section; 0 before the first.
    owner: u32,
    /// The open device between sections, on a managed TPM.
    kept: Option<Device>,
}

impl Channel {
    /// A channel to the TPM at `endpoint`; nothing is opened yet.
    pub fn new(endpoint: Arc<Endpoint>, limits: Limits) -> Self {
        Self {
            endpoint,
            limits,
            owner: 0,
            kept: None,
        }
    }

    /// The TPM this channel leads to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Enters a critical section: the TPM is this caller's alone until the section is dropped.
    ///
    /// # Errors
    ///
    /// Of all kinds but `Cut`: the TPM is not there, not permitted, or busy for the whole
    /// [`Limits::lock_wait`].
    pub fn section(&mut self) -> Result<Section<'_>, TransportError> {
        self.section_within(self.limits.lock_wait)
    }

    /// The same with a waiting time of its own: an exit handler waits only briefly.
    ///
    /// # Errors
    ///
    /// As [`section`](Self::section).
    pub fn section_within(&mut self, lock_wait: Duration) -> Result<Section<'_>, TransportError> {
        let endpoint = Arc::clone(&self.endpoint);
        let deadline = sys::deadline_in(lock_wait);
        let own = std::process::id();
        let entered = match endpoint.sharing() {
            Sharing::Managed => self.enter_managed(own, deadline),
            Sharing::Bare => self.enter_bare(own, deadline),
            Sharing::InProcess => endpoint
                .state_directory()
                .and_then(|directory| Instance::begin(directory, deadline))
                .map(|instance| (Link::InProcess(instance), None, Continuity::Reset)),
            Sharing::Daemon => Err(Fault::new(
                ErrorKind::Unsupported,
                "this is tcsd, which serves a TPM 1.2; a TPM 2.0 is needed, and has another address",
            )),
        };
        let (link, lock, continuity) = entered.map_err(|fault| endpoint.error(fault))?;
        self.owner = own;
        log::trace!("section on {}: {continuity:?}", endpoint.address());
        Ok(Section {
            channel: self,
            link: Some(link),
            failure: None,
            continuity,
            lock,
        })
    }

    /// Closes the connection kept between sections, if there is one. No TPM command is sent: the
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
            return Ok((Link::Device(device), None, Continuity::Kept));
        }
        let device = self.endpoint.open_device(deadline)?;
        Ok((Link::Device(device), None, Continuity::Reset))
    }

    fn enter_bare(&mut self, own: u32, deadline: Instant) -> Result<Entered, Fault> {
        let lock = self.endpoint.lock(deadline)?;
        let link = if self.endpoint.is_device() {
            Link::Device(self.endpoint.open_device(deadline)?)
        } else {
            Link::Socket(self.endpoint.connect(deadline)?)
        };
        let continuity = if self.owner == own {
            Continuity::Released
        } else {
            Continuity::Reset
        };
        Ok((link, Some(lock), continuity))
    }
}

type Entered = (Link, Option<Lock>, Continuity);

/// An open connection of any kind.
#[derive(Debug)]
enum Link {
    Device(Device),
    Socket(Socket),
    InProcess(Instance),
}

/// A critical section: commands in it reach the TPM without those of others in between.
#[derive(Debug)]
pub struct Section<'a> {
    channel: &'a mut Channel,
    /// `None` once a command has failed: what the TPM would say next is not known.
    link: Option<Link>,
    failure: Option<Fault>,
    continuity: Continuity,
    lock: Option<Lock>,
}

impl Section<'_> {
    /// Sends one command and returns its one response, header included.
    ///
    /// The TPM's own refusals are responses, not errors.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] or [`ErrorKind::Protocol`] for a command whose size is wrong; nothing is
    /// sent then. Any other failure ends the connection, and later calls in this section return
    /// [`ErrorKind::Cut`] with its text.
    pub fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        let endpoint = &self.channel.endpoint;
        frame::check_command(command).map_err(|fault| endpoint.error(fault))?;
        let Some(link) = &mut self.link else {
            return Err(self.earlier_failure());
        };
        let wait = self.channel.limits.command_wait;
        let result = match link {
            Link::Device(device) => device.exchange(command, wait),
            Link::Socket(socket) => socket.exchange(command, wait),
            Link::InProcess(instance) => instance.exchange(command),
        };
        match result {
            Ok(response) => {
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
                self.link = None;
                Err(error)
            }
        }
    }

    /// Connects anew, under the same lock, where the TPM is a simulator behind a socket; nothing on any
    /// other TPM. An swtpm that tcsd shares hangs up after every answer (`--server ...,disconnect`), at
    /// a moment that cannot be told from one in the middle of the next command.
    ///
    /// # Errors
    ///
    /// As [`Channel::section`]; the section is unusable then.
    pub fn renew(&mut self) -> Result<(), TransportError> {
        if !matches!(self.link, Some(Link::Socket(_))) {
            return Ok(());
        }
        // The old one first: a simulator lets a second client wait.
        self.link = None;
        let deadline = sys::deadline_in(self.channel.limits.command_wait);
        match self.channel.endpoint.connect(deadline) {
            Ok(socket) => {
                self.link = Some(Link::Socket(socket));
                Ok(())
            }
            Err(fault) => {
                let error = self.channel.endpoint.error(fault.clone());
                self.failure = Some(fault);
                Err(error)
            }
        }
    }

    /// What became of the connection since the previous section of this channel.
    pub fn continuity(&self) -> Continuity {
        self.continuity
    }

    /// How the TPM is shared.
    pub fn sharing(&self) -> Sharing {
        self.channel.endpoint.sharing()
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
        self.channel
            .endpoint
            .error(Fault::new(ErrorKind::Cut, what))
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        match self.link.take() {
            Some(Link::Device(device)) if self.sharing() == Sharing::Managed => {
                self.channel.kept = Some(device);
            }
            // Closed before the lock is given up, or the next holder would wait for us.
            other => drop(other),
        }
        self.lock = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_endpoints_move_between_threads() {
        fn sent<T: Send>() {}
        fn shared<T: Sync>() {}
        sent::<Channel>();
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
