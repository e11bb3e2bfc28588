//! Where a TPM is, remembered so that it is found again after the host has changed its root
//! directory or its user.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::address::{Address, AddressKind, Origin, is_managed_name};
use super::device::Device;
use super::device_path::{self, DevicePath};
use super::error::{ErrorKind, Fault, TransportError};
use super::libtpms;
use super::lock::{Lock, Places};
use super::socket::{self, Framing, Socket};
use crate::discovery::{daemon, detect, family};
use crate::os::dir_handle::{DirHandle, Hold};
use crate::os::effective_user;
use crate::os::fork_safe::{AppendOnly, PerProcess};
use crate::os::guarded_fd::GuardedFd;
use crate::os::mounts::Use;
use crate::os::poll::deadline_in;
use crate::os::process::Process;
use crate::schedule::Queue;
use crate::transport::lock::lockfile::{self, Access, LockTrouble};

/// Where lock files go, in order of preference.
const LOCK_DIRECTORIES: [&str; 2] = ["/run/lock", "/tmp"];
/// Where only root makes them, for TPMs that are not for everybody: in /run/lock any user can be faster.
const GUARDED_DIRECTORY: &str = "/run/tpm-provider";
/// A connection is given at least this long, however little of the lock's time is left.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

/// How a TPM is shared between processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// The kernel's resource manager gives every connection a TPM of its own (`/dev/tpmrm*`).
    Managed,
    /// One TPM, one client at a time, objects visible to all: `/dev/tpm*`, swtpm, mssim.
    Bare,
    /// A TPM inside this process that starts anew in every transaction: libtpms.
    InProcess,
    /// Through tcsd, which multiplexes a TPM 1.2 and speaks a protocol of its own.
    Daemon,
}

/// The specification a TPM follows, where that is known without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// TPM 1.2.
    Tpm12,
    /// TPM 2.0.
    Tpm2,
}

/// One TPM: its address, and what is known of the way there; once it is held, descriptors that lead to it also
/// after chroot or setuid, and as far as that can be to nothing else.
#[derive(Debug)]
pub struct Endpoint {
    address: Address,
    origin: Origin,
    sharing: Sharing,
    target: Target,
    lock_directory: DirHandle,
    guarded_directory: Option<DirHandle>,
    /// At most one: the lock file, open, where its directory could not be held.
    lock_file: AppendOnly<GuardedFd>,
    /// Whether [`Endpoint::hold`] has been called.
    is_held: AtomicBool,
    /// At most one.
    queue: AppendOnly<&'static PerProcess<Queue>>,
}

#[derive(Debug)]
enum Target {
    Device(DevicePath),
    Unix(DevicePath),
    Tcp {
        host: String,
        port: u16,
        framing: Framing,
        resolved: Vec<SocketAddr>,
    },
    Daemon {
        host: String,
        port: u16,
        resolved: Vec<SocketAddr>,
        /// tcsd's user; a changed root directory may have other users.
        user: Option<u32>,
    },
    Directory(Arc<DirHandle>),
}

impl Endpoint {
    /// Prepares to use the TPM at `address`, without connecting or sending anything.
    ///
    /// To be called when the provider is initialised, since the host may change its root directory
    /// and its user before the TPM is first used: names are resolved and links followed now. Nothing is kept
    /// open; see [`Endpoint::hold`].
    /// A device, socket or listener that is missing now is no error; it is looked for at each use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for an address this version has no transport for, and
    /// [`ErrorKind::Address`] for a path that cannot lead to a TPM.
    pub fn new(address: Address, origin: Origin) -> Result<Arc<Self>, TransportError> {
        let guarded = Some(Path::new(GUARDED_DIRECTORY));
        Self::with_locks_in(address, origin, &LOCK_DIRECTORIES, guarded)
    }

