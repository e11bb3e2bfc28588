//! What can go wrong with a TPM, told so that a reader can act on it.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use super::tpm2::constants::CommandCode;
use super::tpm2::name::Name;
use super::tpm2::rc::ResponseCode;
use super::tpm2::wire::Malformed;
use super::tpm12::Failure;
use super::transport::TransportError;

/// The state of a TPM's dictionary attack protection (Part 1, 19.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Wrong tries counted so far.
    pub counter: u32,
    /// Wrong tries at which the TPM locks.
    pub max_tries: u32,
    /// Seconds until one try is forgotten; 0 if tries are not counted at all.
    pub interval: u32,
    /// Seconds until the lockout authorization may be tried again.
    pub recovery: u32,
    /// Whether the TPM is locked now.
    pub in_lockout: bool,
    /// Whether there is an authorization value without which nobody resets it, or clears the TPM.
    pub auth_set: bool,
}

impl Lockout {
    /// Wrong tries that are left before the TPM locks.
    pub fn tries_left(&self) -> u32 {
        if self.in_lockout {
            0
        } else {
            self.max_tries.saturating_sub(self.counter)
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The TPM was not reached, or the connection failed.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The TPM refused a command.
    #[error("{command} failed: {code}{}", hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Tpm {
        /// The specification's name of the command.
        command: &'static str,
        /// Why.
        code: ResponseCode,
        /// What to do.
        hint: Option<String>,
    },
    /// The authorization value was wrong. Never tried again by itself: each try may count.
    #[error("{} is wrong ({command}: {code}){}", whose(command, *of_parent), wrong_auth(*tries_left, *interval, hint.as_deref()))]
    WrongAuth {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: ResponseCode,
        /// Whether it was the parent's or hierarchy's value (`parent-auth`), not the key's.
        of_parent: bool,
        /// Tries left before the TPM locks; `None` if this one did not count.
        tries_left: Option<u32>,
        /// Seconds until the TPM forgets one try, where it told.
        interval: Option<u32>,
        /// What to do.
        hint: Option<String>,
    },
    /// The TPM is locked after too many wrong authorization values.
    #[error("the TPM is locked after too many wrong authorization values{}", lockout_advice(state.as_ref()))]
    Lockout {
        /// Counters and times, if the TPM told.
        state: Option<Lockout>,
    },
    /// The lockout authorization was refused. One wrong try is enough for the TPM to take no other for a while.
    #[error("{}", lockout_auth(command, *code, *shut, *recovery))]
    LockoutAuth {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: ResponseCode,
        /// Whether it was not even looked at, since a wrong one was tried before.
        shut: bool,
        /// Seconds for which the TPM takes none after a wrong one, 0 until it is reset, if the TPM told.
        recovery: Option<u32>,
    },
    /// A message of the TPM, or a value given to it, does not have the specified form.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A response was not authenticated by its session: it was changed on its way, or made up.
    #[error(
        "the response to {command} failed its session's integrity check: somebody between this process and the TPM may be changing messages"
    )]
    SessionIntegrity {
        /// The specification's name of the command.
        command: &'static str,
    },
    /// The parent is not the one `parent-name` demands.
    #[error(
        "the parent 0x{handle:08x} has the name {found}, but parent-name demands {expected}; refused"
    )]
    ParentName {
        /// The handle of the parent.
        handle: u32,
        /// The setting.
        expected: Name,
        /// What the TPM has.
        found: Name,
    },
    /// The parent is none that was pinned when the TPM was trusted, or none could be pinned.
    #[error("the parent 0x{handle:08x} has the name {found}, {why}")]
    ParentNotPinned {
        /// The handle of the parent.
        handle: u32,
        /// What the TPM has.
        found: Name,
        /// What is pinned, where, and what to do.
        why: String,
    },
    /// The key is not the one that its URI names.
    #[error(
        "the key at 0x{handle:08x} has the name {found}, but the URI demands {expected}; refused"
    )]
    ObjectName {
        /// The handle of the key.
        handle: u32,
        /// What the URI says.
        expected: Name,
        /// What the TPM has.
        found: Name,
    },
    /// A new object is not what was asked for.
    #[error(
        "the TPM's answer to {command} is not the object that was asked for: {what}; it is not used. The TPM is \
         faulty, or somebody between this process and the TPM changes messages"
    )]
    NotAsAsked {
        /// The specification's name of the command.
        command: &'static str,
        /// What differs, asked and answered.
        what: String,
    },
    /// The key does not belong to this TPM or this parent (`TPM_RC_INTEGRITY`).
    #[error("this key was made on another TPM or under another parent: tried {parent} ({code})")]
    ForeignKey {
        /// The parent or template that was tried.
        parent: String,
        /// The TPM's answer.
        code: ResponseCode,
    },
    /// The TPM, or this version, cannot do what was asked.
    #[error("{what}")]
    Unsupported {
        /// What cannot be done and what can be done instead.
        what: String,
    },
    /// The key is used by signed policies, and there is none.
    #[error(
        "the key is used by signed policies, and none is in its file: `tpmctl policy add` adds one that `tpmctl policy \
         sign` has written"
    )]
    NoSignedPolicy,
    /// The key's policy does not hold.
    #[error("the key's policy does not hold now: {what}")]
    PolicyNotMet {
        /// What does not, and what can be said of it.
        what: String,
    },
    /// No room in the TPM, and nothing of ours to evict.
    #[error("{command} failed: {code}; other programs' {} fill the TPM: `tpmctl flush` removes them, or use device:/dev/tpmrm0, which makes room by itself", if code.is_session_memory() { "sessions" } else { "objects" })]
    OutOfMemory {
        /// The specification's name of the command.
        command: &'static str,
        /// The TPM's answer.
        code: ResponseCode,
    },
    /// A restricted key will not sign this message.
    #[error(
        "the key is restricted and the TPM refuses to vouch for this message, because it begins with TPM_GENERATED_VALUE (ff544347): only the TPM itself signs such messages"
    )]
    TicketRefused,
    /// A TPM 1.2 or tcsd refused a command.
    #[error("{0}")]
    Tpm12(#[from] Failure),
    /// Software cryptography failed.
    #[error("{what}")]
    Crypto {
        /// What failed.
        what: String,
    },
}

