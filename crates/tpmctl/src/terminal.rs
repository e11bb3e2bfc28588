//! Asking somebody at the terminal: standard input is one.
//!
//! Characters are taken one by one and nothing is left to the terminal, neither its echo nor its signals, so that it is as
//! it was whatever ends the question, and what was typed is nowhere but in memory that is wiped.

use std::io::{self, Stdin, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::SIGINT;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::interrupt::{self, Asking};

/// Whether what is typed is to be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Shown,
    Hidden,
}

/// Longer than anybody types; room that never has to grow, which would leave a copy behind.
const MOST: usize = 4096;
/// How often signals are looked for.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

const CONTROL_C: u8 = 0x03;
const CONTROL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CONTROL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// The line that is typed at `prompt`, without its end.
///
/// # Errors
///
/// A signal, Ctrl-C among them; the end of the input without a line.
pub(crate) fn line(prompt: &str, echo: Echo) -> Result<Zeroizing<Vec<u8>>, Error> {
    interrupt::hold()?;
    let _asking = Asking::begin();
    let raw = Raw::enter().map_err(|error| failed(&error))?;
    show(prompt);
    let line = raw.line(echo);
    show("\n");
    line
}

/// A terminal whose settings come back.
struct Raw {
    input: Stdin,
    before: Termios,
}

impl Raw {
    fn enter() -> io::Result<Self> {
        let input = io::stdin();
        let before = tcgetattr(&input)?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        tcsetattr(&input, OptionalActions::Flush, &raw)?;
        Ok(Self { input, before })
    }

    fn line(&self, echo: Echo) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut line = Zeroizing::new(Vec::with_capacity(MOST));
        loop {
            let Some(octet) = self.octet()? else {
                return Err(Error::new("the input has ended without an answer"));
            };
            match octet {
                b'\n' | b'\r' => return Ok(line),
                CONTROL_C => return Err(Error::interrupted(u8::try_from(SIGINT).unwrap_or(2))),
                CONTROL_D if line.is_empty() => {
                    return Err(Error::new("the input has ended without an answer"));
                }
                BACKSPACE | DELETE => {
                    if erase(&mut line) && echo == Echo::Shown {
                        show("\u{8} \u{8}");
                    }
                }
                CONTROL_U => {
                    while erase(&mut line) {
                        if echo == Echo::Shown {
                            show("\u{8} \u{8}");
                        }
                    }
                }
                // Tabulators and escape sequences are no part of an answer.
                0..=0x1f => {}
                octet if line.len() < MOST => {
                    line.push(octet);
                    if echo == Echo::Shown {
                        let _ = io::stderr().write_all(&[octet]);
                    }
                }
                _ => {
                    return Err(Error::new(format!(
                        "more than {MOST} characters were typed"
                    )));
                }
            }
        }
    }

    /// The next octet; nothing at the end.
    fn octet(&self) -> Result<Option<u8>, Error> {
        loop {
            interrupt::check()?;
            let mut waited = [PollFd::new(&self.input, PollFlags::IN)];
            match poll(&mut waited, Some(&TICK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(failed(&error.into())),
            }
            let mut octet = Zeroizing::new([0; 1]);
            return match read(self.input.as_fd(), &mut *octet) {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some(octet[0])),
                Err(Errno::INTR) => continue,
                Err(error) => Err(failed(&error.into())),
            };
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.input, OptionalActions::Now, &self.before);
    }
}

/// Takes the last character away, of however many octets; false if there is none.
fn erase(line: &mut Zeroizing<Vec<u8>>) -> bool {
    while let Some(octet) = line.pop() {
        // The continuation of a character in UTF-8.
        if octet & 0xc0 != 0x80 {
            return true;
        }
    }
    false
}

fn show(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn failed(error: &io::Error) -> Error {
    Error::new(format!("the terminal cannot be asked: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_erased_whole() {
        let mut line = Zeroizing::new("aé€".as_bytes().to_vec());
        assert!(erase(&mut line));
        assert_eq!(*line, "aé".as_bytes());
        assert!(erase(&mut line) && erase(&mut line));
        assert!(line.is_empty() && !erase(&mut line));
    }
}
