//! Another PIN for a key: a new file in the place of the old one.
#![forbid(unsafe_code)]

use std::path::Path;

use crypto::Secret;
use keys::key_dirs::{Content, Replacement};
use keys::tss2::KeyFile;
use keys::{ChangeAuth, change_auth};

use super::super::abi::*;
use super::super::fault::fault;
use super::super::module;
use super::login::{LONGEST, checked};

/// C_SetPIN. The old file, where somebody has a copy of it, goes on working with the old PIN: no TPM can revoke it.
pub(in crate::pkcs11) fn set(session: CK_SESSION_HANDLE, old: &[u8], new: &[u8]) -> Result {
    let (slot, held, tpm, is_rw) = module::with(|module| {
        let (session, token) = module.session_and_token(session)?;
        let (slot, is_rw, held) = (session.slot, session.is_rw, token.key.clone());
        Ok((slot, held, module.tpm(), is_rw))
    })?;
    if !is_rw {
        return Err(Fault(CKR_SESSION_READ_ONLY));
    }
    let held = held.ok_or_else(|| {
        fault(
            CKR_FUNCTION_REJECTED,
            "the keys of this token have no PIN: `tpmctl key passwd` gives one to a key",
        )
    })?;
    let tpm = tpm?;
    let entry = held.entry().ok_or_else(|| {
        fault(
            CKR_FUNCTION_REJECTED,
            "the PIN of a persistent key can be changed by making it persistent anew only",
        )
    })?;
    let Content::Tss2(file) = &entry.content else {
        return Err(fault(
            CKR_FUNCTION_NOT_SUPPORTED,
            "the password of a key of a TPM 1.2 is not changed by this version",
        ));
    };
    if new.is_empty() || new.len() > LONGEST || new.contains(&0) {
        return Err(Fault(CKR_PIN_LEN_RANGE));
    }
    let (old, new) = (Secret::from(old), Secret::from(new));
    let change = ChangeAuth::of(file)?;
    change
        .check(&new)
        .map_err(|error| fault(CKR_PIN_LEN_RANGE, &error.to_string()))?;
    // Everything that can fail is looked at before the TPM is asked.
    let place = Place::of(&entry.path, file)?;
    checked(&held, &tpm, old.clone(), true)?;
    let changed = change_auth(&tpm, &change, &old, &new)?;
    place.write(&changed)?;
    module::refresh()?;
    let held = module::with(|module| Ok(module.tokens.get(slot)?.key.clone()))?;
    if let Some(held) = held {
        // Who was logged in stays so.
        held.log_in(&tpm, new)?;
    }
    Ok(())
}

/// A file that holds the key now, and nothing before it.
struct Place {
    original: Vec<u8>,
    replacement: Replacement,
}

impl Place {
    fn of(path: &Path, file: &KeyFile) -> Result<Self> {
        let original = std::fs::read(path)?;
        if KeyFile::from_bytes(&original).ok().as_ref() != Some(file) {
            return Err(fault(
                CKR_FUNCTION_FAILED,
                "the file has changed, or holds another key before this one",
            ));
        }
        Ok(Self {
            original,
            replacement: Replacement::of(path)?,
        })
    }

    fn write(&self, changed: &KeyFile) -> Result {
        let content = changed
            .in_place_of(&self.original)
            .map_err(|error| fault(CKR_FUNCTION_FAILED, &error.to_string()))?;
        Ok(self.replacement.write(&content)?)
    }
}