/// Whose value was wrong.
fn whose(command: &str, of_parent: bool) -> &'static str {
    let is = |codes: &[CommandCode]| codes.iter().any(|code| code.name() == Some(command));
    match of_parent {
        true => "the parent's authorization value (parent-auth, or TPM_PARENT_AUTH)",
        false if is(&[CommandCode::NV_DEFINE_SPACE, CommandCode::NV_UNDEFINE_SPACE]) => {
            "the owner's authorization value (parent-auth, or TPM_PARENT_AUTH)"
        }
        false if command.starts_with("TPM2_NV_") => {
            "the authorization value of the NV index, or of the owner in its place,"
        }
        false
            if is(&[
                CommandCode::CLEAR,
                CommandCode::CLEAR_CONTROL,
                CommandCode::HIERARCHY_CHANGE_AUTH,
                CommandCode::HIERARCHY_CONTROL,
                CommandCode::SET_PRIMARY_POLICY,
            ]) =>
        {
            "the hierarchy's authorization value"
        }
        false => "the key's authorization value",
    }
}

fn wrong_auth(tries_left: Option<u32>, interval: Option<u32>, hint: Option<&str>) -> String {
    let seconds = interval.filter(|&seconds| seconds > 0);
    let forgets = seconds.map_or_else(String::new, |seconds| {
        format!(", which forgets one every {seconds} seconds (`tpmctl lockout`)")
    });
    let tries = match tries_left {
        None => String::new(),
        Some(0) => format!(
            "; the TPM is locked now{}: `tpmctl lockout` shows it, `tpmctl lockout reset` ends it",
            seconds.map_or_else(String::new, |seconds| format!(" for {seconds} seconds"))
        ),
        Some(1) => format!("; 1 try left before the TPM locks{forgets}"),
        Some(left) => format!("; {left} tries left before the TPM locks{forgets}"),
    };
    match hint {
        Some(hint) => format!("{tries}; {hint}"),
        None => tries,
    }
}

