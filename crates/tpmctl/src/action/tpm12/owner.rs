//! Whose a TPM 1.2 is.

use std::path::Path;

use serde::Serialize;
use tss::tpm12::{AuthValue, Client, PublicKey};

use super::explained;
use crate::action::tpm12::state::State;
use crate::error::Error;

/// Whose it is, and who can clear it.
#[derive(Clone, Serialize)]
pub(crate) struct Ownership {
    pub(crate) address: String,
    pub(crate) family: &'static str,
    pub(crate) owned: bool,
    /// Whether somebody may take ownership.
    pub(crate) ownable: bool,
    /// Whether it is enabled and active.
    pub(crate) works: bool,
    /// Whether the TPM can be cleared at all, and by whom.
    pub(crate) clear_enabled: bool,
    pub(crate) clear_by_owner: bool,
    pub(crate) clear_by_presence: bool,
    /// Whether a command may say that somebody is at the machine, and has.
    pub(crate) present: bool,
    /// Whether everybody who uses it may read the storage root key's public half.
    pub(crate) srk_readable: bool,
    pub(crate) srk_present: bool,
}

impl Ownership {
    /// Asks the TPM; the commands change nothing.
    pub(crate) fn read(client: &Client) -> Result<Self, Error> {
        let state = State::read(client)?;
        Ok(Self {
            works: state.enabled && state.active,
            ownable: state.ownable,
            owned: state.owned,
            clear_enabled: state.clear_by_owner || state.clear_by_presence,
            clear_by_owner: state.clear_by_owner,
            clear_by_presence: state.clear_by_presence,
            present: state.present,
            srk_readable: state.srk_readable,
            // With the owner it comes and goes.
            srk_present: state.owned,
            address: state.address,
            family: state.family,
        })
    }

    /// Whether ownership can be taken; if not, why.
    pub(crate) fn can_be_taken(&self) -> Result<(), Error> {
        if self.owned {
            return Err(Error::new(
                "the TPM has an owner already: `tpmctl owner passwd` changes the secret, `tpmctl owner clear` removes the \
                 owner and all keys",
            ));
        }
        if !self.works {
            return Err(Error::new(
                "the TPM is disabled or deactivated (`tpmctl state show`): switch it on in the firmware setup of the machine",
            ));
        }
        if !self.ownable {
            return Err(Error::new(
                "nobody may take ownership of this TPM: `tpmctl state set ownable on`, by somebody at the machine, allows it",
            ));
        }
        Ok(())
    }

    /// The same for what the owner does.
    pub(crate) fn needs_owner(&self) -> Result<(), Error> {
        match self.owned {
            true => Ok(()),
            false => Err(Error::new(
                "the TPM has no owner: `tpmctl owner take` takes ownership",
            )),
        }
    }
}

/// The endorsement key that the new owner's secret is encrypted with, which must be the one in `expected`, a public key
/// in PEM, if there is such.
pub(crate) fn endorsement(client: &Client, expected: Option<&Path>) -> Result<PublicKey, Error> {
    let key = client
        .endorsement_public()
        .map_err(|error| explained(client, error))?;
    let Some(path) = expected else {
        return Ok(key);
    };
    let pem = std::fs::read(path)
        .map_err(|error| Error::new(format!("{} cannot be read: {error}", path.display())))?;
    let known = openssl::rsa::Rsa::public_key_from_pem(&pem)
        .map_err(|_| Error::new(format!("{} is no RSA public key in PEM", path.display())))?;
    match known.n().to_vec() == key.modulus() {
        true => Ok(key),
        false => Err(Error::new(format!(
            "this TPM shows another endorsement key than the one in {}: it is another TPM, or somebody between here and \
             the TPM wants to learn the owner's secret; nothing was sent",
            path.display()
        ))),
    }
}

/// Takes ownership.
pub(crate) fn take(
    client: &Client,
    endorsement: &PublicKey,
    owner: &AuthValue,
    srk: &AuthValue,
) -> Result<(), Error> {
    let taken = client.take_ownership(endorsement, owner, srk);
    taken.map(|_| ()).map_err(|error| explained(client, error))
}

/// A secret that was not changed, as far as is known.
pub(crate) struct NotChanged {
    pub(crate) error: Error,
    /// Whether the TPM has refused it: only then the old one counts for certain.
    pub(crate) refused: bool,
}

/// Gives the owner another secret.
pub(crate) fn passwd(client: &Client, old: &AuthValue, new: &AuthValue) -> Result<(), NotChanged> {
    client
        .change_owner(old, new)
        .map_err(|error| NotChanged::of(client, error))
}

/// Gives the storage root key another secret.
pub(crate) fn srk_passwd(
    client: &Client,
    owner: &AuthValue,
    new: &AuthValue,
) -> Result<(), NotChanged> {
    client
        .change_srk(owner, new)
        .map_err(|error| NotChanged::of(client, error))
}

impl NotChanged {
    fn of(client: &Client, error: tss::Error) -> Self {
        Self {
            refused: matches!(error.kind(), tss::ErrorKind::Tpm12(_)),
            error: explained(client, error),
        }
    }
}

/// Has only the owner read the storage root key's public half, or again whoever uses it.
pub(crate) fn srk_restrict(
    client: &Client,
    owner: &AuthValue,
    restrict: bool,
) -> Result<(), Error> {
    let changed = client.restrict_srk(owner, restrict);
    changed.map_err(|error| explained(client, error))
}

/// Clears the TPM, by its owner or by somebody at the machine.
pub(crate) fn clear(client: &Client, owner: Option<&AuthValue>) -> Result<(), Error> {
    let cleared = match owner {
        Some(owner) => client.owner_clear(owner),
        None => client.force_clear(),
    };
    cleared.map_err(|error| explained(client, error))
}

/// Gives up clearing by the owner until somebody at the machine has cleared the TPM, or by somebody at the machine until
/// its next start.
pub(crate) fn lock_clear(client: &Client, owner: Option<&AuthValue>) -> Result<(), Error> {
    let locked = match owner {
        Some(owner) => client.disable_owner_clear(owner),
        None => client.disable_force_clear(),
    };
    locked.map_err(|error| explained(client, error))
}
