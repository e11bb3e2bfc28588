//! The PKCS#11 front end: key files as the objects of tokens.
//!
//! It translates: what a key can do, how it pads and what comes of a wrong PIN is the key layer's. Nothing is kept but
//! the files. Starting it, looking for keys and showing them costs no TPM command and needs no TPM.
//!
//! `entry` is what foreign code calls, and the only place where its pointers are followed. Behind it everything is
//! safe: `module` is the state of the process, `session` what a caller is doing, `token` who sees which key,
//! `object` what is shown of it, `mechanism` how the standard's names and parameters are the key layer's.

pub(crate) mod abi;
mod entry;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod mechanism;
mod module;
mod object;
mod session;
mod settings;
mod token;

pub use entry::{C_GetFunctionList, C_GetInterface, C_GetInterfaceList};
