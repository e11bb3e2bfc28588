//! True commands and answers with one thing in them changed.

use super::area::{Area, ECC, attributes};
use super::attack::Aim;
use super::keys::Own;
use super::loot::{Known, Loot};
use super::strategy::{Strategy, Tpm};
use super::wire::{self, Answer, Bytes, Command, sized};
use crate::tpm::cc;
use std::io;
use std::sync::Arc;

/// Which thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Name,
    Attributes,
    Size,
    Scheme,
    Input,
    Content,
    Handle,
    LoadedHandle,
}

pub struct Alteration {
    what: What,
    known: Arc<Known>,
    aim: Aim,
}

impl Alteration {
    pub fn new(what: What, known: Arc<Known>, aim: Aim) -> Self {
        Self { what, known, aim }
    }

    /// The command as the TPM is to see it, if it is changed.
    fn command(&self, command: &Command) -> Option<Command> {
        let mut changed = command.clone();
        match (self.what, command.code) {
            (What::Attributes, cc::CREATE) => change_template(&mut changed, |area| {
                area.attributes &= !(attributes::FIXED_TPM | attributes::FIXED_PARENT);
            })?,
            (What::Size, cc::CREATE) => change_template(&mut changed, |area| {
                const P384: u16 = 0x0004;
                area.size = if area.kind == ECC { P384 } else { 1024 };
            })?,
            (What::Scheme, cc::CREATE) => change_template(&mut changed, exchange_scheme)?,
            (What::Input, cc::SIGN | cc::RSA_DECRYPT | cc::HASH | wire::SEQUENCE_UPDATE) => {
                // The last byte of what the parameters begin with.
                let size = Bytes(&command.parameters).sized()?.len();
                *changed.parameters.get_mut(1 + size)? ^= 1;
            }
            (What::Input, cc::ECDH_ZGEN) => {
                let [x, y] = [0, 1].map(|n| sized(&Own::Ec.unique()[n]));
                changed.parameters = sized(&[x, y].concat());
            }
            (What::Handle, cc::SIGN | cc::RSA_DECRYPT | cc::ECDH_ZGEN) => {
                changed.handles[0] = self.aim.other;
            }
            (What::Handle, cc::READ_PUBLIC | cc::START_AUTH_SESSION)
                if self.known.is_key(command.handles[0]) =>
            {
                changed.handles[0] = self.aim.other;
            }
            _ => return None,
        }
        Some(changed)
    }

    /// The answer as the module is to see it, if it is changed.
    fn answer(&self, code: u32, answer: &Answer) -> Option<Answer> {
        let mut changed = answer.clone();
        match (self.what, code) {
            // The name is the last thing.
            (What::Name, cc::CREATE_PRIMARY | cc::LOAD) => {
                *changed.parameters.last_mut()? ^= 1;
            }
            (What::Name, cc::READ_PUBLIC) => {
                let mut bytes = Bytes(&answer.parameters);
                let area = bytes.sized()?.len();
                let name = bytes.sized()?.len();
                changed.parameters[2 + area + 1 + name] ^= 1;
            }
            (What::Content, cc::NV_READ | cc::PCR_READ) => {
                *changed.parameters.last_mut()? ^= 1;
            }
            (What::LoadedHandle, cc::LOAD) => changed.handle = Some(self.aim.other),
            _ => return None,
        }
        Some(changed)
    }
}

impl Strategy for Alteration {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let Some(command) = Command::read(frame) else {
            return tpm.ask(frame);
        };
        if let Some(changed) = self.command(&command) {
            loot.strike();
            return tpm.ask(&changed.frame());
        }
        let answer = tpm.ask(frame)?;
        let read = Answer::read(command.code, &answer).filter(|read| read.rc == 0);
        Ok(
            match read.and_then(|read| self.answer(command.code, &read)) {
                Some(changed) => {
                    loot.strike();
                    changed.frame()
                }
                None => answer,
            },
        )
    }
}

/// Changes the template of TPM2_Create, which goes in clear even where the value beside it does not.
fn change_template(command: &mut Command, change: impl Fn(&mut Area)) -> Option<()> {
    let mut bytes = Bytes(&command.parameters);
    let sensitive = sized(bytes.sized()?);
    let mut area = Area::read(bytes.sized()?)?;
    let rest = bytes.0.to_vec();
    change(&mut area);
    command.parameters = [sensitive, sized(&area.bytes()), rest].concat();
    Some(())
}

/// A key that may do everything is bound to a scheme, with what the TPM demands of such a key's attributes; one that
/// is bound is set free.
fn exchange_scheme(area: &mut Area) {
    const NULL: [u8; 2] = [0x00, 0x10];
    const RSASSA_SHA256: [u8; 4] = [0x00, 0x14, 0x00, 0x0B];
    const ECDSA_SHA256: [u8; 4] = [0x00, 0x18, 0x00, 0x0B];
    if area.scheme == NULL {
        area.scheme = match area.kind {
            ECC => ECDSA_SHA256.to_vec(),
            _ => RSASSA_SHA256.to_vec(),
        };
        area.attributes &= !attributes::DECRYPT;
    } else {
        area.scheme = NULL.to_vec();
        area.attributes |= attributes::DECRYPT | attributes::SIGN;
    }
}