fn lockout_advice(state: Option<&Lockout>) -> String {
    const RESET: &str = "reset it with `tpmctl lockout reset`";
    match state {
        Some(Lockout {
            counter,
            max_tries,
            interval,
            ..
        }) if *interval > 0 => format!(
            " ({counter} of {max_tries} counted, no tries left); the lock ends within {interval} seconds, in which it \
             forgets one, or {RESET}"
        ),
        Some(Lockout {
            counter, max_tries, ..
        }) => format!(" ({counter} of {max_tries} counted, no tries left); {RESET}"),
        None => format!("; wait (`tpmctl lockout` tells how long), or {RESET}"),
    }
}

fn lockout_auth(command: &str, code: ResponseCode, shut: bool, recovery: Option<u32>) -> String {
    let until = match recovery {
        None => "until its recovery time has passed (`tpmctl lockout` shows it)".to_owned(),
        Some(0) => "until the machine is restarted".to_owned(),
        Some(seconds) => format!("until {seconds} seconds after the wrong one"),
    };
    let what = match shut {
        true => "was not looked at, since a wrong one was tried before",
        false => "is wrong",
    };
    format!(
        "the lockout authorization {what} ({command}: {code}); the TPM takes none {until}, also not the right one: find \
         that meanwhile, for one wrong try is enough. Keys are not concerned"
    )
}

/// A failure, with the TPM it happened on.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Box<ErrorKind>,
    place: Option<Arc<str>>,
}

/// The result of a TPM operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// A TPM 2.0's answer, if it gave one.
    pub fn code(&self) -> Option<ResponseCode> {
        match &*self.kind {
            ErrorKind::Tpm { code, .. }
            | ErrorKind::WrongAuth { code, .. }
            | ErrorKind::LockoutAuth { code, .. }
            | ErrorKind::ForeignKey { code, .. }
            | ErrorKind::OutOfMemory { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether an authorization value was refused: the same value must not be tried again.
    pub fn is_authorization_failure(&self) -> bool {
        matches!(
            &*self.kind,
            ErrorKind::WrongAuth { .. }
                | ErrorKind::LockoutAuth { .. }
                | ErrorKind::Tpm12(Failure::WrongSecret { .. })
        )
    }

    /// Whether a key's policy was refused: it does not hold, or there is no signed policy that could.
    pub fn is_policy_refusal(&self) -> bool {
        matches!(
            &*self.kind,
            ErrorKind::PolicyNotMet { .. } | ErrorKind::NoSignedPolicy
        )
    }

    /// Whether it was the parent's or the hierarchy's value that was wrong.
    pub fn is_of_parent(&self) -> bool {
        matches!(
            &*self.kind,
            ErrorKind::WrongAuth {
                of_parent: true,
                ..
            }
        )
    }

    /// Whether TPM2_RSA_Decrypt found wrong padding (Part 3, 14.3: TPM_RC_VALUE), or a TPM 1.2's TPM_UnBind
    /// did. Lost handles, lockout and transport faults are something else.
    ///
    /// libtpms answers TPM_RC_FAILURE for it and goes on working. A chip that says so has failed for
    /// good, which its next command will show; taking it for wrong padding here keeps virtual TPMs
    /// from being padding oracles.
    pub fn is_bad_padding(&self) -> bool {
        const VALUE: u32 = 0x084;
        const FAILURE: u32 = 0x101;
        match &*self.kind {
            ErrorKind::Tpm { command, code, .. } => {
                *command == "TPM2_RSA_Decrypt" && [VALUE, FAILURE].contains(&code.base())
            }
            ErrorKind::Tpm12(failure) => failure.is_bad_padding(),
            _ => false,
        }
    }

    /// A refusal of `command`.
    pub fn tpm(command: CommandCode, code: ResponseCode) -> Self {
        ErrorKind::Tpm {
            command: command.name().unwrap_or("command"),
            code,
            hint: None,
        }
        .into()
    }

    /// Something the TPM or this version cannot do.
    pub fn unsupported(what: impl Into<String>) -> Self {
        ErrorKind::Unsupported { what: what.into() }.into()
    }

    /// The same error, naming the TPM: its address and where the address came from.
    #[must_use]
    pub fn at(mut self, place: &Arc<str>) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// The same error with advice, where it is the TPM's refusal and has none yet.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        if let ErrorKind::Tpm { hint, .. } | ErrorKind::WrongAuth { hint, .. } = &mut *self.kind {
            hint.get_or_insert_with(|| advice.into());
        }
        self
    }
}

