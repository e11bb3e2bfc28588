//! Errors as OpenSSL's users see them: a reason code of ours and a sentence.

use std::ffi::CStr;
use std::fmt;

use crate::provider::abi::OSSL_ITEM;
use crate::provider::ffi::Table;
use crate::tss;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why an operation failed; OpenSSL prints the text before the sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name = $code,)*
        }

        /// The table OpenSSL reads when the provider is loaded, ended by 0.
        pub(crate) static REASON_STRINGS: Table<OSSL_ITEM, { [$($code),*].len() + 1 }> = Table([
            $(OSSL_ITEM { id: $code, ptr: $text.as_ptr().cast_mut().cast() },)*
            OSSL_ITEM { id: 0, ptr: std::ptr::null_mut() },
        ]);

        impl Reason {
            #[cfg(test)]
            pub(crate) const ALL: &[(u32, &CStr)] = &[$(($code, $text)),*];
        }
    };
}

reasons! {
    /// Something is wrong inside the module.
    Internal = 1, c"internal error";
    /// NULL where a value is needed.
    NullArgument = 2, c"missing argument";
    /// A parameter or argument that makes no sense.
    InvalidArgument = 3, c"invalid argument";
    /// The caller's buffer is too small.
    OutputTooSmall = 4, c"output buffer too small";
    /// The output could not be written.
    OutputFailed = 5, c"output failed";
    /// A setting in openssl.cnf or the environment is wrong.
    BadSetting = 10, c"bad setting";
    /// The TPM cannot be reached.
    TpmUnavailable = 11, c"TPM not available";
    /// The TPM is used by somebody else.
    TpmBusy = 12, c"TPM busy";
    /// The TPM answered with an error.
    TpmFailed = 13, c"TPM command failed";
    /// The TPM has no room for another object or session.
    TpmMemory = 14, c"TPM out of memory";
    /// The TPM refuses authorizations for a while.
    TpmLockout = 15, c"TPM in lockout";
    /// A key file is damaged or not understood.
    BadKeyFile = 20, c"bad key file";
    /// A key file needs something this version does not do.
    UnsupportedKeyFile = 21, c"unsupported key file";
    /// A URI is not understood.
    BadUri = 22, c"bad URI";
    /// The key belongs to another TPM or parent.
    WrongTpm = 23, c"key does not belong to this TPM";
    /// The authorization value is wrong or missing.
    WrongAuthorization = 24, c"authorization failed";
    /// The key cannot do what was asked.
    KeyCannot = 30, c"operation not possible with this key";
    /// The combination of padding, digest or salt is not supported.
    UnsupportedScheme = 31, c"unsupported scheme";
    /// Ciphertext or plaintext of a wrong length, or padding that does not check out.
    BadData = 32, c"bad data";
    /// A signature did not verify, so it was not handed out.
    WrongSignature = 33, c"wrong signature from the TPM";
    /// The private key stays in the TPM.
    NotExportable = 34, c"private key cannot leave the TPM";
    /// The operation needs another call first.
    NotInitialized = 35, c"operation not initialized";
}

/// An error on its way to OpenSSL's queue.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    reason: Reason,
    text: String,
}

impl Error {
    /// An error with a sentence that says what was wrong, where, and what to do.
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    /// Output that could not be written.
    pub(crate) fn output(text: &str) -> Self {
        Self::new(Reason::OutputFailed, text)
    }

    /// The reason code.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
