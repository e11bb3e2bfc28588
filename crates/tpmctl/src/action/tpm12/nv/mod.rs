//! The NV memory of a TPM 1.2.

mod definition;

use serde::Serialize;
use tss::tpm12::{Area, AuthValue, Client, NvAuth, Permissions, When};
use zeroize::Zeroizing;

use super::explained;
use crate::display::hex;
use crate::error::Error;

pub(crate) use definition::definition;

/// The indices of a TPM.
#[derive(Serialize)]
pub(crate) struct Indices {
    pub(crate) address: String,
    pub(crate) family: &'static str,
    /// Whether the TPM enforces what the attributes say.
    pub(crate) enforced: bool,
    pub(crate) indices: Vec<Index>,
}

/// An index, in the words for a TPM 2.0's.
#[derive(Clone, Serialize)]
pub(crate) struct Index {
    pub(crate) index: String,
    /// What it is for, as far as that is known.
    pub(crate) purpose: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) bytes: u32,
    /// `owner`, `value` (the index's own), `presence`, `anyone`.
    pub(crate) read_by: [&'static str; 1],
    /// The same, and `nobody`.
    pub(crate) write_by: [&'static str; 1],
    /// How it can be locked: `read`, `write`, `forever`, `all`.
    pub(crate) lockable: Vec<&'static str>,
    pub(crate) read_locked: bool,
    pub(crate) write_locked: bool,
    pub(crate) locked_forever: bool,
    /// Registers that must have certain values for reading, and for writing.
    pub(crate) read_registers: Vec<u8>,
    pub(crate) write_registers: Vec<u8>,
    /// Whether clearing the TPM leaves it.
    pub(crate) survives_clear: bool,
    /// The attributes by the names of tpm-tools.
    pub(crate) attributes: Vec<&'static str>,
    #[serde(skip)]
    pub(crate) area: Area,
}

impl Index {
    /// What an area's public part says.
    pub(crate) fn of(area: Area) -> Self {
        let has = |bit| area.permissions.has(bit);
        let who = |owner, own, present, none| match () {
            () if has(owner) => "owner",
            () if has(own) => "value",
            () if has(present) => "presence",
            () => none,
        };
        let locks = [
            (Permissions::READ_ST_CLEAR, "read"),
            (Permissions::WRITE_ST_CLEAR, "write"),
            (Permissions::WRITE_DEFINE, "forever"),
            (Permissions::GLOBAL_LOCK, "all"),
        ];
        let lockable = locks.into_iter().filter(|(bit, _)| has(*bit));
        let registers = |when: &When| when.registers.numbers().to_vec();
        let read = who(
            Permissions::OWNER_READ,
            Permissions::AUTH_READ,
            Permissions::PP_READ,
            "anyone",
        );
        // Where no attribute names a writer, there is one only until it is locked.
        let unnamed = match has(Permissions::WRITE_DEFINE) {
            true => "anyone",
            false => "nobody",
        };
        let write = who(
            Permissions::OWNER_WRITE,
            Permissions::AUTH_WRITE,
            Permissions::PP_WRITE,
            unnamed,
        );
        Self {
            index: hex(area.index),
            purpose: purpose(area.index),
            kind: "ordinary",
            bytes: area.size,
            read_by: [read],
            write_by: [write],
            lockable: lockable.map(|(_, name)| name).collect(),
            read_locked: area.read_locked,
            write_locked: area.write_locked,
            // A write of nothing sets both marks, whichever of them the attributes make count (part 3, 20.4).
            locked_forever: area.locked_for_ever && has(Permissions::WRITE_DEFINE),
            read_registers: registers(&area.read),
            write_registers: registers(&area.write),
            // Those that only the owner uses go with the owner (part 3, 6.2).
            survives_clear: area.index & Area::OF_MANUFACTURER != 0
                || !has(Permissions::OWNER_READ) && !has(Permissions::OWNER_WRITE),
            attributes: area.permissions.names(),
            area,
        }
    }

    /// Whether somebody's secret is needed to read or to write it.
    fn word<'a>(&self, who: &str, secrets: &Secrets<'a>) -> Result<NvAuth<'a>, Error> {
        match who {
            "owner" => secrets.owner.map(NvAuth::Owner).ok_or_else(|| {
                Error::new(format!(
                    "{} is the owner's: name the file that the owner's secret is in with --parent-auth file:PATH (40 zeros \
                     are the well-known secret)",
                    self.index
                ))
            }),
            "value" => secrets.own.map(NvAuth::Area).ok_or_else(|| {
                Error::new(format!(
                    "{} has a value of its own: name the file that it is in with --auth file:PATH",
                    self.index
                ))
            }),
            _ => Ok(NvAuth::None),
        }
    }
}

