//! The commands, by chapter of TPM Main part 3: what goes out and how the answer is read.
//!
//! A request knows its parameters and its response, and nothing about sessions, retries or transports.
#![forbid(unsafe_code)]

pub mod admin;
pub mod capability;
pub mod counter;
pub mod crypto;
pub mod endorsement;
pub mod nv;
pub mod owner;
pub mod seal;
pub mod session;
pub mod storage;

use super::blob::KeyBlob;
use super::constants::Ordinal;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// What a command puts into the TPM.
#[derive(Clone, Copy, Debug)]
pub enum Made<'a> {
    /// The key in this blob.
    Key(&'a KeyBlob),
    /// A session.
    Session,
}

/// A command of part 3.
pub trait Request {
    /// What a successful answer holds.
    type Response;

    /// The command's number.
    fn ordinal(&self) -> Ordinal;

    /// The key the command is about, where its handle stands before the parameters and outside of what
    /// authorizations cover.
    fn key(&self) -> Option<u32> {
        None
    }

    /// Writes the parameters. `sealed` are the two secrets of [`Request::secrets`], encrypted.
    fn parameters(&self, writer: &mut Writer, sealed: Option<&[[u8; 20]; 2]>);

    /// Secrets of a new key, which the session encrypts on their way: usage and migration.
    fn secrets(&self) -> Option<[&super::AuthValue; 2]> {
        None
    }

    /// What it puts into the TPM, and what stays there if its answer never comes.
    fn makes(&self) -> Option<Made<'_>> {
        None
    }

    /// Whether it may be sent again where it is not known whether the TPM has run it.
    fn repeatable(&self) -> bool {
        true
    }

    /// Reads the answer's parameters; `handle` is 0 unless the command loads a key.
    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<Self::Response, Malformed>;
}

/// A 32-bit length and as many bytes, read. More than `most` is an error before anything is taken.
fn sized<'a>(reader: &mut Reader<'a>, most: usize) -> Result<&'a [u8], Malformed> {
    let size = usize::try_from(reader.u32()?)
        .ok()
        .filter(|&size| size <= most)
        .ok_or(reader.malformed())?;
    reader.bytes(size)
}
