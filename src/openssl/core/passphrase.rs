//! Passphrase prompts: OpenSSL's callback, which exists only while a key is being decoded.

use std::ffi::{c_char, c_void};

use crypto::Secret;
use keys::printable;
use zeroize::Zeroizing;

use crate::openssl::abi::OSSL_PASSPHRASE_CALLBACK;
use crate::openssl::entry::param::ParamList;

/// The longest passphrase that is accepted, in bytes: more than any TPM's authorization value.
const LONGEST: usize = 1024;

/// A passphrase callback lent for the time of one call.
pub(crate) struct Passphrase {
    callback: Option<OSSL_PASSPHRASE_CALLBACK>,
    argument: *mut c_void,
}

impl Passphrase {
    /// # Safety
    ///
    /// `callback`, if any, must be callable with `argument` while the value lives.
    pub(crate) unsafe fn new(
        callback: Option<OSSL_PASSPHRASE_CALLBACK>,
        argument: *mut c_void,
    ) -> Self {
        Self { callback, argument }
    }

    /// Asks for the secret of `what`; `None` when nobody answers.
    pub(crate) fn ask(&mut self, what: &str) -> Option<Secret> {
        let callback = self.callback?;
        let what = printable::line(what);
        let mut buffer = Zeroizing::new(vec![0u8; LONGEST]);
        let mut len = 0usize;
        let ok = ParamList::new().text(c"info", &what).with(|params| {
            // SAFETY: the constructor's caller vouches for callback and argument; the buffer is
            // ours, as large as said, and the parameters are an ended array.
            unsafe {
                callback(
                    buffer.as_mut_ptr().cast::<c_char>(),
                    LONGEST,
                    &mut len,
                    params,
                    self.argument,
                )
            }
        });
        (ok == 1 && len <= LONGEST).then(|| Secret::from(&buffer[..len]))
    }
}
