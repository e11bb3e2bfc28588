//! Keys: loading, making and reading them (part 3, 10), and forgetting them (22).
#![forbid(unsafe_code)]

use super::{Made, Request};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::blob::{KeyBlob, PublicKey, Template};
use crate::tpm12::constants::Ordinal;
use crate::tpm12::secret::AuthValue;

/// TPM_LoadKey2, or TPM_LoadKey on a TPM 1.1.
pub struct LoadKey<'a> {
    /// The parent.
    pub parent: u32,
    /// The key.
    pub blob: &'a KeyBlob,
    /// Whether the TPM is one of version 1.1.
    pub old: bool,
}

impl Request for LoadKey<'_> {
    /// The key's handle.
    type Response = u32;

    fn ordinal(&self) -> Ordinal {
        if self.old {
            Ordinal::LOAD_KEY
        } else {
            Ordinal::LOAD_KEY2
        }
    }

    fn key(&self) -> Option<u32> {
        Some(self.parent)
    }

    fn makes(&self) -> Option<Made<'_>> {
        Some(Made::Key(self.blob))
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.bytes(self.blob.as_bytes());
    }

    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<u32, Malformed> {
        if self.old {
            // The handle was a parameter then, covered by the authorization. Through tcsd it is the
            // TPM's, and tcsd's own is what counts.
            reader.u32()?;
        }
        Ok(handle)
    }
}

/// TPM_CreateWrapKey: a new key under a parent.
pub struct CreateWrapKey<'a> {
    /// The parent.
    pub parent: u32,
    /// What the key shall be.
    pub template: &'a Template,
    /// Its authorization value.
    pub usage: &'a AuthValue,
    /// The value for moving it to another parent.
    pub migration: &'a AuthValue,
}

impl Request for CreateWrapKey<'_> {
    type Response = KeyBlob;

    fn ordinal(&self) -> Ordinal {
        Ordinal::CREATE_WRAP_KEY
    }

    fn key(&self) -> Option<u32> {
        Some(self.parent)
    }

    fn parameters(&self, writer: &mut Writer, sealed: Option<&[[u8; 20]; 2]>) {
        if let Some([usage, migration]) = sealed {
            writer.bytes(usage).bytes(migration);
        }
        writer.bytes(&self.template.to_bytes());
    }

    fn secrets(&self) -> Option<[&AuthValue; 2]> {
        Some([self.usage, self.migration])
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<KeyBlob, Malformed> {
        KeyBlob::parse(reader.rest())
    }
}

/// TPM_GetPubKey: the public part of a loaded key.
pub struct GetPubKey {
    /// The key.
    pub key: u32,
}

impl Request for GetPubKey {
    type Response = PublicKey;

    fn ordinal(&self) -> Ordinal {
        Ordinal::GET_PUB_KEY
    }

    fn key(&self) -> Option<u32> {
        Some(self.key)
    }

    fn parameters(&self, _: &mut Writer, _: Option<&[[u8; 20]; 2]>) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
        PublicKey::parse(reader.rest())
    }
}

/// TPM_OwnerReadInternalPub: the public part of the EK or the SRK, for the owner.
pub struct OwnerReadInternalPub {
    /// The key: [`handle::SRK`](crate::tpm12::constants::handle::SRK).
    pub key: u32,
}

impl Request for OwnerReadInternalPub {
    type Response = PublicKey;

    fn ordinal(&self) -> Ordinal {
        Ordinal::OWNER_READ_INTERNAL_PUB
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        // The one handle that is a parameter, covered by the authorization.
        writer.u32(self.key);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
        PublicKey::parse(reader.rest())
    }
}

/// TPM_FlushSpecific: forgets a loaded key or a session.
pub struct FlushSpecific {
    /// What.
    pub handle: u32,
    /// Of which kind: [`resource`](crate::tpm12::constants::resource).
    pub kind: u32,
}

impl Request for FlushSpecific {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::FLUSH_SPECIFIC
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.handle).u32(self.kind);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM_EvictKey: forgets a loaded key. For tcsd and TPM 1.1.
pub struct EvictKey {
    /// The key.
    pub key: u32,
}

impl Request for EvictKey {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::EVICT_KEY
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.key);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