impl<K: Into<ErrorKind>> From<K> for Error {
    fn from(kind: K) -> Self {
        Self {
            kind: Box::new(kind.into()),
            place: None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.kind, &self.place) {
            // A transport error names its TPM itself.
            (ErrorKind::Transport(error), _) => error.fmt(f),
            (kind, Some(place)) => write!(f, "TPM {place}: {kind}"),
            (kind, None) => kind.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.kind)
    }
}

/// A failure of software cryptography.
pub(crate) fn crypto_error(error: impl std::fmt::Display) -> Error {
    ErrorKind::Crypto {
        what: error.to_string(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_where_and_what_to_do() {
        let place: Arc<str> = "device:/dev/tpm0 (from TPM_TCTI in the environment)".into();
        let error = Error::from(ErrorKind::OutOfMemory {
            command: "TPM2_Load",
            code: ResponseCode(0x902),
        })
        .at(&place);
        let text = error.to_string();
        for part in [
            "/dev/tpm0",
            "TPM_TCTI",
            "TPM2_Load",
            "0x902",
            "tpmctl flush",
            "/dev/tpmrm0",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_wrong_value_tells_the_tries_left() {
        let wrong = |tries_left| {
            Error::from(ErrorKind::WrongAuth {
                command: "TPM2_Sign",
                code: ResponseCode(0x98e),
                of_parent: false,
                tries_left,
                interval: Some(600),
                hint: None,
            })
            .to_string()
        };
        assert!(
            wrong(Some(3))
                .contains("3 tries left before the TPM locks, which forgets one every 600")
        );
        assert!(
            wrong(Some(1)).contains("1 try left before the TPM locks, which forgets one every 600")
        );
        assert!(wrong(Some(0)).contains("the TPM is locked now for 600 seconds"));
        assert!(!wrong(None).contains("600"));
    }

    #[test]
    fn a_lock_tells_its_end_and_a_refused_lockout_authorization_its_time() {
        let locked = |interval| {
            Error::from(ErrorKind::Lockout {
                state: Some(Lockout {
                    counter: 3,
                    max_tries: 3,
                    interval,
                    recovery: 5,
                    in_lockout: true,
                    auth_set: true,
                }),
            })
            .to_string()
        };
        assert!(
            locked(600).contains("within 600 seconds"),
            "{}",
            locked(600)
        );
        assert!(!locked(0).contains("seconds"), "{}", locked(0));
        for text in [locked(600), locked(0)] {
            assert!(text.contains("3 of 3 counted, no tries left"), "{text}");
            assert!(text.ends_with("`tpmctl lockout reset`"), "{text}");
        }
        let refused = |shut, recovery| {
            let error = Error::from(ErrorKind::LockoutAuth {
                command: "TPM2_DictionaryAttackLockReset",
                code: ResponseCode(0x98e),
                shut,
                recovery,
            });
            assert!(error.is_authorization_failure() && error.code().is_some());
            error.to_string()
        };
        assert!(refused(false, Some(1000)).contains("until 1000 seconds after"));
        assert!(refused(false, Some(0)).contains("restarted"));
        assert!(refused(false, None).contains("`tpmctl lockout` shows it"));
        assert!(refused(true, None).contains("was not looked at"));
    }
}
