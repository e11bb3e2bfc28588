//! Credentials: what a key is used with, where it comes from, and what happens after a wrong one.
//!
//! A key without an authorization value needs nothing. One that says it needs a value is not loaded without: a server
//! that starts without having asked would find out in handshakes, and each is a try that counts towards the TPM's
//! lockout. A value is, in this order, what the program gives when it is asked; what `pin-source` has; or, for a
//! program that reads a key a second time and is not asked then, the value with which this process has the very same
//! key loaded. A front end whose users log in after loading says so ([`Ask::Later`]) and gives the value then.
#![forbid(unsafe_code)]

mod given;
mod secret;
mod tried;

use std::cell::Cell;
use std::time::Duration;

use crypto::Secret;
use tss::os::AppendOnly;

use given::Given;

use super::{Error, Tpm};

pub(crate) use given::Identity;
pub(super) use secret::{LONGEST_IN_TPM2, check_length, longest_value};
pub use secret::{NONE, read_line, read_secret};
pub(crate) use secret::{PIN_SOURCES, is_pin_source, passphrase, read_pin};

/// How a key that needs an authorization value comes by it.
pub enum Ask<'a> {
    /// By asking the program when the key is loaded: takes what the value is for, gives `None` when nobody answers.
    Now(&'a mut dyn FnMut(&str) -> Option<Secret>),
    /// By [`Key::log_in`](crate::Key::log_in), after the key was loaded; until then it refuses private operations.
    Later,
}

/// What is known of a key's authorization value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The TPM has taken it, or the key has none.
    Good,
    /// Nobody has tried it.
    Untried,
    /// Nobody has tried it, and the same one was wrong for another key.
    Doubtful,
    /// The TPM has refused it.
    Refused,
    /// There is none yet.
    Missing,
}

/// A key that needs a value, as far as that goes.
pub(super) struct Subject {
    /// Which key it is.
    pub(super) identity: Identity,
    /// How prompts and errors call it.
    pub(super) what: String,
    /// The longest value that the TPM takes for it.
    pub(super) longest: usize,
    /// What else to do when nobody gives a value.
    pub(super) advice: Option<&'static str>,
    /// Where the value is if the program gives none; in the place of the setting.
    pub(super) pin_source: Option<String>,
}

/// What a private operation is given.
#[derive(Clone, Copy)]
pub(super) struct Offered<'a> {
    /// The authorization value, empty for a key that has none; `None` if nobody gave one and the key's policy may do
    /// without.
    pub(super) value: Option<&'a Secret>,
    /// Whether success shows that the value is right; true unless the operation says otherwise.
    pub(super) shown_right: &'a Cell<bool>,
}

/// What a key is used with, beside its policy.
pub(super) enum Credential {
    /// A value; an empty one for a key that has none.
    Value(Given),
    /// None, and the key's policy may do without.
    Unknown,
    /// A value that is asked for later.
    Login {
        subject: Subject,
        /// What was given since, of which the last counts. Not behind a lock: a fork in another thread would leave that
        /// locked.
        given: AppendOnly<Given>,
    },
}

impl Credential {
    /// That of a key that says it has no value. `counted` is the key where its TPM counts wrong tries: a file or a URI
    /// may say so of a key that has one, and `advice` is what to do then. Its parent's value may be wrong, too.
    pub(super) fn none(
        tpm: &Tpm,
        counted: Option<Identity>,
        advice: Option<&'static str>,
    ) -> Result<Self, Error> {
        if let Some(identity) = counted {
            let given = Given::new(identity, Secret::empty())?;
            return Ok(Self::Value(given.advised(advice)));
        }
        let config = tpm.config();
        let parent_is_open = config.parent_auth.is_empty() && config.srk_auth.is_none();
        let given = Given::nothing(parent_is_open)?;
        Ok(Self::Value(given.advised(advice)))
    }

    /// That of a key that was just made with `secret`.
    pub(super) fn of_new_key(
        tpm: &Tpm,
        identity: Identity,
        secret: &Secret,
    ) -> Result<Self, Error> {
        if secret.is_empty() {
            return Self::none(tpm, None, None);
        }
        Given::good(identity, secret.clone()).map(Self::Value)
    }

    /// That of a key that says it needs a value. An error when there is none and none is to come, before the TPM is
    /// asked.
    pub(super) fn obtain(tpm: &Tpm, subject: Subject, ask: Ask<'_>) -> Result<Self, Error> {
        match ask {
            Ask::Now(ask) => Given::obtain(tpm, &subject, ask).map(Self::Value),
            Ask::Later => Ok(Self::Login {
                subject,
                given: AppendOnly::new(),
            }),
        }
    }

