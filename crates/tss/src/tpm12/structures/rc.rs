//! Result codes of the TPM (part 2, 16) and of tcsd (TSS 1.2, `tss_error_basics.h`), by name.
#![forbid(unsafe_code)]

use std::fmt;

/// A result: the TPM's own, or one of tcsd's layers, which shows in bits 12 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    /// It worked.
    pub const SUCCESS: Self = Self(0);
    /// `TPM_AUTHFAIL`: an authorization is wrong, or missing.
    pub const AUTHFAIL: Self = Self(0x01);
    /// `TPM_BADINDEX`: no such register, area or flag.
    pub const BADINDEX: Self = Self(0x02);
    /// `TPM_BAD_PARAMETER`
    pub const BAD_PARAMETER: Self = Self(0x03);
    /// `TPM_CLEAR_DISABLED`
    pub const CLEAR_DISABLED: Self = Self(0x05);
    /// `TPM_DEACTIVATED`
    pub const DEACTIVATED: Self = Self(0x06);
    /// `TPM_DISABLED`
    pub const DISABLED: Self = Self(0x07);
    /// `TPM_DISABLED_CMD`: this command is not for now.
    pub const DISABLED_CMD: Self = Self(0x08);
    /// `TPM_FAIL`
    pub const FAIL: Self = Self(0x09);
    /// `TPM_BAD_ORDINAL`: a TPM 1.1 does not know the commands of 1.2.
    pub const BAD_ORDINAL: Self = Self(0x0a);
    /// `TPM_INSTALL_DISABLED`: nobody may take ownership.
    pub const INSTALL_DISABLED: Self = Self(0x0b);
    /// `TPM_INVALID_KEYHANDLE`
    pub const INVALID_KEYHANDLE: Self = Self(0x0c);
    /// `TPM_KEYNOTFOUND`
    pub const KEYNOTFOUND: Self = Self(0x0d);
    /// `TPM_NOSRK`
    pub const NOSRK: Self = Self(0x12);
    /// `TPM_NOSPACE`: libtpms gives it when its state with another key becomes too large to save.
    pub const NOSPACE: Self = Self(0x11);
    /// `TPM_NOTSEALED_BLOB`: what was decrypted is nothing that this TPM has sealed.
    pub const NOTSEALED_BLOB: Self = Self(0x13);
    /// `TPM_OWNER_SET`
    pub const OWNER_SET: Self = Self(0x14);
    /// `TPM_RESOURCES`: no slot is free.
    pub const RESOURCES: Self = Self(0x15);
    /// `TPM_WRONGPCRVAL`: registers have other values than they shall have.
    pub const WRONGPCRVAL: Self = Self(0x18);
    /// `TPM_FAILEDSELFTEST`
    pub const FAILEDSELFTEST: Self = Self(0x1c);
    /// `TPM_AUTH2FAIL`: the second authorization is wrong.
    pub const AUTH2FAIL: Self = Self(0x1d);
    /// `TPM_BADTAG`, which is also what a TPM 2.0 answers to a command of TPM 1.2.
    pub const BADTAG: Self = Self(0x1e);
    /// `TPM_DECRYPT_ERROR`
    pub const DECRYPT_ERROR: Self = Self(0x21);
    /// `TPM_INVALID_AUTHHANDLE`
    pub const INVALID_AUTHHANDLE: Self = Self(0x22);
    /// `TPM_NO_ENDORSEMENT`
    pub const NO_ENDORSEMENT: Self = Self(0x23);
    /// `TPM_INVALID_KEYUSAGE`
    pub const INVALID_KEYUSAGE: Self = Self(0x24);
    /// `TPM_INVALID_POSTINIT`
    pub const INVALID_POSTINIT: Self = Self(0x26);
    /// `TPM_BAD_PRESENCE`: nobody is at the machine.
    pub const BAD_PRESENCE: Self = Self(0x2d);
    /// `TPM_BAD_VERSION`: a structure, also one that was just decrypted, does not begin as it should.
    pub const BAD_VERSION: Self = Self(0x2e);
    /// `TPM_NOTRESETABLE`
    pub const NOTRESETABLE: Self = Self(0x32);
    /// `TPM_NOTLOCAL`: not from this locality.
    pub const NOTLOCAL: Self = Self(0x33);
    /// `TPM_AUTH_CONFLICT`: neither authorization is for this.
    pub const AUTH_CONFLICT: Self = Self(0x3b);
    /// `TPM_AREA_LOCKED`
    pub const AREA_LOCKED: Self = Self(0x3c);
    /// `TPM_PER_NOWRITE`: nobody could write the area.
    pub const PER_NOWRITE: Self = Self(0x3f);
    /// `TPM_BAD_COUNTER`
    pub const BAD_COUNTER: Self = Self(0x45);
    /// `TPM_NOT_FULLWRITE`
    pub const NOT_FULLWRITE: Self = Self(0x46);
    /// `TPM_MAXNVWRITES`: too many writes without an owner.
    pub const MAXNVWRITES: Self = Self(0x48);
    /// `TPM_NOOPERATOR`
    pub const NOOPERATOR: Self = Self(0x49);
    /// `TPM_RETRY`: the TPM is busy.
    pub const RETRY: Self = Self(0x800);
    /// `TPM_NEEDS_SELFTEST`
    pub const NEEDS_SELFTEST: Self = Self(0x801);
    /// `TPM_DOING_SELFTEST`
    pub const DOING_SELFTEST: Self = Self(0x802);
    /// `TPM_DEFEND_LOCK_RUNNING`: locked after wrong authorizations.
    pub const DEFEND_LOCK_RUNNING: Self = Self(0x803);
    /// tcsd: the device gave an error.
    pub const TDDL_IOERROR: Self = Self(0x1087);
    /// tcsd: something failed, an unnamed step of the call.
    pub const TCS_FAIL: Self = Self(0x2002);
    /// tcsd: it does not take this value.
    pub const TCS_BAD_PARAMETER: Self = Self(0x2003);
    /// tcsd: it does not pass this on.
    pub const TCS_NOTIMPL: Self = Self(0x2006);
    /// tcsd: no key of this UUID in its persistent storage.
    pub const TCS_PS_KEY_NOTFOUND: Self = Self(0x2020);
    /// tcsd: the context is unknown.
    pub const TCS_INVALID_CONTEXTHANDLE: Self = Self(0x20c1);
    /// tcsd: the key handle is unknown.
    pub const TCS_INVALID_KEYHANDLE: Self = Self(0x20c5);
    /// tcsd: the key or its parent cannot be loaded.
    pub const TCS_KM_LOADFAILED: Self = Self(0x20ca);

    /// Whether the TPM is busy and wants to be asked again.
    pub fn is_busy(self) -> bool {
        matches!(self, Self::RETRY | Self::DOING_SELFTEST)
    }

    /// The specification's name.
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(code, _)| *code == self.0)
            .map(|(_, name)| *name)
    }

    /// Which program gave it.
    pub fn layer(self) -> &'static str {
        match self.0 & 0xf000 {
            0x0000 => "TPM",
            0x1000 => "tcsd's device layer",
            0x2000 => "tcsd",
            _ => "tcsd's client library",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:x})", self.0),
            None => write!(f, "0x{:x} ({})", self.0, self.layer()),
        }
    }
}

