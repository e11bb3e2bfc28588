//! Which of tcsd's calls carries a command, and in which form.
//!
//! Calls have the parameters of the TPM's commands under other numbers; structures without a length of their own get one,
//! and authorizations come first in replies, except where they come last.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::packet::{Reply, Request, Type};
use crate::tpm2::wire::{Malformed, Reader};
use crate::tpm12::constants::Ordinal;
use crate::tpm12::raw::read_auth;
use crate::tpm12::rc::Code;
use crate::tpm12::session::{RequestAuth, ResponseAuth};
use crate::tpm12::transaction::exchange::{Answer, Command};

/// Opens a context.
pub(super) const OPEN_CONTEXT: u32 = 1;
/// Loads a key that tcsd keeps: the SRK.
pub(super) const LOAD_KEY_BY_UUID: u32 = 12;

/// A part of a call or its reply.
#[derive(Clone, Copy)]
enum Part {
    /// The handle of the key that the command is about.
    Key,
    Bool,
    U16,
    U32,
    Nonce,
    EncAuth,
    Secret,
    /// A length and bytes, as in the TPM's command.
    Sized,
    /// The same, of which tcsd wants nothing but the length where there are none.
    SizedIfAny,
    /// Bytes up to the end of the TPM's parameters, which tcsd gives a length.
    Whole,
    /// The same up to so many bytes before their end.
    WholeBut(usize),
    Digest,
    /// Of a reply: the authorizations, as many as the command had.
    Auth,
    /// Of a reply: a digest that the TPM has at the end of its parameters, and tcsd at their beginning.
    LastDigest,
    /// Of a reply: tcsd's handle of a loaded key.
    Handle,
    /// Of a reply: the TPM's handle of a loaded key. Uninitialised memory after TPM_LoadKey2.
    Slot,
}

use Part::{
    Auth, Bool, Digest, EncAuth, Handle, Key, LastDigest, Nonce, Secret, Sized, SizedIfAny, Slot,
    U16, U32, Whole, WholeBut,
};

/// What comes behind an area's description in TPM_NV_DefineSpace: its encrypted secret.
const ENC_AUTH: usize = 20;
/// What comes behind a key's parameters in TPM_CreateRevocableEK: a truth value and a digest.
const REVOCABLE: usize = 1 + 20;

struct Call {
    number: u32,
    request: &'static [Part],
    reply: &'static [Part],
}

