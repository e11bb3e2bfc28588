//! Authorization values: where they come from and what happens after a wrong one.
//!
//! A key that says it needs a value is not loaded without one: a server that starts without having asked would find out
//! in handshakes, and each is a try that counts towards the TPM's lockout. A value is, in this order, what the program
//! gives when it is asked; what `pin-source` has; or, for a program that reads a key a second time and is not asked
//! then, the value with which this process has the very same key loaded.
#![forbid(unsafe_code)]

mod secret;
mod tried;

use std::sync::Arc;
use std::time::Duration;

use crypto::Hash;
use crypto::Secret;
use tss::transport::{AppendOnly, Living};

use secret::passphrase;
use tried::{Permit, Tried};

use super::{Error, Tpm};

pub(super) use secret::{LONGEST_IN_TPM2, check_length, longest_value};
pub use secret::{NONE, read_line, read_secret};

/// How a front end asks for a secret: takes what it is for, gives `None` when nobody answers.
pub type Ask<'a> = &'a mut dyn FnMut(&str) -> Option<Secret>;

/// The values of the keys that this process has loaded, each as long as a key has it.
static LOADED: Living<Value> = Living::new();

/// Which key a value is for: a digest of everything that makes it the same, the private part included. A key file that
/// was made anew, with another value, is another key, although its name may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    digest: [u8; 32],
    /// A persistent key's value can be changed where it is.
    handle: Option<u32>,
}

impl Identity {
    /// Of a key with a file.
    pub(super) fn of_file(public: &[u8], private: &[u8]) -> Self {
        Self::of(None, &[public, private])
    }

    /// Of a persistent key in a TPM.
    pub(super) fn of_handle(tpm: &Tpm, handle: u32) -> Self {
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

/// A key that is being loaded, as far as its value goes.
pub(super) struct Subject<'a> {
    /// The TPM's settings.
    pub(super) tpm: &'a Tpm,
    /// Which key it is.
    pub(super) identity: Identity,
    /// How prompts and errors call it.
    pub(super) what: &'a str,
    /// The longest value that the TPM takes for it.
    pub(super) longest: usize,
}

/// A value, and what is known of it.
struct Value {
    /// `None`: the key has none that could be guessed.
    identity: Option<Identity>,
    secret: Secret,
    /// `None`: it cannot be wrong in a way that counts.
    tried: Option<Tried>,
}

/// A key's authorization value, and whether it may still be tried.
pub(super) struct Authorization {
    value: Arc<Value>,
    /// What the TPM said when it was wrong. Not behind a lock: a fork in another thread would leave that locked.
    shut: AppendOnly<String>,
}

impl Authorization {
    /// That of a key that says it has no value. `counted` is the key where its TPM counts wrong tries: a file or a URI
    /// may say so of a key that has one. Its parent's value may be wrong, too.
    pub(super) fn none(tpm: &Tpm, counted: Option<Identity>) -> Result<Self, Error> {
        if let Some(identity) = counted {
            return Self::given(identity, Secret::empty());
        }
        let config = tpm.config();
        let tried = match config.parent_auth.is_empty() && config.srk_auth.is_none() {
            true => None,
            false => Some(tried()?),
        };
        Ok(Self::of(Arc::new(Value {
            identity: None,
            secret: Secret::empty(),
            tried,
        })))
    }

    /// That of a key that was just made with `secret`.
    pub(super) fn of_new_key(
        tpm: &Tpm,
        identity: Identity,
        secret: &Secret,
    ) -> Result<Self, Error> {
        if secret.is_empty() {
            return Self::none(tpm, None);
        }
        let authorization = Self::with(identity, secret.clone())?;
        if let Some(tried) = &authorization.value.tried {
            tried.note_good();
        }
        Ok(authorization)
    }

    /// The value of a key that says it needs one. An error when there is none, before the TPM is asked.
    pub(super) fn obtain(subject: &Subject<'_>, ask: Ask<'_>) -> Result<Self, Error> {
        let Subject {
            tpm,
            identity,
            what,
            longest,
        } = *subject;
        let taken = |secret: Secret| {
            check_length(&secret, longest, &format!("the {what}"))?;
            Self::given(identity, secret)
        };
        if let Some(secret) = passphrase(ask(what), what)? {
            return taken(secret);
        }
        let loaded = LOADED.find(|value| value.is_for(identity));
        let usable = loaded.iter().find(|value| !value.is_refused());
        if let Some(source) = &tpm.config().pin_source {
            match (read_secret(source), usable) {
                (Ok(secret), _) => return taken(secret),
                // Perhaps a process that has given up the right to read it.
                (Err(error), Some(_)) => log::info!("pin-source: {error}"),
                (Err(error), None) => {
                    return Err(Error::Authorization(format!(
                        "the {what} needs an authorization value (PIN); the program gave none, and pin-source = \
                         {source} gives none either: {error}"
                    )));
                }
            }
        }
        match (usable, loaded.first()) {
            (Some(value), _) => Ok(Self::of(Arc::clone(value))),
            (None, Some(_)) => Err(wrong(None)),
            (None, None) => Err(missing(what)),
        }
    }

