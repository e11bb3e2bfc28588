//! One command: authorized, sent, repeated while the TPM is busy, its answer verified.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::auth::{self, Session};
use super::commands::Request;
use super::commands::admin::SelfTestFull;
use super::commands::session::{Oiap, Osap, TerminateHandle};
use super::commands::storage::FlushSpecific;
use super::constants::resource;
use super::failure::Failure;
use super::link::{Answer, Command, Turn};
use super::rc::Code;
use super::secret::AuthValue;
use crate::crypto::CryptoError;
use crate::tss::error::{Error, ErrorKind, Result};
use crate::tss::tpm2::wire::{Reader, Writer};
use crate::tss::transport::{Sharing, rest};

/// How long a busy TPM is asked again: self-tests of slow chips take seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How a command is authorized.
#[derive(Clone, Copy)]
pub(super) enum Authority<'a> {
    /// Not at all.
    None,
    /// By the secret of the entity it is about.
    Oiap(&'a AuthValue),
    /// By the secret of this key, to which the session is bound.
    Osap {
        /// The loaded key.
        key: u32,
        /// Its secret.
        secret: &'a AuthValue,
    },
}

/// Runs one command. `at_stake` is true afterwards if the connection failed while an authorization was
/// with the TPM: a wrong one may have been counted.
pub(super) fn run<R: Request>(
    turn: &mut dyn Turn,
    request: &R,
    authority: Authority<'_>,
    at_stake: &mut bool,
) -> Result<R::Response> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut tested = false;
    loop {
        let session = open(turn, authority)?;
        let sent = send(turn, request, session.as_ref(), at_stake);
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                // With the connection the way to end a session is gone, too.
                if !matches!(error.kind(), ErrorKind::Transport(_)) {
                    end(turn, session.as_ref());
                }
                return Err(error);
            }
        };
        if answer.code == Code::NEEDS_SELFTEST && !tested {
            end(turn, session.as_ref());
            tested = true;
            run(turn, &SelfTestFull, Authority::None, at_stake)?;
            continue;
        }
        if answer.code.is_busy() && started.elapsed() + pause <= PATIENCE {
            end(turn, session.as_ref());
            rest(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        }
        // tcsd gives up sessions of one client for another's; no secret was tried then.
        let lost = session.is_some() && answer.code == Code::INVALID_AUTHHANDLE;
        if lost && started.elapsed() + pause <= PATIENCE {
            rest(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        }
        match answer.code {
            // The session has ended with its command.
            Code::SUCCESS | Code::AUTHFAIL | Code::INVALID_AUTHHANDLE => {}
            // A TPM 1.1 that does not know the command does not know TPM_FlushSpecific either.
            Code::BAD_ORDINAL => terminate(turn, session.as_ref()),
            // What is refused before its authorization is looked at leaves the session open.
            _ if turn.sharing() != Sharing::Daemon => end(turn, session.as_ref()),
            // tcsd ends it with the connection.
            _ => {}
        }
        return read(request, &answer, session.as_ref());
    }
}

fn open(turn: &mut dyn Turn, authority: Authority<'_>) -> Result<Option<Session>> {
    let odd = auth::nonce().map_err(crypto_error)?;
    let mut nothing = false;
    Ok(match authority {
        Authority::None => None,
        Authority::Oiap(secret) => {
            let opened = run(turn, &Oiap, Authority::None, &mut nothing)?;
            Some(Session::oiap(opened.handle, opened.even, odd, secret))
        }
        Authority::Osap { key, secret } => {
            let odd_osap = auth::nonce().map_err(crypto_error)?;
            let request = Osap { key, odd: odd_osap };
            let opened = run(turn, &request, Authority::None, &mut nothing)?;
            let nonces = (&opened.even_osap, &odd_osap);
            Some(Session::osap(
                opened.handle,
                opened.even,
                odd,
                nonces,
                secret,
            ))
        }
    })
}

fn send<R: Request>(
    turn: &mut dyn Turn,
    request: &R,
    session: Option<&Session>,
    at_stake: &mut bool,
) -> Result<Answer> {
    let ordinal = request.ordinal();
    let sealed = match (request.secrets(), session) {
        (Some([usage, migration]), Some(session)) => Some(session.encrypt(usage, migration)),
        _ => None,
    };
    let mut writer = Writer::new();
    request.parameters(&mut writer, sealed.as_ref());
    let parameters = writer.finish(ordinal.name())?;
    let auth = session.map(|session| session.authorize(ordinal, &parameters));
    let command = Command {
        ordinal,
        key: request.key(),
        parameters,
        auth,
    };
    *at_stake = auth.is_some();
    let sent = Instant::now();
    let answer = turn.exchange(&command)?;
    *at_stake = false;
    log::trace!(
        "{ordinal} [{:08x}]: {} bytes, answer {} bytes, 0x{:x}, {} us",
        command.key.unwrap_or_default(),
        command.parameters.len(),
        answer.parameters.len(),
        answer.code.0,
        sent.elapsed().as_micros()
    );
    Ok(answer)
}

fn read<R: Request>(
    request: &R,
    answer: &Answer,
    session: Option<&Session>,
) -> Result<R::Response> {
    let ordinal = request.ordinal();
    if answer.code != Code::SUCCESS {
        return Err(Failure::of(ordinal, answer.code).into());
    }
    let verified = match (session, &answer.auth) {
        (None, None) => true,
        (Some(session), Some(auth)) => session.verify(ordinal, &answer.parameters, auth),
        // An answer without authorization to a command that had one, or the reverse.
        _ => false,
    };
    if !verified {
        return Err(ErrorKind::SessionIntegrity {
            command: ordinal.name(),
        }
        .into());
    }
    let mut reader = Reader::new(&answer.parameters, ordinal.name());
    let response = request.parse(answer.handle, &mut reader)?;
    reader.finish()?;
    Ok(response)
}

/// Ends a session that no command has ended.
fn end(turn: &mut dyn Turn, session: Option<&Session>) {
    if let Some(session) = session {
        end_session(turn, session.handle);
    }
}

/// The same with the old command.
fn terminate(turn: &mut dyn Turn, session: Option<&Session>) {
    if let Some(&Session { handle, .. }) = session {
        report(run(
            turn,
            &TerminateHandle { handle },
            Authority::None,
            &mut false,
        ));
    }
}

/// Ends a session by its handle.
pub(super) fn end_session(turn: &mut dyn Turn, handle: u32) {
    let ended = if turn.sharing() == Sharing::Daemon || turn.is_old() == Some(true) {
        run(
            turn,
            &TerminateHandle { handle },
            Authority::None,
            &mut false,
        )
    } else {
        let request = FlushSpecific {
            handle,
            kind: resource::AUTH,
        };
        run(turn, &request, Authority::None, &mut false)
    };
    report(ended);
}

/// That a session cannot be ended means that there is none.
fn report(ended: Result<()>) {
    if let Err(error) = ended {
        log::debug!("ending a session: {error}");
    }
}

/// A failure of software cryptography.
pub(super) fn crypto_error(error: CryptoError) -> Error {
    ErrorKind::Crypto {
        what: error.to_string(),
    }
    .into()
}
