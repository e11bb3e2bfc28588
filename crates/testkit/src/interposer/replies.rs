//! Answers that are old, late, short, bare or another command's.

use super::loot::Loot;
use super::strategy::{Strategy, Tpm};
use super::wire::{Answer, Command};
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// Keeps every answer of a first run, and gives them in a second one.
#[derive(Default)]
pub struct Replay {
    kept: BTreeMap<u32, VecDeque<Vec<u8>>>,
    striking: bool,
}

impl Strategy for Replay {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let code = crate::tpm::code(frame);
        if !self.striking {
            let answer = tpm.ask(frame)?;
            self.kept.entry(code).or_default().push_back(answer.clone());
            return Ok(answer);
        }
        match self.kept.get_mut(&code).and_then(VecDeque::pop_front) {
            Some(answer) => {
                loot.strike();
                Ok(answer)
            }
            None => tpm.ask(frame),
        }
    }

    fn strike_now(&mut self) {
        self.striking = true;
    }
}

/// Cuts parameters in half.
pub struct Truncate;

impl Strategy for Truncate {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        changed(frame, tpm, loot, |answer| {
            let half = answer.parameters.len() / 2;
            let shorter = half < answer.parameters.len();
            answer.parameters.truncate(half);
            shorter
        })
    }
}

/// Takes authorizations away.
pub struct Strip;

impl Strategy for Strip {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        changed(frame, tpm, loot, |answer| {
            !std::mem::take(&mut answer.auths).is_empty()
        })
    }
}

/// Has the TPM execute the command and changes its answer; `change` says whether it did.
fn changed(
    frame: &[u8],
    tpm: &mut dyn Tpm,
    loot: &mut Loot,
    change: impl Fn(&mut Answer) -> bool,
) -> io::Result<Vec<u8>> {
    let true_answer = tpm.ask(frame)?;
    let command = Command::read(frame);
    let answer = command.and_then(|command| Answer::read(command.code, &true_answer));
    if let Some(mut answer) = answer
        && answer.rc == 0
        && change(&mut answer)
    {
        loot.strike();
        return Ok(answer.frame());
    }
    Ok(true_answer)
}

/// Gives each command its predecessor's answer.
#[derive(Default)]
pub struct Shift {
    last: Option<Vec<u8>>,
}

impl Strategy for Shift {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let answer = tpm.ask(frame)?;
        loot.strike();
        // The first command's own answer, so that there is a second one.
        Ok(self.last.replace(answer.clone()).unwrap_or(answer))
    }
}

/// Is late with the first answer: it comes when the client has given up.
#[derive(Default)]
pub struct Late {
    done: bool,
}

impl Strategy for Late {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        let answer = tpm.ask(frame)?;
        if !std::mem::replace(&mut self.done, true) {
            loot.strike();
            loot.withhold = true;
        }
        Ok(answer)
    }
}

/// Refuses a command.
pub struct Refuse {
    pub code: u32,
    pub rc: u32,
}

impl Strategy for Refuse {
    fn turn(&mut self, frame: &[u8], tpm: &mut dyn Tpm, loot: &mut Loot) -> io::Result<Vec<u8>> {
        if crate::tpm::code(frame) == self.code {
            loot.strike();
            return Ok(crate::tpm::response(self.rc));
        }
        tpm.ask(frame)
    }
}
