//! One command: assembled, sent, repeated while the TPM is busy, its answer checked
//! (Part 1, 18: command and response structure).
#![forbid(unsafe_code)]

use std::time::Instant;

use crypto::Secret;
use zeroize::Zeroizing;

use super::exchange::Exchange;
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Result, crypto_error};
use crate::tpm2::commands::Request;
use crate::tpm2::constants::{CommandCode, handle, tag};
use crate::tpm2::name::Entity;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::session::{AuthSession, attribute};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// One entry of a command's authorization area (Part 1, 17): the first ones authorize its handles, in their order;
/// what follows protects the command's parameters and nothing else.
pub(crate) enum Authorization<'a> {
    /// A password, in clear (Part 1, 19.4); right for empty values.
    Password(&'a Secret),
    /// A session.
    Session {
        /// The session.
        session: &'a mut AuthSession,
        /// The authorization value of the entity that it authorizes; empty if it authorizes none.
        auth: &'a Secret,
        /// Bits of [`attribute`].
        attributes: u8,
    },
}

/// Runs one command on the TPM. Answers that ask for a repetition are obeyed for about 30 seconds.
pub(crate) fn execute<'a, R: Request>(
    exchange: &mut dyn Exchange,
    request: &'a R,
    authorizations: &mut [Authorization<'a>],
) -> Result<R::Response> {
    let entities = request.handles();
    let command = assemble(request, &entities, authorizations)?;
    let response = transact(exchange, R::CODE, &entities, &command)?;
    let answer = Answer::read(
        R::CODE,
        &response,
        R::ANSWERS_HANDLE,
        !authorizations.is_empty(),
    )?;
    if answer.code != ResponseCode::SUCCESS {
        return Err(Error::tpm(R::CODE, answer.code));
    }
    let changed = request.changed_auth();
    let parameters = open(R::CODE, &answer, changed, authorizations)?;
    let what = R::CODE.name().unwrap_or("response");
    let mut reader = Reader::new(&parameters, what);
    let result = request.parse(answer.handle, &mut reader)?;
    reader.finish()?;
    Ok(result)
}

fn assemble<R: Request>(
    request: &R,
    entities: &[Entity],
    authorizations: &mut [Authorization<'_>],
) -> Result<Zeroizing<Vec<u8>>> {
    let what = R::CODE.name().unwrap_or("command");
    let mut parameters = Writer::new();
    request.parameters(&mut parameters);
    let mut parameters = parameters.finish(what)?;
    let sessions = !authorizations.is_empty();
    let area = authorize(R::CODE, entities, &mut parameters, authorizations)?;
    // Tag, size and code; handles; the area's size and the area; parameters.
    let size =
        10 + 4 * entities.len() + if sessions { 4 + area.len() } else { 0 } + parameters.len();
    let length = |size: usize| u32::try_from(size).map_err(|_| Malformed { what });
    let mut command = Writer::new();
    command.u16(if sessions {
        tag::SESSIONS
    } else {
        tag::NO_SESSIONS
    });
    command.u32(length(size)?).u32(R::CODE.0);
    for entity in entities {
        command.u32(entity.handle);
    }
    if sessions {
        command.u32(length(area.len())?).bytes(&area);
    }
    command.bytes(&parameters);
    Ok(command.finish(what)?)
}

/// Encrypts the parameters, where a session does that, and makes the authorization area.
fn authorize(
    command: CommandCode,
    entities: &[Entity],
    parameters: &mut [u8],
    authorizations: &mut [Authorization<'_>],
) -> Result<Zeroizing<Vec<u8>>> {
    let what = command.name().unwrap_or("command");
    for authorization in &mut *authorizations {
        if let Authorization::Session { session, .. } = authorization {
            session.roll().map_err(crypto_error)?;
        }
    }
    if let Some((session, auth)) = the_one_with(attribute::DECRYPT, authorizations) {
        session
            .encrypt(auth, first_parameter(parameters, what)?)
            .map_err(crypto_error)?;
    }
    let nonces = nonces_of_others(authorizations);
    let mut area = Writer::new();
    for (index, authorization) in authorizations.iter().enumerate() {
        match authorization {
            Authorization::Password(auth) => {
                area.u32(handle::PASSWORD)
                    .tpm2b(&[])
                    .u8(attribute::CONTINUE)
                    .tpm2b(auth);
            }
            Authorization::Session {
                session,
                auth,
                attributes,
            } => {
                let cp_hash = session.cp_hash(command.0, entities, parameters);
                let others = if index == 0 { &nonces[..] } else { &[] };
                let hmac = session.authorize(auth, &cp_hash, others, *attributes);
                area.u32(session.handle())
                    .tpm2b(session.nonce())
                    .u8(*attributes)
                    .tpm2b(&hmac);
            }
        }
    }
    Ok(area.finish(what)?)
}

/// The session with a bit of [`attribute`], and the value of the entity that it authorizes.
fn the_one_with<'a>(
    bit: u8,
    authorizations: &'a [Authorization<'_>],
) -> Option<(&'a AuthSession, &'a Secret)> {
    authorizations
        .iter()
        .find_map(|authorization| match authorization {
            Authorization::Session {
                session,
                auth,
                attributes,
            } if attributes & bit != 0 => Some((&**session, *auth)),
            _ => None,
        })
}