/// What there is to authorize with.
#[derive(Clone, Copy, Default)]
pub(crate) struct Secrets<'a> {
    /// The owner's secret.
    pub(crate) owner: Option<&'a AuthValue>,
    /// The index's own.
    pub(crate) own: Option<&'a AuthValue>,
}

/// What an index is for (part 2, 19.1.2; TCG PC Client Specific Implementation Specification, 4.5).
fn purpose(index: u32) -> &'static str {
    match index {
        0x1000_0001 => "data integrity register of TPM 1.1",
        0x1000_f000 | 0x0000_f000 => "certificate of the endorsement key",
        0x1000_f001 | 0x0000_f001 => "certificate of the TPM's conformance",
        0x1000_f002 | 0x0000_f002 => "certificate of the platform",
        0x1000_f003 | 0x0000_f003 => "certificate chain of the endorsement key",
        0x5000_0001..=0x5000_ffff => "Intel TXT",
        _ if index & Area::OF_MANUFACTURER != 0 => "of the TPM's manufacturer",
        _ => "of who has defined it",
    }
}

/// All indices.
pub(crate) fn list(client: &Client) -> Result<Indices, Error> {
    let indices = client
        .nv_indices()
        .map_err(|error| explained(client, error))?;
    let mut list = Vec::new();
    for index in indices {
        // What is in the list and has no public part is the lock, on some TPMs.
        let area = client.nv_area(index);
        list.extend(
            area.map_err(|error| explained(client, error))?
                .map(Index::of),
        );
    }
    Ok(Indices {
        address: client.endpoint().address().to_string(),
        family: "1.2",
        enforced: is_enforced(client)?,
        indices: list,
    })
}

/// Whether the TPM enforces the rules of its NV memory: not before its maker, its firmware or whoever calls for it has
/// said so.
pub(crate) fn is_enforced(client: &Client) -> Result<bool, Error> {
    let flags = client.properties()?.permanent;
    Ok(flags.is_some_and(|flags| flags.nv_locked))
}

/// Has it enforce them from now on, for ever.
pub(crate) fn enforce(client: &Client) -> Result<(), Error> {
    let done = client.nv_enforce();
    done.map_err(|error| explained(client, error))
}

/// One of them.
pub(crate) fn show(client: &Client, index: u32) -> Result<Index, Error> {
    let area = client
        .nv_area(index)
        .map_err(|error| explained(client, error))?;
    area.map(Index::of).ok_or_else(|| {
        Error::new(format!(
            "there is no NV index {}: `tpmctl nv list` shows what there is",
            hex(index)
        ))
    })
}

/// Defines one; one that is there is not defined again, which would remove what is in it.
pub(crate) fn define(
    client: &Client,
    area: &Area,
    owner: Option<&AuthValue>,
    own: &AuthValue,
) -> Result<Index, Error> {
    is_free(client, area.index)?;
    client
        .nv_define(area, owner, own)
        .map_err(|error| explained(client, error))?;
    show(client, area.index)
}

/// An error if an index is in use.
pub(crate) fn is_free(client: &Client, index: u32) -> Result<(), Error> {
    let there = client
        .nv_area(index)
        .map_err(|error| explained(client, error))?;
    match there {
        None => Ok(()),
        Some(_) => Err(Error::new(format!(
            "the NV index {} is in use: `tpmctl nv show {}` says by what; name another one, or release it",
            hex(index),
            hex(index)
        ))),
    }
}

/// Reads a part of an index, or all of it from `offset` on.
pub(crate) fn read(
    client: &Client,
    index: &Index,
    offset: u32,
    size: Option<u32>,
    secrets: &Secrets<'_>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let size = size.unwrap_or_else(|| index.bytes.saturating_sub(offset));
    let auth = index.word(index.read_by[0], secrets)?;
    let data = client.nv_read(index.area.index, offset, size, auth);
    data.map_err(|error| explained(client, error))
}

