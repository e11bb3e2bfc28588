//! Numbers of the specification: TPM Main part 2 (structures).
#![forbid(unsafe_code)]

use std::fmt;

/// A command's number (part 2, 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ordinal(pub u32);

impl Ordinal {
    /// `TPM_OIAP`
    pub const OIAP: Self = Self(0x0a);
    /// `TPM_OSAP`
    pub const OSAP: Self = Self(0x0b);
    /// `TPM_PCRRead`
    pub const PCR_READ: Self = Self(0x15);
    /// `TPM_Seal`
    pub const SEAL: Self = Self(0x17);
    /// `TPM_Unseal`
    pub const UNSEAL: Self = Self(0x18);
    /// `TPM_UnBind`
    pub const UNBIND: Self = Self(0x1e);
    /// `TPM_CreateWrapKey`
    pub const CREATE_WRAP_KEY: Self = Self(0x1f);
    /// `TPM_LoadKey`, of TPM 1.1
    pub const LOAD_KEY: Self = Self(0x20);
    /// `TPM_GetPubKey`
    pub const GET_PUB_KEY: Self = Self(0x21);
    /// `TPM_EvictKey`, of TPM 1.1
    pub const EVICT_KEY: Self = Self(0x22);
    /// `TPM_Sign`
    pub const SIGN: Self = Self(0x3c);
    /// `TPM_ResetLockValue`
    pub const RESET_LOCK_VALUE: Self = Self(0x40);
    /// `TPM_LoadKey2`
    pub const LOAD_KEY2: Self = Self(0x41);
    /// `TPM_GetRandom`
    pub const GET_RANDOM: Self = Self(0x46);
    /// `TPM_StirRandom`
    pub const STIR_RANDOM: Self = Self(0x47);
    /// `TPM_SelfTestFull`
    pub const SELF_TEST_FULL: Self = Self(0x50);
    /// `TPM_ContinueSelfTest`
    pub const CONTINUE_SELF_TEST: Self = Self(0x53);
    /// `TPM_GetTestResult`
    pub const GET_TEST_RESULT: Self = Self(0x54);
    /// `TPM_GetCapability`
    pub const GET_CAPABILITY: Self = Self(0x65);
    /// `TPM_OwnerReadInternalPub`
    pub const OWNER_READ_INTERNAL_PUB: Self = Self(0x81);
    /// `TPM_Terminate_Handle`, of TPM 1.1
    pub const TERMINATE_HANDLE: Self = Self(0x96);
    /// `TPM_FlushSpecific`
    pub const FLUSH_SPECIFIC: Self = Self(0xba);

    /// The specification's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::OIAP => "TPM_OIAP",
            Self::OSAP => "TPM_OSAP",
            Self::PCR_READ => "TPM_PCRRead",
            Self::SEAL => "TPM_Seal",
            Self::UNSEAL => "TPM_Unseal",
            Self::UNBIND => "TPM_UnBind",
            Self::CREATE_WRAP_KEY => "TPM_CreateWrapKey",
            Self::LOAD_KEY => "TPM_LoadKey",
            Self::GET_PUB_KEY => "TPM_GetPubKey",
            Self::EVICT_KEY => "TPM_EvictKey",
            Self::SIGN => "TPM_Sign",
            Self::RESET_LOCK_VALUE => "TPM_ResetLockValue",
            Self::LOAD_KEY2 => "TPM_LoadKey2",
            Self::GET_RANDOM => "TPM_GetRandom",
            Self::STIR_RANDOM => "TPM_StirRandom",
            Self::SELF_TEST_FULL => "TPM_SelfTestFull",
            Self::CONTINUE_SELF_TEST => "TPM_ContinueSelfTest",
            Self::GET_TEST_RESULT => "TPM_GetTestResult",
            Self::GET_CAPABILITY => "TPM_GetCapability",
            Self::OWNER_READ_INTERNAL_PUB => "TPM_OwnerReadInternalPub",
            Self::TERMINATE_HANDLE => "TPM_Terminate_Handle",
            Self::FLUSH_SPECIFIC => "TPM_FlushSpecific",
            _ => "TPM command",
        }
    }
}

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tags of commands and responses (part 2, 6).
pub mod tag {
    /// A command without authorization.
    pub const COMMAND: u16 = 0x00c1;
    /// A command with one authorization.
    pub const AUTH1_COMMAND: u16 = 0x00c2;
    /// A command with two authorizations.
    pub const AUTH2_COMMAND: u16 = 0x00c3;
    /// A response without authorization, and every error.
    pub const RESPONSE: u16 = 0x00c4;
    /// A response with one authorization.
    pub const AUTH1_RESPONSE: u16 = 0x00c5;
    /// A response with two authorizations.
    pub const AUTH2_RESPONSE: u16 = 0x00c6;
}

/// Handles that always lead to the same thing (part 2, 4.4).
pub mod handle {
    /// The storage root key.
    pub const SRK: u32 = 0x4000_0000;
}

/// Types of entities for OSAP (part 2, 4.3).
pub mod entity {
    /// A loaded key.
    pub const KEY_HANDLE: u16 = 1;
}

/// Types of resources (part 2, 4.1).
pub mod resource {
    /// A loaded key.
    pub const KEY: u32 = 1;
    /// An authorization session.
    pub const AUTH: u32 = 2;
}