fn call(ordinal: Ordinal) -> Option<Call> {
    let (number, request, reply): (u32, &'static [Part], &'static [Part]) = match ordinal {
        // There is one call for both: tcsd sends the one that its TPM knows.
        Ordinal::LOAD_KEY | Ordinal::LOAD_KEY2 => (11, &[Key, Whole], &[Auth, Handle, Slot]),
        Ordinal::SET_OWNER_INSTALL => (21, &[Bool], &[]),
        Ordinal::TAKE_OWNERSHIP => (22, &[U16, Sized, Sized, Whole], &[Auth, Whole]),
        Ordinal::CHANGE_AUTH_OWNER => (26, &[U16, EncAuth, U16], &[Auth]),
        Ordinal::EXTEND => (31, &[U32, Digest], &[Digest]),
        Ordinal::CREATE_ENDORSEMENT_KEY_PAIR => (49, &[Nonce, Whole], &[Whole, Digest]),
        Ordinal::READ_PUBEK => (50, &[Nonce], &[Whole, Digest]),
        Ordinal::DISABLE_PUBEK_READ => (51, &[], &[Auth]),
        Ordinal::OWNER_SET_DISABLE => (57, &[Bool], &[Auth]),
        Ordinal::OWNER_CLEAR => (58, &[], &[Auth]),
        Ordinal::DISABLE_OWNER_CLEAR => (59, &[], &[Auth]),
        Ordinal::FORCE_CLEAR => (60, &[], &[]),
        Ordinal::DISABLE_FORCE_CLEAR => (61, &[], &[]),
        Ordinal::PHYSICAL_DISABLE => (62, &[], &[]),
        Ordinal::PHYSICAL_ENABLE => (63, &[], &[]),
        Ordinal::PHYSICAL_SET_DEACTIVATED => (64, &[Bool], &[]),
        Ordinal::PHYSICAL_PRESENCE => (66, &[U16], &[]),
        Ordinal::SET_CAPABILITY => (76, &[U32, SizedIfAny, SizedIfAny], &[Auth]),
        Ordinal::RESET_LOCK_VALUE => (77, &[], &[Auth]),
        Ordinal::PCR_RESET => (78, &[Whole], &[]),
        Ordinal::NV_DEFINE_SPACE => (87, &[WholeBut(ENC_AUTH), EncAuth], &[Auth]),
        Ordinal::NV_WRITE_VALUE => (88, &[U32, U32, Sized], &[Auth]),
        Ordinal::NV_WRITE_VALUE_AUTH => (89, &[U32, U32, Sized], &[Auth]),
        Ordinal::NV_READ_VALUE => (90, &[U32, U32, U32], &[Auth, Sized]),
        Ordinal::NV_READ_VALUE_AUTH => (91, &[U32, U32, U32], &[Auth, Sized]),
        Ordinal::SET_OPERATOR_AUTH => (99, &[Secret], &[]),
        Ordinal::SET_TEMP_DEACTIVATED => (102, &[], &[Auth]),
        Ordinal::CREATE_REVOCABLE_EK => (
            110,
            &[Nonce, WholeBut(REVOCABLE), Bool, Digest],
            &[LastDigest, Whole, Digest],
        ),
        Ordinal::REVOKE_TRUST => (111, &[Digest], &[]),
        Ordinal::EVICT_KEY => (13, &[U32], &[]),
        Ordinal::CREATE_WRAP_KEY => (14, &[Key, EncAuth, EncAuth, Whole], &[Whole, Auth]),
        Ordinal::GET_PUB_KEY => (15, &[Key], &[Auth, Whole]),
        Ordinal::OIAP => (23, &[], &[U32, Nonce]),
        Ordinal::OSAP => (24, &[U16, U32, Nonce], &[U32, Nonce, Nonce]),
        Ordinal::TERMINATE_HANDLE => (29, &[U32], &[]),
        Ordinal::PCR_READ => (32, &[U32], &[Digest]),
        Ordinal::SEAL => (36, &[Key, EncAuth, SizedIfAny, Sized], &[Auth, Whole]),
        Ordinal::UNSEAL => (37, &[Key, Whole], &[Auth, Sized]),
        Ordinal::UNBIND => (38, &[Key, Sized], &[Auth, Sized]),
        Ordinal::SIGN => (43, &[Key, Sized], &[Auth, Sized]),
        Ordinal::GET_RANDOM => (44, &[U32], &[Sized]),
        Ordinal::STIR_RANDOM => (45, &[Sized], &[]),
        Ordinal::GET_CAPABILITY => (46, &[U32, Sized], &[Sized]),
        Ordinal::SELF_TEST_FULL => (53, &[], &[]),
        Ordinal::GET_TEST_RESULT => (56, &[], &[Sized]),
        Ordinal::OWNER_READ_INTERNAL_PUB => (100, &[U32], &[Auth, Whole]),
        _ => return None,
    };
    Some(Call {
        number,
        request,
        reply,
    })
}