/// Writes a part of an index.
pub(crate) fn write(
    client: &Client,
    index: &Index,
    offset: u32,
    data: &[u8],
    secrets: &Secrets<'_>,
) -> Result<(), Error> {
    let auth = index.word(index.write_by[0], secrets)?;
    let whole = index.area.permissions.has(Permissions::WRITE_ALL);
    let done = client.nv_write(index.area.index, offset, data, whole, auth);
    done.map_err(|error| explained(client, error))
}

/// Whether an index was defined so that it can be locked against reading, or against writing.
pub(crate) fn can_lock(index: &Index, reading: bool) -> Result<(), Error> {
    let can = |how: &str| index.lockable.contains(&how);
    let (lockable, against) = match reading {
        true => (can("read"), "reading"),
        false => (can("write") || can("forever"), "writing"),
    };
    match lockable {
        true => Ok(()),
        false => Err(Error::new(format!(
            "{} was not defined so that it can be locked against {against} (`tpmctl nv define --lockable`)",
            index.index
        ))),
    }
}

/// Locks it: reading or writing nothing does.
pub(crate) fn lock(
    client: &Client,
    index: &Index,
    reading: bool,
    secrets: &Secrets<'_>,
) -> Result<(), Error> {
    let at = index.area.index;
    let locked = match reading {
        true => {
            let auth = index.word(index.read_by[0], secrets)?;
            client.nv_read(at, 0, 0, auth).map(|_| ())
        }
        false => {
            let auth = index.word(index.write_by[0], secrets)?;
            client.nv_write(at, 0, &[], true, auth)
        }
    };
    locked.map_err(|error| explained(client, error))
}

/// Releases an index.
pub(crate) fn release(
    client: &Client,
    index: &Index,
    owner: Option<&AuthValue>,
) -> Result<(), Error> {
    let done = client.nv_release(&index.area, owner);
    done.map_err(|error| explained(client, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nv::args::{Define, Kind, Lockable, Who};

    fn asked(read: &[Who], write: &[Who], lockable: &[Lockable]) -> Define {
        Define {
            index: 0x0001_1000,
            size: Some(8),
            kind: Kind::Ordinary,
            auth: None,
            read: read.to_vec(),
            write: write.to_vec(),
            lockable: lockable.to_vec(),
            no_lockout: false,
            yes: false,
            dry_run: false,
        }
    }

    #[test]
    fn words_become_attributes_and_back() {
        for (read, write, lockable, attributes) in [
            (&[][..], &[][..], &[][..], "OWNERWRITE OWNERREAD"),
            (&[Who::Value], &[Who::Owner], &[], "OWNERWRITE AUTHREAD"),
            (
                &[Who::Anyone],
                &[Who::Presence],
                &[Lockable::Read],
                "PPWRITE READ_STCLEAR",
            ),
            (
                &[Who::Anyone],
                &[Who::Anyone],
                &[Lockable::Forever],
                "WRITEDEFINE",
            ),
        ] {
            let area = definition(&asked(read, write, lockable)).unwrap();
            let index = Index::of(area);
            assert_eq!(index.attributes.join(" "), attributes);
            let first = |named: &[Who]| match named.first() {
                None | Some(Who::Owner) => "owner",
                Some(Who::Value) => "value",
                Some(Who::Presence) => "presence",
                Some(Who::Anyone) => "anyone",
            };
            assert_eq!(index.read_by, [first(read)]);
            assert_eq!(index.write_by, [first(write)]);
        }
        // What a TPM 1.2 has not.
        for (read, write) in [
            (&[Who::Owner, Who::Value][..], &[][..]),
            (&[], &[Who::Anyone]),
        ] {
            definition(&asked(read, write, &[])).unwrap_err();
        }
        let counter = Define {
            kind: Kind::Counter,
            ..asked(&[], &[], &[])
        };
        let error = definition(&counter).unwrap_err().to_string();
        assert!(error.contains("tpmctl counter create"), "{error}");
    }

    #[test]
    fn what_only_the_owner_uses_goes_when_the_tpm_is_cleared() {
        for (index, permissions, survives) in [
            (0x0001_1000, Permissions::OWNER_READ, false),
            (0x0001_1000, Permissions::AUTH_READ, true),
            (0x1000_f000, Permissions::OWNER_WRITE, true),
        ] {
            let area = Area::new(index, 8, Permissions(permissions));
            assert_eq!(Index::of(area).survives_clear, survives, "{index:#x}");
        }
    }
}