    /// The same for a key whose policy may hold without a value: nobody need give one.
    pub(super) fn obtain_if_given(
        tpm: &Tpm,
        subject: Subject,
        ask: Ask<'_>,
    ) -> Result<Self, Error> {
        let has_source = subject.pin_source(tpm).is_some();
        match Self::obtain(tpm, subject, ask) {
            Err(Error::NoPin(_)) if !has_source => Ok(Self::Unknown),
            other => other,
        }
    }

    /// Asks for the value of a key about which the TPM must be asked before; an error where nothing can be obtained
    /// then.
    pub(super) fn ask_early(tpm: &Tpm, subject: &Subject, ask: Ask<'_>) -> Result<Early, Error> {
        let Subject { identity, what, .. } = subject;
        let Ask::Now(ask) = ask else {
            return Ok(Early::Later);
        };
        let given = passphrase(ask(what), what)?;
        if given.is_none() && subject.pin_source(tpm).is_none() && !Given::is_known(*identity) {
            return Err(missing(subject));
        }
        Ok(Early::Now(given))
    }

    /// Whether a value must be given before the key can be used.
    pub(super) fn needs_login(&self) -> bool {
        match self {
            Self::Value(_) | Self::Unknown => false,
            Self::Login { given, .. } => given.iter().next().is_none_or(Given::is_refused),
        }
    }

    /// What is known of the value that somebody gave.
    pub(super) fn standing(&self) -> Standing {
        let given = match self {
            Self::Value(given) => given,
            Self::Unknown => return Standing::Good,
            Self::Login { given, .. } => match given.iter().next() {
                Some(given) => given,
                None => return Standing::Missing,
            },
        };
        match given {
            given if given.is_good() => Standing::Good,
            given if given.is_refused() => Standing::Refused,
            given if given.is_refused_elsewhere() => Standing::Doubtful,
            _ => Standing::Untried,
        }
    }

    /// Takes the value that was to come later, or another one after it.
    pub(super) fn log_in(&self, secret: Secret) -> Result<(), Error> {
        let Self::Login { subject, given } = self else {
            return Err(Error::Authorization(
                "the key was loaded with all that it needs: it takes no authorization value afterwards"
                    .into(),
            ));
        };
        let secret = passphrase(Some(secret), &subject.what)?.ok_or_else(|| {
            Error::Authorization(format!("the value given for the {} is empty", subject.what))
        })?;
        let value = subject.take(secret)?;
        given.find_or_add(|_| false, || value);
        Ok(())
    }

    /// Runs an operation with the value, unless it is known to be wrong. Waits `patience` at most while another process
    /// tries it for the first time.
    pub(super) fn used_for<T>(
        &self,
        patience: Duration,
        operation: impl FnOnce(Offered<'_>) -> Result<T, tss::Error>,
    ) -> Result<T, Error> {
        let given = match self {
            Self::Value(given) => given,
            Self::Unknown => {
                let offered = Offered {
                    value: None,
                    shown_right: &Cell::new(false),
                };
                return operation(offered).map_err(Error::Tss);
            }
            Self::Login { subject, given } => {
                let last = given.iter().next();
                last.ok_or_else(|| {
                    Error::NoPin(format!(
                        "the {} needs an authorization value (PIN), and nobody has logged in",
                        subject.what
                    ))
                })?
            }
        };
        given.used_for(patience, operation, tss::Error::is_authorization_failure)
    }
}

/// What came of asking for a value early.
pub(super) enum Early {
    /// This was given.
    Now(Option<Secret>),
    /// It comes after loading.
    Later,
}

impl Early {
    /// As an answer to the question that was asked.
    pub(super) fn answer<T>(self, then: impl FnOnce(Ask<'_>) -> T) -> T {
        match self {
            Self::Now(given) => then(Ask::Now(&mut |_| given.clone())),
            Self::Later => then(Ask::Later),
        }
    }
}

impl Subject {
    /// Where the value is if the program gives none.
    fn pin_source<'a>(&'a self, tpm: &'a Tpm) -> Option<&'a String> {
        let setting = tpm.config().pin_source.as_ref();
        self.pin_source.as_ref().or(setting)
    }

    fn take(&self, secret: Secret) -> Result<Given, Error> {
        check_length(&secret, self.longest, &format!("the {}", self.what))?;
        Given::new(self.identity, secret)
    }
}

fn missing(subject: &Subject) -> Error {
    let what = &subject.what;
    let advice = subject.advice.map(|advice| format!("; {advice}"));
    Error::NoPin(format!(
        "the key needs an authorization value (PIN) and the program gave none when it was loaded ({what}): use -passin, \
         nginx's ssl_password_file, or whatever the program has for passphrases; for a program that has nothing, or \
         does not ask a second time (Apache), say pin-source = file:PATH in the provider's section of openssl.cnf{}",
        advice.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests;
