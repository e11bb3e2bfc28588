//! Which TPM, and how it is to be used.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tss::os::AppendOnly;
use tss::tpm2::{Client, Object, Options, ParentName, Public};
use tss::tpm12::{self, AuthValue};
use tss::transport::{Address, Endpoint, Family, Origin};
use zeroize::Zeroizing;

use super::Error;
use super::config::Config;
use super::load::object_of;
use super::trust::{ParentRule, Trust};
use super::tss2::KeyFile;

/// A TPM that is opened when it is first needed; for keys of TPM 1.2 it can be another one.
pub struct Tpm {
    config: Config,
    /// What is meant where nobody says it, as far as that was known at the start.
    family: Option<Family>,
    // At most one of each. Not behind a lock: a fork in another thread would leave that locked.
    endpoint: AppendOnly<Arc<Endpoint>>,
    client: AppendOnly<Arc<Client>>,
    /// What is pinned for the TPM at `endpoint`, if that matters.
    trust: AppendOnly<Arc<Trust>>,
    /// The one that was named for TPM 1.2.
    endpoint12: Option<Arc<Endpoint>>,
    client12: AppendOnly<Arc<tpm12::Client>>,
    wrong_pss_salt: AtomicBool,
}

impl Tpm {
    /// The object in a loadable file.
    pub fn object_in(&self, file: &KeyFile) -> Result<Object, Error> {
        object_of(self, file, Public::from_tpm2b(&file.public)?)
    }