/// The packet for a command.
pub(super) fn request(context: u32, command: &Command) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let what = command.ordinal.name();
    let call = call(command.ordinal).ok_or(Malformed { what })?;
    let mut parameters = Reader::new(&command.parameters, what);
    let mut packet = Request::default();
    packet.u32(context);
    for part in call.request {
        match part {
            Key => {
                packet.u32(command.key.ok_or(Malformed { what })?);
            }
            Bool => {
                packet.value(Type::Bool, parameters.bytes(1)?);
            }
            U16 => {
                packet.value(Type::U16, parameters.bytes(2)?);
            }
            U32 => {
                packet.value(Type::U32, parameters.bytes(4)?);
            }
            Nonce => {
                packet.value(Type::Nonce, parameters.bytes(20)?);
            }
            EncAuth => {
                packet.value(Type::EncAuth, parameters.bytes(20)?);
            }
            Secret => {
                packet.value(Type::Secret, parameters.bytes(20)?);
            }
            Digest => {
                packet.value(Type::Digest, parameters.bytes(20)?);
            }
            WholeBut(rest) => {
                let size = parameters.left().checked_sub(*rest);
                let bytes = parameters.bytes(size.ok_or(Malformed { what })?)?;
                let size = u32::try_from(bytes.len()).map_err(|_| Malformed { what })?;
                packet.u32(size).value(Type::Bytes, bytes);
            }
            Sized | SizedIfAny => {
                let size = parameters.u32()?;
                let bytes = parameters.bytes(size as usize)?;
                packet.u32(size);
                if size > 0 || matches!(part, Sized) {
                    packet.value(Type::Bytes, bytes);
                }
            }
            Whole => {
                let bytes = parameters.rest();
                let size = u32::try_from(bytes.len()).map_err(|_| Malformed { what })?;
                packet.u32(size).value(Type::Bytes, bytes);
            }
            Auth | LastDigest | Handle | Slot => return Err(Malformed { what }),
        }
    }
    parameters.finish()?;
    for auth in &command.auths {
        let mut bytes = Zeroizing::new(Vec::with_capacity(45));
        bytes.extend_from_slice(&auth.handle.to_be_bytes());
        bytes.extend_from_slice(&auth.odd);
        bytes.push(RequestAuth::CONTINUE);
        bytes.extend_from_slice(&auth.hmac);
        packet.value(Type::Auth, &bytes);
    }
    packet.finish(call.number)
}

/// The answer to a command in a reply's packet.
pub(super) fn answer(command: &Command, packet: &[u8]) -> Result<Answer, Malformed> {
    let what = command.ordinal.name();
    let call = call(command.ordinal).ok_or(Malformed { what })?;
    let mut reply = Reply::parse(packet)?;
    let code = Code(reply.result());
    if code != Code::SUCCESS {
        return Ok(Answer::refusal(code));
    }
    let mut parameters = Zeroizing::new(Vec::with_capacity(packet.len()));
    let mut handle = 0;
    let mut last: &[u8] = &[];
    let mut auths: Vec<ResponseAuth> = Vec::new();
    for part in call.reply {
        match part {
            Auth => {
                for _ in &command.auths {
                    let mut bytes = Reader::new(reply.value(Type::Auth, 41)?, what);
                    auths.push(read_auth(&mut bytes)?);
                    bytes.finish()?;
                }
            }
            Digest => parameters.extend_from_slice(reply.value(Type::Digest, 20)?),
            LastDigest => last = reply.value(Type::Digest, 20)?,
            U32 => parameters.extend_from_slice(reply.value(Type::U32, 4)?),
            Nonce => parameters.extend_from_slice(reply.value(Type::Nonce, 20)?),
            Sized => {
                let size = reply.u32()?;
                parameters.extend_from_slice(&size.to_be_bytes());
                parameters.extend_from_slice(reply.value(Type::Bytes, size as usize)?);
            }
            Whole => {
                let size = reply.u32()?;
                parameters.extend_from_slice(reply.value(Type::Bytes, size as usize)?);
            }
            Handle => handle = reply.u32()?,
            Slot => {
                let slot = reply.u32()?;
                if command.ordinal == Ordinal::LOAD_KEY {
                    parameters.extend_from_slice(&slot.to_be_bytes());
                }
            }
            Key | Bool | U16 | EncAuth | Secret | SizedIfAny | WholeBut(_) => {
                return Err(Malformed { what });
            }
        }
    }
    reply.finish()?;
    parameters.extend_from_slice(last);
    Ok(Answer {
        code,
        handle,
        parameters,
        auths,
    })
}
