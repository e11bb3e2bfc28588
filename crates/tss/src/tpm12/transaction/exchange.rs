//! What the client needs of a way to a TPM 1.2: the same for a bare TPM and for tcsd.
#![forbid(unsafe_code)]

use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::Result;
use crate::tpm12::constants::Ordinal;
use crate::tpm12::rc::Code;
use crate::tpm12::session::{RequestAuth, ResponseAuth};
use crate::transport::Sharing;

/// A way to one TPM.
pub(crate) trait Connect: Send {
    /// Begins a critical section, waiting at most `wait` for others, or as long as the limits say.
    fn begin(&mut self, wait: Option<Duration>) -> Result<Box<dyn Exchange + '_>>;
}

/// A critical section. It may end in another thread than it began.
pub(crate) trait Exchange: Send {
    /// Sends a command and returns the answer, whatever it says. Fails when there is none.
    fn exchange(&mut self, command: &Command) -> Result<Answer>;
    /// How the TPM is shared; [`Sharing::Daemon`] is tcsd.
    fn sharing(&self) -> Sharing;
    /// Whether the TPM is one of version 1.1, where the transport knows it.
    fn is_old(&self) -> Option<bool> {
        None
    }
    /// Makes the SRK known to tcsd, which wants that before some commands. Nothing on a bare TPM.
    fn attach_srk(&mut self) -> Result<()> {
        Ok(())
    }
    /// The bytes that processes share about a bare TPM; never to be trusted.
    fn record(&mut self) -> Option<Vec<u8>> {
        None
    }
    /// Replaces them. A failure is not one of the operation: the record is a hint.
    fn set_record(&mut self, _bytes: &[u8]) {}
}

/// A command, complete.
pub(crate) struct Command {
    pub(crate) ordinal: Ordinal,
    /// The key's handle, where the command has one before its parameters.
    pub(crate) key: Option<u32>,
    /// The parameters as the TPM's wire has them, which is what authorizations cover.
    pub(crate) parameters: Zeroizing<Vec<u8>>,
    /// As many as the command has: none, one, or two.
    pub(crate) auths: Vec<RequestAuth>,
}

/// An answer, taken apart. Nothing of it is to be believed before its authorization is verified.
pub(crate) struct Answer {
    pub(crate) code: Code,
    /// A loaded key's handle; otherwise 0.
    pub(crate) handle: u32,
    /// The parameters as the TPM's wire has them, which is what authorizations cover. With
    /// TPM_LoadKey that is the TPM's handle of the key.
    pub(crate) parameters: Zeroizing<Vec<u8>>,
    /// As many as the command had, in its order.
    pub(crate) auths: Vec<ResponseAuth>,
}

impl Answer {
    /// A refusal.
    pub(crate) fn refusal(code: Code) -> Self {
        Self {
            code,
            handle: 0,
            parameters: Zeroizing::default(),
            auths: Vec::new(),
        }
    }
}
