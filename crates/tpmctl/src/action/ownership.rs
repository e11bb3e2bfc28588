//! Whose a TPM 2.0 is: values, policies and switches of its hierarchies, and whether it can be cleared.

use std::path::Path;

use crypto::Secret;
use keys::policy::document;
use serde::Serialize;
use tss::tpm2::constants::{handle, property};
use tss::tpm2::{AlgId, Client, ResponseCode};

use super::hierarchy_auth::secret_in;
use super::root_key;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::owner::args::{ClearedBy, Hierarchy};
use crate::settings::Chosen;
use crate::state::args::Part;

/// Whose a TPM 2.0 is.
#[derive(Clone, Serialize)]
pub(crate) struct Ownership {
    pub(crate) address: String,
    pub(crate) family: &'static str,
    /// Whether the owner hierarchy has a value: somebody has taken ownership.
    pub(crate) owned: bool,
    pub(crate) hierarchies: Vec<HierarchyState>,
    /// Whether the firmware's NV indices can be used.
    pub(crate) platform_nv_enabled: bool,
    /// Whether the TPM can be cleared.
    pub(crate) clear_enabled: bool,
    /// Whether there is a storage root key.
    pub(crate) srk_present: bool,
}

/// A hierarchy. What the TPM does not tell is absent.
#[derive(Clone, Serialize)]
pub(crate) struct HierarchyState {
    pub(crate) hierarchy: &'static str,
    /// Whether it has an authorization value; of the platform's no TPM tells.
    pub(crate) auth_set: Option<bool>,
    /// Whether it has a policy.
    pub(crate) policy_set: Option<bool>,
    /// The policy's digest, `sha256:HEX`.
    pub(crate) policy: Option<String>,
    /// Whether it can be used; lockout always can.
    pub(crate) enabled: Option<bool>,
}

impl Ownership {
    /// Asks the TPM.
    pub(crate) fn read(client: &Client) -> Result<Self, Error> {
        let first = property::PERMANENT;
        let properties = client.capability_properties(first, property::STARTUP_CLEAR + 1)?;
        let value = |wanted| {
            let mut all = properties.iter();
            let found = all.find_map(|&(number, value)| (number == wanted).then_some(value));
            found.ok_or_else(|| Error::new("the TPM does not tell the state of its hierarchies"))
        };
        let permanent = value(property::PERMANENT)?;
        let startup = value(property::STARTUP_CLEAR)?;
        let policies = client.hierarchy_policies()?;
        let srk_present = match client.read_public(handle::SRK) {
            Ok(_) => true,
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => false,
            // Whatever else hinders it, it is no part of this.
            Err(error) if error.code().is_some() => false,
            Err(error) => return Err(error.into()),
        };
        let state = |hierarchy, at: u32, auth: Option<u32>, enabled: Option<u32>| {
            let policy = policies.as_ref().map(|list| {
                let mut list = list.iter();
                list.find(|(of, ..)| *of == at)
                    .map(|(_, algorithm, digest)| shown_policy(*algorithm, digest))
            });
            HierarchyState {
                hierarchy,
                auth_set: auth.map(|bit| permanent & bit != 0),
                policy_set: policy.as_ref().map(Option::is_some),
                policy: policy.flatten(),
                enabled: enabled.map(|bit| startup & bit != 0),
            }
        };
        Ok(Self {
            address: client.endpoint().address().to_string(),
            family: "2.0",
            owned: permanent & property::PERMANENT_OWNER_AUTH_SET != 0,
            hierarchies: vec![
                state(
                    "owner",
                    handle::OWNER,
                    Some(property::PERMANENT_OWNER_AUTH_SET),
                    Some(property::STARTUP_CLEAR_OWNER),
                ),
                state(
                    "endorsement",
                    handle::ENDORSEMENT,
                    Some(property::PERMANENT_ENDORSEMENT_AUTH_SET),
                    Some(property::STARTUP_CLEAR_ENDORSEMENT),
                ),
                state(
                    "lockout",
                    handle::LOCKOUT,
                    Some(property::PERMANENT_LOCKOUT_AUTH_SET),
                    None,
                ),
                state(
                    "platform",
                    handle::PLATFORM,
                    None,
                    Some(property::STARTUP_CLEAR_PLATFORM),
                ),
            ],
            platform_nv_enabled: startup & property::STARTUP_CLEAR_PLATFORM_NV != 0,
            clear_enabled: permanent & property::PERMANENT_DISABLE_CLEAR == 0,
            srk_present,
        })
    }

