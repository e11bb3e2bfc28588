//! An OpenSSL 3 provider that keeps private keys in a TPM.
//!
//! Two layers meet here. Outside are the front ends: [`openssl`] speaks OpenSSL's provider ABI, [`pkcs11`] that of
//! PKCS#11 modules, and the command `tpmctl` uses the same parts from a terminal. Inside is the key layer, [`keys`], where a key file
//! or URI becomes a key that signs and decrypts; behind it [`tss`], a TSS client that talks to the TPM,
//! and [`crypto`], software cryptography on public data. Everything points inward: nothing inside
//! knows who called.

#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_types))]

mod ffi;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod openssl;
pub mod pkcs11;

pub use self::openssl::OSSL_provider_init;
pub use self::pkcs11::{C_GetFunctionList, C_GetInterface, C_GetInterfaceList};
