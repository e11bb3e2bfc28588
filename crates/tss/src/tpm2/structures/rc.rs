//! Response codes: layer, format, number, and what they mean (Part 1, 39; Part 2, 6.6).
#![forbid(unsafe_code)]

use std::fmt;

use super::rc_names::{FORMAT_ONE_CODES, FORMAT_ZERO_CODES};

/// `TPM_RC`, with the layer octet that resource managers and TSS libraries put on top.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseCode(pub u32);

/// What a format-one code complains about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The command as a whole.
    Command,
    /// A parameter, counted from 1.
    Parameter(u8),
    /// A handle, counted from 1.
    Handle(u8),
    /// An authorization, counted from 1.
    Session(u8),
}

/// The bit that tells format one from format zero.
const FORMAT_ONE: u32 = 0x80;

impl ResponseCode {
    /// `TPM_RC_SUCCESS`.
    pub const SUCCESS: Self = Self(0);

    /// The code without its layer.
    pub fn code(self) -> u32 {
        self.0 & 0xffff
    }

    /// The number that identifies the error, whatever it complains about: the code without layer and
    /// without parameter, handle or session number.
    pub fn base(self) -> u32 {
        let code = self.code();
        if code & FORMAT_ONE != 0 {
            code & 0xbf
        } else {
            code & 0xfff
        }
    }

    /// What a format-one code complains about.
    pub fn subject(self) -> Subject {
        let code = self.code();
        let number = ((code >> 8) & 0xf) as u8;
        match (code & FORMAT_ONE != 0, code & 0x40 != 0) {
            (false, _) => Subject::Command,
            (true, _) if number == 0 => Subject::Command,
            (true, true) => Subject::Parameter(number),
            (true, false) if number >= 8 => Subject::Session(number - 8),
            (true, false) => Subject::Handle(number),
        }
    }

    /// Who answered: the TPM (`None`), or the layer between.
    pub fn layer(self) -> Option<&'static str> {
        match self.0 >> 16 {
            0 => None,
            6 => Some("TSS feature API"),
            7 => Some("TSS enhanced system API"),
            8 => Some("TSS system API"),
            9 => Some("TSS marshalling"),
            10 => Some("TSS transport"),
            11 | 12 => Some("resource manager"),
            _ => Some("unknown layer"),
        }
    }

    /// The specification's name, if the list has it.
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(_, name, _)| *name)
    }

    /// One sentence about the code, if the list has it.
    pub fn meaning(self) -> Option<&'static str> {
        self.entry().map(|(_, _, meaning)| *meaning)
    }

    /// The command did nothing and shall be sent again: RETRY, YIELDED, TESTING, NV_RATE.
    pub fn is_retry(self) -> bool {
        matches!(self.base(), 0x922 | 0x908 | 0x90a | 0x920)
    }

    /// The TPM is testing itself.
    pub fn is_testing(self) -> bool {
        self.base() == 0x90a
    }

    /// No room for an object: OBJECT_MEMORY, OBJECT_HANDLES, MEMORY.
    pub fn is_object_memory(self) -> bool {
        matches!(self.base(), 0x902 | 0x904 | 0x906)
    }

    /// No room for a session: SESSION_MEMORY, SESSION_HANDLES.
    pub fn is_session_memory(self) -> bool {
        matches!(self.base(), 0x903 | 0x905)
    }

    /// No room for an object or a session.
    pub fn is_memory(self) -> bool {
        self.is_object_memory() || self.is_session_memory()
    }

    /// `TPM_RC_SEQUENCE`: the handle is a hash sequence's.
    pub fn is_sequence(self) -> bool {
        self.0 & 0xfff == 0x103
    }

    /// A handle names nothing: HANDLE, REFERENCE_H0 to H6.
    pub fn is_bad_handle(self) -> bool {
        self.base() == 0x8b || (0x910..=0x916).contains(&self.base())
    }

    /// A session is gone: REFERENCE_S0 to S6, CONTEXT_GAP, or a value error about a session handle.
    pub fn is_lost_session(self) -> bool {
        (0x918..=0x91e).contains(&self.base())
            || self.base() == 0x901
            || (matches!(self.base(), 0x84 | 0x8b) && matches!(self.subject(), Subject::Session(_)))
    }

    /// An old saved session blocks the use of new ones: CONTEXT_GAP.
    pub fn is_context_gap(self) -> bool {
        self.base() == 0x901
    }

    /// The authorization value is wrong: AUTH_FAIL, BAD_AUTH.
    pub fn is_auth_failure(self) -> bool {
        self.counts_as_try() || self.base() == 0xa2
    }

    /// A wrong authorization value that counts against the lockout: AUTH_FAIL.
    pub fn counts_as_try(self) -> bool {
        self.base() == 0x8e
    }

    /// The TPM is locked out.
    pub fn is_lockout(self) -> bool {
        self.base() == 0x921
    }

    /// The private part was not protected by this parent.
    pub fn is_integrity(self) -> bool {
        self.base() == 0x9f
    }

    /// A TPM 1.2 answered: its codes have neither of the bits that a TPM 2.0 sets in every code but
    /// one (Part 2, 6.6.2), and that one (BAD_TAG) is for commands that do not have our tag.
    pub fn is_tpm12(self) -> bool {
        const FORMAT_OR_VERSION_OR_VENDOR: u32 = 0x580;
        self.layer().is_none()
            && self != Self::SUCCESS
            && self.code() & FORMAT_OR_VERSION_OR_VENDOR == 0
    }

    /// The TPM does not know the command.
    pub fn is_unknown_command(self) -> bool {
        self.base() == 0x143
    }

    fn entry(self) -> Option<&'static (u32, &'static str, &'static str)> {
        let list = if self.code() & FORMAT_ONE != 0 {
            FORMAT_ONE_CODES
        } else {
            FORMAT_ZERO_CODES
        };
        list.iter().find(|(number, ..)| *number == self.base())
    }
}

