//! Sessions (Part 3, clause 11).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::{AlgId, CommandCode, handle};
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// Type of a session (Part 2, 6.11, `TPM_SE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// `TPM_SE_HMAC`.
    Hmac = 0,
    /// `TPM_SE_POLICY`.
    Policy = 1,
    /// `TPM_SE_TRIAL`.
    Trial = 3,
}

/// TPM2_StartAuthSession (Part 3, 11.1), not bound to an entity.
pub struct StartAuthSession<'a> {
    /// The key the salt is encrypted to; `None` for a session without salt.
    pub salt_key: Option<Entity>,
    /// Our first nonce, at least 16 octets.
    pub nonce: &'a [u8],
    /// The salt, encrypted to `salt_key`; empty without one.
    pub encrypted_salt: &'a [u8],
    /// HMAC, policy or trial.
    pub kind: SessionKind,
    /// AES key bits for parameter encryption in CFB mode; `None` for no encryption.
    pub aes_bits: Option<u16>,
    /// Hash algorithm of the session.
    pub hash: AlgId,
}

/// A session, as the TPM answers.
pub struct StartedSession {
    /// Its handle.
    pub handle: u32,
    /// The TPM's first nonce.
    pub nonce: Vec<u8>,
}

impl Request for StartAuthSession<'_> {
    type Response = StartedSession;
    const CODE: CommandCode = CommandCode::START_AUTH_SESSION;
    const ANSWERS_HANDLE: bool = true;

    fn handles(&self) -> Vec<Entity> {
        let salt_key = self
            .salt_key
            .clone()
            .unwrap_or_else(|| Entity::permanent(handle::NULL));
        vec![
            salt_key,
            Entity::object(handle::NULL, Name::of_handle(handle::NULL)),
        ]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer
            .tpm2b(self.nonce)
            .tpm2b(self.encrypted_salt)
            .u8(self.kind as u8);
        match self.aes_bits {
            Some(bits) => writer.u16(AlgId::AES.0).u16(bits).u16(AlgId::CFB.0),
            None => writer.u16(AlgId::NULL.0),
        };
        writer.u16(self.hash.0);
    }

    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<StartedSession, Malformed> {
        Ok(StartedSession {
            handle,
            nonce: reader.tpm2b()?.to_vec(),
        })
    }
}

/// TPM2_PolicyRestart (Part 3, 11.2).
pub struct PolicyRestart {
    /// The policy session.
    pub session: u32,
}

impl Request for PolicyRestart {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_RESTART;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.session)]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
