//! Credentials (Part 3, clauses 12.5 and 12.6).
#![forbid(unsafe_code)]

use crypto::Secret;

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::name::Entity;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_ActivateCredential (Part 3, 12.5).
pub struct ActivateCredential<'a> {
    /// What the credential is about.
    pub object: Entity,
    /// The key that it is encrypted to.
    pub key: Entity,
    /// The whole `TPM2B_ID_OBJECT`.
    pub blob: &'a [u8],
    /// The whole `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_seed: &'a [u8],
}

impl Request for ActivateCredential<'_> {
    type Response = Secret;
    const CODE: CommandCode = CommandCode::ACTIVATE_CREDENTIAL;

    fn handles(&self) -> Vec<Entity> {
        vec![self.object.clone(), self.key.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.bytes(self.blob).bytes(self.encrypted_seed);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Secret, Malformed> {
        Ok(Secret::from(reader.tpm2b()?))
    }
}
