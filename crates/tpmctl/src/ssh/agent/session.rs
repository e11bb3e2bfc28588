//! A client's conversation.

use std::io;
use std::os::unix::net::UnixStream;

use super::ask::{self, Use};
use super::binding::{Bindings, Login};
use super::message::{
    CHANGES, EXTENSION, EXTENSION_FAILURE, FAILURE, IDENTITIES_ANSWER, LOCK, REQUEST_IDENTITIES,
    SIGN_REQUEST, SIGN_RESPONSE, SUCCESS, UNLOCK, receive, send,
};
use super::socket::Peer;
use super::upstream::Upstreams;
use super::{Agent, message};
use crate::error::Error;
use crate::output;
use crate::ssh::wire::{Reader, string};

/// Answers until the client goes.
pub(super) fn serve(agent: &Agent, client: (UnixStream, Peer)) {
    let (mut stream, peer) = client;
    let mut session = Session {
        agent,
        peer,
        bindings: Bindings::default(),
        upstreams: Upstreams::new(&agent.proxies),
    };
    if let Err(error) = session.run(&mut stream) {
        log::info!("a client of the agent was left: {error}");
    }
}

struct Session<'a> {
    agent: &'a Agent,
    peer: Peer,
    bindings: Bindings,
    upstreams: Upstreams,
}

impl Session<'_> {
    fn run(&mut self, stream: &mut UnixStream) -> io::Result<()> {
        while let Some(message) = receive(stream)? {
            let answer = self.answer(&message);
            send(stream, &answer)?;
        }
        Ok(())
    }

    fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        let Some((&kind, body)) = message.split_first() else {
            return vec![FAILURE];
        };
        let answer = match kind {
            REQUEST_IDENTITIES => Ok(self.identities()),
            SIGN_REQUEST => self.sign(message, body),
            LOCK => self.lock(body),
            UNLOCK => self.agent.lock.unlock(body),
            EXTENSION => Ok(self.extension(message, body)),
            kind if CHANGES.contains(&kind) && !self.agent.lock.is_locked() => {
                Ok(self.upstreams.first(message).unwrap_or(vec![FAILURE]))
            }
            _ => Ok(vec![FAILURE]),
        };
        answer.unwrap_or_else(|error| {
            output::note(&format!("tpmctl: {error}"));
            vec![FAILURE]
        })
    }

    /// The keys, each with its certificate, and those of the agents behind this one. Nothing while it is locked.
    fn identities(&mut self) -> Vec<u8> {
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        if !self.agent.lock.is_locked() {
            for found in self.agent.keys() {
                let comment = found.comment.clone().into_bytes();
                all.extend(found.certificate().map(|it| (it, comment.clone())));
                all.push((found.blob.clone(), comment));
            }
            let others = self.upstreams.identities();
            all.extend(others);
        }
        let mut answer = vec![IDENTITIES_ANSWER, 0, 0, 0, 0];
        let mut count: u32 = 0;
        for (blob, comment) in all {
            let one = [string(&blob), string(&comment)].concat();
            // What fits into a message: a client would leave at a longer one.
            if answer.len() + one.len() > message::LONGEST {
                break;
            }
            answer.extend(one);
            count += 1;
        }
        answer[1..5].copy_from_slice(&count.to_be_bytes());
        answer
    }

    /// Who locks it goes away: the PINs are forgotten.
    fn lock(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let answer = self.agent.lock.lock(body)?;
        if answer == [SUCCESS] {
            self.agent.loaded.forget();
        }
        Ok(answer)
    }

    fn sign(&mut self, message: &[u8], body: &[u8]) -> Result<Vec<u8>, Error> {
        let mut reader = Reader::new(body);
        let parts = (reader.string(), reader.string(), reader.u32());
        let (Some(blob), Some(data), Some(flags)) = parts else {
            return Ok(vec![FAILURE]);
        };
        if !reader.is_at_end() || self.agent.lock.is_locked() {
            return Ok(vec![FAILURE]);
        }
        let keys = self.agent.keys();
        // Certificates are read only for who asks by one.
        let found = keys.iter().find(|key| key.blob == blob).or_else(|| {
            keys.iter()
                .find(|key| key.certificate().as_deref() == Some(blob))
        });
        let Some(found) = found else {
            return Ok(self.upstreams.sign(blob, message).unwrap_or(vec![FAILURE]));
        };
        let login = Login::parse(data);
        self.bindings.check(login.as_ref())?;
        if self.agent.confirm {
            let _one = self.agent.questions.begin();
            let used = Use {
                found,
                peer: &self.peer,
                login: login.as_ref(),
                bindings: &self.bindings,
            };
            ask::confirm(&used)?;
        }
        let signature = self.agent.sign(found, data, flags)?;
        let mut answer = vec![SIGN_RESPONSE];
        answer.extend(string(&signature));
        Ok(answer)
    }

    fn extension(&mut self, message: &[u8], body: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(body);
        match reader.text() {
            Some("query") => [
                &[SUCCESS][..],
                &string(b"query"),
                &string(b"session-bind@openssh.com"),
            ]
            .concat(),
            Some("session-bind@openssh.com") => match self.bindings.bind(&mut reader) {
                true => {
                    // Keys of theirs may be for one host alone.
                    self.upstreams.tell(message);
                    vec![SUCCESS]
                }
                false => vec![EXTENSION_FAILURE],
            },
            // The draft: one that is not known is an ordinary failure.
            _ => vec![FAILURE],
        }
    }
}
