//! Signatures (Part 3, clause 20).
#![forbid(unsafe_code)]

use super::Request;
use super::hash::Ticket;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::Entity;
use crate::tpm2::public::Scheme;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_Sign (Part 3, 20.2).
pub struct Sign<'a> {
    /// The key.
    pub key: Entity,
    /// The digest, of the scheme's size.
    pub digest: &'a [u8],
    /// The scheme; null uses the key's own.
    pub scheme: Scheme,
    /// The TPM's word for the digest; only restricted keys want one.
    pub ticket: Ticket,
}

/// `TPMT_SIGNATURE` (Part 2, 11.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// RSASSA or RSAPSS.
    Rsa {
        /// The scheme that was used.
        scheme: AlgId,
        /// The hash algorithm that was used.
        hash: AlgId,
        /// The signature, big-endian, as long as the modulus.
        bytes: Vec<u8>,
    },
    /// ECDSA and its relatives.
    Ecc {
        /// The scheme that was used.
        scheme: AlgId,
        /// The hash algorithm that was used.
        hash: AlgId,
        /// r, big-endian; as the TPM sent it, which may be shorter than the curve.
        r: Vec<u8>,
        /// s, likewise.
        s: Vec<u8>,
    },
}

impl Request for Sign<'_> {
    type Response = Signature;
    const CODE: CommandCode = CommandCode::SIGN;

    fn handles(&self) -> Vec<Entity> {
        vec![self.key.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.digest);
        self.scheme.write(writer);
        self.ticket.write(writer);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Signature, Malformed> {
        Signature::read(reader)
    }
}

impl Signature {
    /// Reads a signature.
    ///
    /// # Errors
    ///
    /// A scheme of another kind than [`Signature`]'s.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let scheme = AlgId(reader.u16()?);
        let hash = AlgId(reader.u16()?);
        match scheme {
            AlgId::RSASSA | AlgId::RSAPSS => Ok(Self::Rsa {
                scheme,
                hash,
                bytes: reader.tpm2b()?.to_vec(),
            }),
            AlgId::ECDSA | AlgId::ECDAA | AlgId::SM2 | AlgId::ECSCHNORR => {
                let r = reader.tpm2b()?.to_vec();
                Ok(Self::Ecc {
                    scheme,
                    hash,
                    r,
                    s: reader.tpm2b()?.to_vec(),
                })
            }
            _ => Err(Malformed {
                what: "signature: unknown scheme",
            }),
        }
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        match self {
            Self::Rsa {
                scheme,
                hash,
                bytes,
            } => writer.u16(scheme.0).u16(hash.0).tpm2b(bytes),
            Self::Ecc { scheme, hash, r, s } => writer.u16(scheme.0).u16(hash.0).tpm2b(r).tpm2b(s),
        };
    }

    /// The hash algorithm that was used.
    pub fn hash(&self) -> AlgId {
        match self {
            Self::Rsa { hash, .. } | Self::Ecc { hash, .. } => *hash,
        }
    }
}

/// TPM2_VerifySignature (Part 3, 20.1).
pub struct VerifySignature<'a> {
    /// The key, whose hierarchy is the ticket's.
    pub key: Entity,
    /// The digest that was signed.
    pub digest: &'a [u8],
    /// The signature.
    pub signature: &'a Signature,
}

impl Request for VerifySignature<'_> {
    type Response = Ticket;
    const CODE: CommandCode = CommandCode::VERIFY_SIGNATURE;

    fn handles(&self) -> Vec<Entity> {
        vec![self.key.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.digest);
        self.signature.write(writer);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Ticket, Malformed> {
        Ticket::read(reader)
    }
}
