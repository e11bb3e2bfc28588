//! What a TPM 1.2 or tcsd refused, and what to do about it.
#![forbid(unsafe_code)]

use super::constants::Ordinal;
use super::rc::Code;
use crate::error::{Error, ErrorKind};

/// Whose authorization value it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The storage root key's: `srk-auth`.
    Srk,
    /// The key's own: its password.
    Key,
    /// The owner's.
    Owner,
    /// That of sealed data.
    Data,
    /// That of an area of non-volatile memory.
    Area,
    /// A counter's.
    Counter,
    /// The operator's, who may deactivate the TPM until its next start.
    Operator,
    /// What an endorsement key is revoked with.
    Revocation,
}

impl Whose {
    fn text(self) -> &'static str {
        match self {
            Self::Srk => {
                "the SRK's secret (srk-auth; without one the well-known secret of 20 zero bytes is used)"
            }
            Self::Key => "the key's password",
            Self::Owner => "the owner's secret",
            Self::Data => "the authorization value of the sealed data",
            Self::Area => "the secret of the NV area",
            Self::Counter => "the counter's secret",
            Self::Operator => "the operator's secret",
            Self::Revocation => "the value that the endorsement key is revoked with",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The TPM or tcsd refused a command.
    #[error("{command} failed: {code}{}", advice(*code).map(|advice| format!("; {advice}")).unwrap_or_default())]
    Refused {
        /// The specification's name of the command.
        command: &'static str,
        /// Why.
        code: Code,
    },
    /// An authorization value is wrong. It is never tried again: every try may count.
    #[error("{} is wrong ({command}: TPM_AUTHFAIL){}; it is not tried again, since wrong tries lock the TPM", whose.text(), if *again { ", as it was before" } else { "" })]
    WrongSecret {
        /// The specification's name of the command.
        command: &'static str,
        /// Whose value.
        whose: Whose,
        /// Whether it was refused earlier and the TPM was not asked this time.
        again: bool,
    },
    /// The TPM is locked after wrong authorization values.
    #[error(
        "the TPM is locked after too many wrong secrets (TPM_DEFEND_LOCK_RUNNING); wait, first seconds, then longer each time, or let its owner type `tpmctl lockout reset`"
    )]
    Locked,
    /// Nobody has taken ownership: there is no SRK.
    #[error(
        "the TPM has no owner, and so no SRK ({command}: {code}): take ownership with `tpmctl owner take`"
    )]
    Unowned {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: Code,
    },
    /// tcsd has no SRK in its storage, although the TPM may have one.
    #[error(
        "tcsd knows no SRK ({code}): the TPM has no owner (`tpmctl owner take`), or ownership was taken without this tcsd; then copy /usr/share/doc/trousers/examples/system.data.auth to tcsd's /var/lib/tpm/system.data and restart it"
    )]
    NoSrkInStorage {
        /// tcsd's answer.
        code: Code,
    },
    /// The TPM is switched off.
    #[error(
        "the TPM is {} ({code}): switch it on in the firmware setup of the machine; `tpmctl state show` says so", if *code == Code::DISABLED { "disabled" } else { "deactivated" }
    )]
    SwitchedOff {
        /// The TPM's answer.
        code: Code,
    },
    /// A key belongs to another TPM, or to an SRK that is gone.
    #[error(
        "this key was not made under this TPM's SRK ({command}: {code}): it was made on another TPM, or ownership was taken anew since"
    )]
    ForeignKey {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: Code,
    },
    /// Data were sealed by another TPM, or under an SRK that is gone.
    #[error(
        "these data were not sealed under this TPM's SRK, or the file is damaged ({command}: {code}): they were sealed on another TPM, or ownership was taken anew since"
    )]
    ForeignData {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: Code,
    },
    /// All slots are taken, and not by us.
    #[error(
        "{command} failed: TPM_RESOURCES (0x15); other programs' keys or sessions fill the TPM: end them, use tcsd, which makes room by itself, or restart the machine"
    )]
    Full {
        /// The specification's name of the command.
        command: &'static str,
    },
    /// tcsd cannot be asked for this.
    #[error(
        "{command} is not sent through tcsd, whose call for it is broken: stop tcsd, and name the device with --tcti device:/dev/tpm0"
    )]
    BrokenInTcsd {
        /// The specification's name of the command.
        command: &'static str,
    },
    /// It is a TPM 2.0.
    #[error(
        "this is a TPM 2.0 ({command}: {code}), and the key needs a TPM 1.2: give its address with tcti12 or TPM12_TCTI"
    )]
    NotTpm12 {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: Code,
    },
}

