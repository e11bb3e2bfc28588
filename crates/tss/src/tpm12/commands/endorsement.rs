//! The endorsement key (part 3, 14).
#![forbid(unsafe_code)]

use crypto::Hash;

use super::Request;
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::blob::PublicKey;
use crate::tpm12::constants::Ordinal;
use crate::tpm12::secret::AuthValue;

/// A public key and the digest that the TPM has made of it and of our nonce: whole, and no old answer.
fn checked(key: &[u8], checksum: &[u8], nonce: &[u8; 20]) -> Result<PublicKey, Malformed> {
    let expected = crypto::hash(Hash::Sha1, &[key, nonce]);
    match *expected == *checksum {
        true => PublicKey::parse(key),
        false => Err(Malformed {
            what: "TPM_PUBKEY with another checksum than its own",
        }),
    }
}

/// All but the last `size` bytes, and these.
fn split<'a>(reader: &mut Reader<'a>, size: usize) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let rest = reader.rest();
    rest.len()
        .checked_sub(size)
        .map(|at| rest.split_at(at))
        .ok_or(reader.malformed())
}

/// TPM_ReadPubek: its public part, for everybody while there is no owner.
pub struct ReadPubek {
    /// Ours.
    pub nonce: [u8; 20],
}

impl Request for ReadPubek {
    type Response = PublicKey;

    fn ordinal(&self) -> Ordinal {
        Ordinal::READ_PUBEK
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.bytes(&self.nonce);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
        let (key, checksum) = split(reader, 20)?;
        checked(key, checksum, &self.nonce)
    }
}

/// TPM_CreateEndorsementKeyPair, once in a TPM's life.
pub struct CreateEndorsementKeyPair {
    /// Ours.
    pub nonce: [u8; 20],
}

impl Request for CreateEndorsementKeyPair {
    type Response = PublicKey;

    fn ordinal(&self) -> Ordinal {
        Ordinal::CREATE_ENDORSEMENT_KEY_PAIR
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer
            .bytes(&self.nonce)
            .bytes(&PublicKey::endorsement_parameters());
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
        let (key, checksum) = split(reader, 20)?;
        checked(key, checksum, &self.nonce)
    }

    fn repeatable(&self) -> bool {
        false
    }
}

/// TPM_CreateRevocableEK: one that [`RevokeTrust`] removes again.
pub struct CreateRevocableEk<'a> {
    /// Ours.
    pub nonce: [u8; 20],
    /// What it is revoked with, which goes to the TPM as it is.
    pub reset: &'a AuthValue,
}

impl Request for CreateRevocableEk<'_> {
    type Response = PublicKey;

    fn ordinal(&self) -> Ordinal {
        Ordinal::CREATE_REVOCABLE_EK
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer
            .bytes(&self.nonce)
            .bytes(&PublicKey::endorsement_parameters())
            // The value is ours, not the TPM's.
            .u8(0)
            .bytes(self.reset.as_bytes());
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
        let (rest, reset) = split(reader, 20)?;
        let (key, checksum) = split(&mut Reader::new(rest, "TPM_CreateRevocableEK"), 20)?;
        match crypto::constant_time_eq(reset, self.reset.as_bytes()) {
            true => checked(key, checksum, &self.nonce),
            false => Err(reader.malformed()),
        }
    }

    fn repeatable(&self) -> bool {
        false
    }
}

/// TPM_RevokeTrust: the end of an endorsement key, by who has the value that it was made with.
pub struct RevokeTrust<'a> {
    /// The value.
    pub reset: &'a AuthValue,
}

impl Request for RevokeTrust<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::REVOKE_TRUST
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.bytes(self.reset.as_bytes());
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