    /// The state of one.
    pub(crate) fn of(&self, hierarchy: &str) -> Option<&HierarchyState> {
        self.hierarchies
            .iter()
            .find(|state| state.hierarchy == hierarchy)
    }

    /// The value of a hierarchy, from the file that was named. Where there is none a value that is named is not tried: it
    /// would be a wrong one.
    ///
    /// # Errors
    ///
    /// No file where there is a value; a file that cannot be read.
    pub(crate) fn authorization(
        &self,
        hierarchy: &str,
        named: Option<&Path>,
    ) -> Result<Secret, Error> {
        let set = self.of(hierarchy).and_then(|state| state.auth_set);
        match (set, named) {
            (Some(false), _) | (None, None) => Ok(Secret::empty()),
            (_, Some(path)) => secret_in(path),
            (Some(true), None) => Err(Error::new(format!(
                "the {hierarchy} hierarchy has an authorization value: name the file that it is in with --auth file:PATH"
            ))),
        }
    }
}

/// A policy's digest with its algorithm.
fn shown_policy(algorithm: AlgId, digest: &[u8]) -> String {
    format!(
        "{}:{}",
        algorithm.to_string().to_ascii_lowercase(),
        hex_bytes(digest)
    )
}

/// The owner's value, for sessions that are salted to the owner's primary, and where it is the owner's word that counts.
fn owner(chosen: &Chosen) -> &Secret {
    &chosen.tpm.config().parent_auth
}

/// Makes the storage root key, if there is none, before the owner hierarchy has a value.
pub(crate) fn storage_root_key(chosen: &Chosen) -> Result<bool, Error> {
    Ok(root_key::create(chosen)?.created)
}

/// Who can have a TPM 2.0 cleared; an error for those who can a TPM 1.2.
pub(crate) fn clearer(by: Option<ClearedBy>) -> Result<(u32, &'static str), Error> {
    match by {
        None | Some(ClearedBy::Lockout) => Ok((handle::LOCKOUT, "lockout")),
        Some(ClearedBy::Platform) => Ok((handle::PLATFORM, "platform")),
        Some(ClearedBy::Owner) => Err(Error::usage(
            "this is a TPM 2.0, which is cleared on the word of the lockout hierarchy (--by lockout) or of the platform, and \
             not of its owner",
        )),
        Some(ClearedBy::Presence) => Err(Error::usage(
            "this is a TPM 2.0: who stands before the machine clears it in the firmware setup, which is the platform \
             hierarchy's word (--by platform); no command can say that somebody does",
        )),
    }
}

/// Clears the TPM.
pub(crate) fn clear(chosen: &Chosen, by: Option<ClearedBy>, auth: &Secret) -> Result<(), Error> {
    let (authority, name) = clearer(by)?;
    let cleared = chosen.client()?.clear(authority, auth, owner(chosen));
    cleared.map_err(|error| refused(error, name))
}

/// Says whether the TPM can be cleared.
pub(crate) fn set_clear(
    chosen: &Chosen,
    enabled: bool,
    by: Option<ClearedBy>,
    auth: &Secret,
) -> Result<(), Error> {
    let (authority, name) = clearer(by)?;
    if enabled && authority == handle::LOCKOUT {
        return Err(Error::usage(
            "the lockout hierarchy can only have the TPM not be cleared; that it can be again, only the platform hierarchy says \
             (--by platform), which the firmware usually keeps for itself: clear the TPM in the firmware setup",
        ));
    }
    let client = chosen.client()?;
    let done = client.set_clear(enabled, authority, auth, owner(chosen));
    done.map_err(|error| refused(error, name))
}

