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
    /// `TPM_TakeOwnership`
    pub const TAKE_OWNERSHIP: Self = Self(0x0d);
    /// `TPM_ChangeAuthOwner`
    pub const CHANGE_AUTH_OWNER: Self = Self(0x10);
    /// `TPM_Extend`
    pub const EXTEND: Self = Self(0x14);
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
    /// `TPM_SetCapability`
    pub const SET_CAPABILITY: Self = Self(0x3f);
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
    /// `TPM_OwnerClear`
    pub const OWNER_CLEAR: Self = Self(0x5b);
    /// `TPM_DisableOwnerClear`
    pub const DISABLE_OWNER_CLEAR: Self = Self(0x5c);
    /// `TPM_ForceClear`
    pub const FORCE_CLEAR: Self = Self(0x5d);
    /// `TPM_DisableForceClear`
    pub const DISABLE_FORCE_CLEAR: Self = Self(0x5e);
    /// `TPM_GetCapability`
    pub const GET_CAPABILITY: Self = Self(0x65);
    /// `TPM_OwnerSetDisable`
    pub const OWNER_SET_DISABLE: Self = Self(0x6e);
    /// `TPM_PhysicalEnable`
    pub const PHYSICAL_ENABLE: Self = Self(0x6f);
    /// `TPM_PhysicalDisable`
    pub const PHYSICAL_DISABLE: Self = Self(0x70);
    /// `TPM_SetOwnerInstall`
    pub const SET_OWNER_INSTALL: Self = Self(0x71);
    /// `TPM_PhysicalSetDeactivated`
    pub const PHYSICAL_SET_DEACTIVATED: Self = Self(0x72);
    /// `TPM_SetTempDeactivated`
    pub const SET_TEMP_DEACTIVATED: Self = Self(0x73);
    /// `TPM_SetOperatorAuth`
    pub const SET_OPERATOR_AUTH: Self = Self(0x74);
    /// `TPM_CreateEndorsementKeyPair`
    pub const CREATE_ENDORSEMENT_KEY_PAIR: Self = Self(0x78);
    /// `TPM_ReadPubek`
    pub const READ_PUBEK: Self = Self(0x7c);
    /// `TPM_DisablePubekRead`
    pub const DISABLE_PUBEK_READ: Self = Self(0x7e);
    /// `TPM_CreateRevocableEK`
    pub const CREATE_REVOCABLE_EK: Self = Self(0x7f);
    /// `TPM_RevokeTrust`
    pub const REVOKE_TRUST: Self = Self(0x80);
    /// `TPM_OwnerReadInternalPub`
    pub const OWNER_READ_INTERNAL_PUB: Self = Self(0x81);
    /// `TPM_Terminate_Handle`, of TPM 1.1
    pub const TERMINATE_HANDLE: Self = Self(0x96);
    /// `TPM_FlushSpecific`
    pub const FLUSH_SPECIFIC: Self = Self(0xba);
    /// `TPM_PCR_Reset`
    pub const PCR_RESET: Self = Self(0xc8);
    /// `TPM_NV_DefineSpace`
    pub const NV_DEFINE_SPACE: Self = Self(0xcc);
    /// `TPM_NV_WriteValue`
    pub const NV_WRITE_VALUE: Self = Self(0xcd);
    /// `TPM_NV_WriteValueAuth`
    pub const NV_WRITE_VALUE_AUTH: Self = Self(0xce);
    /// `TPM_NV_ReadValue`
    pub const NV_READ_VALUE: Self = Self(0xcf);
    /// `TPM_NV_ReadValueAuth`
    pub const NV_READ_VALUE_AUTH: Self = Self(0xd0);
    /// `TPM_CreateCounter`
    pub const CREATE_COUNTER: Self = Self(0xdc);
    /// `TPM_IncrementCounter`
    pub const INCREMENT_COUNTER: Self = Self(0xdd);
    /// `TPM_ReadCounter`
    pub const READ_COUNTER: Self = Self(0xde);
    /// `TPM_ReleaseCounter`
    pub const RELEASE_COUNTER: Self = Self(0xdf);
    /// `TPM_ReleaseCounterOwner`
    pub const RELEASE_COUNTER_OWNER: Self = Self(0xe0);
    /// `TSC_PhysicalPresence`
    pub const PHYSICAL_PRESENCE: Self = Self(0x4000_000a);

    /// The specification's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::OIAP => "TPM_OIAP",
            Self::OSAP => "TPM_OSAP",
            Self::TAKE_OWNERSHIP => "TPM_TakeOwnership",
            Self::CHANGE_AUTH_OWNER => "TPM_ChangeAuthOwner",
            Self::EXTEND => "TPM_Extend",
            Self::PCR_READ => "TPM_PCRRead",
            Self::SEAL => "TPM_Seal",
            Self::UNSEAL => "TPM_Unseal",
            Self::UNBIND => "TPM_UnBind",
            Self::CREATE_WRAP_KEY => "TPM_CreateWrapKey",
            Self::LOAD_KEY => "TPM_LoadKey",
            Self::GET_PUB_KEY => "TPM_GetPubKey",
            Self::EVICT_KEY => "TPM_EvictKey",
            Self::SIGN => "TPM_Sign",
            Self::SET_CAPABILITY => "TPM_SetCapability",
            Self::RESET_LOCK_VALUE => "TPM_ResetLockValue",
            Self::LOAD_KEY2 => "TPM_LoadKey2",
            Self::GET_RANDOM => "TPM_GetRandom",
            Self::STIR_RANDOM => "TPM_StirRandom",
            Self::SELF_TEST_FULL => "TPM_SelfTestFull",
            Self::CONTINUE_SELF_TEST => "TPM_ContinueSelfTest",
            Self::GET_TEST_RESULT => "TPM_GetTestResult",
            Self::OWNER_CLEAR => "TPM_OwnerClear",
            Self::DISABLE_OWNER_CLEAR => "TPM_DisableOwnerClear",
            Self::FORCE_CLEAR => "TPM_ForceClear",
            Self::DISABLE_FORCE_CLEAR => "TPM_DisableForceClear",
            Self::GET_CAPABILITY => "TPM_GetCapability",
            Self::OWNER_SET_DISABLE => "TPM_OwnerSetDisable",
            Self::PHYSICAL_ENABLE => "TPM_PhysicalEnable",
            Self::PHYSICAL_DISABLE => "TPM_PhysicalDisable",
            Self::SET_OWNER_INSTALL => "TPM_SetOwnerInstall",
            Self::PHYSICAL_SET_DEACTIVATED => "TPM_PhysicalSetDeactivated",
            Self::SET_TEMP_DEACTIVATED => "TPM_SetTempDeactivated",
            Self::SET_OPERATOR_AUTH => "TPM_SetOperatorAuth",
            Self::CREATE_ENDORSEMENT_KEY_PAIR => "TPM_CreateEndorsementKeyPair",
            Self::READ_PUBEK => "TPM_ReadPubek",
            Self::DISABLE_PUBEK_READ => "TPM_DisablePubekRead",
            Self::CREATE_REVOCABLE_EK => "TPM_CreateRevocableEK",
            Self::REVOKE_TRUST => "TPM_RevokeTrust",
            Self::OWNER_READ_INTERNAL_PUB => "TPM_OwnerReadInternalPub",
            Self::TERMINATE_HANDLE => "TPM_Terminate_Handle",
            Self::FLUSH_SPECIFIC => "TPM_FlushSpecific",
            Self::PCR_RESET => "TPM_PCR_Reset",
            Self::NV_DEFINE_SPACE => "TPM_NV_DefineSpace",
            Self::NV_WRITE_VALUE => "TPM_NV_WriteValue",
            Self::NV_WRITE_VALUE_AUTH => "TPM_NV_WriteValueAuth",
            Self::NV_READ_VALUE => "TPM_NV_ReadValue",
            Self::NV_READ_VALUE_AUTH => "TPM_NV_ReadValueAuth",
            Self::CREATE_COUNTER => "TPM_CreateCounter",
            Self::INCREMENT_COUNTER => "TPM_IncrementCounter",
            Self::READ_COUNTER => "TPM_ReadCounter",
            Self::RELEASE_COUNTER => "TPM_ReleaseCounter",
            Self::RELEASE_COUNTER_OWNER => "TPM_ReleaseCounterOwner",
            Self::PHYSICAL_PRESENCE => "TSC_PhysicalPresence",
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
    /// The owner.
    pub const OWNER: u32 = 0x4000_0001;
    /// The endorsement key.
    pub const ENDORSEMENT: u32 = 0x4000_0006;
}

/// Types of entities for OSAP (part 2, 4.3).
pub mod entity {
    /// A loaded key.
    pub const KEY_HANDLE: u16 = 1;
    /// The owner.
    pub const OWNER: u16 = 2;
    /// The storage root key, where its secret is changed.
    pub const SRK: u16 = 4;
}

/// Types of resources (part 2, 4.1).
pub mod resource {
    /// A loaded key.
    pub const KEY: u32 = 1;
    /// An authorization session.
    pub const AUTH: u32 = 2;
    /// A monotonic counter.
    pub const COUNTER: u32 = 6;
}
