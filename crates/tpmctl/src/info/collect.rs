//! Asking the TPM. The structure is also the command's JSON.

use std::collections::HashMap;

use serde::Serialize;
use tss::tpm2::constants::{handle, property};
use tss::tpm2::{AlgId, Client, Name, Public, PublicInfo};
use tss::transport::{Endpoint, Sharing};

use crate::display::{ObjectLine, RSA_SIZES, curve_name, hex};
use crate::error::Error;
use crate::family::{Properties, Version};
use crate::settings::Chosen;

/// Everything about a TPM.
#[derive(Serialize)]
pub(super) struct Info {
    /// Which TPM.
    pub(super) address: Address,
    /// What it is.
    pub(super) tpm: Identity,
    /// Its algorithms.
    pub(super) algorithms: Vec<Algorithm>,
    /// Its curves.
    pub(super) curves: Vec<String>,
    /// Sizes of RSA keys it makes, in bits; absent if it cannot be asked.
    pub(super) rsa_bits: Option<Vec<u16>>,
    /// Its limits; absent ones it does not tell.
    pub(super) limits: Limits,
    /// Which authorization values are set.
    pub(super) hierarchies: Hierarchies,
    /// Protection against guessing.
    pub(super) lockout: Lockout,
    /// The storage root key.
    pub(super) srk: Srk,
    /// Persistent objects.
    pub(super) persistent: Vec<ObjectLine>,
    /// NV indices.
    pub(super) nv_indices: Vec<String>,
    /// What is loaded; absent behind a resource manager, which shows each connection its own.
    pub(super) loaded: Option<Loaded>,
}

#[derive(Serialize)]
pub(super) struct Address {
    /// In the grammar of `TPM_TCTI`.
    pub(super) tcti: String,
    /// Which setting named it.
    pub(super) origin: String,
    /// The configuration file, if the setting is in one.
    pub(super) file: Option<String>,
    /// Who else may use it: `resource-managed`, `bare`, `in-process` or `tcsd`.
    pub(super) sharing: &'static str,
}

#[derive(Serialize)]
pub(super) struct Identity {
    /// `2.0`.
    pub(super) family: String,
    /// Of the specification, such as 1.59.
    pub(super) revision: Option<String>,
    /// The manufacturer's four letters.
    pub(super) manufacturer: Option<String>,
    /// What the vendor calls it.
    pub(super) vendor: String,
    /// Two halves of two numbers each.
    pub(super) firmware: String,
}

#[derive(Serialize)]
pub(super) struct Algorithm {
    /// Number in hexadecimal.
    pub(super) id: String,
    /// The specification's name.
    pub(super) name: String,
    /// `asymmetric`, `symmetric`, `hash`, `scheme`, `mode`, `method` or `object`.
    pub(super) class: &'static str,
}

