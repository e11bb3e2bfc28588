//! A key as a token has it: listed without the TPM, loaded when it is used.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::Secret;
use keys::key_dirs::{Abilities, Certificate, Entry, LONGEST_ID, certificates_of};
use keys::uri::Handle;
use keys::{Ask, Error, Key, PublicKey, Tpm};
use tss::os::AppendOnly;

use super::{digest, distinct};
use crate::pkcs11::abi::{CKR_ATTRIBUTE_VALUE_INVALID, Fault};

/// A key.
#[derive(Clone)]
pub(in crate::pkcs11) struct Held {
    pub(super) origin: Origin,
    /// What tells it from every other key, and from the same one with another authorization value.
    pub(super) fingerprint: [u8; 32],
    public: Arc<PublicKey>,
    id: Vec<u8>,
    /// What it is called where nobody else is.
    name: String,
    label: String,
    /// Once it was used. Not behind a lock: a fork in another thread would leave that locked.
    key: Arc<AppendOnly<Arc<Key>>>,
}

/// Where a key comes from.
#[derive(Clone)]
pub(super) enum Origin {
    /// A file.
    File(Arc<Entry>),
    /// A session: the key is in no file.
    Session(Arc<Entry>),
    /// A persistent object.
    Handle {
        handle: u32,
        /// Whether it has an authorization value.
        needs_value: bool,
        /// What a directory has of it.
        certificates: Vec<Certificate>,
    },
}

impl Held {
    /// The key in a file; one that was loaded already stays so.
    pub(super) fn of_entry(entry: &Arc<Entry>, old: Option<&Self>) -> Self {
        let comment = entry.comment.as_ref();
        Self {
            fingerprint: entry.fingerprint,
            public: Arc::clone(&entry.public),
            id: entry.id(),
            name: entry.name.clone(),
            label: comment.unwrap_or(&entry.name).clone(),
            key: old.map_or_else(Arc::default, |old| Arc::clone(&old.key)),
            origin: Origin::File(Arc::clone(entry)),
        }
    }

    /// A key of a session.
    pub(in crate::pkcs11) fn of_session(entry: Entry) -> Self {
        let entry = Arc::new(entry);
        Self {
            origin: Origin::Session(Arc::clone(&entry)),
            ..Self::of_entry(&entry, None)
        }
    }

