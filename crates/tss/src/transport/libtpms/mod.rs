//! A TPM inside this process: libtpms with its state in a directory.
//!
//! libtpms has one TPM per process, in global variables, and its state in memory. Processes that
//! share a directory take turns: a transaction locks the directory, switches the TPM on, and switches
//! it off before unlocking, so every transaction begins with a TPM in which nothing is loaded.
//!
//! It needs about 22 KB of stack: too much for an OpenSSL ASYNC job's, but a [`task`](crate::os::task) has
//! room for it.
#![forbid(unsafe_code)]

pub(crate) mod state;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use zeroize::Zeroizing;

use self::state::Store;
use super::endpoint::Family;
use super::error::{ErrorKind, Fault};
use super::lock::{Lock, Places};
use crate::os::dir_handle::DirHandle;
use crate::os::file::{self, Status};
use crate::os::fork_safe::AppendOnly;
use crate::os::libtpms::Library;
use crate::transport::lock::lockfile::Access;

/// The file swtpm locks in a state directory while it runs.
const LOCK_FILE: &str = ".lock";
/// TPM2_Startup and TPM2_Shutdown with TPM_SU_CLEAR, TPM_Startup with TPM_ST_CLEAR.
const STARTUP_2: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0];
const SHUTDOWN_2: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0];
const STARTUP_12: [u8; 12] = [0x00, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1];
/// Failure mode of a TPM 2.0, and of a TPM 1.2. It answers commands, so it is the caller's to tell.
const FAILURE: [u32; 2] = [0x101, 0x1c];

/// The process whose thread has libtpms for itself; 0 for none. A child of fork sees that it is another.
static USED_BY: AtomicU32 = AtomicU32::new(0);
/// Whether libtpms is switched on. Inherited by a forked child together with what it describes.
static RUNNING: AtomicBool = AtomicBool::new(false);
static CHOSEN: AppendOnly<Chosen> = AppendOnly::new();
static LIBRARY: AppendOnly<&'static Library> = AppendOnly::new();

/// The one TPM this process has decided for.
#[derive(Debug)]
struct Chosen {
    path: PathBuf,
    status: Option<Status>,
    family: Family,
}

impl Chosen {
    fn is(&self, status: Option<&Status>) -> bool {
        matches!((&self.status, status), (Some(first), Some(now)) if first.same_file(now))
    }
}

/// The TPM, switched on, for one transaction.
#[derive(Debug)]
pub(super) struct Instance {
    library: &'static Library,
    store: Arc<Store>,
    family: Family,
    owner: u32,
    started: bool,
    /// Dropped late: the next process comes when the state is on disk.
    _lock: Lock,
    _use: Use,
}

/// Having libtpms for this thread alone, whose functions are not made for two. Nobody waits for it: that is done in the
/// queue, which all TPMs inside a process share.
#[derive(Debug)]
struct Use;

impl Use {
    fn begin() -> Result<Self, Fault> {
        let own = std::process::id();
        if USED_BY.swap(own, Ordering::Acquire) == own {
            let what = "another thread of this process is using the TPM";
            return Err(Fault::new(ErrorKind::Busy, what));
        }
        Ok(Self)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // One inherited by fork must not end what this process has begun since.
        let own = std::process::id();
        let _ = USED_BY.compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed);
    }
}

/// Loads the library while it can be found; an error shows again at first use.
pub(super) fn preload() {
    if let Err(fault) = library() {
        log::debug!("{}", fault.what);
    }
}

/// The family of the TPM in a state directory: what an empty one will have, too. `None` when the
/// directory is at fault.
pub(super) fn family(directory: &DirHandle) -> Option<Family> {
    state::family_in(directory)
        .ok()
        .map(|family| family.unwrap_or(Family::Tpm2))
}