    /// Prepares for a host that changes its root or its user before it uses the TPM, as soon as a key of it is
    /// loaded: keeps open what leads to the TPM and its lock files. No TPM command, and no connection.
    pub fn hold(&self, hold: Hold) {
        if self.is_held.swap(true, Ordering::Relaxed) {
            return;
        }
        match &self.target {
            Target::Device(device) | Target::Unix(device) => device.hold(hold),
            Target::Directory(directory) => directory.hold(hold, Use::Files),
            Target::Tcp { .. } => {}
            // It is reached by its address, and excludes its users itself.
            Target::Daemon { .. } => return,
        }
        if self.sharing == Sharing::Bare {
            // Without /proc in its new root, a process knows itself by what it sees now.
            let _ = Process::current();
            self.prepare_guarded();
            if let Some(guarded) = &self.guarded_directory {
                guarded.hold(hold, Use::Files);
            }
            self.lock_directory.hold(hold, Use::Files);
            if hold == Hold::Private && self.lock_directory.descriptor().is_none() {
                self.hold_lock_file();
            }
        }
    }

    /// Keeps the lock file itself open, which leads to nothing else, in a process that may change its root.
    fn hold_lock_file(&self) {
        if effective_user() != 0 {
            return;
        }
        let (Ok(access), Ok(name)) = (self.access(), self.lock_name()) else {
            return;
        };
        // As for the guarded one.
        if let Some(_turn) = self.queue().try_enter()
            && let Ok(file) = lockfile::open(&self.lock_directory, &name, access, Instant::now())
        {
            let _ = self.lock_file.get_or_make(|| GuardedFd::new(file.into()));
        }
    }

    /// Has root make the guarded lock file while the process is root's.
    fn prepare_guarded(&self) {
        let Ok(access) = self.access() else {
            return;
        };
        let (Some(directory), Ok(name)) = (self.guarded(access), self.lock_name()) else {
            return;
        };
        // Closing the file would end a lock that another thread has on it; who has the turn makes it anyway.
        if let Some(_turn) = self.queue().try_enter() {
            drop(lockfile::open_guarded(directory, &name, access));
        }
    }

    fn guarded(&self, access: Access) -> Option<&DirHandle> {
        let directory = self.guarded_directory.as_ref();
        directory.filter(|_| access.is_guarded())
    }

    /// What is wrong with the lock files of a bare TPM, and what to type; nothing if they exclude who they are
    /// meant to.
    pub fn lock_trouble(&self) -> Option<LockTrouble> {
        if self.sharing != Sharing::Bare {
            return None;
        }
        let (access, name) = (self.access().ok()?, self.lock_name().ok()?);
        if let Some(trouble) = lockfile::trouble(&self.lock_directory, &name, access) {
            return Some(trouble);
        }
        let guarded = self.guarded(access);
        let is_guarded = guarded.is_some_and(|directory| directory.status(&name, false).is_ok());
        lockfile::is_private(&self.lock_directory, is_guarded)
    }

    pub(super) fn with_locks_in(
        address: Address,
        origin: Origin,
        candidates: &[&str],
        guarded: Option<&Path>,
    ) -> Result<Arc<Self>, TransportError> {
        let (target, sharing) = match target(&address) {
            Ok(found) => found,
            Err(fault) => return Err(TransportError::new(&address, &origin, fault)),
        };
        let lock_directory = lockfile::shared_directory(candidates);
        Ok(Arc::new(Self {
            address,
            origin,
            sharing,
            target,
            lock_directory,
            guarded_directory: guarded.map(|path| DirHandle::new(path.to_owned())),
            lock_file: AppendOnly::new(),
            is_held: AtomicBool::new(false),
            queue: AppendOnly::new(),
        }))
    }

    /// Looks for a TPM when nobody has named one: the first of `dev/tpmrm0` and `dev/tpm0` that
    /// exists under `root` (`/`, or a fixture in tests).
    ///
    /// Whether it may be opened shows at first use; a device one may not open ends the search.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none, saying how to name one.
    pub fn detect(root: &Path) -> Result<Address, TransportError> {
        detect(root)
    }

