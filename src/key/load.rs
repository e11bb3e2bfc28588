//! Keys from files and handles.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::authorization::{Ask, Authorization};
use super::rsa::Rejection;
use super::tss2::{KeyFile, Kind};
use super::uri::Handle;
use super::{Error, Key, Private, PublicKey, Tpm};
use crate::printable;
use crate::tss::tpm2::{Attributes, Object, Parent, PrimaryTemplate, Public, Source};

impl Key {
    /// Makes a key of a key file. `ask` is called, once, when the file says that the key has an
    /// authorization value. No TPM command.
    pub fn from_file(tpm: &Arc<Tpm>, file: KeyFile, ask: Ask<'_>) -> Result<Self, Error> {
        let (public, half) = examine(&file)?;
        let what = match &file.description {
            Some(description) => format!("TPM key ({})", printable::quoted(description)),
            None => "TPM key".to_owned(),
        };
        let authorization = Authorization::obtain(!file.empty_auth, &what, ask);
        tpm.hold(false);
        let source = Source::Blob {
            parent: parent_of(tpm, &file),
            private: file.private.clone(),
        };
        Ok(Self {
            tpm: Arc::clone(tpm),
            private: Private::Tpm2 {
                object: Box::new(Object {
                    name: public.name()?,
                    public,
                    source,
                }),
                file: Some(Box::new(file)),
            },
            public: half,
            authorization,
            rejection: Rejection::default(),
        })
    }

    /// Reads the public half of the persistent key that `uri` names: one TPM command, or four where
    /// `parent-name` vouches for it and the URI has no name. `ask` is called when the URI says that the key has an
    /// authorization value.
    pub fn from_handle(tpm: &Arc<Tpm>, uri: &Handle, ask: Ask<'_>) -> Result<Self, Error> {
        let handle = uri.handle;
        let read = tpm.client()?.read_key(handle, uri.name.as_ref())?;
        let half = PublicKey::of(&read.public)?;
        tpm.hold(false);
        let what = format!("TPM key at handle 0x{handle:08x}");
        Ok(Self {
            tpm: Arc::clone(tpm),
            private: Private::Tpm2 {
                object: Box::new(Object {
                    public: read.public,
                    name: read.name,
                    source: Source::Persistent(handle),
                }),
                file: None,
            },
            public: half,
            authorization: Authorization::obtain(uri.pass, &what, ask),
            rejection: Rejection::default(),
        })
    }
}

fn parent_of(tpm: &Tpm, file: &KeyFile) -> Parent {
    let template = match (file.legacy, file.rsa_parent) {
        (true, _) => PrimaryTemplate::Legacy,
        (false, true) => PrimaryTemplate::Rsa,
        (false, false) => PrimaryTemplate::Ecc,
    };
    Parent {
        handle: file.parent,
        template,
        auth: tpm.config().parent_auth.clone(),
    }
}

/// Reads the public area of a key file and refuses what cannot be used, whatever the TPM.
pub(super) fn examine(file: &KeyFile) -> Result<(Public, PublicKey), Error> {
    refuse_what_is_not_done(file)?;
    let public = Public::from_tpm2b(&file.public)?;
    let half = PublicKey::of(&public)?;
    if !public.attributes().contains(Attributes::USER_WITH_AUTH) {
        return Err(Error::Unsupported(format!(
            "the key can be used with a policy only (its attributes are {}), and the file has \
             none: add the policy to the file with the tool that made it",
            public.attributes()
        )));
    }
    Ok((public, half))
}

fn refuse_what_is_not_done(file: &KeyFile) -> Result<(), Error> {
    match file.kind {
        Kind::Loadable => {}
        Kind::Importable => {
            return Err(Error::Unsupported(
                "the key file is importable (it needs TPM2_Import before it can be loaded), which \
                 this version does not do: import it into this TPM with the tool that made it"
                    .into(),
            ));
        }
        Kind::Sealed => file.require_key()?,
    }
    let mut commands: Vec<String> = file
        .policy
        .iter()
        .map(|command| command.name().to_string())
        .collect();
    if !file.auth_policies.is_empty() {
        commands.push("signed policies (authPolicy)".into());
    }
    if commands.is_empty() {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "the key has a policy ({}), which this version does not execute",
        commands.join(", ")
    )))
}
