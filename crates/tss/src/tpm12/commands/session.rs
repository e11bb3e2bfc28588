//! Authorization sessions (part 3, 18).
#![forbid(unsafe_code)]

use super::{Made, Request};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::constants::Ordinal;

fn nonce(reader: &mut Reader<'_>) -> Result<[u8; 20], Malformed> {
    let what = reader.malformed();
    reader.bytes(20)?.try_into().map_err(|_| what)
}

/// TPM_OIAP: a session for any entity.
pub struct Oiap;

/// The answer to [`Oiap`].
pub struct OiapSession {
    /// The session.
    pub handle: u32,
    /// The TPM's nonce.
    pub even: [u8; 20],
}

impl Request for Oiap {
    type Response = OiapSession;

    fn ordinal(&self) -> Ordinal {
        Ordinal::OIAP
    }

    fn makes(&self) -> Option<Made<'_>> {
        Some(Made::Session)
    }

    fn parameters(&self, _: &mut Writer, _: Option<&[[u8; 20]; 2]>) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<OiapSession, Malformed> {
        Ok(OiapSession {
            handle: reader.u32()?,
            even: nonce(reader)?,
        })
    }
}

/// TPM_OSAP: a session for one loaded key, or for the owner.
pub struct Osap {
    /// Which of them: [`entity`](crate::tpm12::constants::entity).
    pub entity: u16,
    /// Its handle.
    pub handle: u32,
    /// Our nonce.
    pub odd: [u8; 20],
}

/// The answer to [`Osap`].
pub struct OsapSession {
    /// The session.
    pub handle: u32,
    /// The TPM's nonce for the first command.
    pub even: [u8; 20],
    /// The TPM's nonce for the shared secret.
    pub even_osap: [u8; 20],
}

impl Request for Osap {
    type Response = OsapSession;

    fn ordinal(&self) -> Ordinal {
        Ordinal::OSAP
    }

    fn makes(&self) -> Option<Made<'_>> {
        Some(Made::Session)
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u16(self.entity).u32(self.handle).bytes(&self.odd);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<OsapSession, Malformed> {
        Ok(OsapSession {
            handle: reader.u32()?,
            even: nonce(reader)?,
            even_osap: nonce(reader)?,
        })
    }
}

/// TPM_Terminate_Handle (part 3, 28): the end of a session that no command has ended. For tcsd and TPM 1.1.
pub struct TerminateHandle {
    /// The session.
    pub handle: u32,
}

impl Request for TerminateHandle {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::TERMINATE_HANDLE
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.handle);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
