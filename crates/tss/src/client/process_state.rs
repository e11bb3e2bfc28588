//! What a process has of its own of a client: the connection, and what is known of the TPM behind it.
#![forbid(unsafe_code)]

use crate::os::fork_safe::PerProcess;
use crate::os::monitor::Slot;
use crate::os::sync::Instant;
use crate::schedule::Permit;
use crate::transport::Endpoint;

/// A client's connection and knowledge, made when first needed; a child process has another one.
pub(crate) struct ProcessState<T> {
    make: Box<dyn Fn() -> T + Send + Sync>,
    place: PerProcess<Slot<Box<T>>>,
}

impl<T> ProcessState<T> {
    /// `make` is called once in each process that uses it, and again after a panic.
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            make: Box::new(make),
            place: PerProcess::new(),
        }
    }

    /// Waits for this process's turn on the TPM and gives it to `work`.
    pub(crate) fn with_lock<R>(&self, endpoint: &Endpoint, work: impl FnOnce(&mut T) -> R) -> R {
        self.with_permit(endpoint.queue().enter(), work)
    }

    /// The same at the end of the process: nothing if nothing was used, or if the turn does not come
    /// before `deadline`. A thread that is inside then will not come out.
    pub(crate) fn with_lock_before(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
        work: impl FnOnce(&mut T),
    ) {
        if self.place.existing().is_some()
            && let Some(permit) = endpoint.queue().enter_until(deadline)
        {
            self.with_permit(permit, work);
        }
    }

    /// It is out of its place while it is used: the operation may be paused meanwhile, and go on in another
    /// thread. Nobody else asks for it then, since the turn is ours. A panic may have left half a thought
    /// behind; then it is dropped, and what was loaded is loaded again.
    fn with_permit<R>(&self, permit: Permit<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        let place = self.place.get(Slot::default);
        let mut own = place.take().unwrap_or_else(|| Box::new((self.make)()));
        let result = work(&mut own);
        place.put(own);
        drop(permit);
        result
    }
}