impl fmt::Display for ResponseCode {
    /// For example `0x1df TPM_RC_INTEGRITY (parameter 1): the private part was not protected by this parent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:03x}", self.0)?;
        match (self.name(), self.base()) {
            (Some(name), _) => write!(f, " {name}")?,
            (None, number @ 0x910..=0x916) => write!(f, " TPM_RC_REFERENCE_H{}", number - 0x910)?,
            (None, number @ 0x918..=0x91e) => write!(f, " TPM_RC_REFERENCE_S{}", number - 0x918)?,
            (None, _) => {}
        }
        let separator = match self.subject() {
            Subject::Command => " (",
            subject => {
                let (kind, number) = match subject {
                    Subject::Handle(number) => ("handle", number),
                    Subject::Session(number) => ("session", number),
                    Subject::Parameter(number) => ("parameter", number),
                    Subject::Command => ("", 0),
                };
                write!(f, " ({kind} {number}")?;
                ", "
            }
        };
        match self.layer() {
            Some(layer) => write!(f, "{separator}from the {layer})")?,
            None if separator == ", " => f.write_str(")")?,
            None => {}
        }
        match (self.meaning(), self.base()) {
            (Some(meaning), _) => write!(f, ": {meaning}"),
            (None, 0x910..=0x916) => f.write_str(": the object is not loaded any more"),
            (None, 0x918..=0x91e) => f.write_str(": the session is gone"),
            (None, _) if self.is_tpm12() => {
                f.write_str(": this is a TPM 1.2, and a TPM 2.0 is needed")
            }
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseCode(0x{:x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_speak() {
        let display = |code| ResponseCode(code).to_string();
        assert_eq!(
            display(0x1df),
            "0x1df TPM_RC_INTEGRITY (parameter 1): the private part was not protected by this parent"
        );
        assert_eq!(
            display(0x902),
            "0x902 TPM_RC_OBJECT_MEMORY: the TPM has no room for another object"
        );
        assert_eq!(
            display(0x910),
            "0x910 TPM_RC_REFERENCE_H0: the object is not loaded any more"
        );
        assert_eq!(
            display(0x98e),
            "0x98e TPM_RC_AUTH_FAIL (session 1): the authorization value is wrong; this try counts against the lockout"
        );
        assert_eq!(
            display(0x000b_0922),
            "0xb0922 TPM_RC_RETRY (from the resource manager): the TPM is busy; the command must be repeated"
        );
        assert_eq!(
            display(0x000b_018b),
            "0xb018b TPM_RC_HANDLE (handle 1, from the resource manager): there is nothing at this handle"
        );
        assert_eq!(display(0x4711), "0x4711");
    }

    #[test]
    fn predicates_see_through_layers_and_numbers() {
        assert!(ResponseCode(0x00a).is_tpm12() && ResponseCode(0x01e).is_tpm12());
        assert!(ResponseCode(0x00a).to_string().contains("TPM 1.2"));
        for code in [0, 0x101, 0x922, 0x98e, 0x2c4, 0x400, 0x000b_000a] {
            assert!(!ResponseCode(code).is_tpm12(), "{code:x}");
        }
        for code in [0x922, 0x908, 0x90a, 0x920, 0x000b_0922] {
            assert!(ResponseCode(code).is_retry());
        }
        for code in [0x18b, 0x28b, 0x910, 0x916] {
            assert!(ResponseCode(code).is_bad_handle());
        }
        assert!(ResponseCode(0x98e).is_auth_failure() && ResponseCode(0x98e).counts_as_try());
        assert!(ResponseCode(0x9a2).is_auth_failure() && !ResponseCode(0x9a2).counts_as_try());
        assert!(ResponseCode(0x902).is_memory() && ResponseCode(0x903).is_memory());
        assert!(ResponseCode(0x918).is_lost_session() && ResponseCode(0x984).is_lost_session());
        assert!(!ResponseCode(0x1c4).is_lost_session());
        assert!(ResponseCode(0x1df).is_integrity());
        assert!(ResponseCode(0x921).is_lockout());
    }

    #[test]
    fn subjects() {
        assert_eq!(ResponseCode(0x1c4).subject(), Subject::Parameter(1));
        assert_eq!(ResponseCode(0x184).subject(), Subject::Handle(1));
        assert_eq!(ResponseCode(0x984).subject(), Subject::Session(1));
        assert_eq!(ResponseCode(0x902).subject(), Subject::Command);
    }
}