#[derive(Serialize)]
pub(super) struct Limits {
    pub(super) transient_objects_min: Option<u32>,
    pub(super) loaded_sessions_min: Option<u32>,
    pub(super) active_sessions_max: Option<u32>,
    pub(super) transient_objects_free: Option<u32>,
    pub(super) persistent_objects_free: Option<u32>,
    pub(super) nv_index_bytes: Option<u32>,
    pub(super) nv_buffer_bytes: Option<u32>,
    pub(super) input_buffer_bytes: Option<u32>,
    pub(super) command_bytes: Option<u32>,
    pub(super) response_bytes: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Hierarchies {
    pub(super) owner: Hierarchy,
    pub(super) endorsement: Hierarchy,
    pub(super) platform: Hierarchy,
}

#[derive(Serialize)]
pub(super) struct Hierarchy {
    /// Whether it can be used.
    pub(super) enabled: bool,
    /// Whether it has an authorization value; the TPM does not tell for the platform.
    pub(super) auth_set: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Lockout {
    pub(super) in_lockout: bool,
    pub(super) counter: u32,
    pub(super) max_tries: u32,
    pub(super) tries_left: u32,
    pub(super) interval_seconds: u32,
    pub(super) recovery_seconds: u32,
    /// Whether the lockout hierarchy has an authorization value.
    pub(super) auth_set: bool,
}

#[derive(Serialize)]
pub(crate) struct Srk {
    /// Where it is looked for.
    pub(crate) handle: String,
    /// Whether something is there.
    pub(crate) present: bool,
    /// Its name, for `parent-name =`.
    pub(crate) name: Option<String>,
    /// Which standard template it has: `ecc` or `rsa`.
    pub(crate) template: Option<&'static str>,
    /// Whether it is a primary of the owner hierarchy; only then it takes the place of one.
    pub(crate) of_owner: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Loaded {
    pub(super) objects: Vec<ObjectLine>,
    pub(super) sessions: Vec<String>,
}

impl Info {
    /// Asks; the commands that are sent change nothing.
    pub(super) fn collect(chosen: &Chosen, client: &Client) -> Result<Self, Error> {
        let numbers: HashMap<u32, u32> = client
            .capability_properties(property::FIXED, property::FIXED + 0x200)?
            .into_iter()
            .chain(client.capability_properties(property::PERMANENT, property::PERMANENT + 0x100)?)
            .collect();
        let handles = client.handles(handle::PERSISTENT_FIRST)?;
        let mut persistent = Vec::new();
        let mut srk = None;
        for handle in handles {
            let read = readable(client.read_public(handle))?;
            persistent.push(ObjectLine::new(handle, read.as_ref()));
            if handle == handle::SRK {
                srk = read;
            }
        }
        let sharing = client.endpoint().sharing();
        let nv = client.handles(handle::NV_FIRST)?;
        Ok(Self {
            address: Address::of(chosen, client.endpoint()),
            tpm: identity(&numbers),
            algorithms: client.algorithms()?.into_iter().map(algorithm).collect(),
            curves: client.curves()?.into_iter().map(curve_name).collect(),
            rsa_bits: client.rsa_sizes(&RSA_SIZES)?,
            limits: limits(&numbers),
            hierarchies: hierarchies(&numbers),
            lockout: lockout(client, &numbers)?,
            srk: describe_srk(srk.as_ref()),
            persistent,
            nv_indices: nv.into_iter().map(hex).collect(),
            loaded: match sharing {
                Sharing::Bare => Some(loaded(client)?),
                Sharing::Managed | Sharing::InProcess | Sharing::Daemon => None,
            },
        })
    }
}

/// What TPM2_ReadPublic said; nothing if the TPM refused, since a handle may be gone by now.
fn readable(read: tss::Result<PublicInfo>) -> Result<Option<PublicInfo>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.code().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Address {
    pub(super) fn of(chosen: &Chosen, endpoint: &Endpoint) -> Self {
        Self {
            tcti: endpoint.address().to_string(),
            origin: endpoint.origin().to_string(),
            file: chosen.file.as_ref().map(|file| file.display().to_string()),
            sharing: match endpoint.sharing() {
                Sharing::Managed => "resource-managed",
                Sharing::Bare => "bare",
                Sharing::InProcess => "in-process",
                Sharing::Daemon => "tcsd",
            },
        }
    }
}

fn identity(numbers: &Properties) -> Identity {
    let version = Version::new(numbers);
    Identity {
        family: version.family,
        revision: version.spec_revision,
        manufacturer: version.vendor_id,
        vendor: version.vendor_string,
        firmware: version.firmware_version,
    }
}

/// Part 2, 8.2, TPMA_ALGORITHM; some TPMs mark cipher modes and XOR as what they are not.
fn algorithm((id, attributes): (AlgId, u32)) -> Algorithm {
    let has = |bit: u32| attributes >> bit & 1 == 1;
    let class = match id {
        AlgId::CTR | AlgId::OFB | AlgId::CBC | AlgId::CFB | AlgId::ECB => "mode",
        AlgId::KEYEDHASH | AlgId::SYMCIPHER => "object",
        AlgId::XOR => "scheme",
        _ if has(8) || has(9) => "scheme",
        _ if has(10) => "method",
        _ if has(0) => "asymmetric",
        _ if has(1) => "symmetric",
        _ if has(2) => "hash",
        _ => "method",
    };
    Algorithm {
        id: format!("0x{:04x}", id.0),
        name: id.to_string(),
        class,
    }
}

fn limits(numbers: &HashMap<u32, u32>) -> Limits {
    let get = |property| numbers.get(&property).copied();
    Limits {
        transient_objects_min: get(property::TRANSIENT_MIN),
        loaded_sessions_min: get(property::LOADED_SESSIONS_MIN),
        active_sessions_max: get(property::ACTIVE_SESSIONS_MAX),
        transient_objects_free: get(property::TRANSIENT_AVAIL),
        persistent_objects_free: get(property::PERSISTENT_AVAIL),
        nv_index_bytes: get(property::NV_INDEX_MAX),
        nv_buffer_bytes: get(property::NV_BUFFER_MAX),
        input_buffer_bytes: get(property::INPUT_BUFFER),
        command_bytes: get(property::MAX_COMMAND_SIZE),
        response_bytes: get(property::MAX_RESPONSE_SIZE),
    }
}

/// Part 2, 8.6, TPMA_PERMANENT, and 8.7, TPMA_STARTUP_CLEAR.
fn hierarchies(numbers: &HashMap<u32, u32>) -> Hierarchies {
    let bit = |property, bit: u32| numbers.get(&property).copied().unwrap_or(0) >> bit & 1 == 1;
    let hierarchy = |enabled, auth_set: Option<u32>| Hierarchy {
        enabled: bit(property::STARTUP_CLEAR, enabled),
        auth_set: auth_set.map(|number| bit(property::PERMANENT, number)),
    };
    Hierarchies {
        platform: hierarchy(0, None),
        owner: hierarchy(1, Some(0)),
        endorsement: hierarchy(2, Some(1)),
    }
}

fn lockout(client: &Client, numbers: &HashMap<u32, u32>) -> Result<Lockout, Error> {
    let state = client.lockout()?;
    Ok(Lockout {
        in_lockout: state.in_lockout,
        counter: state.counter,
        max_tries: state.max_tries,
        tries_left: state.tries_left(),
        interval_seconds: state.interval,
        recovery_seconds: state.recovery,
        auth_set: numbers.get(&property::PERMANENT).copied().unwrap_or(0)
            & property::PERMANENT_LOCKOUT_AUTH_SET
            != 0,
    })
}

pub(crate) fn describe_srk(read: Option<&PublicInfo>) -> Srk {
    let matches = |read: &PublicInfo, template: Result<Public, _>| {
        template.is_ok_and(|template: Public| read.public.matches_template(&template))
    };
    let of_owner = |read: &PublicInfo| {
        let expected = Name::qualified(&Name::of_handle(handle::OWNER), &read.name);
        expected.as_ref() == Some(&read.qualified_name)
    };
    Srk {
        handle: hex(handle::SRK),
        present: read.is_some(),
        name: read.map(|read| read.name.to_string()),
        template: read.and_then(|read| {
            if matches(read, Public::ecc_primary()) {
                Some("ecc")
            } else if matches(read, Public::rsa_primary()) {
                Some("rsa")
            } else {
                None
            }
        }),
        of_owner: read.map(of_owner),
    }
}

fn loaded(client: &Client) -> Result<Loaded, Error> {
    let mut objects = Vec::new();
    for handle in client.loaded_objects()? {
        objects.push(ObjectLine::new(
            handle,
            readable(client.read_public(handle))?.as_ref(),
        ));
    }
    let sessions = client.loaded_sessions()?;
    Ok(Loaded {
        objects,
        sessions: sessions.into_iter().map(hex).collect(),
    })
}