impl Failure {
    /// What a refusal of `ordinal` with `code` means, as far as the code alone tells.
    pub(super) fn of(ordinal: Ordinal, code: Code) -> Self {
        let command = ordinal.name();
        match code {
            Code::DEFEND_LOCK_RUNNING => Self::Locked,
            Code::NOSRK => Self::Unowned { command, code },
            Code::TCS_PS_KEY_NOTFOUND => Self::NoSrkInStorage { code },
            Code::DISABLED | Code::DEACTIVATED => Self::SwitchedOff { code },
            Code::BADTAG => Self::NotTpm12 { command, code },
            // There it means the memory, or the end of an area.
            Code::NOSPACE if command.starts_with("TPM_NV_") => Self::Refused { command, code },
            Code::RESOURCES if ordinal == Ordinal::CREATE_COUNTER => {
                Self::Refused { command, code }
            }
            Code::RESOURCES | Code::NOSPACE => Self::Full { command },
            _ => Self::Refused { command, code },
        }
    }

    /// The code that was answered.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. }
            | Self::Unowned { code, .. }
            | Self::NoSrkInStorage { code }
            | Self::SwitchedOff { code }
            | Self::ForeignKey { code, .. }
            | Self::ForeignData { code, .. }
            | Self::NotTpm12 { code, .. } => *code,
            Self::WrongSecret { .. } => Code::AUTHFAIL,
            Self::Locked => Code::DEFEND_LOCK_RUNNING,
            Self::Full { .. } => Code::RESOURCES,
            Self::BrokenInTcsd { .. } => Code::TCS_NOTIMPL,
        }
    }

    /// Whether TPM_UnBind found wrong padding.
    pub fn is_bad_padding(&self) -> bool {
        matches!(self, Self::Refused { command, code: Code::DECRYPT_ERROR } if *command == Ordinal::UNBIND.name())
    }
}

/// The code of a refusal by a TPM 1.2 or tcsd.
pub(super) fn code_of(error: &Error) -> Option<Code> {
    match error.kind() {
        ErrorKind::Tpm12(failure) => Some(failure.code()),
        _ => None,
    }
}

fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::INVALID_POSTINIT => {
            "nobody has started the TPM: its firmware, or swtpm's --flags startup-clear, sends TPM_Startup"
        }
        Code::FAIL => {
            "the TPM is in failure mode or was not initialised (swtpm: --flags not-need-init,startup-clear)"
        }
        Code::WRONGPCRVAL => {
            "the registers (PCRs) that the data are bound to have other values than when they were sealed"
        }
        Code::FAILEDSELFTEST => "the TPM has found a fault in itself: `tpmctl selftest` shows it",
        Code::INVALID_KEYUSAGE => {
            "the key was not made for this: signing needs a signing or legacy key, decryption a binding or legacy key"
        }
        Code::DECRYPT_ERROR => "the ciphertext was not made for this key, or with another padding",
        Code::TDDL_IOERROR => {
            "tcsd runs, but has lost its TPM: restart tcsd when the TPM is there again"
        }
        Code::INVALID_KEYHANDLE => {
            "the SRK's public key may only be read after its owner has typed `tpmctl srk restrict off`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_and_what_to_do() {
        for (ordinal, code, parts) in [
            (
                Ordinal::LOAD_KEY2,
                0x803,
                &["locked", "tpmctl lockout reset"][..],
            ),
            (
                Ordinal::LOAD_KEY2,
                0x12,
                &["no owner", "tpmctl owner take"][..],
            ),
            (Ordinal::SIGN, 7, &["disabled", "firmware setup"][..]),
            (Ordinal::SIGN, 6, &["deactivated", "firmware setup"][..]),
            (
                Ordinal::LOAD_KEY2,
                0x2020,
                &["tcsd knows no SRK", "system.data.auth"][..],
            ),
            (Ordinal::LOAD_KEY2, 0x15, &["fill the TPM", "tcsd"][..]),
            (
                Ordinal::SIGN,
                0x24,
                &["TPM_Sign", "TPM_INVALID_KEYUSAGE (0x24)", "not made"][..],
            ),
            (
                Ordinal::UNBIND,
                0x21,
                &["TPM_UnBind", "TPM_DECRYPT_ERROR"][..],
            ),
            (Ordinal::SIGN, 0x1087, &["has lost its TPM"][..]),
            (Ordinal::LOAD_KEY2, 0x1e, &["TPM 2.0", "tcti12"][..]),
        ] {
            let text = Failure::of(ordinal, Code(code)).to_string();
            for part in parts {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }

    #[test]
    fn only_unbinds_decryption_error_is_wrong_padding() {
        assert!(Failure::of(Ordinal::UNBIND, Code::DECRYPT_ERROR).is_bad_padding());
        assert!(!Failure::of(Ordinal::LOAD_KEY2, Code::DECRYPT_ERROR).is_bad_padding());
        assert!(!Failure::of(Ordinal::UNBIND, Code::INVALID_KEYHANDLE).is_bad_padding());
    }
}
