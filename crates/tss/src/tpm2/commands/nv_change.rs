//! NV memory, what changes it (Part 3, clause 31).
#![forbid(unsafe_code)]

use crypto::Secret;

use super::Request;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::Entity;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_NV_DefineSpace (Part 3, 31.3).
pub struct NvDefineSpace<'a> {
    /// The owner, or the platform.
    pub hierarchy: u32,
    /// The index's own authorization value.
    pub auth: &'a Secret,
    /// The index.
    pub index: u32,
    /// `TPMA_NV`.
    pub attributes: u32,
    /// Bytes of it.
    pub size: u16,
}

impl Request for NvDefineSpace<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::NV_DEFINE_SPACE;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.hierarchy)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.auth).sized(|public| {
            public
                .u32(self.index)
                .u16(AlgId::SHA256.0)
                .u32(self.attributes)
                .tpm2b(&[])
                .u16(self.size);
        });
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Declares a request whose handles are who authorizes it and the index, and that is answered by nothing.
macro_rules! on_an_index {
    ($(#[$meta:meta])* $name:ident$(<$life:lifetime>)? { $($(#[$doc:meta])* $field:ident: $type:ty,)* } $code:ident,
     |$this:ident, $writer:ident| $write:block) => {
        $(#[$meta])*
        pub struct $name$(<$life>)? {
            /// Who authorizes it: the index itself, or a hierarchy.
            pub authority: Entity,
            /// The index.
            pub index: Entity,
            $($(#[$doc])* pub $field: $type,)*
        }

        impl$(<$life>)? Request for $name$(<$life>)? {
            type Response = ();
            const CODE: CommandCode = CommandCode::$code;

            fn handles(&self) -> Vec<Entity> {
                vec![self.authority.clone(), self.index.clone()]
            }

            fn parameters(&self, $writer: &mut Writer) {
                let $this = self;
                $write
            }

            fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
                Ok(())
            }
        }
    };
}

on_an_index! {
    /// TPM2_NV_UndefineSpace (Part 3, 31.4).
    NvUndefineSpace {} NV_UNDEFINE_SPACE, |_this, _writer| {}
}

on_an_index! {
    /// TPM2_NV_Write (Part 3, 31.7).
    NvWrite<'a> {
        /// At most `TPM_PT_NV_BUFFER_MAX` bytes.
        data: &'a Secret,
        /// Where they begin.
        offset: u16,
    }
    NV_WRITE, |this, writer| {
        writer.tpm2b(this.data).u16(this.offset);
    }
}

on_an_index! {
    /// TPM2_NV_Increment (Part 3, 31.8).
    NvIncrement {} NV_INCREMENT, |_this, _writer| {}
}

on_an_index! {
    /// TPM2_NV_Extend (Part 3, 31.9).
    NvExtend<'a> {
        /// At most `TPM_PT_NV_BUFFER_MAX` bytes.
        data: &'a [u8],
    }
    NV_EXTEND, |this, writer| {
        writer.tpm2b(this.data);
    }
}

on_an_index! {
    /// TPM2_NV_SetBits (Part 3, 31.10).
    NvSetBits {
        /// What is set, besides what is set already.
        bits: u64,
    }
    NV_SET_BITS, |this, writer| {
        writer.u64(this.bits);
    }
}

on_an_index! {
    /// TPM2_NV_WriteLock (Part 3, 31.11).
    NvWriteLock {} NV_WRITE_LOCK, |_this, _writer| {}
}

on_an_index! {
    /// TPM2_NV_ReadLock (Part 3, 31.14).
    NvReadLock {} NV_READ_LOCK, |_this, _writer| {}
}
