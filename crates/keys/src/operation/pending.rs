//! A private operation that has everything it needs.
#![forbid(unsafe_code)]

use std::sync::Arc;

use tss::schedule::Queue;

use crate::{Error, Key};

/// A private operation that is ready to run. It owns what it needs, so that a front end can wait for it in its own way:
/// here and now, or in a job that is paused meanwhile.
pub struct Pending<T> {
    key: Arc<Key>,
    operation: Box<Operation<T>>,
}

type Operation<T> = dyn Fn(&Key) -> Result<T, Error> + Send + Sync;

impl<T> Pending<T> {
    pub(super) fn new(
        key: &Arc<Key>,
        operation: impl Fn(&Key) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            key: Arc::clone(key),
            operation: Box::new(operation),
        }
    }

    /// The line in which it will stand.
    pub fn queue(&self) -> Result<&'static Queue, Error> {
        self.key.queue()
    }

    /// Runs it in the key's TPM.
    pub fn run(&self) -> Result<T, Error> {
        (self.operation)(&self.key)
    }
}