/// Has a hierarchy be used by a policy, too, or by its value alone.
pub(crate) fn set_policy(
    chosen: &Chosen,
    hierarchy: Hierarchy,
    policy: Option<&[u8]>,
    auth: &Secret,
) -> Result<(), Error> {
    let policy = policy.map(|digest| (AlgId::SHA256, digest));
    let client = chosen.client()?;
    let done = client.set_hierarchy_policy(hierarchy.handle(), policy, auth, owner(chosen));
    done.map_err(|error| refused(error, hierarchy.name()))
}

/// The digest by SHA-256 of the policy in a file, with the values that its open registers have now.
pub(crate) fn policy_digest(chosen: &Chosen, path: &Path) -> Result<Vec<u8>, Error> {
    let policy = document::read_at(path)?;
    let bound = keys::policy::InTpm::of(&chosen.tpm).bound(&policy)?;
    bound
        .digest(AlgId::SHA256)?
        .ok_or_else(|| Error::new("the policy asks for something of which no digest can be made"))
}

/// Switches a hierarchy, or the platform's NV indices, until the TPM is restarted.
pub(crate) fn set_hierarchy(
    chosen: &Chosen,
    part: Part,
    enabled: bool,
    by_platform: bool,
    auth: &Secret,
) -> Result<(), Error> {
    let (hierarchy, name) = hierarchy(part)?;
    let (authority, name) = match by_platform {
        true => (handle::PLATFORM, "platform"),
        false => (hierarchy, name),
    };
    let client = chosen.client()?;
    let done = client.set_hierarchy(hierarchy, enabled, authority, auth, owner(chosen));
    done.map_err(|error| refused(error, name))
}

/// The hierarchy that is a part of a TPM 2.0; an error for parts of a TPM 1.2.
pub(crate) fn hierarchy(part: Part) -> Result<(u32, &'static str), Error> {
    match part {
        Part::Owner => Ok((handle::OWNER, "owner")),
        Part::Endorsement => Ok((handle::ENDORSEMENT, "endorsement")),
        Part::Platform => Ok((handle::PLATFORM, "platform")),
        Part::PlatformNv => Ok((handle::PLATFORM_NV, "platform-nv")),
        Part::Enabled | Part::Active | Part::Ownable | Part::Presence | Part::Operator => {
            Err(Error::usage(
                "that is a part of a TPM 1.2, and this is a TPM 2.0: it is always enabled and active, it has no owner to be \
                 installed, and knows no physical presence and no operator. What can be switched are its hierarchies: owner, \
                 endorsement, platform and platform-nv",
            ))
        }
    }
}

/// A refusal, with what to do.
fn refused(error: tss::Error, hierarchy: &str) -> Error {
    const DISABLED: u32 = 0x120;
    const HIERARCHY: u32 = 0x085;
    let code = error.code().map(ResponseCode::base);
    if code == Some(DISABLED) {
        return Error::new(format!(
            "{error}; clearing is disabled (`tpmctl owner clear-lock show`): only the platform hierarchy allows it again, which \
             is the firmware's: clear the TPM in the firmware setup"
        ));
    }
    if code == Some(HIERARCHY) {
        return Error::new(format!(
            "{error}; the hierarchy is switched off until the TPM is restarted (`tpmctl state show`)"
        ));
    }
    match (error.is_authorization_failure(), hierarchy) {
        (true, "platform") => Error::new(format!(
            "{error}; the platform hierarchy is usually the firmware's alone, which has given it a value that nobody knows"
        )),
        _ => error.into(),
    }
}