    /// What the program gives for a key that the TPM must be asked about before its value is obtained; an error where
    /// nothing can be obtained then.
    pub(super) fn ask_early(
        tpm: &Tpm,
        identity: Identity,
        what: &str,
        ask: Ask<'_>,
    ) -> Result<Option<Secret>, Error> {
        let given = passphrase(ask(what), what)?;
        let is_known = || !LOADED.find(|value| value.is_for(identity)).is_empty();
        if given.is_none() && tpm.config().pin_source.is_none() && !is_known() {
            return Err(missing(what));
        }
        Ok(given)
    }

    /// A value that the program or a setting gave. The same one for the same key is the same value, however often the
    /// key is loaded, so a wrong one in twenty server blocks is one try; a persistent key's may have become the right
    /// one since.
    fn given(identity: Identity, secret: Secret) -> Result<Self, Error> {
        let same = |value: &Value| value.identity == Some(identity) && value.secret == secret;
        let known = LOADED.find(same);
        match known.first() {
            Some(value) if !value.is_refused() => Ok(Self::of(Arc::clone(value))),
            Some(_) if identity.handle.is_none() => Err(wrong(None)),
            _ => Self::with(identity, secret),
        }
    }

    fn with(identity: Identity, secret: Secret) -> Result<Self, Error> {
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
        }
    }