/// What the first session's HMAC covers of the others: the TPM's nonce of the one that encrypts the command, and of the
/// one that encrypts its answer if that is a third one (Part 1, 19.6.5). Nobody can take them out of the command then.
fn nonces_of_others(authorizations: &[Authorization<'_>]) -> Vec<u8> {
    let first = match authorizations.first() {
        Some(Authorization::Session { session, .. }) => Some(session.handle()),
        _ => None,
    };
    let mut known: Vec<u32> = first.into_iter().collect();
    let mut nonces = Vec::new();
    for bit in [attribute::DECRYPT, attribute::ENCRYPT] {
        if let Some((session, _)) = the_one_with(bit, authorizations)
            && !known.contains(&session.handle())
        {
            known.push(session.handle());
            nonces.extend_from_slice(session.nonce_tpm());
        }
    }
    nonces
}

/// The content of the `TPM2B` that parameters begin with: what sessions encrypt.
fn first_parameter<'a>(
    parameters: &'a mut [u8],
    what: &'static str,
) -> Result<&'a mut [u8], Malformed> {
    let size = usize::from(Reader::new(parameters, what).u16()?);
    parameters.get_mut(2..2 + size).ok_or(Malformed { what })
}

/// Sends a command until the TPM does not ask for a repetition any more.
fn transact(
    exchange: &mut dyn Exchange,
    code: CommandCode,
    entities: &[Entity],
    command: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut backoff = Backoff::of_a_busy_tpm();
    loop {
        let sent = Instant::now();
        let response = exchange.transact(command)?;
        let answered = Reader::new(response.get(6..).unwrap_or_default(), "response")
            .u32()
            .map(ResponseCode)?;
        log::trace!(
            "{code} {}: {} bytes, answer {} bytes, 0x{:03x}, {} us",
            Handles(entities),
            command.len(),
            response.len(),
            answered.0,
            sent.elapsed().as_micros()
        );
        if !answered.is_retry() || !backoff.again() {
            return Ok(response);
        }
    }
}

/// Prints a command's handles.
struct Handles<'a>(&'a [Entity]);

impl std::fmt::Display for Handles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[")?;
        for (index, entity) in self.0.iter().enumerate() {
            write!(
                f,
                "{}{:08x}",
                if index == 0 { "" } else { " " },
                entity.handle
            )?;
        }
        f.write_str("]")
    }
}

/// A response, taken apart.
struct Answer<'a> {
    code: ResponseCode,
    handle: u32,
    parameters: &'a [u8],
    authorization: &'a [u8],
}

impl<'a> Answer<'a> {
    fn read(
        command: CommandCode,
        response: &'a [u8],
        has_handle: bool,
        sessions: bool,
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(response, command.name().unwrap_or("response"));
        let answer_tag = reader.u16()?;
        let size = reader.u32()?;
        let code = ResponseCode(reader.u32()?);
        if usize::try_from(size) != Ok(response.len()) {
            return Err(reader.malformed());
        }
        if code != ResponseCode::SUCCESS {
            return match answer_tag {
                tag::NO_SESSIONS | tag::RSP_COMMAND => Ok(Self {
                    code,
                    handle: 0,
                    parameters: &[],
                    authorization: &[],
                }),
                _ => Err(reader.malformed()),
            };
        }
        if answer_tag
            != if sessions {
                tag::SESSIONS
            } else {
                tag::NO_SESSIONS
            }
        {
            return Err(reader.malformed());
        }
        let handle = if has_handle { reader.u32()? } else { 0 };
        let parameters = match sessions {
            true => {
                let size = usize::try_from(reader.u32()?).map_err(|_| reader.malformed())?;
                reader.bytes(size)?
            }
            false => reader.rest(),
        };
        Ok(Self {
            code,
            handle,
            parameters,
            authorization: reader.rest(),
        })
    }
}

/// Checks the response's authorization area and returns its parameters in clear.
fn open<'a>(
    command: CommandCode,
    answer: &Answer<'_>,
    mut changed_auth: Option<&'a Secret>,
    authorizations: &mut [Authorization<'a>],
) -> Result<Zeroizing<Vec<u8>>> {
    let what = command.name().unwrap_or("response");
    let mut parameters = Zeroizing::new(answer.parameters.to_vec());
    let mut area = Reader::new(answer.authorization, what);
    // A new value is that of the first handle, and counts from the answer on (Part 1, 19.6.5).
    for authorization in &mut *authorizations {
        let nonce = area.tpm2b()?;
        let answered = area.u8()?;
        let hmac = area.tpm2b()?;
        let changed_auth = changed_auth.take();
        // A password is answered with an empty nonce and HMAC; the attributes say nothing.
        if let Authorization::Session { session, auth, .. } = authorization {
            *auth = changed_auth.unwrap_or(auth);
            let rp_hash = session.rp_hash(command.0, &parameters);
            if !session.verify(auth, &rp_hash, nonce, answered, hmac) {
                return Err(ErrorKind::SessionIntegrity { command: what }.into());
            }
        }
    }
    area.finish()?;
    if let Some((session, auth)) = the_one_with(attribute::ENCRYPT, authorizations) {
        session
            .decrypt(auth, first_parameter(&mut parameters, what)?)
            .map_err(crypto_error)?;
    }
    Ok(parameters)
}
