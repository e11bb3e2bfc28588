//! Asymmetric primitives (Part 3, clause 14).
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::public::Scheme;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_RSA_Encrypt (Part 3, 14.2).
pub struct RsaEncrypt<'a> {
    /// The key.
    pub handle: u32,
    /// The message.
    pub message: &'a [u8],
    /// The padding.
    pub scheme: Scheme,
    /// Label of OAEP, with its closing NUL; empty for none.
    pub label: &'a [u8],
}

impl Request for RsaEncrypt<'_> {
    type Response = Vec<u8>;
    const CODE: CommandCode = CommandCode::RSA_ENCRYPT;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::object(self.handle, Name::default())]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.message);
        self.scheme.write(writer);
        writer.tpm2b(self.label);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        Ok(reader.tpm2b()?.to_vec())
    }
}

/// TPM2_RSA_Decrypt (Part 3, 14.3).
pub struct RsaDecrypt<'a> {
    /// The key.
    pub key: Entity,
    /// The ciphertext.
    pub ciphertext: &'a [u8],
    /// The padding; [`Scheme::Null`] returns the raw block if the key's own scheme is null.
    pub scheme: Scheme,
    /// Label of OAEP, with its closing NUL; empty for none.
    pub label: &'a [u8],
}

impl Request for RsaDecrypt<'_> {
    type Response = Zeroizing<Vec<u8>>;
    const CODE: CommandCode = CommandCode::RSA_DECRYPT;

    fn handles(&self) -> Vec<Entity> {
        vec![self.key.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.ciphertext);
        self.scheme.write(writer);
        writer.tpm2b(self.label);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(reader.tpm2b()?.to_vec()))
    }
}

/// A point whose coordinates are secret: the result of a key agreement.
pub type SecretPoint = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// TPM2_ECDH_ZGen (Part 3, 14.5).
pub struct EcdhZGen<'a> {
    /// The key.
    pub key: Entity,
    /// The peer's x coordinate.
    pub x: &'a [u8],
    /// The peer's y coordinate.
    pub y: &'a [u8],
}

impl Request for EcdhZGen<'_> {
    type Response = SecretPoint;
    const CODE: CommandCode = CommandCode::ECDH_ZGEN;

    fn handles(&self) -> Vec<Entity> {
        vec![self.key.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.sized(|point| {
            point.tpm2b(self.x).tpm2b(self.y);
        });
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<SecretPoint, Malformed> {
        let mut point = Reader::new(reader.tpm2b()?, "point (TPM2B_ECC_POINT)");
        let x = Zeroizing::new(point.tpm2b()?.to_vec());
        let y = Zeroizing::new(point.tpm2b()?.to_vec());
        point.finish()?;
        Ok((x, y))
    }
}
