//! NV memory of a TPM 2.0: what indices are, and how they are defined, used and released.

mod ranges;

use crypto::Secret;
use serde::Serialize;
use tss::tpm2::constants::{handle, property};
use tss::tpm2::{Client, NvAccess, NvChange, NvDefinition, NvPublic, ResponseCode, nv_attribute};

use crate::display::{hex, hex_bytes};
use crate::error::Error;
use crate::nv::args::{Define, Kind, Lockable, Who};
use crate::settings::Chosen;

pub(crate) use ranges::{is_index, parse_index, purpose};

/// The indices of a TPM.
#[derive(Serialize)]
pub(crate) struct Indices {
    pub(crate) address: String,
    pub(crate) indices: Vec<Index>,
}

/// An index.
#[derive(Clone, Serialize)]
pub(crate) struct Index {
    pub(crate) index: String,
    /// Whose range it is in, and what it is for there.
    pub(crate) purpose: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) bytes: u16,
    /// Who may read it.
    pub(crate) read_by: Vec<&'static str>,
    /// Who may write it.
    pub(crate) write_by: Vec<&'static str>,
    pub(crate) written: bool,
    pub(crate) read_locked: bool,
    pub(crate) write_locked: bool,
    /// What else its attributes say.
    pub(crate) notes: Vec<&'static str>,
    /// Whether `tpmctl owner clear` leaves it.
    pub(crate) survives_clear: bool,
    /// The digest of its policy.
    pub(crate) policy: Option<String>,
    /// `TPMA_NV`.
    pub(crate) attributes: String,
    pub(crate) name: String,
}

/// What was read.
#[derive(Serialize)]
pub(crate) struct Content {
    pub(crate) index: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) hex: String,
    /// The number, of a counter.
    pub(crate) counter: Option<u64>,
    /// The bits that are set, of an index of bits.
    pub(crate) bits: Option<Vec<u8>>,
    #[serde(skip)]
    pub(crate) data: Secret,
}

