//! Dictionary attack protection (Part 3, clause 25).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::{CommandCode, handle};
use crate::tpm2::name::Entity;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_DictionaryAttackLockReset (Part 3, 25.2): no try counts any more.
pub struct DictionaryAttackLockReset;

impl Request for DictionaryAttackLockReset {
    type Response = ();
    const CODE: CommandCode = CommandCode::DICTIONARY_ATTACK_LOCK_RESET;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(handle::LOCKOUT)]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_DictionaryAttackParameters (Part 3, 25.3).
pub struct DictionaryAttackParameters {
    /// Wrong tries at which the TPM locks.
    pub max_tries: u32,
    /// Seconds until one is forgotten.
    pub interval: u32,
    /// Seconds until the lockout authorization may be tried again.
    pub recovery: u32,
}

impl Request for DictionaryAttackParameters {
    type Response = ();
    const CODE: CommandCode = CommandCode::DICTIONARY_ATTACK_PARAMETERS;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(handle::LOCKOUT)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer
            .u32(self.max_tries)
            .u32(self.interval)
            .u32(self.recovery);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
