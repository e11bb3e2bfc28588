//! Ownership (part 3, 6), what the owner or somebody at the machine switches (5 and 6), and its values (7.3, 17).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::blob::{PublicKey, Template, sized};
use crate::tpm12::constants::Ordinal;
use crate::tpm12::secret::AuthValue;

/// `TPM_PID_OWNER`
const PROTOCOL_OWNER: u16 = 5;
/// `TPM_PID_ADCP`
const PROTOCOL_ADCP: u16 = 4;

/// TPM_TakeOwnership: an owner, and a storage root key. Authorized by the owner's secret that it brings.
pub struct TakeOwnership<'a> {
    /// The owner's secret, encrypted with the endorsement key.
    pub owner: &'a [u8],
    /// The storage root key's secret, encrypted so.
    pub srk: &'a [u8],
}

impl Request for TakeOwnership<'_> {
    /// The storage root key's public part.
    type Response = PublicKey;

    fn ordinal(&self) -> Ordinal {
        Ordinal::TAKE_OWNERSHIP
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u16(PROTOCOL_OWNER);
        sized(writer, self.owner);
        sized(writer, self.srk);
        writer.bytes(&Template::storage_root_key().to_bytes());
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
        PublicKey::of_key(reader.rest())
    }
}

/// TPM_ChangeAuthOwner: another secret for the owner or the storage root key, by the owner.
pub struct ChangeAuthOwner<'a> {
    /// The new secret.
    pub new: &'a AuthValue,
    /// Whose: [`entity`](crate::tpm12::constants::entity).
    pub entity: u16,
}

impl Request for ChangeAuthOwner<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::CHANGE_AUTH_OWNER
    }

    fn parameters(&self, writer: &mut Writer, sealed: Option<&[[u8; 20]; 2]>) {
        writer.u16(PROTOCOL_ADCP);
        if let Some([new, _]) = sealed {
            writer.bytes(new);
        }
        writer.u16(self.entity);
    }

    /// There is one, which the first nonce encrypts.
    fn secrets(&self) -> Option<[&AuthValue; 2]> {
        Some([self.new, self.new])
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// A command that has neither parameters nor an answer.
pub struct Plain(pub Ordinal);

impl Request for Plain {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        self.0
    }

    fn parameters(&self, _: &mut Writer, _: Option<&[[u8; 20]; 2]>) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// A command that has a truth value, and no answer.
pub struct Switch {
    /// Which.
    pub ordinal: Ordinal,
    /// To what.
    pub on: bool,
}

impl Request for Switch {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        self.ordinal
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u8(self.on.into());
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TSC_PhysicalPresence: whether somebody is at the machine, and who may say so.
pub struct PhysicalPresence {
    /// `TPM_PHYSICAL_PRESENCE`
    pub bits: u16,
}

impl Request for PhysicalPresence {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::PHYSICAL_PRESENCE
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u16(self.bits);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM_SetOperatorAuth: the operator's secret, which goes to the TPM as it is.
pub struct SetOperatorAuth<'a> {
    /// The secret.
    pub new: &'a AuthValue,
}

impl Request for SetOperatorAuth<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::SET_OPERATOR_AUTH
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.bytes(self.new.as_bytes());
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM_SetCapability of a permanent flag, by the owner (part 2, 21.2).
pub struct SetPermanentFlag {
    /// `TPM_PF_`...
    pub flag: u32,
    /// To what.
    pub on: bool,
}

impl SetPermanentFlag {
    /// `TPM_SET_PERM_FLAGS`
    const AREA: u32 = 1;
    /// The endorsement key's public part may be read by everybody.
    pub const READ_PUBEK: u32 = 4;
    /// The storage root key's public part may be read with its secret.
    pub const READ_SRK_PUB: u32 = 17;
}

impl Request for SetPermanentFlag {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::SET_CAPABILITY
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(Self::AREA);
        sized(writer, &self.flag.to_be_bytes());
        sized(writer, &[self.on.into()]);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