    /// Prepares `config`: names are resolved, since hosts may chroot or drop privileges before the first use. Neither a connection nor a TPM command; a TPM that is
    /// not there is an error only when it is used.
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        let named = |(address, origin): &(Address, Origin)| {
            Endpoint::new(address.clone(), origin.clone())
                .map_err(|error| Error::Tss(tss::Error::from(error)))
        };
        let endpoint = AppendOnly::new();
        let found = match &config.address {
            Some(address) => Some(named(address)?),
            None => detected(&config).ok(),
        };
        if let Some(found) = found {
            endpoint.find_or_add(|_| true, || found);
        }
        let endpoint12 = config.address12.as_ref().map(named).transpose()?;
        let this = Self {
            family: config.family(Path::new(ROOT)),
            endpoint,
            client: AppendOnly::new(),
            trust: AppendOnly::new(),
            endpoint12,
            client12: AppendOnly::new(),
            config,
            wrong_pss_salt: AtomicBool::new(false),
        };
        // The file is out of reach of a host that has changed its root directory.
        if let Some(endpoint) = this.endpoint.iter().next() {
            this.parents(endpoint);
        }
        Ok(Arc::new(this))
    }

    /// Holds the way to the TPM for hosts that chroot or drop privileges before the first use: to be called
    /// when a key is loaded. A TPM that is not there is an error only when it is used.
    pub(super) fn hold(&self, family: Family) {
        if let Ok(endpoint) = self.endpoint_of(family) {
            endpoint.hold(self.config.hold);
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The address, or why there is none.
    pub fn endpoint(&self) -> Result<Arc<Endpoint>, Error> {
        // If nothing was there when the host started, a device may have come since.
        self.endpoint
            .get_or_make(|| detected(&self.config))
            .map(Arc::clone)
    }

    /// The client; it connects with its first command.
    pub fn client(&self) -> Result<&Arc<Client>, Error> {
        self.client.get_or_make(|| {
            let endpoint = self.endpoint()?;
            let options = Options {
                sessions: self.config.sessions,
                parent_name: self.parents(&endpoint),
                limits: self.config.limits,
            };
            let client = Client::shared(endpoint, options);
            (self.config.on_open)();
            Ok(client)
        })
    }

    /// How many wrong authorization values a TPM 2.0 takes before it locks, in one command; and at how many it does.
    pub fn tries_left(&self) -> Result<(u32, u32), Error> {
        let state = self.client()?.lockout()?;
        Ok((state.tries_left(), state.max_tries))
    }

    /// Which parents are accepted in the TPM at `endpoint`, which is this one's.
    fn parents(&self, endpoint: &Endpoint) -> ParentName {
        match &self.config.parent_name {
            ParentRule::Any => ParentName::Any,
            ParentRule::Only(name) => ParentName::Only(name.clone()),
            ParentRule::FirstUse => {
                let directory = &self.config.trust_dir;
                let read = || Arc::new(Trust::new(directory, endpoint.address(), self.config.root));
                let trust: Arc<Trust> = Arc::clone(self.trust.find_or_add(|_| true, read));
                ParentName::Pinned(trust)
            }
        }
    }

    /// The address for keys of a family, or why there is none: for TPM 1.2 the one that was named for it, else the
    /// one for all keys, else what is detected.
    pub fn endpoint_of(&self, family: Family) -> Result<Arc<Endpoint>, Error> {
        if family == Family::Tpm2 {
            return self.endpoint();
        }
        if let Some(endpoint) = &self.endpoint12 {
            return Ok(Arc::clone(endpoint));
        }
        if self.config.address.is_none()
            && let Some(address) = Endpoint::detect_daemon(Path::new(ROOT))
        {
            return Endpoint::new(address, Origin::Detected)
                .map_err(|error| Error::Tss(tss::Error::from(error)));
        }
        self.endpoint()
    }

    /// The client for keys of TPM 1.2; it connects with its first command.
    pub fn client12(&self) -> Result<&Arc<tpm12::Client>, Error> {
        self.client12.get_or_make(|| {
            let options = tpm12::Options {
                limits: self.config.limits,
            };
            let client = tpm12::Client::shared(self.endpoint_of(Family::Tpm12)?, options);
            (self.config.on_open)();
            Ok(client)
        })
    }

    /// The family of the TPM that is meant where neither a key file nor the user says it, as far as is known without
    /// asking it; see [`Config::family`].
    pub fn family(&self) -> Option<Family> {
        match self.config.address {
            Some(_) => self.endpoint().ok().and_then(|endpoint| endpoint.family()),
            // A host that has changed its root sees other files, or none.
            None => self.family.or_else(|| self.config.family(Path::new(ROOT))),
        }
    }

    /// The address of the TPM that is meant, or why there is none.
    pub fn meant(&self) -> Result<Arc<Endpoint>, Error> {
        match (&self.config.address, self.family()) {
            (None, Some(family)) => self.endpoint_of(family),
            _ => self.endpoint(),
        }
    }

    /// How long an operation takes at most: the TPM's lock, and the commands before and with the key.
    pub(super) fn patience(&self) -> Duration {
        self.config.limits.lock_wait + self.config.limits.command_wait
    }

    /// The value of a TPM 1.2's storage root key.
    pub(super) fn srk_auth(&self) -> AuthValue {
        self.config
            .srk_auth
            .as_ref()
            .map_or_else(AuthValue::well_known, |secret| srk_value(secret))
    }

    /// Whether this TPM was seen to sign PSS with a salt of another length than the digest's.
    pub(super) fn has_wrong_pss_salt(&self) -> bool {
        self.wrong_pss_salt.load(Ordering::Relaxed)
    }

    /// Notes that it did.
    pub(super) fn note_wrong_pss_salt(&self) {
        self.wrong_pss_salt.store(true, Ordering::Relaxed);
    }
}

/// Where files of this machine are.
const ROOT: &str = "/";

/// The device that is there.
fn detected(config: &Config) -> Result<Arc<Endpoint>, Error> {
    config
        .detect(Path::new(ROOT))
        .and_then(|address| Endpoint::new(address, Origin::Detected))
        .map_err(|error| Error::Tss(tss::Error::from(error)))
}

/// The authorization value that a secret of a TPM 1.2's storage root key or owner stands for: 40 hexadecimal
/// digits are the 20 bytes themselves, everything else is a password, whose SHA-1 digest it is.
pub fn srk_value(secret: &[u8]) -> AuthValue {
    bytes_of(secret).unwrap_or_else(|| AuthValue::from_password(secret))
}

fn bytes_of(secret: &[u8]) -> Option<AuthValue> {
    if secret.len() != 2 * AuthValue::SIZE {
        return None;
    }
    let mut bytes = Zeroizing::new([0; AuthValue::SIZE]);
    hex::decode_to_slice(secret, &mut *bytes).ok()?;
    AuthValue::from_bytes(&*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_the_srk_is_a_password_or_its_twenty_bytes() {
        let digest = b"7110eda4d09e062aa5e4a390b0a572ac0d2c0220";
        assert_eq!(srk_value(digest), AuthValue::from_password(b"1234"));
        assert_eq!(srk_value(b"1234"), AuthValue::from_password(b"1234"));
        assert_eq!(srk_value(&[b'0'; 40]), AuthValue::well_known());
        assert_ne!(srk_value(&[b'0'; 39]), AuthValue::well_known());
        assert_eq!(
            srk_value(&[b'x'; 40]),
            AuthValue::from_password(&[b'x'; 40])
        );
        assert_eq!(srk_value(b""), AuthValue::from_password(b""));
    }
}
