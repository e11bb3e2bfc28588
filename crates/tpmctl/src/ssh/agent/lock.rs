//! A lock on the agent, with a passphrase of its user's (ssh-add -x and -X).

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crypto::Secret;
use openssl::memcmp;
use openssl::sha::sha256;

use super::locked;
use super::message::{FAILURE, SUCCESS};
use crate::error::Error;
use crate::ssh::wire::Reader;

/// Longer with each wrong passphrase, as OpenSSH's agent has it.
const STEP: Duration = Duration::from_millis(100);
const LONGEST: u32 = 100;

#[derive(Default)]
struct State {
    passphrase: Option<Secret>,
    wrong: u32,
}

/// Open at first.
#[derive(Default)]
pub(super) struct Lock(Mutex<State>);

impl Lock {
    pub(super) fn is_locked(&self) -> bool {
        locked(&self.0).passphrase.is_some()
    }

    /// Locks it, if it is not.
    pub(super) fn lock(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let mut state = locked(&self.0);
        let Some(passphrase) = passphrase(body).filter(|_| state.passphrase.is_none()) else {
            return Ok(vec![FAILURE]);
        };
        state.passphrase = Some(passphrase);
        Ok(vec![SUCCESS])
    }

    /// Opens it to whoever knows the passphrase. The others wait, and whoever comes after them.
    pub(super) fn unlock(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let mut state = locked(&self.0);
        let (Some(given), Some(wanted)) = (passphrase(body), &state.passphrase) else {
            return Ok(vec![FAILURE]);
        };
        // In a time that tells nothing of either.
        if memcmp::eq(&sha256(&given), &sha256(wanted)) {
            *state = State::default();
            return Ok(vec![SUCCESS]);
        }
        state.wrong = (state.wrong + 1).min(LONGEST);
        thread::sleep(STEP * state.wrong);
        Ok(vec![FAILURE])
    }
}

fn passphrase(body: &[u8]) -> Option<Secret> {
    let mut reader = Reader::new(body);
    let passphrase = reader.string()?;
    reader.is_at_end().then(|| Secret::new(passphrase.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::wire::string;

    #[test]
    fn who_locks_it_opens_it() {
        let lock = Lock::default();
        let [right, wrong] = [string(b"right"), string(b"wrong")];
        let is = |answer: Result<Vec<u8>, Error>, wanted: u8| assert_eq!(answer.unwrap(), [wanted]);
        is(lock.unlock(&right), FAILURE);
        is(lock.lock(&right[..6]), FAILURE);
        is(lock.lock(&right), SUCCESS);
        assert!(lock.is_locked());
        is(lock.lock(&wrong), FAILURE);
        is(lock.unlock(&wrong), FAILURE);
        assert!(lock.is_locked());
        is(lock.unlock(&right), SUCCESS);
        assert!(!lock.is_locked());
    }
}
