//! Which TPM, and how it is to be used.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use crate::Secret;
use crate::tss;
use crate::tss::tpm2::{Client, Name, Options, Sessions};
use crate::tss::transport::{Address, AppendOnly, Endpoint, Limits, Origin};

/// Settings of one user of a TPM: a provider instance, or the command.
pub struct Config {
    /// The address and where it came from; `None` means detection.
    pub address: Option<(Address, Origin)>,
    /// When secrets go through encrypted sessions.
    pub sessions: Sessions,
    /// The name that a salting parent must have.
    pub parent_name: Option<Name>,
    /// The authorization value of parents.
    pub parent_auth: Secret,
    /// Whether signatures are checked in software before they are handed out.
    pub verify: bool,
    /// How long to wait for the TPM.
    pub limits: Limits,
    /// Called once, when the TPM is opened for the first time.
    pub on_open: fn(),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: None,
            sessions: Sessions::Auto,
            parent_name: None,
            parent_auth: Secret::empty(),
            verify: true,
            limits: Limits::default(),
            on_open: || {},
        }
    }
}

/// A TPM that is opened when it is first needed.
pub struct Tpm {
    config: Config,
    // At most one of each. Not behind a lock: a fork in another thread would leave that locked.
    endpoint: AppendOnly<Arc<Endpoint>>,
    client: AppendOnly<Arc<Client>>,
    wrong_pss_salt: AtomicBool,
}

impl Tpm {
    /// Prepares `config`: names are resolved and directories are held, since hosts may chroot or
    /// drop privileges before the first use. Neither a connection nor a TPM command; a TPM that is
    /// not there is an error only when it is used.
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        let endpoint = AppendOnly::new();
        let found = match &config.address {
            Some((address, origin)) => {
                let endpoint = Endpoint::new(address.clone(), origin.clone());
                Some(endpoint.map_err(|error| Error::Tss(tss::Error::from(error)))?)
            }
            None => Endpoint::detect(Path::new("/"))
                .and_then(|address| Endpoint::new(address, Origin::Detected))
                .ok(),
        };
        if let Some(found) = found {
            endpoint.find_or_add(|_| true, || found);
        }
        Ok(Arc::new(Self {
            config,
            endpoint,
            client: AppendOnly::new(),
            wrong_pss_salt: AtomicBool::new(false),
        }))
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The address, or why there is none.
    pub fn endpoint(&self) -> Result<Arc<Endpoint>, Error> {
        if let Some(endpoint) = self.endpoint.iter().next() {
            return Ok(Arc::clone(endpoint));
        }
        // Nothing was there when the host started; a device may have come since.
        let found = Endpoint::detect(Path::new("/"))
            .and_then(|address| Endpoint::new(address, Origin::Detected))
            .map_err(|error| Error::Tss(tss::Error::from(error)))?;
        Ok(Arc::clone(self.endpoint.find_or_add(|_| true, || found)))
    }

    /// The client; it connects with its first command.
    pub fn client(&self) -> Result<&Arc<Client>, Error> {
        if let Some(client) = self.client.iter().next() {
            return Ok(client);
        }
        let options = Options {
            sessions: self.config.sessions,
            parent_name: self.config.parent_name.clone(),
            limits: self.config.limits,
        };
        let client = Client::shared(self.endpoint()?, options);
        (self.config.on_open)();
        Ok(self.client.find_or_add(|_| true, || client))
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
