//! Values that somebody gave: found again while a key has them, and shut once they were wrong.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crypto::Hash;
use crypto::Secret;
use tss::os::{AppendOnly, Living};

use super::secret::{passphrase, read_pin};
use super::tried::{Permit, Tried};
use super::{Offered, Subject, missing};
use crate::{Error, Tpm};

/// The values of the keys that this process has loaded, each as long as a key has it.
static LOADED: Living<Value> = Living::new();

/// Which key a value is for: a digest of everything that makes it the same, the private part included. A key file that
/// was made anew, with another value, is another key, although its name may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    digest: [u8; 32],
    /// A persistent key's value can be changed where it is.
    handle: Option<u32>,
}

impl Identity {
    /// Of a key with a file.
    pub(crate) fn of_file(public: &[u8], private: &[u8]) -> Self {
        Self::of(None, &[public, private])
    }

    /// Of a persistent key in a TPM.
    pub(crate) fn of_handle(tpm: &Tpm, handle: u32) -> Self {
        let place = tpm
            .endpoint()
            .map(|endpoint| endpoint.address().to_string());
        let place = place.unwrap_or_default();
        Self::of(Some(handle), &[&handle.to_be_bytes(), place.as_bytes()])
    }

    fn of(handle: Option<u32>, parts: &[&[u8]]) -> Self {
        // Each part by its digest, so that none can reach into its neighbour.
        let digests: Vec<Vec<u8>> = parts
            .iter()
            .map(|part| crypto::hash(Hash::Sha256, &[part]))
            .collect();
        let digests: Vec<&[u8]> = digests.iter().map(Vec::as_slice).collect();
        let mut digest = [0; 32];
        digest.copy_from_slice(&crypto::hash(Hash::Sha256, &digests));
        Self { digest, handle }
    }
}

/// A value that a key has, and whether it may still be tried.
pub(crate) struct Given {
    value: Arc<Value>,
    /// What the TPM said when it was wrong. Not behind a lock, either.
    shut: AppendOnly<String>,
    /// What to do when it is.
    advice: Option<&'static str>,
}

/// A value, and what is known of it.
struct Value {
    /// `None`: the key has none that could be guessed.
    identity: Option<Identity>,
    secret: Secret,
    /// `None`: it cannot be wrong in a way that counts.
    tried: Option<Tried>,
}

impl Given {
    /// No value. That of the parent may be wrong, unless that has none, either.
    pub(super) fn nothing(parent_is_open: bool) -> Result<Self, Error> {
        let tried = match parent_is_open {
            true => None,
            false => Some(tried()?),
        };
        Ok(Self::of(Arc::new(Value {
            identity: None,
            secret: Secret::empty(),
            tried,
        })))
    }

    /// A value that the TPM has from us.
    pub(super) fn good(identity: Identity, secret: Secret) -> Result<Self, Error> {
        let given = Self::fresh(identity, secret)?;
        if let Some(tried) = &given.value.tried {
            tried.note_good();
        }
        Ok(given)
    }

    /// Whether somebody gave a value for this key, which is loaded.
    pub(super) fn is_known(identity: Identity) -> bool {
        !LOADED.find(|value| value.is_for(identity)).is_empty()
    }

    /// What the program gives, else `pin-source`, else what is known. An error when there is none.
    pub(super) fn obtain(
        tpm: &Tpm,
        subject: &Subject,
        ask: &mut dyn FnMut(&str) -> Option<Secret>,
    ) -> Result<Self, Error> {
        let Subject { identity, what, .. } = subject;
        if let Some(secret) = passphrase(ask(what), what)? {
            return subject.take(secret);
        }
        let loaded = LOADED.find(|value| value.is_for(*identity));
        let usable = loaded.iter().find(|value| !value.is_refused());
        if let Some(source) = subject.pin_source(tpm) {
            match (read_pin(source), usable) {
                (Ok(secret), _) => return subject.take(secret),
                // Perhaps a process that has given up the right to read it.
                (Err(error), Some(_)) => log::info!("pin-source: {error}"),
                (Err(error), None) => {
                    return Err(Error::NoPin(format!(
                        "the {what} needs an authorization value (PIN); the program gave none, and pin-source = \
                         {source} gives none either: {error}"
                    )));
                }
            }
        }
        match (usable, loaded.first()) {
            (Some(value), _) => Ok(Self::of(Arc::clone(value))),
            (None, Some(_)) => Err(wrong(None)),
            (None, None) => Err(missing(subject)),
        }
    }