    /// Runs an operation with the value, unless it is known to be wrong; `is_refusal` says of an error whether it
    /// makes it so. Waits `patience` at most while another process tries it for the first time.
    pub(super) fn used_for<T>(
        &self,
        patience: Duration,
        operation: impl FnOnce(&Secret) -> Result<T, tss::Error>,
        is_refusal: impl FnOnce(&tss::Error) -> bool,
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
        let result = operation(&self.value.secret);
        match (&result, permit) {
            (Ok(_), Permit::First(attempt)) => attempt.succeeded(),
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
    Error::Authorization(format!(
        "the key's authorization value was wrong{reason}; it is not tried again until the key is loaded anew with the \
         right one, since every try counts towards the TPM's lockout"
    ))
}

fn missing(what: &str) -> Error {
    Error::Authorization(format!(
        "the key needs an authorization value (PIN) and the program gave none when it was loaded ({what}): use -passin, \
         nginx's ssl_password_file, or whatever the program has for passphrases; for a program that has nothing, or \
         does not ask a second time (Apache), say pin-source = file:PATH in the provider's section of openssl.cnf"
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Config;

    fn tpm(pin_source: Option<&str>) -> Arc<Tpm> {
        Tpm::new(Config {
            pin_source: pin_source.map(str::to_owned),
            ..Config::default()
        })
        .unwrap()
    }

    fn obtain(tpm: &Tpm, key: &[u8], answer: Option<&[u8]>) -> Result<Authorization, Error> {
        let subject = Subject {
            tpm,
            identity: Identity::of_file(b"public", key),
            what: "TPM key",
            longest: 32,
        };
        Authorization::obtain(&subject, &mut |_| answer.map(Secret::from))
    }

    fn says(result: Result<Authorization, Error>, parts: &[&str]) {
        let error = result.err().expect("an error").to_string();
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    fn value(authorization: &Authorization) -> Vec<u8> {
        authorization
            .used_for(
                Duration::from_secs(1),
                |secret| Ok(secret.to_vec()),
                |_| false,
            )
            .unwrap()
    }

    fn refuse(authorization: &Authorization) {
        let refusal = tss::Error::unsupported("a refusal");
        let result: Result<(), _> =
            authorization.used_for(Duration::from_secs(1), |_| Err(refusal), |_| true);
        assert!(result.is_err());
    }

    #[test]
    fn a_value_that_nobody_gave_is_an_error_with_a_way_out() {
        let tpm = tpm(None);
        for nothing in [None, Some(&b""[..]), Some(b"\n")] {
            says(
                obtain(&tpm, b"nothing", nothing),
                &["needs an authorization value", "-passin", "pin-source"],
            );
        }
    }

    #[test]
    fn a_value_that_no_tpm_takes_is_not_tried() {
        let tpm = tpm(None);
        says(obtain(&tpm, b"long", Some(&[b'1'; 33])), &["32 bytes"]);
        says(obtain(&tpm, b"nul", Some(b"1\x002")), &["NUL"]);
        assert_eq!(
            value(&obtain(&tpm, b"long", Some(&[b'1'; 32])).unwrap()).len(),
            32
        );
    }

    #[test]
    fn a_value_is_found_again_while_the_same_key_is_loaded() {
        let tpm = tpm(None);
        let first = obtain(&tpm, b"again", Some(b"pin")).unwrap();
        let second = obtain(&tpm, b"again", None).unwrap();
        assert_eq!(value(&second), b"pin");
        // Not for another key, and not for the same one with another private part.
        says(
            obtain(&tpm, b"again2", None),
            &["needs an authorization value"],
        );
        // The second keeps it as well; then it is gone.
        drop(first);
        let third = obtain(&tpm, b"again", Some(b"")).unwrap();
        drop((second, third));
        says(
            obtain(&tpm, b"again", None),
            &["needs an authorization value"],
        );
    }

    #[test]
    fn a_wrong_value_is_not_found_again_and_not_taken_again() {
        let tpm = tpm(None);
        let wrong = obtain(&tpm, b"wrong", Some(b"wrong")).unwrap();
        let twin = obtain(&tpm, b"wrong", Some(b"wrong")).unwrap();
        refuse(&wrong);
        let calls = Cell::new(0);
        let again: Result<(), _> = twin.used_for(
            Duration::from_secs(1),
            |_| {
                calls.set(calls.get() + 1);
                Ok(())
            },
            |_| false,
        );
        assert!(again.unwrap_err().to_string().contains("not tried again"));
        assert_eq!(calls.get(), 0);
        says(obtain(&tpm, b"wrong", None), &["not tried again"]);
        says(obtain(&tpm, b"wrong", Some(b"wrong")), &["not tried again"]);
        // Another one is another matter, and goes before the wrong one from then on.
        let right = obtain(&tpm, b"wrong", Some(b"right")).unwrap();
        assert_eq!(value(&right), b"right");
        assert_eq!(value(&obtain(&tpm, b"wrong", None).unwrap()), b"right");
    }

    #[test]
    fn a_persistent_keys_value_may_have_changed() {
        let tpm = tpm(None);
        let subject = Subject {
            tpm: &tpm,
            identity: Identity::of_handle(&tpm, 0x8100_0f0f),
            what: "TPM key at handle 0x81000f0f",
            longest: 32,
        };
        let give = || Authorization::obtain(&subject, &mut |_| Some(Secret::from(&b"pin"[..])));
        let early = |answer: Option<&[u8]>| {
            let mut answer = |_: &str| answer.map(Secret::from);
            Authorization::ask_early(&tpm, subject.identity, subject.what, &mut answer)
        };
        assert!(early(None).is_err() && early(Some(b"")).is_err());
        assert_eq!(
            early(Some(b"pin")).unwrap(),
            Some(Secret::from(&b"pin"[..]))
        );
        let first = give().unwrap();
        assert_eq!(early(None).unwrap(), None);
        refuse(&first);
        assert_eq!(value(&give().unwrap()), b"pin");
    }

    #[test]
    fn the_source_is_asked_when_the_program_gives_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        let source = format!("file:{}", path.display());
        let tpm = tpm(Some(&source));
        says(
            obtain(&tpm, b"source", None),
            &["pin-source", "cannot be read", &path.display().to_string()],
        );
        std::fs::write(&path, "\n").unwrap();
        says(obtain(&tpm, b"source", None), &["pin-source", "is empty"]);
        std::fs::write(&path, "4711\n").unwrap();
        let from_file = obtain(&tpm, b"source", Some(b"")).unwrap();
        assert_eq!(value(&from_file), b"4711");
        // What the program gives goes before it.
        let given = obtain(&tpm, b"source", Some(b"0815")).unwrap();
        assert_eq!(value(&given), b"0815");
        drop(given);
        // Unreadable later: the key is loaded, so its value is known.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(value(&obtain(&tpm, b"source", None).unwrap()), b"4711");
    }

    #[test]
    fn other_errors_do_not_shut_a_key() {
        let tpm = tpm(None);
        let key = obtain(&tpm, b"lockout", Some(b"pin")).unwrap();
        let lockout = tss::Error::unsupported("in lockout");
        let result: Result<(), _> =
            key.used_for(Duration::from_secs(1), |_| Err(lockout), |_| false);
        assert!(result.is_err());
        assert_eq!(value(&key), b"pin");
    }

    #[test]
    fn a_key_without_a_value_needs_nobody() {
        let key = Authorization::none(&tpm(None), None).unwrap();
        assert!(value(&key).is_empty());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            Identity::of_file(b"ab", b"c"),
            Identity::of_file(b"a", b"bc")
        );
    }
}