    /// The same key of a session, with another label or identifier.
    pub(in crate::pkcs11) fn called(
        &self,
        label: Option<&[u8]>,
        id: Option<&[u8]>,
    ) -> crate::pkcs11::abi::Result<Self> {
        let mut other = self.clone();
        if let Some(label) = label {
            let label = std::str::from_utf8(label);
            other.label = label
                .map_err(|_| Fault(CKR_ATTRIBUTE_VALUE_INVALID))?
                .to_owned();
        }
        if let Some(id) = id {
            if id.len() > LONGEST_ID {
                return Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID));
            }
            other.id = id.to_vec();
        }
        Ok(other)
    }

    /// A persistent key, with its certificates from the directories; costs what [`Key::from_handle`] does.
    pub(in crate::pkcs11) fn at_handle(
        tpm: &Arc<Tpm>,
        uri: &Handle,
        dirs: &[PathBuf],
    ) -> Result<Self, Error> {
        let key = Key::from_handle(tpm, uri, Ask::Later)?;
        // The key's own copy is not shared.
        let public = PublicKey::of(
            key.tpm_public()
                .ok_or_else(|| Error::Missing("a persistent key without a public area".into()))?,
        )?;
        let name = format!("0x{:08x}", uri.handle);
        let loaded = AppendOnly::new();
        let id = public.short_id();
        loaded.find_or_add(|_| true, || Arc::new(key));
        Ok(Self {
            origin: Origin::Handle {
                handle: uri.handle,
                needs_value: uri.pass,
                certificates: certificates_of(dirs, &name, &public),
            },
            fingerprint: digest(&[&uri.handle.to_be_bytes(), &id]),
            public: Arc::new(public),
            id,
            label: name.clone(),
            name,
            key: Arc::new(loaded),
        })
    }

    /// The same, by a name that is nobody's in `taken`, to which it is added.
    pub(super) fn called_as_nobody_else(
        self: Arc<Self>,
        taken: &mut BTreeSet<String>,
    ) -> Arc<Self> {
        let name = distinct(&self.name, &self.id, taken);
        if name == self.name {
            return self;
        }
        let mut other = Self::clone(&self);
        if other.label == other.name {
            other.label.clone_from(&name);
        }
        other.name = name;
        Arc::new(other)
    }

    pub(in crate::pkcs11) fn public(&self) -> &Arc<PublicKey> {
        &self.public
    }

    pub(in crate::pkcs11) fn id(&self) -> &[u8] {
        &self.id
    }

    /// What it is called.
    pub(in crate::pkcs11) fn name(&self) -> &str {
        &self.name
    }

    /// What its objects are called.
    pub(in crate::pkcs11) fn label(&self) -> &str {
        &self.label
    }

    /// What tells its public half from others: a token's serial number, also with another authorization value.
    pub(in crate::pkcs11) fn fingerprint_of_public(&self) -> [u8; 32] {
        digest(&[&self.public.to_spki()])
    }

    pub(in crate::pkcs11) fn abilities(&self) -> Abilities {
        match &self.origin {
            Origin::File(entry) | Origin::Session(entry) => entry.abilities,
            Origin::Handle { .. } => {
                let loaded = self.loaded();
                loaded.map_or(NO_ABILITIES, |key| key.abilities())
            }
        }
    }

    pub(in crate::pkcs11) fn certificates(&self) -> &[Certificate] {
        match &self.origin {
            Origin::File(entry) => &entry.certificates,
            Origin::Session(_) => &[],
            Origin::Handle { certificates, .. } => certificates,
        }
    }

    /// Its file, if it has one.
    pub(in crate::pkcs11) fn path(&self) -> Option<&Path> {
        self.entry().map(|entry| entry.path.as_path())
    }

    /// What its file says, if it has one.
    pub(in crate::pkcs11) fn entry(&self) -> Option<&Arc<Entry>> {
        match &self.origin {
            Origin::File(entry) => Some(entry),
            Origin::Session(_) | Origin::Handle { .. } => None,
        }
    }

    /// Whether it stays when the session is closed.
    pub(in crate::pkcs11) fn is_of_token(&self) -> bool {
        !matches!(self.origin, Origin::Session(_))
    }

    /// Whether somebody must log in before it can be used.
    pub(in crate::pkcs11) fn wants_login(&self) -> bool {
        match &self.origin {
            Origin::File(entry) | Origin::Session(entry) => entry.needs_value,
            Origin::Handle { needs_value, .. } => *needs_value,
        }
    }

    /// The key, if it was loaded.
    pub(super) fn loaded(&self) -> Option<Arc<Key>> {
        self.key.iter().next().map(Arc::clone)
    }

    /// The key, loaded now if it was not. No TPM command.
    pub(in crate::pkcs11) fn key(&self, tpm: &Arc<Tpm>) -> Result<Arc<Key>, Error> {
        let key = self.key.get_or_make(|| match &self.origin {
            Origin::File(entry) | Origin::Session(entry) => {
                entry.key(tpm, Ask::Later).map(Arc::new)
            }
            Origin::Handle { handle, .. } => Err(Error::Missing(format!(
                "the key at 0x{handle:08x} was not found"
            ))),
        })?;
        Ok(Arc::clone(key))
    }

    /// Gives it an authorization value, which nobody has tried yet.
    pub(super) fn log_in(&self, tpm: &Arc<Tpm>, value: Secret) -> Result<Arc<Key>, Error> {
        let key = self.key(tpm)?;
        key.log_in(value)?;
        Ok(key)
    }
}

const NO_ABILITIES: Abilities = Abilities {
    sign: false,
    decrypt: false,
    agree: false,
    made_in_tpm: false,
    stays: false,
};
