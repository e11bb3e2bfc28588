//! Another authorization value for the key in a key file.
#![forbid(unsafe_code)]

use crypto::Secret;
use tss::tpm2::{Attributes, Public};

use super::credential::{check_length, longest_value};
use super::load::{counts_tries, object_of};
use super::tss2::{KeyFile, Kind};
use super::{Error, PublicKey, Tpm};

/// A key file whose key can get another authorization value.
pub struct ChangeAuth<'a> {
    file: &'a KeyFile,
    public: Public,
}

impl<'a> ChangeAuth<'a> {
    /// Looks at the file. No TPM command.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a key that is not loaded by its file, or whose value only its policy may change.
    pub fn of(file: &'a KeyFile) -> Result<Self, Error> {
        match file.kind {
            Kind::Loadable => {}
            Kind::Importable => {
                return Err(Error::Unsupported(
                    "the key file is importable: make a loadable one of it first, with `tpmctl key finish FILE`, and \
                     change the value of that"
                        .into(),
                ));
            }
            Kind::Sealed => file.require_key()?,
        }
        let public = Public::from_tpm2b(&file.public)?;
        PublicKey::of(&public)?;
        if public.attributes().contains(Attributes::ADMIN_WITH_POLICY) {
            return Err(Error::Unsupported(format!(
                "the authorization value of this key can be changed by its policy only (its attributes are {}), which this \
                 version does not do: make a new key with `tpmctl key new --auth`",
                public.attributes()
            )));
        }
        Ok(Self { file, public })
    }

    /// Whether wrong tries of the key's value count towards the TPM's lockout. That was settled when the key was made.
    pub fn counts_tries(&self) -> bool {
        counts_tries(&self.public)
    }

    /// Refuses values that the TPM does not take, before it is asked.
    pub fn check(&self, new: &Secret) -> Result<(), Error> {
        let limit = longest_value(self.public.name_alg());
        check_length(new, limit, "the key, the new one,")
    }
}

/// Has the TPM give the key another value, and makes the key file with that. The old file goes on working with the old
/// value: no TPM can revoke it. Costs what [`Client::change_object_auth`](tss::tpm2::Client::change_object_auth)
/// does.
///
/// # Errors
///
/// An authorization failure for a wrong `old`, which is tried once.
pub fn change_auth(
    tpm: &Tpm,
    change: &ChangeAuth<'_>,
    old: &Secret,
    new: &Secret,
) -> Result<KeyFile, Error> {
    let ChangeAuth { file, public } = change;
    change.check(new)?;
    let limit = longest_value(public.name_alg());
    check_length(old, limit, "the key, the old one,")?;
    let object = object_of(tpm, file, public.clone())?;
    let private = tpm.client()?.change_object_auth(&object, old, new)?;
    Ok(KeyFile {
        private,
        empty_auth: new.is_empty(),
        ..(*file).clone()
    })
}
