//! What is done with a command: passed on, answered by an impostor, used for oneself.

use super::attack::is_housekeeping;
use super::impostor::Impostor;
use super::impostor12::Impostor12;
use super::loot::{Learned, Loot};
use super::wire::{Answer, Auth, Bytes, Command, LOAD_EXTERNAL, NULL, sized};
use crate::tpm::cc;
use std::collections::BTreeMap;
use std::io;

/// The TPM behind the interposer.
pub trait Tpm {
    /// Has the TPM execute a command.
    fn ask(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// One way to deal with commands; it lives as long as the attack, over all connections.
pub trait Strategy: Send {
    /// What the module gets for `frame`.
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>>;

    /// The warm-up is over: from now on it strikes. Only what learns from an earlier run cares.
    fn strike_now(&mut self) {}
}

/// Does nothing.
pub struct PassOn;

impl Strategy for PassOn {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, _: &mut Loot) -> io::Result<Vec<u8>> {
        tpm.ask(frame)
    }
}

/// Answers in the TPM's place.
pub struct Posing {
    impostor: Impostor,
    /// Handles of keys of its own in the TPM, by the handles that they stand for.
    loaded: BTreeMap<u32, u32>,
}

impl Strategy for Posing {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let command = Command::read(frame).filter(|command| self.impostor.wants(command));
        let Some(command) = command else {
            return tpm.ask(frame);
        };
        if command.code == cc::READ_PUBLIC
            && let Some(answer) = self.vouched_for(&command, tpm)?
        {
            loot.strike();
            return Ok(answer);
        }
        if !is_housekeeping(command.code) {
            loot.strike();
        }
        let answer = self.impostor.answer(command.clone(), loot);
        if command.code == cc::RSA_DECRYPT && answer.rc == 0 {
            self.read_on(&command, tpm, loot)?;
        }
        Ok(answer.frame())
    }
}

impl Posing {
    pub fn new(impostor: Impostor) -> Self {
        Self {
            impostor,
            loaded: BTreeMap::new(),
        }
    }

    /// The TPM's own answer about a key of the interposer's, which is loaded there first. Nothing in a session's HMAC
    /// tells one handle from another, only the key's name.
    fn vouched_for(&mut self, command: &Command, tpm: &mut dyn Tpm) -> io::Result<Option<Vec<u8>>> {
        let handle = command.handles[0];
        let Some((own, area)) = self.impostor.key_to_load(handle) else {
            return Ok(None);
        };
        let there = match self.loaded.get(&handle) {
            Some(&there) => there,
            None => {
                let load = Command {
                    code: LOAD_EXTERNAL,
                    handles: Vec::new(),
                    auths: Vec::new(),
                    parameters: [
                        own.sensitive(),
                        sized(&area.bytes()),
                        NULL.to_be_bytes().to_vec(),
                    ]
                    .concat(),
                };
                let answer = Answer::read(LOAD_EXTERNAL, &tpm.ask(&load.frame())?);
                let there = answer.and_then(|answer| answer.handle);
                let there =
                    there.ok_or_else(|| io::Error::other("the TPM takes no foreign key"))?;
                self.loaded.insert(handle, there);
                there
            }
        };
        let redirected = Command {
            handles: vec![there],
            ..command.clone()
        };
        tpm.ask(&redirected.frame()).map(Some)
    }

    /// With a value that it has guessed it has the true key decrypt what was meant for it.
    fn read_on(&mut self, command: &Command, tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<()> {
        if let Some(value) = self.impostor.guessed() {
            let own = Command {
                auths: vec![Auth::password(value)],
                ..command.clone()
            };
            if tpm.ask(&own.frame()).is_ok_and(|answer| succeeded(&answer)) {
                loot.learned.insert(Learned::Content);
            }
        }
        Ok(())
    }
}

/// Answers as a TPM 1.2.
pub struct Speaking12(pub Impostor12);

impl Strategy for Speaking12 {
    fn turn(&mut self, frame: &[u8], _: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        Ok(self.0.answer(frame, loot))
    }
}

/// Passes everything on, and then has the TPM do the same for itself.
pub struct OwnUse;

impl Strategy for OwnUse {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let answer = tpm.ask(frame)?;
        let command = Command::read(frame)
            .filter(|command| [cc::RSA_DECRYPT, cc::ECDH_ZGEN].contains(&command.code));
        if let Some(command) = command {
            loot.strike();
            // The ciphertext passed in clear; the key has no value, or it does not know it.
            let own = Command {
                auths: vec![Auth::password(&[])],
                ..command
            };
            if succeeded(&tpm.ask(&own.frame())?) {
                loot.learned.insert(Learned::Content);
            }
        }
        Ok(answer)
    }
}

fn succeeded(frame: &[u8]) -> bool {
    Answer::read(cc::RSA_DECRYPT, frame).is_some_and(|answer| {
        answer.rc == 0
            && Bytes(&answer.parameters)
                .sized()
                .is_some_and(|b| !b.is_empty())
    })
}