impl Index {
    /// What its public area says.
    pub(crate) fn new(public: &NvPublic) -> Self {
        let has = |bit| public.attributes & bit != 0;
        let words = |list: &[(u32, &'static str)]| -> Vec<&'static str> {
            list.iter()
                .filter(|(bit, _)| has(*bit))
                .map(|(_, word)| *word)
                .collect()
        };
        Self {
            index: hex(public.index),
            purpose: purpose(public.index),
            kind: kind(public.attributes),
            bytes: public.size,
            read_by: words(&[
                (nv_attribute::OWNERREAD, "owner"),
                (nv_attribute::AUTHREAD, "value"),
                (nv_attribute::POLICYREAD, "policy"),
                (nv_attribute::PPREAD, "platform"),
            ]),
            write_by: words(&[
                (nv_attribute::OWNERWRITE, "owner"),
                (nv_attribute::AUTHWRITE, "value"),
                (nv_attribute::POLICYWRITE, "policy"),
                (nv_attribute::PPWRITE, "platform"),
            ]),
            written: has(nv_attribute::WRITTEN),
            read_locked: has(nv_attribute::READLOCKED),
            write_locked: has(nv_attribute::WRITELOCKED),
            notes: words(&[
                (nv_attribute::NO_DA, "wrong values do not count as tries"),
                (
                    nv_attribute::READ_STCLEAR,
                    "can be locked against reading until a restart",
                ),
                (
                    nv_attribute::WRITE_STCLEAR,
                    "can be locked against writing until a restart",
                ),
                (
                    nv_attribute::WRITEDEFINE,
                    "can be locked against writing for ever",
                ),
                (
                    nv_attribute::GLOBALLOCK,
                    "is locked with all others of that kind",
                ),
                (nv_attribute::WRITEALL, "is written as a whole only"),
                (nv_attribute::CLEAR_STCLEAR, "is unwritten after a restart"),
                (
                    nv_attribute::ORDERLY,
                    "is in RAM, and written down at an orderly shutdown",
                ),
                (
                    nv_attribute::POLICY_DELETE,
                    "is released by its policy only",
                ),
                (nv_attribute::PLATFORMCREATE, "was defined by the platform"),
            ]),
            survives_clear: has(nv_attribute::PLATFORMCREATE),
            policy: Some(hex_bytes(&public.auth_policy)).filter(|policy| !policy.is_empty()),
            attributes: hex(public.attributes),
            name: public.name.to_string(),
        }
    }
}

/// The type in a word.
fn kind(attributes: u32) -> String {
    match attributes & nv_attribute::TYPE {
        0 => "ordinary".to_owned(),
        nv_attribute::COUNTER => "counter".to_owned(),
        nv_attribute::BITS => "bits".to_owned(),
        nv_attribute::EXTEND => "extend".to_owned(),
        nv_attribute::PIN_FAIL => "pin-fail".to_owned(),
        nv_attribute::PIN_PASS => "pin-pass".to_owned(),
        other => format!("type {}", other >> 4),
    }
}

/// All indices.
pub(crate) fn list(client: &Client) -> Result<Indices, Error> {
    let indices = client.handles(handle::NV_FIRST)?;
    let read = indices.into_iter().map(|index| show(client, index));
    Ok(Indices {
        address: client.endpoint().address().to_string(),
        indices: read.collect::<Result<_, _>>()?,
    })
}

/// An index.
pub(crate) fn show(client: &Client, index: u32) -> Result<Index, Error> {
    Ok(Index::new(&public(client, index)?))
}

/// The public area of an index.
pub(crate) fn public(client: &Client, index: u32) -> Result<NvPublic, Error> {
    is_index(index)?;
    client
        .nv_read_public(index)
        .map_err(|error| explained(error, index))
}

/// What shall be defined, in the TPM's terms.
///
/// # Errors
///
/// Options that do not go together.
pub(crate) fn definition(args: &Define) -> Result<NvDefinition, Error> {
    is_index(args.index)?;
    let usage = |text: &str| Err(Error::usage(text.to_owned()));
    let (kind, size) = match args.kind {
        Kind::Ordinary => (0, args.size.unwrap_or(0)),
        Kind::Counter => (nv_attribute::COUNTER, 8),
        Kind::Bits => (nv_attribute::BITS, 8),
        Kind::Extend => (nv_attribute::EXTEND, 32),
    };
    if args.kind == Kind::Ordinary && args.size.is_none() {
        return usage("say how long the index is: --size BYTES");
    }
    if args.kind != Kind::Ordinary && args.size.is_some() {
        return usage("--size is for ordinary indices: the other types have one of their own");
    }
    let with_value = args.auth.is_some();
    let default = match with_value {
        true => Who::Value,
        false => Who::Owner,
    };
    let bits = |named: &[Who], by_owner: u32, by_value: u32| {
        let named = if named.is_empty() { &[default] } else { named };
        named.iter().try_fold(0, |bits, who| match who {
            Who::Owner => Ok(bits | by_owner),
            Who::Value if !with_value => Err(Error::usage(
                "the index has no value of its own: give it one with --auth file:PATH, or say owner or anyone",
            )),
            Who::Anyone if with_value => Err(Error::usage(
                "with --auth nobody uses the index without its value: say value instead of anyone",
            )),
            Who::Value | Who::Anyone => Ok(bits | by_value),
            Who::Presence => Err(Error::usage(
                "a TPM 2.0 knows no physical presence: say owner, value or anyone",
            )),
        })
    };
    let mut attributes = kind
        | bits(&args.read, nv_attribute::OWNERREAD, nv_attribute::AUTHREAD)?
        | bits(
            &args.write,
            nv_attribute::OWNERWRITE,
            nv_attribute::AUTHWRITE,
        )?;
    for lock in &args.lockable {
        attributes |= match lock {
            Lockable::Read => nv_attribute::READ_STCLEAR,
            Lockable::Write => nv_attribute::WRITE_STCLEAR,
            Lockable::Forever => nv_attribute::WRITEDEFINE,
        };
    }
    // Where there is no value no wrong one can be tried.
    if args.no_lockout || !with_value {
        attributes |= nv_attribute::NO_DA;
    }
    Ok(NvDefinition {
        index: args.index,
        attributes,
        size,
    })
}

/// Defines an index, and says what it is.
pub(crate) fn define(
    chosen: &Chosen,
    definition: NvDefinition,
    auth: &Secret,
) -> Result<Index, Error> {
    let client = chosen.client()?;
    let index = definition.index;
    client
        .nv_define(definition, auth, &chosen.tpm.config().parent_auth)
        .map_err(|error| explained(error, index))?;
    show(client, index)
}

/// Releases an index; `name` is what it was when it was looked at.
pub(crate) fn release(chosen: &Chosen, public: &NvPublic) -> Result<(), Error> {
    chosen
        .client()?
        .nv_release(public.index, &public.name, &chosen.tpm.config().parent_auth)
        .map_err(|error| explained(error, public.index))
}

/// Whether a value opens an index for reading, or for a change; if not, whose it is.
pub(crate) fn has_a_value_for(public: &NvPublic, reading: bool) -> Result<(), Error> {
    let (by_value, by_policy, what) = match reading {
        true => (
            nv_attribute::OWNERREAD | nv_attribute::AUTHREAD,
            nv_attribute::POLICYREAD,
            "reads",
        ),
        false => (
            nv_attribute::OWNERWRITE | nv_attribute::AUTHWRITE,
            nv_attribute::POLICYWRITE,
            "changes",
        ),
    };
    let has = |bits| public.attributes & bits != 0;
    match !has(by_value) && has(by_policy) {
        false => Ok(()),
        true => Err(Error::new(format!(
            "only who meets its policy {what} NV index {} (`tpmctl nv show`), and `tpmctl` meets policies of keys and of sealed \
             data, not those of NV indices; nothing was tried",
            hex(public.index)
        ))),
    }
}

/// Reads an index by its own value, if one is given, or the owner's.
pub(crate) fn read(chosen: &Chosen, index: u32, value: Option<&Secret>) -> Result<Content, Error> {
    let client = chosen.client()?;
    let public = public(client, index)?;
    has_a_value_for(&public, true)?;
    let data = client
        .nv_read_by(index, access(chosen, value))
        .map_err(|error| explained(error, index))?;
    let number = <[u8; 8]>::try_from(&data[..]).map(u64::from_be_bytes).ok();
    let is = |kind| public.attributes & nv_attribute::TYPE == kind;
    Ok(Content {
        index: hex(index),
        kind: kind(public.attributes),
        hex: hex_bytes(&data),
        counter: number.filter(|_| is(nv_attribute::COUNTER)),
        bits: number
            .filter(|_| is(nv_attribute::BITS))
            .map(|set| (0..64).filter(|bit| set >> bit & 1 == 1).collect()),
        data: Secret::new(data),
    })
}

/// Changes or locks an index by its own value, if one is given, or the owner's.
pub(crate) fn change(
    chosen: &Chosen,
    index: u32,
    change: &NvChange<'_>,
    value: Option<&Secret>,
) -> Result<(), Error> {
    chosen
        .client()?
        .nv_change(index, change, access(chosen, value))
        .map_err(|error| explained(error, index))
}

fn access<'a>(chosen: &'a Chosen, value: Option<&'a Secret>) -> NvAccess<'a> {
    NvAccess {
        value,
        owner: &chosen.tpm.config().parent_auth,
    }
}

/// Bytes of the largest index that the TPM defines, if it tells.
pub(crate) fn largest(client: &Client) -> Result<Option<u32>, Error> {
    let first = property::NV_INDEX_MAX;
    let properties = client.capability_properties(first, first + 1)?;
    Ok(properties.first().map(|(_, value)| *value))
}

/// A refusal, with what to do.
fn explained(error: tss::Error, index: u32) -> Error {
    let at = hex(index);
    let code = error.code();
    if error.is_authorization_failure() {
        return Error::new(format!(
            "{error}; the index's own value is named with --auth file:PATH, the owner's with --parent-auth file:PATH (`tpmctl nv \
             show {at}` says whose counts)"
        ));
    }
    let advice = match code.map(ResponseCode::base) {
        Some(0x08b) => "there is no such index: `tpmctl nv list` shows those that there are",
        Some(0x14c) => {
            "the index is in use: `tpmctl nv show` says by whom, `tpmctl nv release` frees it"
        }
        Some(0x14b) => "release an index that nobody needs: `tpmctl nv list`",
        Some(0x148) => {
            "the lock ends with the next restart of the TPM, unless it is for ever (`tpmctl nv show`)"
        }
        Some(0x14a) => "write it first",
        Some(0x146) => "`tpmctl nv show` says how long it is",
        Some(0x149) => {
            "the index does not allow that to the owner, or not without a value: `tpmctl nv show` says whom"
        }
        Some(0x147 | 0x095) => {
            "the TPM has no index that large: `tpmctl info -a` says how large one can be"
        }
        Some(0x082) => {
            "the TPM does not take these together, or the index is of another type: `tpmctl nv show` says which"
        }
        _ => return error.into(),
    };
    Error::new(format!("{error}; NV index {at}: {advice}"))
}
