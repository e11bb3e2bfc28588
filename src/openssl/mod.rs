//! The OpenSSL front end: a provider instance, its operations and its end.

pub mod abi;
mod core;
#[macro_use]
mod entry;
mod derive_peer;
mod fetch_order;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod init;
mod ops;
mod unheard;

pub use self::init::OSSL_provider_init;

use std::convert::Infallible;
use std::ffi::{CStr, c_int, c_long};
use std::sync::Arc;

use keys::Tpm;
use keys::config::{Load, Settings};
use tss::os::AppendOnly;
use tss::schedule::Queue;

use self::core::{Core, CoreBioRef, Environment, Error, Section, read_settings};
use self::derive_peer::{DerivePeers, Waiting};
use self::fetch_order::{Answer, FetchOrder};
use self::unheard::Unheard;

/// One loaded provider: what OpenSSL calls a provider context.
///
/// Several can live in one process, in library contexts of their own or in different copies of
/// libcrypto; each has its upcalls and settings. They share TPM connections by address, since a TPM
/// is one thing.
pub(crate) struct Instance {
    core: Core,
    environment: Environment,
    /// What the section said at init.
    section: Section,
    /// The settings of init.
    initial: Setup,
    /// Those of the first use, where they are others.
    late: AppendOnly<Option<Setup>>,
    precedence: FetchOrder,
    peers: DerivePeers,
    /// Whether the host does, once that was needed; at most one.
    rejects_implicitly: AppendOnly<bool>,
    unheard: Unheard,
}

/// Settings and what follows from them.
struct Setup {
    load: Load,
    /// Whether anything is said of a log, `off` included.
    has_log: bool,
    /// The TPM, or what is wrong with the settings: a failed init would be silent in every client,
    /// so the fault waits for the first of our keys.
    tpm: Result<Arc<Tpm>, Error>,
}

impl Setup {
    fn new(core: &Core, environment: &Environment) -> Self {
        let mut settings = Settings::default();
        let read = read_settings(&mut settings, core, environment);
        Self {
            load: settings.load,
            has_log: settings.level().is_some(),
            tpm: read.and_then(|()| Tpm::new(settings.config).map_err(Error::from)),
        }
    }
}

impl Instance {
    fn new(core: Core) -> Self {
        let environment = Environment::read();
        let initial = Setup::new(&core, &environment);
        if let Err(error) = &initial.tpm {
            log::warn!("the settings are not usable: {error}");
        }
        Self {
            section: Section::read(&core),
            core,
            environment,
            initial,
            late: AppendOnly::new(),
            precedence: FetchOrder::default(),
            peers: DerivePeers::default(),
            rejects_implicitly: AppendOnly::new(),
            unheard: Unheard::default(),
        }
    }

    /// The settings, which stay what they are from the first call on. It is at init that names are
    /// resolved, since hosts may chroot or drop privileges after it; but
    /// what the host has set between init and first use is meant too.
    fn setup(&self) -> &Setup {
        // Two threads that come first at once may both read them, and one result counts: a lock would be held
        // while names are resolved, and a child forked meanwhile would wait for it for ever.
        let late = self.late.find_or_add(
            |_| true,
            || {
                let changed = Section::read(&self.core) != self.section;
                changed.then(|| Setup::new(&self.core, &self.environment))
            },
        );
        late.as_ref().unwrap_or(&self.initial)
    }

    /// The TPM of this instance, or what is wrong with the settings.
    pub(crate) fn tpm(&self) -> Result<&Arc<Tpm>, Error> {
        self.setup().tpm.as_ref().map_err(Clone::clone)
    }

    /// Notes that an agreement on this thread waits for its peer, until the result is dropped.
    pub(crate) fn wait_for_peer(&self) -> Waiting {
        self.peers.wait()
    }

    /// Whether an agreement on this thread waits for its peer.
    pub(crate) fn waits_for_peer(&self) -> bool {
        self.peers.are_waited_for()
    }

    /// Whether wrong PKCS#1 v1.5 padding gives a made-up message unless a caller says otherwise, as with the host's own
    /// keys: CMS code that knows this asks for errors where it needs them, and older code relies on them. Where the
    /// host does not show what it has, that older code goes without: an error would be an oracle.
    pub(crate) fn rejects_implicitly(&self) -> bool {
        let found = self.rejects_implicitly.get_or_make(|| {
            // A provider that stands in for OpenSSL's own may know less than the host's CMS code does.
            let upstream = self.core.version() >= Some((3, 2));
            let host = self.core.rejects_implicitly();
            Ok::<_, Infallible>(upstream || host.unwrap_or(true))
        });
        let Ok(rejects) = found;
        *rejects
    }

    /// When keys are checked.
    pub(crate) fn load(&self) -> Load {
        self.setup().load
    }

