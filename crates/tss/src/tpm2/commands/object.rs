//! Objects (Part 3, clause 12).
#![forbid(unsafe_code)]

use crypto::Secret;
use zeroize::Zeroizing;

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::public::Public;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// Writes `TPM2B_SENSITIVE_CREATE` (Part 2, 11.1.16): the new object's authorization value, and the data to seal, which
/// is empty for a key.
pub(super) fn write_sensitive(auth: &Secret, data: &Secret, writer: &mut Writer) {
    writer.sized(|sensitive| {
        sensitive.tpm2b(auth).tpm2b(data);
    });
}

/// TPM2_Create (Part 3, 12.1).
pub struct Create<'a> {
    /// The parent.
    pub parent: Entity,
    /// The new object's authorization value.
    pub auth: &'a Secret,
    /// The data to seal; empty for a key, whose secret the TPM makes up.
    pub data: &'a Secret,
    /// What to make.
    pub template: &'a Public,
}

/// A new object: its two halves.
#[derive(Clone, Debug)]
pub struct Created {
    /// The public area.
    pub public: Public,
    /// The whole `TPM2B_PRIVATE`, encrypted by the parent.
    pub private: Vec<u8>,
}

impl Request for Create<'_> {
    type Response = Created;
    const CODE: CommandCode = CommandCode::CREATE;

    fn handles(&self) -> Vec<Entity> {
        vec![self.parent.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        write_sensitive(self.auth, self.data, writer);
        // No outside information, no PCR selection.
        writer.bytes(&self.template.to_tpm2b()).tpm2b(&[]).u32(0);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Created, Malformed> {
        let private = tpm2b_whole(reader)?;
        let public = Public::from_tpmt(reader.tpm2b()?)?;
        // Creation data, hash and ticket attest where the object was made; nobody asked.
        reader.rest();
        Ok(Created { public, private })
    }
}

/// TPM2_Load (Part 3, 12.2).
pub struct Load<'a> {
    /// The parent.
    pub parent: Entity,
    /// The whole `TPM2B_PRIVATE`.
    pub private: &'a [u8],
    /// The public area.
    pub public: &'a Public,
}

/// A loaded object.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its transient handle.
    pub handle: u32,
    /// Its name, as the TPM computed it.
    pub name: Name,
}

impl Request for Load<'_> {
    type Response = Loaded;
    const CODE: CommandCode = CommandCode::LOAD;
    const ANSWERS_HANDLE: bool = true;

    fn handles(&self) -> Vec<Entity> {
        vec![self.parent.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.bytes(self.private).bytes(&self.public.to_tpm2b());
    }

    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<Loaded, Malformed> {
        Ok(Loaded {
            handle,
            name: Name::from_bytes(reader.tpm2b()?),
        })
    }
}

/// TPM2_LoadExternal (Part 3, 12.3) of a public key.
pub struct LoadExternal<'a> {
    /// The public area.
    pub public: &'a Public,
    /// The hierarchy it is put in; `TPM_RH_NULL` for none.
    pub hierarchy: u32,
}

impl Request for LoadExternal<'_> {
    type Response = Loaded;
    const CODE: CommandCode = CommandCode::LOAD_EXTERNAL;
    const ANSWERS_HANDLE: bool = true;

    fn parameters(&self, writer: &mut Writer) {
        writer
            .tpm2b(&[])
            .bytes(&self.public.to_tpm2b())
            .u32(self.hierarchy);
    }

    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<Loaded, Malformed> {
        Ok(Loaded {
            handle,
            name: Name::from_bytes(reader.tpm2b()?),
        })
    }
}

/// TPM2_ReadPublic (Part 3, 12.4).
pub struct ReadPublic {
    /// The object; its name counts only where a session authenticates the command.
    pub object: Entity,
}

impl ReadPublic {
    /// Of an object that is known by its handle alone.
    pub fn of(handle: u32) -> Self {
        Self {
            object: Entity::object(handle, Name::default()),
        }
    }
}

/// What TPM2_ReadPublic answers.
#[derive(Clone, Debug)]
pub struct PublicInfo {
    /// The public area.
    pub public: Public,
    /// The name, as the TPM says; [`Public::name`] computes it.
    pub name: Name,
    /// The name chained to its ancestors (Part 1, 16).
    pub qualified_name: Name,
}

impl Request for ReadPublic {
    type Response = PublicInfo;
    const CODE: CommandCode = CommandCode::READ_PUBLIC;

    fn handles(&self) -> Vec<Entity> {
        vec![self.object.clone()]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PublicInfo, Malformed> {
        let public = Public::from_tpmt(reader.tpm2b()?)?;
        let name = Name::from_bytes(reader.tpm2b()?);
        Ok(PublicInfo {
            public,
            name,
            qualified_name: Name::from_bytes(reader.tpm2b()?),
        })
    }
}

/// TPM2_Unseal (Part 3, 12.7): the data in a sealed object.
pub struct Unseal {
    /// The loaded object.
    pub item: Entity,
}

impl Request for Unseal {
    type Response = Zeroizing<Vec<u8>>;
    const CODE: CommandCode = CommandCode::UNSEAL;

    fn handles(&self) -> Vec<Entity> {
        vec![self.item.clone()]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(reader.tpm2b()?.to_vec()))
    }
}

/// TPM2_ObjectChangeAuth (Part 3, 12.8): another authorization value for a loaded object, whose old one authorizes the
/// command and goes on counting for what is loaded.
pub struct ObjectChangeAuth<'a> {
    /// The object.
    pub object: Entity,
    /// Its parent, which encrypts the new private part.
    pub parent: Entity,
    /// The new value.
    pub new: &'a Secret,
}

impl Request for ObjectChangeAuth<'_> {
    /// The whole `TPM2B_PRIVATE`, encrypted by the parent.
    type Response = Vec<u8>;
    const CODE: CommandCode = CommandCode::OBJECT_CHANGE_AUTH;

    fn handles(&self) -> Vec<Entity> {
        vec![self.object.clone(), self.parent.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.new);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        tpm2b_whole(reader)
    }
}

/// Reads a `TPM2B` and returns it with its size field.
pub(super) fn tpm2b_whole(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let size = reader.u16()?;
    let mut whole = size.to_be_bytes().to_vec();
    whole.extend_from_slice(reader.bytes(usize::from(size))?);
    Ok(whole)
}
