//! What a client of either generation has: for each process a connection of its own, and what is known of the
//! TPM behind it.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Error, ErrorKind, Result};
use super::transport::{
    Endpoint, ErrorKind as TransportErrorKind, Held, PerProcess, Queue, Sharing,
};

/// How long the end of a process may wait for other users of the TPM.
pub(super) const EXIT_WAIT: Duration = Duration::from_millis(300);

/// Connection and knowledge, lent to whoever has the turn.
pub(super) struct Inner<L: ?Sized, S> {
    pub(super) link: Box<L>,
    pub(super) state: S,
}

/// A client's connection and knowledge, made when first needed; a child process has another one.
pub(super) struct Own<L: ?Sized, S> {
    endpoint: Arc<Endpoint>,
    /// The TPM and where its name comes from, for messages.
    shown: Arc<str>,
    make: Box<dyn Fn() -> Inner<L, S> + Send + Sync>,
    place: PerProcess<Place<L, S>>,
}

/// Empty before the first use, and while it is lent.
type Place<L, S> = Mutex<Option<Box<Inner<L, S>>>>;

impl<L: ?Sized + 'static, S: 'static> Own<L, S> {
    /// `connect` and `know` are called once in each process that uses the client, and again after a panic.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        connect: impl Fn() -> Box<L> + Send + Sync + 'static,
        know: fn() -> S,
    ) -> Self {
        let shown = format!("{} ({})", endpoint.address(), endpoint.origin()).into();
        let make = move || Inner {
            link: connect(),
            state: know(),
        };
        Self {
            endpoint,
            shown,
            make: Box::new(make),
            place: PerProcess::new(),
        }
    }

    /// The TPM.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The TPM, for messages.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Says in an error which TPM it was.
    pub(super) fn place(&self, error: impl Into<Error>) -> Error {
        error.into().at(&self.shown)
    }

    /// Runs an operation in this process's turn, a second time if the connection was cut; not if it was cut
    /// while an authorization value was with the TPM, which may count a wrong one twice then: `once` says
    /// that beside its result.
    pub(super) fn run<T>(&self, once: impl Fn(&mut Inner<L, S>) -> (Result<T>, bool)) -> Result<T> {
        let cut = |error: &Error| match error.kind() {
            ErrorKind::Transport(error) => error.kind() == TransportErrorKind::Cut,
            _ => false,
        };
        let result = self.entered(|inner| match once(inner) {
            // A resource manager or a simulator was started anew; nothing here does harm when done twice.
            (Err(error), false) if cut(&error) => once(inner).0,
            (result, _) => result,
        });
        result.map_err(|error| self.place(error))
    }

    /// Waits for this process's turn on the TPM and lends connection and knowledge.
    pub(super) fn entered<R>(&self, work: impl FnOnce(&mut Inner<L, S>) -> R) -> R {
        self.lend(self.queue().enter(), work)
    }

    /// The same at the end of the process, on a bare TPM; from any other everything goes with the connection.
    /// Nothing if nothing was used, or if the turn does not come within [`EXIT_WAIT`]: a thread that is
    /// inside then will not come out.
    pub(super) fn entered_at_exit(&self, work: impl FnOnce(&mut Inner<L, S>)) {
        if self.endpoint.sharing() == Sharing::Bare
            && self.place.existing().is_some()
            && let Some(turn) = self.queue().enter_until(Instant::now() + EXIT_WAIT)
        {
            self.lend(turn, work);
        }
    }

    fn queue(&self) -> &Queue {
        self.endpoint.queue()
    }

    /// It is out of its mutex while it is used: the operation may be paused meanwhile, and go on in another
    /// thread. Nobody else asks for it then, since the turn is ours. A panic may have left half a thought
    /// behind; then it is dropped, and what was loaded is loaded again.
    fn lend<R>(&self, turn: Held<'_>, work: impl FnOnce(&mut Inner<L, S>) -> R) -> R {
        let place = self.place.get(Mutex::default);
        let known = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut own = known.unwrap_or_else(|| Box::new((self.make)()));
        let result = work(&mut own);
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
        drop(turn);
        result
    }
}
