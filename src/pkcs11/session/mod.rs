//! Sessions, and what is under way in them. A caller's second thread in the same session finds nothing under way while
//! the first one waits for the TPM; nobody waits for anybody here.
#![forbid(unsafe_code)]

pub(super) mod agree;
pub(super) mod cipher;
pub(super) mod digest;
pub(super) mod find;
pub(super) mod generate;
pub(super) mod sign;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crypto::Digest;
use keys::Key;

use super::abi::*;
use super::module;
use super::object::Shown;
use super::token::Held;

use cipher::{Decrypting, Encrypting};
use sign::{Signing, Verifying};

/// A session.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) slot: CK_SLOT_ID,
    pub(super) is_rw: bool,
    pub(super) objects: BTreeMap<CK_OBJECT_HANDLE, Shown>,
    pub(super) found: Option<VecDeque<CK_OBJECT_HANDLE>>,
    pub(super) sign: Option<Signing>,
    pub(super) verify: Option<Verifying>,
    pub(super) encrypt: Option<Encrypting>,
    pub(super) decrypt: Option<Decrypting>,
    pub(super) digest: Option<Digesting>,
    /// Of what kinds the message is handed in as a whole.
    whole: CK_FLAGS,
}

/// A message that is being hashed.
#[derive(Clone)]
pub(super) struct Digesting {
    digest: Digest,
    is_in_parts: bool,
}

impl Session {
    pub(super) fn new(slot: CK_SLOT_ID, is_rw: bool) -> Self {
        Self {
            slot,
            is_rw,
            objects: BTreeMap::new(),
            found: None,
            sign: None,
            verify: None,
            encrypt: None,
            decrypt: None,
            digest: None,
            whole: 0,
        }
    }

    /// Notes that the message of what is under way is handed in as a whole, if anything is.
    pub(super) fn note_whole(&mut self, flag: CK_FLAGS) {
        let is_active = match flag {
            CKF_SIGN => self.sign.is_some(),
            CKF_ENCRYPT => self.encrypt.is_some(),
            CKF_DECRYPT => self.decrypt.is_some(),
            CKF_DIGEST => self.digest.is_some(),
            _ => false,
        };
        match is_active {
            true => self.whole |= flag,
            false => self.whole &= !flag,
        }
    }

    /// Whether it is.
    pub(super) fn is_whole(&self, flag: CK_FLAGS) -> bool {
        self.whole & flag != 0
    }

    /// Gives up what is under way, of the kinds that `flags` name.
    pub(super) fn cancel(&mut self, flags: CK_FLAGS) {
        self.whole &= !flags;
        if flags & CKF_SIGN != 0 {
            self.sign = None;
        }
        if flags & CKF_VERIFY != 0 {
            self.verify = None;
        }
        if flags & CKF_ENCRYPT != 0 {
            self.encrypt = None;
        }
        if flags & CKF_DECRYPT != 0 {
            self.decrypt = None;
        }
        if flags & CKF_DIGEST != 0 {
            self.digest = None;
        }
        if flags & CKF_FIND_OBJECTS != 0 {
            self.found = None;
        }
    }
}

/// Where results go: a caller may ask for their length first.
pub(super) trait Output {
    /// The room that there is; `None` for who asks for the length only.
    fn room(&self) -> Option<usize>;

    /// Says how long the result is, at most.
    fn needs(&mut self, length: usize);

    /// Hands out the result, if there is room.
    fn give(&mut self, result: &[u8]) -> Result;

    /// Whether a result of this length can be handed out; says how long it is if not.
    fn has_room_for(&mut self, length: usize) -> Result<bool> {
        match self.room() {
            None => {
                self.needs(length);
                Ok(false)
            }
            Some(room) if room < length => {
                self.needs(length);
                Err(Fault(CKR_BUFFER_TOO_SMALL))
            }
            Some(_) => Ok(true),
        }
    }
}

/// A private key that a session may use, loaded; with its slot. No TPM command, unless it is persistent.
fn private(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
) -> Result<(CK_SLOT_ID, Arc<Held>, Arc<Key>)> {
    let (slot, shown, tpm, is_open) = module::with(|module| {
        let object = match module.object(session, object) {
            Err(Fault(CKR_OBJECT_HANDLE_INVALID)) => {
                // Of a private key that is hidden somebody may have the handle from before.
                let (_, token) = module.session_and_token(session)?;
                let is_there = token.objects.iter().any(|one| one.handle == object);
                return Err(Fault(match is_there {
                    true => CKR_USER_NOT_LOGGED_IN,
                    false => CKR_KEY_HANDLE_INVALID,
                }));
            }
            object => object?,
        };
        let (session, token) = module.session_and_token(session)?;
        let of_token = object.shown.is_of_token();
        let is_open = token.is_logged_in || !token.wants_login() || !of_token;
        Ok((session.slot, object.shown, module.tpm(), is_open))
    })?;
    let Shown::Private(held) = shown else {
        return Err(Fault(CKR_KEY_FUNCTION_NOT_PERMITTED));
    };
    if !is_open {
        return Err(Fault(CKR_USER_NOT_LOGGED_IN));
    }
    let key = held.key(&tpm?)?;
    if !held.is_of_token() {
        module::with(|module| {
            module.note_used(&key);
            Ok(())
        })?;
    }
    Ok((slot, held, key))
}