    /// A value that the program or a setting gave. The same one for the same key is the same value, however often the
    /// key is loaded, so a wrong one in twenty server blocks is one try; a persistent key's may have become the right
    /// one since.
    pub(super) fn new(identity: Identity, secret: Secret) -> Result<Self, Error> {
        let same = |value: &Value| value.identity == Some(identity) && value.secret == secret;
        let known = LOADED.find(same);
        match known.first() {
            Some(value) if !value.is_refused() => Ok(Self::of(Arc::clone(value))),
            Some(_) if identity.handle.is_none() => Err(wrong(None)),
            _ => Self::fresh(identity, secret),
        }
    }

    fn fresh(identity: Identity, secret: Secret) -> Result<Self, Error> {
        let value = Arc::new(Value {
            identity: Some(identity),
            secret,
            tried: Some(tried()?),
        });
        LOADED.add(&value);
        Ok(Self::of(value))
    }

    fn of(value: Arc<Value>) -> Self {
        Self {
            value,
            shut: AppendOnly::new(),
            advice: None,
        }
    }

    /// With what to do when it is wrong.
    pub(super) fn advised(self, advice: Option<&'static str>) -> Self {
        Self { advice, ..self }
    }

    /// Whether it is known to be wrong.
    pub(super) fn is_refused(&self) -> bool {
        self.shut.iter().next().is_some() || self.value.is_refused()
    }

    /// Whether the TPM has taken it.
    pub(super) fn is_good(&self) -> bool {
        let tried = self.value.tried.as_ref();
        !self.is_refused() && tried.is_none_or(Tried::is_good)
    }

    /// Whether the same value was wrong for another key that this process has.
    pub(super) fn is_refused_elsewhere(&self) -> bool {
        let other = |value: &Value| {
            value.identity != self.value.identity
                && value.secret == self.value.secret
                && value.is_refused()
        };
        !LOADED.find(other).is_empty()
    }

    /// Runs an operation with the value, unless it is known to be wrong; `is_refusal` says of an error whether it
    /// makes it so. Waits `patience` at most while another process tries it for the first time.
    pub(super) fn used_for<T>(
        &self,
        patience: Duration,
        operation: impl FnOnce(Offered<'_>) -> Result<T, tss::Error>,
        is_refusal: impl Fn(&tss::Error) -> bool,
    ) -> Result<T, Error> {
        if let Some(reason) = self.shut.iter().next() {
            return Err(wrong(Some(reason)));
        }
        let permit = match &self.value.tried {
            Some(tried) => tried.permit(patience),
            None => Permit::Known,
        };
        if matches!(permit, Permit::Refused) {
            return Err(wrong(None));
        }
        let shown_right = Cell::new(true);
        let offered = Offered {
            value: Some(&self.value.secret),
            shown_right: &shown_right,
        };
        let result = operation(offered).map_err(|error| match self.advice {
            Some(advice) if is_refusal(&error) && !error.is_of_parent() => error.advise(advice),
            _ => error,
        });
        match (&result, permit) {
            (Ok(_), Permit::First(attempt)) if shown_right.get() => attempt.succeeded(),
            (Err(error), _) if is_refusal(error) => {
                self.shut.find_or_add(|_| true, || error.to_string());
                if let Some(tried) = &self.value.tried {
                    tried.note_refused();
                }
            }
            // What else went wrong, a lockout for one, says nothing about the value.
            _ => {}
        }
        result.map_err(Error::Tss)
    }
}

impl Value {
    /// Whether it is a value of this key that somebody gave.
    fn is_for(&self, identity: Identity) -> bool {
        self.identity == Some(identity) && !self.secret.is_empty()
    }

    fn is_refused(&self) -> bool {
        self.tried.as_ref().is_some_and(Tried::is_refused)
    }
}

fn tried() -> Result<Tried, Error> {
    Tried::new().map_err(|error| {
        Error::Authorization(format!(
            "no memory to note in, for this process and its children, whether the key's authorization value is wrong: \
             {error}"
        ))
    })
}

fn wrong(reason: Option<&String>) -> Error {
    let reason = match reason {
        Some(reason) => format!(" ({reason})"),
        None => " when this program, or a process of its, tried it".into(),
    };
    Error::NotTriedAgain(format!(
        "the key's authorization value was wrong{reason}; it is not tried again until the key is loaded anew with the \
         right one, since every try counts towards the TPM's lockout"
    ))
}
