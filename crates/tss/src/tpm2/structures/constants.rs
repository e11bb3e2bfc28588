//! Numbers of the specification: algorithms, commands, handles, properties, curves.
//!
//! TPM 2.0 Library, Part 2, clauses 6 and 7. Numbers this list lacks are carried along and printed in
//! hexadecimal: a newer TPM must not be a reason to fail.
#![forbid(unsafe_code)]

use std::fmt;

/// Declares a number type with named values; unknown ones print in hexadecimal.
macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident($repr:ty, $format:literal) { $($(#[$item:meta])* $constant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);

        impl $name {
            $($(#[$item])* #[doc = concat!("`", $text, "`.")] pub const $constant: Self = Self($value);)*

            /// The name the specification gives this number, if this list has it.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, $format, self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

numbers! {
    /// `TPM_ALG_ID` (Part 2, 6.3).
    AlgId(u16, "algorithm 0x{:04x}") {
        RSA = 0x0001, "RSA";
        TDES = 0x0003, "TDES";
        SHA1 = 0x0004, "SHA1";
        HMAC = 0x0005, "HMAC";
        AES = 0x0006, "AES";
        MGF1 = 0x0007, "MGF1";
        KEYEDHASH = 0x0008, "KEYEDHASH";
        XOR = 0x000a, "XOR";
        SHA256 = 0x000b, "SHA256";
        SHA384 = 0x000c, "SHA384";
        SHA512 = 0x000d, "SHA512";
        SHA256_192 = 0x000e, "SHA256_192";
        NULL = 0x0010, "NULL";
        SM3_256 = 0x0012, "SM3_256";
        SM4 = 0x0013, "SM4";
        RSASSA = 0x0014, "RSASSA";
        RSAES = 0x0015, "RSAES";
        RSAPSS = 0x0016, "RSAPSS";
        OAEP = 0x0017, "OAEP";
        ECDSA = 0x0018, "ECDSA";
        ECDH = 0x0019, "ECDH";
        ECDAA = 0x001a, "ECDAA";
        SM2 = 0x001b, "SM2";
        ECSCHNORR = 0x001c, "ECSCHNORR";
        ECMQV = 0x001d, "ECMQV";
        KDF1_SP800_56A = 0x0020, "KDF1_SP800_56A";
        KDF2 = 0x0021, "KDF2";
        KDF1_SP800_108 = 0x0022, "KDF1_SP800_108";
        ECC = 0x0023, "ECC";
        SYMCIPHER = 0x0025, "SYMCIPHER";
        CAMELLIA = 0x0026, "CAMELLIA";
        SHA3_256 = 0x0027, "SHA3_256";
        SHA3_384 = 0x0028, "SHA3_384";
        SHA3_512 = 0x0029, "SHA3_512";
        CMAC = 0x003f, "CMAC";
        CTR = 0x0040, "CTR";
        OFB = 0x0041, "OFB";
        CBC = 0x0042, "CBC";
        CFB = 0x0043, "CFB";
        ECB = 0x0044, "ECB";
        EDDSA = 0x0060, "EDDSA";
    }
}

numbers! {
    /// `TPM_ECC_CURVE` (Part 2, 6.4).
    Curve(u16, "curve 0x{:04x}") {
        NIST_P192 = 0x0001, "NIST_P192";
        NIST_P224 = 0x0002, "NIST_P224";
        NIST_P256 = 0x0003, "NIST_P256";
        NIST_P384 = 0x0004, "NIST_P384";
        NIST_P521 = 0x0005, "NIST_P521";
        BN_P256 = 0x0010, "BN_P256";
        BN_P638 = 0x0011, "BN_P638";
        SM2_P256 = 0x0020, "SM2_P256";
        BP_P256_R1 = 0x0030, "BP_P256_R1";
        BP_P384_R1 = 0x0031, "BP_P384_R1";
        BP_P512_R1 = 0x0032, "BP_P512_R1";
        CURVE_25519 = 0x0040, "CURVE_25519";
        CURVE_448 = 0x0041, "CURVE_448";
    }
}

impl Curve {
    /// Octets of one coordinate, for the curves this list knows.
    pub const fn coordinate_size(self) -> Option<usize> {
        Some(match self {
            Self::NIST_P192 => 24,
            Self::NIST_P224 => 28,
            Self::NIST_P256
            | Self::BN_P256
            | Self::SM2_P256
            | Self::BP_P256_R1
            | Self::CURVE_25519 => 32,
            Self::NIST_P384 | Self::BP_P384_R1 => 48,
            Self::CURVE_448 => 56,
            Self::BP_P512_R1 => 64,
            Self::NIST_P521 => 66,
            Self::BN_P638 => 80,
            _ => return None,
        })
    }
}

numbers! {
    /// `TPM_CC` (Part 2, 6.5.2).
    CommandCode(u32, "command 0x{:08x}") {
        EVICT_CONTROL = 0x0120, "TPM2_EvictControl";
        HIERARCHY_CONTROL = 0x0121, "TPM2_HierarchyControl";
        NV_UNDEFINE_SPACE = 0x0122, "TPM2_NV_UndefineSpace";
        CLEAR = 0x0126, "TPM2_Clear";
        CLEAR_CONTROL = 0x0127, "TPM2_ClearControl";
        HIERARCHY_CHANGE_AUTH = 0x0129, "TPM2_HierarchyChangeAuth";
        CREATE_PRIMARY = 0x0131, "TPM2_CreatePrimary";
        NV_DEFINE_SPACE = 0x012a, "TPM2_NV_DefineSpace";
        SET_PRIMARY_POLICY = 0x012e, "TPM2_SetPrimaryPolicy";
        NV_INCREMENT = 0x0134, "TPM2_NV_Increment";
        NV_SET_BITS = 0x0135, "TPM2_NV_SetBits";
        NV_EXTEND = 0x0136, "TPM2_NV_Extend";
        NV_WRITE = 0x0137, "TPM2_NV_Write";
        NV_WRITE_LOCK = 0x0138, "TPM2_NV_WriteLock";
        DICTIONARY_ATTACK_LOCK_RESET = 0x0139, "TPM2_DictionaryAttackLockReset";
        DICTIONARY_ATTACK_PARAMETERS = 0x013a, "TPM2_DictionaryAttackParameters";
        PCR_RESET = 0x013d, "TPM2_PCR_Reset";
        NV_READ_PUBLIC = 0x0169, "TPM2_NV_ReadPublic";
        SELF_TEST = 0x0143, "TPM2_SelfTest";
        STARTUP = 0x0144, "TPM2_Startup";
        SHUTDOWN = 0x0145, "TPM2_Shutdown";
        ACTIVATE_CREDENTIAL = 0x0147, "TPM2_ActivateCredential";
        NV_READ = 0x014e, "TPM2_NV_Read";
        NV_READ_LOCK = 0x014f, "TPM2_NV_ReadLock";
        OBJECT_CHANGE_AUTH = 0x0150, "TPM2_ObjectChangeAuth";
        CREATE = 0x0153, "TPM2_Create";
        ECDH_ZGEN = 0x0154, "TPM2_ECDH_ZGen";
        IMPORT = 0x0156, "TPM2_Import";
        LOAD = 0x0157, "TPM2_Load";
        RSA_DECRYPT = 0x0159, "TPM2_RSA_Decrypt";
        SEQUENCE_COMPLETE = 0x013e, "TPM2_SequenceComplete";
        SEQUENCE_UPDATE = 0x015c, "TPM2_SequenceUpdate";
        SIGN = 0x015d, "TPM2_Sign";
        UNSEAL = 0x015e, "TPM2_Unseal";
        CONTEXT_LOAD = 0x0161, "TPM2_ContextLoad";
        CONTEXT_SAVE = 0x0162, "TPM2_ContextSave";
        FLUSH_CONTEXT = 0x0165, "TPM2_FlushContext";
        LOAD_EXTERNAL = 0x0167, "TPM2_LoadExternal";
        POLICY_NV = 0x0149, "TPM2_PolicyNV";
        POLICY_SECRET = 0x0151, "TPM2_PolicySecret";
        POLICY_SIGNED = 0x0160, "TPM2_PolicySigned";
        POLICY_AUTHORIZE = 0x016a, "TPM2_PolicyAuthorize";
        POLICY_AUTH_VALUE = 0x016b, "TPM2_PolicyAuthValue";
        POLICY_COMMAND_CODE = 0x016c, "TPM2_PolicyCommandCode";
        POLICY_COUNTER_TIMER = 0x016d, "TPM2_PolicyCounterTimer";
        POLICY_LOCALITY = 0x016f, "TPM2_PolicyLocality";
        POLICY_OR = 0x0171, "TPM2_PolicyOR";
        VERIFY_SIGNATURE = 0x0177, "TPM2_VerifySignature";
        PCR_EXTEND = 0x0182, "TPM2_PCR_Extend";
        PCR_READ = 0x017e, "TPM2_PCR_Read";
        READ_PUBLIC = 0x0173, "TPM2_ReadPublic";
        RSA_ENCRYPT = 0x0174, "TPM2_RSA_Encrypt";
        START_AUTH_SESSION = 0x0176, "TPM2_StartAuthSession";
        GET_CAPABILITY = 0x017a, "TPM2_GetCapability";
        GET_RANDOM = 0x017b, "TPM2_GetRandom";
        GET_TEST_RESULT = 0x017c, "TPM2_GetTestResult";
        HASH = 0x017d, "TPM2_Hash";
        POLICY_PCR = 0x017f, "TPM2_PolicyPCR";
        POLICY_RESTART = 0x0180, "TPM2_PolicyRestart";
        HASH_SEQUENCE_START = 0x0186, "TPM2_HashSequenceStart";
        TEST_PARMS = 0x018a, "TPM2_TestParms";
        POLICY_PASSWORD = 0x018c, "TPM2_PolicyPassword";
    }
}

/// Structure tags (Part 2, 6.9, `TPM_ST`).
pub mod tag {
    /// A response of a TPM 1.2, seen when the wrong kind of TPM answers.
    pub const RSP_COMMAND: u16 = 0x00c4;
    /// A command or response without authorizations.
    pub const NO_SESSIONS: u16 = 0x8001;
    /// A command or response with authorizations.
    pub const SESSIONS: u16 = 0x8002;
    /// `TPM_ST_HASHCHECK`: the ticket of a digest the TPM made.
    pub const HASHCHECK: u16 = 0x8024;
    /// `TPM_ST_VERIFIED`: the ticket of a signature the TPM verified.
    pub const VERIFIED: u16 = 0x8022;
}

/// Handles (Part 2, 7.4 and 7.5).
pub mod handle {
    /// `TPM_RH_OWNER`, the storage hierarchy.
    pub const OWNER: u32 = 0x4000_0001;
    /// `TPM_RH_NULL`.
    pub const NULL: u32 = 0x4000_0007;
    /// `TPM_RS_PW`: authorization by password.
    pub const PASSWORD: u32 = 0x4000_0009;
    /// `TPM_RH_LOCKOUT`.
    pub const LOCKOUT: u32 = 0x4000_000a;
    /// `TPM_RH_ENDORSEMENT`.
    pub const ENDORSEMENT: u32 = 0x4000_000b;
    /// `TPM_RH_PLATFORM`.
    pub const PLATFORM: u32 = 0x4000_000c;
    /// `TPM_RH_PLATFORM_NV`: the NV indices that the platform has defined, for TPM2_HierarchyControl.
    pub const PLATFORM_NV: u32 = 0x4000_000d;
    /// First NV index.
    pub const NV_FIRST: u32 = 0x0100_0000;
    /// First HMAC session; with `TPM_CAP_HANDLES` also: loaded sessions.
    pub const HMAC_SESSION_FIRST: u32 = 0x0200_0000;
    /// First policy session; with `TPM_CAP_HANDLES` also: saved sessions.
    pub const POLICY_SESSION_FIRST: u32 = 0x0300_0000;
    /// First transient object.
    pub const TRANSIENT_FIRST: u32 = 0x8000_0000;
    /// First persistent object.
    pub const PERSISTENT_FIRST: u32 = 0x8100_0000;
    /// First persistent object of the platform; the owner's lie below.
    pub const PLATFORM_PERSISTENT_FIRST: u32 = 0x8180_0000;
    /// Where the endorsement keys are kept (TCG EK Credential Profile, 2.2.1.4 and 2.2.1.5): on RSA-2048, on P-256.
    pub const ENDORSEMENT_KEYS: [u32; 2] = [0x8101_0001, 0x8101_0002];
    /// Where the storage root key is kept (TCG TPM v2.0 Provisioning Guidance, 7.8).
    pub const SRK: u32 = 0x8100_0001;

    /// The handle's type octet (`TPM_HT`).
    pub const fn kind(handle: u32) -> u8 {
        handle.to_be_bytes()[0]
    }

    /// Whether this names a persistent object.
    pub const fn is_persistent(handle: u32) -> bool {
        kind(handle) == 0x81
    }

    /// The hierarchy whose value makes an object persistent at this handle, and removes it.
    pub const fn guardian(persistent: u32) -> u32 {
        match persistent {
            PLATFORM_PERSISTENT_FIRST.. => PLATFORM,
            _ => OWNER,
        }
    }

    /// Whether this names one of the hierarchies a primary can be made in.
    pub const fn is_hierarchy(handle: u32) -> bool {
        matches!(handle, OWNER | NULL | ENDORSEMENT | PLATFORM)
    }
}

/// Capabilities (Part 2, 6.12, `TPM_CAP`).
pub mod capability {
    /// `TPM_CAP_ALGS`.
    pub const ALGS: u32 = 0;
    /// `TPM_CAP_HANDLES`.
    pub const HANDLES: u32 = 1;
    /// `TPM_CAP_COMMANDS`.
    pub const COMMANDS: u32 = 2;
    /// `TPM_CAP_PCRS`: the banks, and the registers in each.
    pub const PCRS: u32 = 5;
    /// `TPM_CAP_TPM_PROPERTIES`.
    pub const TPM_PROPERTIES: u32 = 6;
    /// `TPM_CAP_ECC_CURVES`.
    pub const ECC_CURVES: u32 = 8;
    /// `TPM_CAP_AUTH_POLICIES`: the policies of hierarchies.
    pub const AUTH_POLICIES: u32 = 9;
}

/// Properties (Part 2, 6.13, `TPM_PT`).
pub mod property {
    /// First fixed property; also `TPM_PT_FAMILY_INDICATOR`.
    pub const FIXED: u32 = 0x100;
    /// Revision of the specification, times 100.
    pub const REVISION: u32 = 0x102;
    /// Vendor, four ASCII characters.
    pub const MANUFACTURER: u32 = 0x105;
    /// First of four vendor strings.
    pub const VENDOR_STRING_1: u32 = 0x106;
    /// Firmware version, upper half.
    pub const FIRMWARE_VERSION_1: u32 = 0x10b;
    /// Firmware version, lower half.
    pub const FIRMWARE_VERSION_2: u32 = 0x10c;
    /// `TPM_PT_INPUT_BUFFER`: the largest `TPM2B_MAX_BUFFER`.
    pub const INPUT_BUFFER: u32 = 0x10d;
    /// `TPM_PT_HR_TRANSIENT_MIN`: transient objects that fit at least.
    pub const TRANSIENT_MIN: u32 = 0x10e;
    /// `TPM_PT_HR_LOADED_MIN`: sessions that can be loaded at least.
    pub const LOADED_SESSIONS_MIN: u32 = 0x110;
    /// `TPM_PT_ACTIVE_SESSIONS_MAX`: sessions, loaded and saved.
    pub const ACTIVE_SESSIONS_MAX: u32 = 0x111;
    /// `TPM_PT_NV_INDEX_MAX`: bytes of the largest NV index.
    pub const NV_INDEX_MAX: u32 = 0x117;
    /// `TPM_PT_MAX_COMMAND_SIZE`.
    pub const MAX_COMMAND_SIZE: u32 = 0x11e;
    /// `TPM_PT_MAX_RESPONSE_SIZE`.
    pub const MAX_RESPONSE_SIZE: u32 = 0x11f;
    /// `TPM_PT_NV_BUFFER_MAX`: bytes one NV_Read may return.
    pub const NV_BUFFER_MAX: u32 = 0x12c;
    /// First variable property; also `TPM_PT_PERMANENT`.
    pub const PERMANENT: u32 = 0x200;
    /// `TPM_PT_STARTUP_CLEAR`: which hierarchies are enabled.
    pub const STARTUP_CLEAR: u32 = 0x201;
    /// Free slots for transient objects, as far as the TPM can tell.
    pub const TRANSIENT_AVAIL: u32 = 0x207;
    /// `TPM_PT_HR_PERSISTENT_AVAIL`: free slots for persistent objects.
    pub const PERSISTENT_AVAIL: u32 = 0x209;
    /// `TPM_PT_LOCKOUT_COUNTER`.
    pub const LOCKOUT_COUNTER: u32 = 0x20e;
    /// `TPM_PT_MAX_AUTH_FAIL`.
    pub const MAX_AUTH_FAIL: u32 = 0x20f;
    /// `TPM_PT_LOCKOUT_INTERVAL`, seconds.
    pub const LOCKOUT_INTERVAL: u32 = 0x210;
    /// `TPM_PT_LOCKOUT_RECOVERY`, seconds.
    pub const LOCKOUT_RECOVERY: u32 = 0x211;
    /// Bits of `TPM_PT_PERMANENT`: the hierarchy has an authorization value.
    pub const PERMANENT_OWNER_AUTH_SET: u32 = 1 << 0;
    /// The same of the endorsement hierarchy.
    pub const PERMANENT_ENDORSEMENT_AUTH_SET: u32 = 1 << 1;
    /// The same of the lockout hierarchy. Without one everybody may send TPM2_Clear.
    pub const PERMANENT_LOCKOUT_AUTH_SET: u32 = 1 << 2;
    /// Bit of `TPM_PT_PERMANENT`: TPM2_Clear does not work.
    pub const PERMANENT_DISABLE_CLEAR: u32 = 1 << 8;
    /// Bits of `TPM_PT_STARTUP_CLEAR`: the platform hierarchy is enabled.
    pub const STARTUP_CLEAR_PLATFORM: u32 = 1 << 0;
    /// The owner hierarchy is.
    pub const STARTUP_CLEAR_OWNER: u32 = 1 << 1;
    /// The endorsement hierarchy is.
    pub const STARTUP_CLEAR_ENDORSEMENT: u32 = 1 << 2;
    /// NV indices that the platform has defined are.
    pub const STARTUP_CLEAR_PLATFORM_NV: u32 = 1 << 3;
    /// Bit of `TPM_PT_PERMANENT`: locked out.
    pub const PERMANENT_IN_LOCKOUT: u32 = 1 << 9;
}

/// Hash algorithm of an identifier, for those this client can compute.
pub fn hash_of(algorithm: AlgId) -> Option<crypto::Hash> {
    use crypto::Hash;
    Some(match algorithm {
        AlgId::SHA1 => Hash::Sha1,
        AlgId::SHA256 => Hash::Sha256,
        AlgId::SHA384 => Hash::Sha384,
        AlgId::SHA512 => Hash::Sha512,
        AlgId::SHA3_256 => Hash::Sha3_256,
        AlgId::SHA3_384 => Hash::Sha3_384,
        AlgId::SHA3_512 => Hash::Sha3_512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_print_in_hexadecimal() {
        assert_eq!(AlgId::SHA256.to_string(), "SHA256");
        assert_eq!(AlgId(0x4711).to_string(), "algorithm 0x4711");
        assert_eq!(CommandCode::SIGN.to_string(), "TPM2_Sign");
        assert_eq!(Curve(0x99).to_string(), "curve 0x0099");
    }
}