const NAMES: &[(u32, &str)] = &[
    (0x00, "TPM_SUCCESS"),
    (0x01, "TPM_AUTHFAIL"),
    (0x02, "TPM_BADINDEX"),
    (0x03, "TPM_BAD_PARAMETER"),
    (0x04, "TPM_AUDITFAILURE"),
    (0x05, "TPM_CLEAR_DISABLED"),
    (0x06, "TPM_DEACTIVATED"),
    (0x07, "TPM_DISABLED"),
    (0x08, "TPM_DISABLED_CMD"),
    (0x09, "TPM_FAIL"),
    (0x0a, "TPM_BAD_ORDINAL"),
    (0x0b, "TPM_INSTALL_DISABLED"),
    (0x0c, "TPM_INVALID_KEYHANDLE"),
    (0x0d, "TPM_KEYNOTFOUND"),
    (0x0e, "TPM_INAPPROPRIATE_ENC"),
    (0x0f, "TPM_MIGRATEFAIL"),
    (0x10, "TPM_INVALID_PCR_INFO"),
    (0x11, "TPM_NOSPACE"),
    (0x12, "TPM_NOSRK"),
    (0x13, "TPM_NOTSEALED_BLOB"),
    (0x14, "TPM_OWNER_SET"),
    (0x15, "TPM_RESOURCES"),
    (0x16, "TPM_SHORTRANDOM"),
    (0x17, "TPM_SIZE"),
    (0x18, "TPM_WRONGPCRVAL"),
    (0x19, "TPM_BAD_PARAM_SIZE"),
    (0x1a, "TPM_SHA_THREAD"),
    (0x1b, "TPM_SHA_ERROR"),
    (0x1c, "TPM_FAILEDSELFTEST"),
    (0x1d, "TPM_AUTH2FAIL"),
    (0x1e, "TPM_BADTAG"),
    (0x1f, "TPM_IOERROR"),
    (0x20, "TPM_ENCRYPT_ERROR"),
    (0x21, "TPM_DECRYPT_ERROR"),
    (0x22, "TPM_INVALID_AUTHHANDLE"),
    (0x23, "TPM_NO_ENDORSEMENT"),
    (0x24, "TPM_INVALID_KEYUSAGE"),
    (0x25, "TPM_WRONG_ENTITYTYPE"),
    (0x26, "TPM_INVALID_POSTINIT"),
    (0x27, "TPM_INAPPROPRIATE_SIG"),
    (0x28, "TPM_BAD_KEY_PROPERTY"),
    (0x29, "TPM_BAD_MIGRATION"),
    (0x2a, "TPM_BAD_SCHEME"),
    (0x2b, "TPM_BAD_DATASIZE"),
    (0x2c, "TPM_BAD_MODE"),
    (0x2d, "TPM_BAD_PRESENCE"),
    (0x2e, "TPM_BAD_VERSION"),
    (0x2f, "TPM_NO_WRAP_TRANSPORT"),
    (0x30, "TPM_AUDITFAIL_UNSUCCESSFUL"),
    (0x31, "TPM_AUDITFAIL_SUCCESSFUL"),
    (0x32, "TPM_NOTRESETABLE"),
    (0x33, "TPM_NOTLOCAL"),
    (0x34, "TPM_BAD_TYPE"),
    (0x35, "TPM_INVALID_RESOURCE"),
    (0x36, "TPM_NOTFIPS"),
    (0x37, "TPM_INVALID_FAMILY"),
    (0x38, "TPM_NO_NV_PERMISSION"),
    (0x39, "TPM_REQUIRES_SIGN"),
    (0x3a, "TPM_KEY_NOTSUPPORTED"),
    (0x3b, "TPM_AUTH_CONFLICT"),
    (0x3c, "TPM_AREA_LOCKED"),
    (0x3d, "TPM_BAD_LOCALITY"),
    (0x3e, "TPM_READ_ONLY"),
    (0x3f, "TPM_PER_NOWRITE"),
    (0x40, "TPM_FAMILYCOUNT"),
    (0x41, "TPM_WRITE_LOCKED"),
    (0x42, "TPM_BAD_ATTRIBUTES"),
    (0x43, "TPM_INVALID_STRUCTURE"),
    (0x44, "TPM_KEY_OWNER_CONTROL"),
    (0x45, "TPM_BAD_COUNTER"),
    (0x46, "TPM_NOT_FULLWRITE"),
    (0x47, "TPM_CONTEXT_GAP"),
    (0x48, "TPM_MAXNVWRITES"),
    (0x49, "TPM_NOOPERATOR"),
    (0x4a, "TPM_RESOURCEMISSING"),
    (0x4b, "TPM_DELEGATE_LOCK"),
    (0x4c, "TPM_DELEGATE_FAMILY"),
    (0x4d, "TPM_DELEGATE_ADMIN"),
    (0x4e, "TPM_TRANSPORT_NOTEXCLUSIVE"),
    (0x4f, "TPM_OWNER_CONTROL"),
    (0x62, "TPM_DAA_WRONG_W"),
    (0x63, "TPM_BAD_SIGNATURE"),
    (0x800, "TPM_RETRY"),
    (0x801, "TPM_NEEDS_SELFTEST"),
    (0x802, "TPM_DOING_SELFTEST"),
    (0x803, "TPM_DEFEND_LOCK_RUNNING"),
    (0x1087, "TDDL_E_IOERROR"),
    (0x2002, "TCS_E_FAIL"),
    (0x2003, "TCS_E_BAD_PARAMETER"),
    (0x2004, "TCS_E_INTERNAL_ERROR"),
    (0x2005, "TCS_E_OUTOFMEMORY"),
    (0x2006, "TCS_E_NOTIMPL"),
    (0x2020, "TCS_E_PS_KEY_NOTFOUND"),
    (0x20c1, "TCS_E_INVALID_CONTEXTHANDLE"),
    (0x20c3, "TCS_E_INVALID_AUTHHANDLE"),
    (0x20c5, "TCS_E_INVALID_KEYHANDLE"),
    (0x20c8, "TCS_E_KEY_MISMATCH"),
    (0x20ca, "TCS_E_KM_LOADFAILED"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_print_with_name_number_and_layer() {
        assert_eq!(Code::AUTHFAIL.to_string(), "TPM_AUTHFAIL (0x1)");
        assert_eq!(
            Code::TCS_PS_KEY_NOTFOUND.to_string(),
            "TCS_E_PS_KEY_NOTFOUND (0x2020)"
        );
        assert_eq!(Code(0x2fff).to_string(), "0x2fff (tcsd)");
        assert_eq!(Code(0x7f).to_string(), "0x7f (TPM)");
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