    /// The family of the device that [`Endpoint::detect`] finds, as far as the kernel tells it: only a TPM 2.0
    /// has a resource manager there.
    pub fn detect_family(root: &Path) -> Option<Family> {
        let address = Self::detect(root).ok()?;
        match address.kind() {
            AddressKind::Device(path) if is_managed_name(path) => Some(Family::Tpm2),
            _ => family(root),
        }
    }

    /// tcsd, when nobody has named a TPM: only where the machine has a TPM 1.2 and the port, which any user
    /// could listen at, belongs to root or tss. A false tcsd that knows the SRK's secret could forge all answers.
    pub fn detect_daemon(root: &Path) -> Option<Address> {
        daemon::detect(root)
    }

    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where the address came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How the TPM is shared.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The TPM's family where it is known without a command: from the state directory of a TPM in
    /// this process, and behind tcsd. `None` where only the TPM itself could tell.
    pub fn family(&self) -> Option<Family> {
        match &self.target {
            Target::Daemon { .. } => Some(Family::Tpm12),
            // The kernel's resource manager is for TPM 2.0 alone.
            Target::Device(_) if self.sharing == Sharing::Managed => Some(Family::Tpm2),
            Target::Directory(directory) => libtpms::family(directory),
            _ => None,
        }
    }

    /// Connects to tcsd, and to nobody else on this machine.
    pub(crate) fn connect_daemon(&self, deadline: Instant) -> Result<TcpStream, TransportError> {
        let deadline = deadline.max(deadline_in(CONNECT_WAIT));
        let connect = |user| {
            let fd = socket::connect_tcp(&self.addresses()?, deadline).map_err(|error| {
                let fault = Fault::os("connecting", &error);
                match fault.kind {
                    ErrorKind::NotFound => fault.hint("is tcsd running, and on this port?"),
                    _ => fault,
                }
            })?;
            let stream = TcpStream::from(fd);
            let ends = stream
                .set_nonblocking(false)
                .and_then(|()| stream.local_addr())
                .and_then(|local| Ok((local, stream.peer_addr()?)));
            let (local, peer) = ends.map_err(|error| Fault::os("preparing the socket", &error))?;
            daemon::vouch(local, peer, user)?;
            Ok(stream)
        };
        match &self.target {
            Target::Daemon { user, .. } => connect(*user).map_err(|fault| self.error(fault)),
            _ => Err(self.failure(ErrorKind::Unsupported, "this address is not tcsd's", None)),
        }
    }

