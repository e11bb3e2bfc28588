//! The TPM's side: what each operation costs in commands, more keys than slots, what is left behind, a TPM that fails,
//! and somebody who answers in its place; TPM 1.2 too.

pub mod costs;
mod faults;
mod first_use;
mod interposer;
mod many_keys;
mod random_faults;
mod recovery;
mod recovery12;
mod tpm12;
