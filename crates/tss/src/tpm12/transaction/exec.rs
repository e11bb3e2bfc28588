//! One command: authorized, sent, repeated while the TPM is busy, its answer verified.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::Tpm;
use super::exchange::{Answer, Command};
use crate::backoff::Backoff;
use crate::error::{ErrorKind, Result, crypto_error};
use crate::tpm2::wire::{Reader, Writer};
use crate::tpm12::commands::Request;
use crate::tpm12::commands::admin::SelfTestFull;
use crate::tpm12::commands::session::{Oiap, Osap, TerminateHandle};
use crate::tpm12::commands::storage::FlushSpecific;
use crate::tpm12::constants::{entity, handle, resource};
use crate::tpm12::failure::{Failure, code_of};
use crate::tpm12::rc::Code;
use crate::tpm12::secret::AuthValue;
use crate::tpm12::session::{self, Session};
use crate::transport::Sharing;

/// How a command is authorized.
#[derive(Clone, Copy)]
pub(crate) enum Authority<'a> {
    /// Not at all.
    None,
    /// By the secret of the entity it is about.
    Oiap(&'a AuthValue),
    /// By two secrets: of the key, and of what the key protects.
    Both {
        /// The key's.
        key: &'a AuthValue,
        /// The other one.
        own: &'a AuthValue,
    },
    /// By the secret of this key, to which the session is bound.
    Osap {
        /// The loaded key.
        key: u32,
        /// Its secret.
        secret: &'a AuthValue,
    },
    /// By the owner's secret, to whom the session is bound.
    OwnerOsap(&'a AuthValue),
}

impl Tpm<'_> {
    /// Runs one command.
    pub(crate) fn execute<R: Request>(
        &mut self,
        request: &R,
        authority: Authority<'_>,
    ) -> Result<R::Response> {
        let mut backoff = Backoff::of_a_busy_tpm();
        let mut tested = false;
        loop {
            let sessions = self.open(authority)?;
            let sent = self.send(request, &sessions);
            let answer = match sent {
                Ok(answer) => answer,
                Err(error) => {
                    // With the connection the way to end a session is gone, too.
                    if !matches!(error.kind(), ErrorKind::Transport(_)) {
                        self.end(&sessions);
                    }
                    return Err(error);
                }
            };
            if answer.code == Code::NEEDS_SELFTEST && !tested {
                self.end(&sessions);
                tested = true;
                self.execute(&SelfTestFull, Authority::None)?;
                continue;
            }
            if answer.code.is_busy() && !backoff.is_over() {
                self.end(&sessions);
                backoff.again();
                continue;
            }
            // The session has ended with its command. Of two, the second may not have been looked at.
            let over = match answer.code {
                Code::SUCCESS => true,
                Code::AUTHFAIL | Code::INVALID_AUTHHANDLE => sessions.len() < 2,
                _ => false,
            };
            if over {
                for session in &sessions {
                    self.closed(session.handle);
                }
            }
            // tcsd gives up sessions of one client for another's; no secret was tried then.
            let lost = !sessions.is_empty() && answer.code == Code::INVALID_AUTHHANDLE;
            if lost && backoff.again() {
                if !over {
                    self.end(&sessions);
                }
                continue;
            }
            match answer.code {
                _ if over => {}
                // A TPM 1.1 that does not know the command does not know TPM_FlushSpecific either.
                Code::BAD_ORDINAL => self.terminate(&sessions),
                // What is refused before its authorization is looked at leaves the session open.
                _ if self.exchange.sharing() != Sharing::Daemon => self.end(&sessions),
                // tcsd ends it with the connection.
                _ => {}
            }
            return read(request, &answer, &sessions);
        }
    }

    fn open(&mut self, authority: Authority<'_>) -> Result<Vec<Session>> {
        match authority {
            Authority::None => Ok(Vec::new()),
            Authority::Oiap(secret) => Ok(vec![self.oiap(secret)?]),
            Authority::Both { key, own } => {
                let first = vec![self.oiap(key)?];
                match self.oiap(own) {
                    Ok(second) => Ok(first.into_iter().chain([second]).collect()),
                    Err(error) => {
                        if !matches!(error.kind(), ErrorKind::Transport(_)) {
                            self.end(&first);
                        }
                        Err(error)
                    }
                }
            }
            Authority::Osap { key, secret } => {
                Ok(vec![self.osap(entity::KEY_HANDLE, key, secret)?])
            }
            Authority::OwnerOsap(secret) => {
                Ok(vec![self.osap(entity::OWNER, handle::OWNER, secret)?])
            }
        }
    }

    fn osap(&mut self, entity: u16, handle: u32, secret: &AuthValue) -> Result<Session> {
        let odd = session::nonce().map_err(crypto_error)?;
        let odd_osap = session::nonce().map_err(crypto_error)?;
        let request = Osap {
            entity,
            handle,
            odd: odd_osap,
        };
        let opened = self.execute(&request, Authority::None)?;
        self.opened(opened.handle);
        let nonces = (&opened.even_osap, &odd_osap);
        Ok(Session::osap(
            opened.handle,
            opened.even,
            odd,
            nonces,
            secret,
        ))
    }

    fn oiap(&mut self, secret: &AuthValue) -> Result<Session> {
        let odd = session::nonce().map_err(crypto_error)?;
        let opened = self.execute(&Oiap, Authority::None)?;
        self.opened(opened.handle);
        Ok(Session::oiap(opened.handle, opened.even, odd, secret))
    }

    fn send<R: Request>(&mut self, request: &R, sessions: &[Session]) -> Result<Answer> {
        let ordinal = request.ordinal();
        let sealed = match (request.secrets(), sessions.first()) {
            (Some([usage, migration]), Some(session)) => Some(session.encrypt(usage, migration)),
            _ => None,
        };
        let mut writer = Writer::new();
        request.parameters(&mut writer, sealed.as_ref());
        let parameters = writer.finish(ordinal.name())?;
        let auths: Vec<_> = sessions
            .iter()
            .map(|session| session.authorize(ordinal, &parameters))
            .collect();
        let has_auth = !auths.is_empty();
        let command = Command {
            ordinal,
            key: request.key(),
            parameters,
            auths,
        };
        let awaited = request.makes();
        if let Some(made) = &awaited {
            self.expect(made);
        }
        let sent = Instant::now();
        let answer = self.exchange.exchange(&command).inspect_err(|_| {
            // Not taken back by a later command: none goes out any more.
            self.at_stake |= has_auth || !request.repeatable();
        })?;
        log::trace!(
            "{ordinal} [{:08x}]: {} bytes, answer {} bytes, 0x{:x}, {} us",
            command.key.unwrap_or_default(),
            command.parameters.len(),
            answer.parameters.len(),
            answer.code.0,
            sent.elapsed().as_micros()
        );
        if awaited.is_some() && answer.code != Code::SUCCESS {
            self.arrived();
        }
        Ok(answer)
    }

    /// Ends sessions that no command has ended.
    fn end(&mut self, sessions: &[Session]) {
        for session in sessions {
            self.end_session(session.handle);
        }
    }

    /// The same with the old command.
    fn terminate(&mut self, sessions: &[Session]) {
        for &Session { handle, .. } in sessions {
            let ended = self.execute(&TerminateHandle { handle }, Authority::None);
            self.ended(handle, ended);
        }
    }

    /// Ends a session by its handle.
    pub(crate) fn end_session(&mut self, handle: u32) {
        let old =
            self.exchange.sharing() == Sharing::Daemon || self.exchange.is_old() == Some(true);
        let ended = if old {
            self.execute(&TerminateHandle { handle }, Authority::None)
        } else {
            let request = FlushSpecific {
                handle,
                kind: resource::AUTH,
            };
            self.execute(&request, Authority::None)
        };
        self.ended(handle, ended);
    }

    /// That a session cannot be ended means that there is none, if it was the TPM that said so.
    fn ended(&mut self, handle: u32, ended: Result<()>) {
        if let Err(error) = &ended {
            log::debug!("ending a session: {error}");
        }
        if !ended.is_err_and(|error| code_of(&error).is_none()) {
            self.closed(handle);
        }
    }
}

fn read<R: Request>(request: &R, answer: &Answer, sessions: &[Session]) -> Result<R::Response> {
    let ordinal = request.ordinal();
    if answer.code != Code::SUCCESS {
        return Err(Failure::of(ordinal, answer.code).into());
    }
    // An answer without authorization to a command that had one, or the reverse, is none.
    let verified = sessions.len() == answer.auths.len()
        && sessions
            .iter()
            .zip(&answer.auths)
            .all(|(session, auth)| session.verify(ordinal, &answer.parameters, auth));
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
