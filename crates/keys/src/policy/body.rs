//! The bodies of policy commands in key files (draft-bottomley-tpm-keys-00, 3.1 and 4.1).
//!
//! Where the draft defines one, it is that; elsewhere the command's own parameters (Part 3, clause 23), with
//! `handle hint || name` in the place of a handle. Registers come in two forms: the draft's, and GRUB's, which are the
//! command's own parameters.
#![forbid(unsafe_code)]

use tss::tpm2::policy::{Comparison, Operand, PcrSelection, PolicyCommand, Signer};
use tss::tpm2::wire::{Malformed, Reader, Writer};
use tss::tpm2::{AlgId, CommandCode, Entity, Name, Public, Signature, hash_of};

use crate::tss2;

/// Why a body cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The command is not one that this version runs.
    Unknown,
    /// It is not as the form says.
    Malformed,
    /// It is well formed, and no use.
    Useless(&'static str),
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Reads a command. Alternatives of a PolicyOR are elsewhere, and added by the caller.
pub(super) fn read(command: &tss2::PolicyCommand) -> Result<PolicyCommand, Unreadable> {
    let body = &command.body[..];
    let mut reader = Reader::new(body, "policy command");
    let read = match CommandCode(command.code) {
        CommandCode::POLICY_PCR => return registers(body),
        CommandCode::POLICY_AUTH_VALUE => PolicyCommand::AuthValue,
        CommandCode::POLICY_PASSWORD => PolicyCommand::Password,
        CommandCode::POLICY_SECRET => PolicyCommand::Secret {
            entity: entity(&mut reader)?,
            policy_ref: reader.tpm2b()?.to_vec(),
        },
        CommandCode::POLICY_AUTHORIZE => PolicyCommand::Authorize {
            key: public(&mut reader)?,
            policy_ref: reader.tpm2b()?.to_vec(),
            signature: optional_signature(&mut reader)?,
        },
        CommandCode::POLICY_LOCALITY => PolicyCommand::Locality(reader.u8()?),
        CommandCode::POLICY_COUNTER_TIMER => {
            // The operand is as long as what remains.
            let length = reader.left().checked_sub(4).ok_or(Unreadable::Malformed)?;
            let value = reader.bytes(length)?.to_vec();
            PolicyCommand::CounterTimer(comparison(&mut reader, value)?)
        }
        CommandCode::POLICY_NV => return nv(body),
        CommandCode::POLICY_COMMAND_CODE => PolicyCommand::CommandCode(CommandCode(reader.u32()?)),
        CommandCode::POLICY_SIGNED => signed(&mut reader)?,
        CommandCode::POLICY_OR => {
            let count = reader.u32()?;
            let digests: Result<_, Malformed> = (0..count)
                .map(|_| reader.tpm2b().map(<[u8]>::to_vec))
                .collect();
            PolicyCommand::Or {
                digests: digests?,
                branches: Vec::new(),
            }
        }
        _ => return Err(Unreadable::Unknown),
    };
    reader.finish()?;
    Ok(read)
}

/// Writes a command; alternatives of a PolicyOR go elsewhere.
pub(super) fn write(command: &PolicyCommand) -> Result<tss2::PolicyCommand, Malformed> {
    let mut writer = Writer::new();
    match command {
        PolicyCommand::Pcr {
            registers,
            digest: Some(digest),
        } => {
            PcrSelection::write_list(registers, &mut writer);
            writer.bytes(digest);
        }
        PolicyCommand::Pcr {
            registers,
            digest: None,
        } => {
            writer.tpm2b(&[]);
            PcrSelection::write_list(registers, &mut writer);
        }
        PolicyCommand::AuthValue | PolicyCommand::Password => {}
        PolicyCommand::Secret { entity, policy_ref } => {
            write_entity(entity, &mut writer);
            writer.tpm2b(policy_ref);
        }
        PolicyCommand::Authorize {
            key,
            policy_ref,
            signature,
        } => {
            writer.bytes(&key.to_tpm2b()).tpm2b(policy_ref);
            match signature {
                Some(signature) => signature.write(&mut writer),
                None => drop(writer.u16(AlgId::NULL.0)),
            }
        }
        PolicyCommand::Locality(locality) => drop(writer.u8(*locality)),
        PolicyCommand::CounterTimer(operand) => {
            writer.bytes(&operand.value);
            write_comparison(operand, &mut writer);
        }
        PolicyCommand::Nv {
            authority,
            index,
            operand,
        } => {
            for entity in authority.iter().chain([index]) {
                write_entity(entity, &mut writer);
            }
            writer.tpm2b(&operand.value);
            write_comparison(operand, &mut writer);
        }
        PolicyCommand::CommandCode(code) => drop(writer.u32(code.0)),
        PolicyCommand::Signed {
            key,
            cp_hash,
            policy_ref,
            expiration,
            signature,
        } => {
            match key {
                Signer::Handle(entity) => write_entity(entity, &mut writer),
                Signer::Public(public) => drop(writer.bytes(&public.to_tpm2b())),
            }
            writer
                .tpm2b(&[])
                .tpm2b(cp_hash)
                .tpm2b(policy_ref)
                .bytes(&expiration.to_be_bytes());
            signature.write(&mut writer);
        }
        PolicyCommand::Or { digests, .. } => {
            writer.u32(digests.len() as u32);
            for digest in digests {
                writer.tpm2b(digest);
            }
        }
    }
    Ok(tss2::PolicyCommand {
        code: command.code().0,
        body: writer.finish("policy command")?.to_vec(),
    })
}

/// The draft's form is a list of selections and the digest as it is, GRUB's a digest with its size, empty as a rule, and
/// the list. The first one begins with a count of banks, 32 bits long; the other one with a digest's size in 16 bits
/// (0, or 20 at least), so that no octets are both.
fn registers(body: &[u8]) -> Result<PolicyCommand, Unreadable> {
    const MOST_BANKS: u32 = 16;
    let mut reader = Reader::new(body, "PolicyPCR");
    let banks = reader.clone().u32()?;
    let (registers, digest) = if (1..=MOST_BANKS).contains(&banks) {
        let registers = PcrSelection::read_list(&mut reader)?;
        let digest = reader.rest();
        if !is_digest(digest) {
            return Err(Unreadable::Malformed);
        }
        (registers, Some(digest.to_vec()))
    } else {
        let digest = Some(reader.tpm2b()?).filter(|digest| !digest.is_empty());
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(Unreadable::Malformed);
        }
        let registers = PcrSelection::read_list(&mut reader)?;
        reader.finish()?;
        (registers, digest.map(<[u8]>::to_vec))
    };
    if registers.is_empty() {
        return Err(Unreadable::Malformed);
    }
    Ok(PolicyCommand::Pcr { registers, digest })
}