    /// Tells who made a key, once, what the key does not say.
    pub(crate) fn note(&self, text: &str) {
        core::give_once(text, self.setup().has_log);
    }

    /// Puts an error on the calling thread's queue and into the log.
    pub(crate) fn raise(&self, error: &Error, function: &CStr) {
        log::error!("{}: {error}", function.to_string_lossy());
        self.core.raise(error, function);
    }

    /// See [`unheard`].
    pub(crate) fn unheard(&self) -> &Unheard {
        &self.unheard
    }

    /// Puts an error on the queue once more.
    pub(crate) fn raise_again(&self, error: &Error, function: &CStr) {
        self.core.raise(error, function);
    }

    /// Success as 1; an error is raised and becomes 0.
    pub(crate) fn answer(&self, function: &CStr, result: Result<(), Error>) -> c_int {
        match result {
            Ok(()) => 1,
            Err(error) => {
                self.raise(&error, function);
                0
            }
        }
    }

    /// See [`Core::is_in_job`].
    pub(crate) fn is_in_job(&self) -> bool {
        self.core.is_in_job()
    }

    /// See [`Core::in_job`].
    pub(crate) fn in_job<T: Send + 'static>(
        &self,
        queue: &'static Queue,
        work: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        self.core.in_job(queue, work)
    }

    /// See [`Core::with_error_mark`].
    pub(crate) fn with_error_mark<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.core.with_error_mark(work)
    }

    /// See [`Core::unnoticed`].
    pub(crate) fn unnoticed<T>(&self, work: impl FnOnce() -> T) -> T {
        self.core.unnoticed(work)
    }

    /// Everything in a core BIO up to `limit` bytes; `None` when it cannot be read or is longer.
    ///
    /// # Safety
    ///
    /// Unless NULL, `bio` must be a live core BIO that nobody else uses during the call.
    pub(crate) unsafe fn read_to_end(
        &self,
        bio: *mut abi::OSSL_CORE_BIO,
        limit: usize,
    ) -> Option<Vec<u8>> {
        // SAFETY: the caller vouches for it.
        let bio: &mut CoreBioRef = unsafe { Core::bio(bio) }?;
        self.core.read_to_end(bio, limit)
    }

    /// The next line of a core BIO with its end; `None` at the end of the input.
    ///
    /// # Safety
    ///
    /// Unless NULL, `bio` must be a live core BIO that nobody else uses during the call.
    pub(crate) unsafe fn read_line(&self, bio: *mut abi::OSSL_CORE_BIO) -> Option<Vec<u8>> {
        // SAFETY: the caller vouches for it.
        let bio: &mut CoreBioRef = unsafe { Core::bio(bio) }?;
        self.core.read_line(bio)
    }

    /// Where a core BIO is read next; `None` where it cannot go back.
    ///
    /// # Safety
    ///
    /// Unless NULL, `bio` must be a live core BIO that nobody else uses during the call.
    pub(crate) unsafe fn position(&self, bio: *mut abi::OSSL_CORE_BIO) -> Option<c_long> {
        // SAFETY: the caller vouches for it.
        let bio: &mut CoreBioRef = unsafe { Core::bio(bio) }?;
        self.core.position(bio)
    }

    /// Has a core BIO read again from where [`Self::position`] was.
    ///
    /// # Safety
    ///
    /// Unless NULL, `bio` must be a live core BIO that nobody else uses during the call.
    pub(crate) unsafe fn go_back(&self, bio: *mut abi::OSSL_CORE_BIO, position: c_long) {
        // SAFETY: the caller vouches for it.
        if let Some(bio) = unsafe { Core::bio(bio) } {
            self.core.go_back(bio, position);
        }
    }

    /// Writes to a core BIO.
    ///
    /// # Safety
    ///
    /// Unless NULL, `bio` must be a live core BIO that nobody else uses during the call.
    pub(crate) unsafe fn write_all(
        &self,
        bio: *mut abi::OSSL_CORE_BIO,
        data: &[u8],
    ) -> Result<(), Error> {
        // SAFETY: the caller vouches for it.
        let bio = unsafe { Core::bio(bio) }.ok_or_else(|| Error::output("no output"))?;
        self.core.write_all(bio, data)
    }

    /// What to answer when OpenSSL asks for an operation's algorithms.
    pub(crate) fn algorithms(&self, operation: c_int) -> Answer {
        let Some(table) = ops::algorithms(operation, self.core.version()) else {
            return Answer::Nothing;
        };
        if let Some(names) = ops::stand_ins(operation) {
            let others = || self.core.others_have(operation, names);
            return self.precedence.stand_in(operation, others, table);
        }
        self.precedence
            .yield_first(operation, || self.core.fetch_elsewhere(operation), table)
    }
}