    /// A failure on the way to this TPM, for transports outside of this module.
    pub(crate) fn failure(
        &self,
        kind: ErrorKind,
        what: impl Into<String>,
        hint: Option<&str>,
    ) -> TransportError {
        let fault = Fault::new(kind, what);
        self.error(match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        })
    }

    /// The line in which this process's operations on the TPM stand.
    pub fn queue(&self) -> &'static Queue {
        let make = || Queue::named(OsStr::new(&self.queue_name()));
        let named = self.queue.find_or_add(|_| true, make);
        named.get(Queue::default)
    }

    pub(super) fn error(&self, fault: Fault) -> TransportError {
        TransportError::new(&self.address, &self.origin, fault)
    }

    /// Opens the device, waiting until `deadline` while somebody else has it.
    pub(super) fn open_device(&self, deadline: Instant) -> Result<Device, Fault> {
        match &self.target {
            Target::Device(device) => device.open(deadline),
            _ => Err(Fault::new(
                ErrorKind::Unsupported,
                "this address is not a device",
            )),
        }
    }

    /// Takes the lock that lets this process have a bare TPM for itself.
    pub(super) fn lock(&self, deadline: Instant) -> Result<Lock, Fault> {
        let access = self.access()?;
        let name = self.lock_name()?;
        let places = Places {
            guarded: self.guarded(access),
            shared: &self.lock_directory,
            opened: self.lock_file.iter().next(),
        };
        let lock = Lock::take(places, &name, access, deadline)?;
        if let Some(trouble) = lockfile::is_private(&self.lock_directory, lock.is_guarded()) {
            trouble.warn_once();
        }
        Ok(lock)
    }

    /// Who may have the lock files: who may use the TPM. An error where it does not exist or is not for this
    /// user: then no lock file appears.
    fn access(&self) -> Result<Access, Fault> {
        match &self.target {
            Target::Device(device) => {
                let status = device.usable_status();
                Ok(Access::like(
                    &status.map_err(|error| device.device_fault(&error))?,
                ))
            }
            Target::Unix(device) => {
                let status = device.usable_status();
                Ok(Access::like(
                    &status.map_err(|error| socket_fault(device, &error))?,
                ))
            }
            Target::Tcp { .. } | Target::Daemon { .. } | Target::Directory(_) => {
                Ok(Access::EVERYONE)
            }
        }
    }

    /// Connects to a simulator. Only to be called under the lock: a second connection is accepted
    /// and then hangs.
    pub(super) fn connect(&self, deadline: Instant) -> Result<Socket, Fault> {
        let deadline = deadline.max(deadline_in(CONNECT_WAIT));
        match &self.target {
            Target::Unix(device) => {
                let fd = device
                    .connect(deadline)
                    .map_err(|error| socket_fault(device, &error))?;
                Socket::new(fd, Framing::Bare)
            }
            Target::Tcp { framing, port, .. } => {
                let addresses = self.addresses()?;
                let connect = |addresses: &[SocketAddr]| {
                    socket::connect_tcp(addresses, deadline).map_err(|error| connect_fault(&error))
                };
                let fd = connect(&addresses)?;
                if *framing == Framing::Mssim {
                    // Parsing has made sure that there is a next port.
                    let platform = port.saturating_add(1);
                    let addresses: Vec<_> = addresses
                        .iter()
                        .map(|address| SocketAddr::new(address.ip(), platform))
                        .collect();
                    socket::power_on(connect(&addresses)?)?;
                }
                Socket::new(fd, *framing)
            }
            _ => Err(Fault::new(
                ErrorKind::Unsupported,
                "this address is not a socket",
            )),
        }
    }

    /// The state directory of a TPM inside this process.
    pub(super) fn state_directory(&self) -> Result<&Arc<DirHandle>, Fault> {
        match &self.target {
            Target::Directory(directory) => Ok(directory),
            _ => Err(Fault::new(
                ErrorKind::Unsupported,
                "this address is not a directory",
            )),
        }
    }

    pub(super) fn is_device(&self) -> bool {
        matches!(self.target, Target::Device(_))
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, Fault> {
        match &self.target {
            Target::Tcp { resolved, .. } | Target::Daemon { resolved, .. }
                if !resolved.is_empty() =>
            {
                Ok(resolved.clone())
            }
            Target::Tcp { host, port, .. } | Target::Daemon { host, port, .. } => {
                resolve(host, *port).map_err(|error| {
                    let mut fault = Fault::os(format!("resolving {host}"), &error);
                    fault.kind = ErrorKind::NotFound;
                    fault
                })
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The same for whoever takes the same lock. TPMs of other machines at the same port share a queue: no name server
    /// is asked for it, and whether it answers makes no difference.
    fn queue_name(&self) -> String {
        match &self.target {
            Target::Tcp { port, .. } => format!("tcp-{port}"),
            Target::Device(device) | Target::Unix(device) => device.tag(),
            Target::Daemon { .. } => String::from("tcsd"),
            Target::Directory(_) => String::from("directory"),
        }
    }

    /// The same name for whoever leads to the same TPM, whatever they call it.
    fn lock_name(&self) -> Result<OsString, Fault> {
        let tag = match &self.target {
            Target::Tcp { port, .. } => {
                let addresses = self.addresses()?;
                if addresses.iter().any(|address| address.ip().is_loopback()) {
                    format!("tcp-{port}")
                } else {
                    // Name servers shuffle their answers.
                    let first = addresses.iter().map(SocketAddr::ip).min();
                    let ip = first.map_or_else(String::new, |ip| ip.to_string());
                    format!("tcp-{}-{port}", ip.replace(':', "."))
                }
            }
            _ => self.queue_name(),
        };
        Ok(format!("tpm-provider-{tag}.lock").into())
    }
}

fn target(address: &Address) -> Result<(Target, Sharing), Fault> {
    let simulator = |host: &String, port: u16, framing| {
        let resolved = resolve(host, port).unwrap_or_default();
        (
            Target::Tcp {
                host: host.clone(),
                port,
                framing,
                resolved,
            },
            Sharing::Bare,
        )
    };
    Ok(match address.kind() {
        AddressKind::Device(path) => {
            let device = DevicePath::new(path)?;
            let managed = is_managed_name(path) || device.is_managed();
            let sharing = if managed {
                Sharing::Managed
            } else {
                Sharing::Bare
            };
            (Target::Device(device), sharing)
        }
        AddressKind::SwtpmUnix(path) => (Target::Unix(DevicePath::new(path)?), Sharing::Bare),
        AddressKind::SwtpmTcp { host, port } => simulator(host, *port, Framing::Bare),
        AddressKind::Mssim { host, port } => simulator(host, *port, Framing::Mssim),
        AddressKind::Libtpms(path) => {
            // The host may change its root before first use, and then the library is out of reach.
            // That it is missing is said at first use.
            libtpms::preload();
            let path = device_path::absolute(path)?;
            (
                Target::Directory(Arc::new(DirHandle::new(path))),
                Sharing::InProcess,
            )
        }
        AddressKind::Tcsd { host, port } => {
            let resolved = resolve(host, *port).unwrap_or_default();
            (
                Target::Daemon {
                    host: host.clone(),
                    port: *port,
                    resolved,
                    user: daemon::user(Path::new("/")),
                },
                Sharing::Daemon,
            )
        }
    })
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

fn socket_fault(device: &DevicePath, error: &io::Error) -> Fault {
    match device.confined_hint() {
        Some(hint) if error.kind() == io::ErrorKind::NotFound => {
            Fault::os("connecting", error).hint(hint)
        }
        _ => connect_fault(error),
    }
}

fn connect_fault(error: &io::Error) -> Fault {
    let fault = Fault::os("connecting", error);
    match fault.kind {
        ErrorKind::NotFound => fault.hint("is swtpm running?"),
        ErrorKind::PermissionDenied => {
            fault.hint("this user needs write permission on the socket and its directory")
        }
        ErrorKind::Timeout => fault.hint("is another program connected to it?"),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::transaction::{Limits, Transport};
    use super::*;

    fn endpoint(text: &str) -> Arc<Endpoint> {
        Endpoint::new(text.parse().unwrap(), Origin::CommandLine).unwrap()
    }

    fn lock_name(text: &str) -> OsString {
        endpoint(text).lock_name().unwrap()
    }

    #[test]
    fn only_a_device_that_is_there_has_a_family() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let family = || Endpoint::detect_family(root.path());
        write("sys/class/tpm/tpm0/tpm_version_major", "2\n");
        assert_eq!(family(), None);
        write("dev/tpm0", "");
        assert_eq!(family(), Some(Family::Tpm2));
        write("sys/class/tpm/tpm0/tpm_version_major", "1\n");
        assert_eq!(family(), Some(Family::Tpm12));
        fs::remove_dir_all(root.path().join("sys")).unwrap();
        assert_eq!(family(), None);
        write("dev/tpmrm0", "");
        assert_eq!(family(), Some(Family::Tpm2));
    }

    #[test]
    fn addresses_are_shared_as_their_kind_allows() {
        for (text, sharing) in [
            ("device:/dev/tpmrm0", Sharing::Managed),
            ("device:/dev/tpmrm7", Sharing::Managed),
            ("device:/dev/tpm0", Sharing::Bare),
            ("swtpm:host=127.0.0.1", Sharing::Bare),
            ("swtpm:path=/nonexistent/socket", Sharing::Bare),
            ("mssim:host=127.0.0.1", Sharing::Bare),
            ("libtpms:/nonexistent/state", Sharing::InProcess),
            ("tcsd:host=127.0.0.1", Sharing::Daemon),
        ] {
            assert_eq!(endpoint(text).sharing(), sharing, "{text}");
        }
    }

    #[test]
    fn tcsd_is_not_a_way_for_commands_of_tpm_2() {
        let endpoint = Endpoint::new("tcsd".parse().unwrap(), Origin::Setting("tcti")).unwrap();
        assert_eq!(endpoint.family(), Some(Family::Tpm12));
        let mut transport = Transport::new(endpoint, Limits::default());
        let error = transport.transaction().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let shown = error.to_string();
        assert!(shown.contains("has another address"), "{shown}");
        assert!(
            shown.contains("from tcti in the provider's openssl.cnf section"),
            "{shown}"
        );
    }

    #[test]
    fn one_tpm_has_one_lock_whatever_it_is_called() {
        assert_eq!(
            lock_name("swtpm:host=localhost,port=99"),
            "tpm-provider-tcp-99.lock"
        );
        assert_eq!(
            lock_name("swtpm:host=127.0.0.1,port=99"),
            "tpm-provider-tcp-99.lock"
        );
        assert_eq!(
            lock_name("mssim:host=::1,port=99"),
            "tpm-provider-tcp-99.lock"
        );
        assert_eq!(
            lock_name("swtpm:host=192.0.2.7"),
            "tpm-provider-tcp-192.0.2.7-2321.lock"
        );

        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("sock et");
        fs::write(&socket, b"").unwrap();
        symlink(&socket, root.path().join("link")).unwrap();
        symlink(root.path(), root.path().join("here")).unwrap();
        let at = |name: &str| lock_name(&format!("swtpm:path={}/{name}", root.path().display()));
        let name = at("sock et");
        assert!(
            name.to_str().unwrap().starts_with("tpm-provider-sock_et-"),
            "{name:?}"
        );
        assert_eq!(at("link"), name);
        assert_eq!(at("here/sock et"), name);
        assert_ne!(at("other"), name);
    }

    /// Record locks do not keep the threads of a process apart; the queue does, so whoever takes the same lock stands in
    /// the same one.
    #[test]
    fn one_lock_has_one_queue() {
        let queue = |text: &str| std::ptr::from_ref(endpoint(text).queue());
        let texts = [
            "swtpm:host=localhost,port=99",
            "swtpm:host=127.0.0.1,port=99",
            "mssim:host=::1,port=99",
            "swtpm:host=192.0.2.7,port=99",
            "swtpm:host=192.0.2.7,port=98",
            "swtpm:path=/nonexistent/socket",
            "swtpm:path=/nonexistent/other",
            "device:/dev/tpm0",
            "libtpms:/nonexistent/state",
            "libtpms:/nonexistent/other",
        ];
        for one in texts {
            for other in texts {
                if lock_name(one) == lock_name(other) {
                    assert_eq!(queue(one), queue(other), "{one} {other}");
                }
            }
        }
        assert_ne!(queue(texts[0]), queue(texts[4]));
        assert_ne!(queue(texts[5]), queue(texts[6]));
    }

    #[test]
    fn what_is_missing_shows_at_use_and_leaves_no_lock_behind() {
        let root = tempfile::tempdir().unwrap();
        for (scheme, hint) in [("device:", "driver"), ("swtpm:path=", "is swtpm running?")] {
            let text = format!("{scheme}{}/none", root.path().display());
            let locks = [root.path().to_str().unwrap()];
            let endpoint =
                Endpoint::with_locks_in(text.parse().unwrap(), Origin::Detected, &locks, None)
                    .unwrap();
            let fault = endpoint.lock(Instant::now()).unwrap_err();
            assert_eq!(fault.kind, ErrorKind::NotFound);
            assert!(fault.hint.unwrap().contains(hint));
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