impl Instance {
    /// Locks the state directory and switches its TPM on.
    pub(super) fn begin(directory: &Arc<DirHandle>, deadline: Instant) -> Result<Self, Fault> {
        let library = library()?;
        let alone = Use::begin()?;
        let directory = state::prepared(directory)?;
        let lock = Lock::take(
            Places {
                guarded: None,
                shared: &directory,
                opened: None,
            },
            OsStr::new(LOCK_FILE),
            Access::PRIVATE,
            deadline,
        )
        .map_err(|fault| match fault.kind {
            ErrorKind::Busy => fault.hint("is swtpm running on the same directory?"),
            ErrorKind::PermissionDenied => {
                fault.hint("the state must belong to the user this program runs as")
            }
            _ => fault,
        })?;
        let family = state::family_in(&directory)?.unwrap_or(Family::Tpm2);
        choose(&directory, family)?;
        let store = Arc::new(Store::new(Arc::clone(&directory), family));
        // A state libtpms cannot read would end in failure mode, which says nothing.
        let exists = store.load(state::PERMANENT)?.is_some();
        if RUNNING.swap(true, Ordering::Relaxed) {
            log::debug!("switching off the TPM inherited by fork");
            library.discard(Store::discarding(directory, family));
        }
        let owner = std::process::id();
        let mut instance = Self {
            library,
            store: Arc::clone(&store),
            family,
            owner,
            started: false,
            _lock: lock,
            _use: alone,
        };
        // The seeds of a new TPM are more than bookkeeping: every key made with it hangs on them.
        store.set_bookkeeping(exists);
        library.start(Arc::clone(&store), family)?;
        instance.started = true;
        instance.start_up()?;
        store.set_bookkeeping(false);
        Ok(instance)
    }

    /// Has the TPM work one command.
    pub(super) fn exchange(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.library.process(command)
    }

    fn start_up(&self) -> Result<(), Fault> {
        let command = match self.family {
            Family::Tpm2 => &STARTUP_2,
            Family::Tpm12 => &STARTUP_12,
        };
        let response = self.library.process(command)?;
        let code = match response.get(6..10) {
            Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
            _ => 0,
        };
        if code == 0 || FAILURE.contains(&code) {
            return Ok(());
        }
        Err(Fault::new(
            ErrorKind::Library,
            format!("the TPM refuses to start: code {code:#x}"),
        ))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // In a child forked by another thread this is a copy, and the lock is the parent's.
        if self.owner != std::process::id() {
            return;
        }
        self.store.set_bookkeeping(true);
        // Without it the TPM counts a failed authorization against dictionary attacks. TPM 1.2 has
        // nothing of the kind.
        if self.started
            && self.family == Family::Tpm2
            && let Err(fault) = self.library.process(&SHUTDOWN_2)
        {
            log::debug!("shutting the TPM down: {}", fault.what);
        }
        self.library.stop();
        RUNNING.store(false, Ordering::Relaxed);
    }
}

fn library() -> Result<&'static Library, Fault> {
    if let Some(library) = LIBRARY.iter().next() {
        return Ok(library);
    }
    // Opened twice by two threads at once, it is the same library.
    let library = Library::open()?;
    Ok(LIBRARY.find_or_add(|_| true, || library))
}

/// Holds the process to one TPM. To be called by who has it alone.
fn choose(directory: &DirHandle, family: Family) -> Result<(), Fault> {
    let path = directory.path();
    let status = directory.descriptor().and_then(|fd| file::status(fd).ok());
    let chosen = CHOSEN.find_or_add(
        |_| true,
        || Chosen {
            path: path.to_owned(),
            status: directory.descriptor().and_then(|fd| file::status(fd).ok()),
            family,
        },
    );
    if chosen.family != family {
        return Err(Fault::new(
            ErrorKind::Unsupported,
            "this process already has a TPM of the other family inside, and libtpms has one only",
        ));
    }
    // By path too: a directory removed and made again is the same choice.
    if !chosen.is(status.as_ref()) && chosen.path != path {
        return Err(Fault::new(
            ErrorKind::Unsupported,
            format!(
                "this process already has the TPM of {} inside, and libtpms has one only",
                chosen.path.display()
            ),
        ));
    }
    Ok(())
}
