//! What a client of either generation has: for each process a connection of its own, and what is known of the
//! TPM behind it.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process_state::ProcessState;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::{Endpoint, ErrorKind as TransportErrorKind, Sharing};

/// How long the end of a process may wait for other users of the TPM.
pub(crate) const EXIT_WAIT: Duration = Duration::from_millis(300);

/// Connection and knowledge, used by whoever has the turn.
pub(crate) struct Inner<L: ?Sized, S> {
    pub(crate) connector: Box<L>,
    pub(crate) state: S,
}

/// A client's way to its TPM.
pub(crate) struct Connection<L: ?Sized, S> {
    endpoint: Arc<Endpoint>,
    /// The TPM and where its name comes from, for messages.
    shown: Arc<str>,
    inner: ProcessState<Inner<L, S>>,
}

impl<L: ?Sized + 'static, S: 'static> Connection<L, S> {
    /// `connect` and `know` are called once in each process that uses the client, and again after a panic.
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        connect: impl Fn() -> Box<L> + Send + Sync + 'static,
        know: fn() -> S,
    ) -> Self {
        let shown = format!("{} ({})", endpoint.address(), endpoint.origin()).into();
        let make = move || Inner {
            connector: connect(),
            state: know(),
        };
        Self {
            endpoint,
            shown,
            inner: ProcessState::new(make),
        }
    }

    /// The TPM.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The TPM, for messages.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Says in an error which TPM it was.
    pub(crate) fn place(&self, error: impl Into<Error>) -> Error {
        error.into().at(&self.shown)
    }

    /// Runs an operation in this process's turn, a second time if the connection was cut; not if it was cut
    /// while an authorization value was with the TPM, which may count a wrong one twice then: `once` says
    /// that beside its result.
    pub(crate) fn run<T>(&self, once: impl Fn(&mut Inner<L, S>) -> (Result<T>, bool)) -> Result<T> {
        let cut = |error: &Error| match error.kind() {
            ErrorKind::Transport(error) => error.kind() == TransportErrorKind::Cut,
            _ => false,
        };
        let result = self.with_lock(|inner| match once(inner) {
            // A resource manager or a simulator was started anew; nothing here does harm when done twice.
            (Err(error), false) if cut(&error) => once(inner).0,
            (result, _) => result,
        });
        result.map_err(|error| self.place(error))
    }

    /// Waits for this process's turn on the TPM and gives connection and knowledge to `work`.
    pub(crate) fn with_lock<R>(&self, work: impl FnOnce(&mut Inner<L, S>) -> R) -> R {
        self.inner.with_lock(&self.endpoint, work)
    }

    /// The same at the end of the process, on a bare TPM; from any other everything goes with the connection.
    /// Nothing if nothing was used, or if the turn does not come within [`EXIT_WAIT`]: a thread that is
    /// inside then will not come out.
    pub(crate) fn with_lock_at_exit(&self, work: impl FnOnce(&mut Inner<L, S>)) {
        if self.endpoint.sharing() == Sharing::Bare {
            let deadline = Instant::now() + EXIT_WAIT;
            self.inner.with_lock_before(&self.endpoint, deadline, work);
        }
    }
}