/// Whether it is as long as some digest.
fn is_digest(bytes: &[u8]) -> bool {
    matches!(bytes.len(), 20 | 32 | 48 | 64)
}

fn entity(reader: &mut Reader<'_>) -> Result<Entity, Unreadable> {
    let handle = reader.u32()?;
    let name = reader.tpm2b()?;
    // A handle, or an algorithm and its digest.
    let sound = match name.split_first_chunk() {
        Some((algorithm, digest)) if !digest.is_empty() && name.len() != 4 => {
            hash_of(AlgId(u16::from_be_bytes(*algorithm)))
                .is_some_and(|hash| hash.size() == digest.len())
        }
        Some(_) => name.len() == 4,
        None => false,
    };
    match sound {
        true => Ok(Entity::object(handle, Name::from_bytes(name))),
        false => Err(Unreadable::Malformed),
    }
}

fn write_entity(entity: &Entity, writer: &mut Writer) {
    writer.u32(entity.handle).tpm2b(entity.name.as_bytes());
}

fn public(reader: &mut Reader<'_>) -> Result<Public, Unreadable> {
    Ok(Public::from_tpmt(reader.tpm2b()?)?)
}

/// A signature, or none: `TPM_ALG_NULL`, or nothing at all.
fn optional_signature(reader: &mut Reader<'_>) -> Result<Option<Signature>, Unreadable> {
    if reader.left() == 0 {
        return Ok(None);
    }
    if reader.clone().u16()? == AlgId::NULL.0 {
        reader.u16()?;
        return Ok(None);
    }
    Ok(Some(Signature::read(reader)?))
}

fn comparison(reader: &mut Reader<'_>, value: Vec<u8>) -> Result<Operand, Unreadable> {
    Ok(Operand {
        value,
        offset: reader.u16()?,
        comparison: Comparison::new(reader.u16()?).ok_or(Unreadable::Malformed)?,
    })
}

fn write_comparison(operand: &Operand, writer: &mut Writer) {
    writer.u16(operand.offset).u16(operand.comparison.number());
}

/// Who reads the index, and the index; or the index alone, which reads itself. Only one of the two leaves nothing over.
fn nv(body: &[u8]) -> Result<PolicyCommand, Unreadable> {
    let with = |has_authority: bool| {
        let mut reader = Reader::new(body, "PolicyNV");
        let authority = match has_authority {
            true => Some(entity(&mut reader)?),
            false => None,
        };
        let index = entity(&mut reader)?;
        let value = reader.tpm2b()?.to_vec();
        let operand = comparison(&mut reader, value)?;
        reader.finish()?;
        Ok(PolicyCommand::Nv {
            authority,
            index,
            operand,
        })
    };
    with(true).or_else(|_: Unreadable| with(false))
}

/// A key that is in the TPM, by hint and name, or the key itself, whose size and type no hint begins with.
fn signed(reader: &mut Reader<'_>) -> Result<PolicyCommand, Unreadable> {
    let mut start = reader.clone();
    let (size, kind) = (start.u16()?, AlgId(start.u16()?));
    let is_public =
        (1..0x8000).contains(&size) && [AlgId::RSA, AlgId::ECC, AlgId::KEYEDHASH].contains(&kind);
    let key = match is_public {
        true => Signer::Public(Box::new(public(reader)?)),
        false => Signer::Handle(entity(reader)?),
    };
    if !reader.tpm2b()?.is_empty() {
        return Err(Unreadable::Useless(
            "its signature is for one session only, which is over",
        ));
    }
    Ok(PolicyCommand::Signed {
        key,
        cp_hash: reader.tpm2b()?.to_vec(),
        policy_ref: reader.tpm2b()?.to_vec(),
        expiration: reader.u32()?.cast_signed(),
        signature: Signature::read(reader)?,
    })
}
