//! What the client needs of a transport, so that tests can put a counter or a fault between.
#![forbid(unsafe_code)]

use std::time::Duration;

use zeroize::Zeroizing;

use crate::transport::{Continuity, Sharing, Transaction, Transport, TransportError};

/// A way to one TPM.
pub(crate) trait Connect: Send {
    /// Begins a critical section, waiting at most `lock_wait` for other processes, or the
    /// transport's own limit.
    fn begin(
        &mut self,
        lock_wait: Option<Duration>,
    ) -> Result<Box<dyn Exchange + '_>, TransportError>;
    /// Closes a connection kept between transactions.
    fn release(&mut self);
}

/// A critical section: the TPM is ours until it is dropped. It may end in another thread than it began.
pub(crate) trait Exchange: Send {
    /// Sends a command and returns the response, whatever it says.
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError>;
    /// What became of the TPM's memory since our last transaction.
    fn continuity(&self) -> Continuity;
    /// With whom the TPM is shared.
    fn sharing(&self) -> Sharing;
    /// The bytes that processes share about a bare TPM; never to be trusted.
    fn record(&mut self) -> Option<Vec<u8>>;
    /// Replaces them. A failure is not one of the operation: the record is a hint.
    fn set_record(&mut self, bytes: &[u8]);
}

impl Connect for Transport {
    fn begin(
        &mut self,
        lock_wait: Option<Duration>,
    ) -> Result<Box<dyn Exchange + '_>, TransportError> {
        let transaction = match lock_wait {
            Some(wait) => self.transaction_within(wait)?,
            None => self.transaction()?,
        };
        Ok(Box::new(transaction))
    }

    fn release(&mut self) {
        Transport::release(self);
    }
}

impl Exchange for Transaction<'_> {
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        Transaction::transact(self, command)
    }

    fn continuity(&self) -> Continuity {
        Transaction::continuity(self)
    }

    fn sharing(&self) -> Sharing {
        Transaction::sharing(self)
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        Transaction::record(self).map(|record| record.bytes().to_vec())
    }

    fn set_record(&mut self, bytes: &[u8]) {
        Transaction::set_record(self, bytes);
    }
}
