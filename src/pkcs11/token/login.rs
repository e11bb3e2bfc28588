//! Logging in: what happens to a PIN.
//!
//! A wrong one is a try that counts towards the lockout of the whole TPM, for all its keys. So:
//!
//! - A value that the TPM has refused for a key is never sent to it again in this process, nor in those forked from it
//!   (the key layer's memory).
//! - A value is tried at once, by using the key for nothing, so that a wrong one is told to who typed it. Where the same
//!   value was wrong for another key in this process it is believed, and tried when the key is used: `ssh-add -s` gives
//!   one PIN to every token, which costs one try so, however many tokens there are.
//! - The last try before the TPM locks is nobody's here.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Secret;
use keys::{Error, Standing, Tpm};
use tss::tpm2::{Attributes, Public};

use super::super::abi::*;
use super::super::fault::fault;
use super::super::module;
use super::Held;

/// The longest PIN that is looked at, in bytes.
pub(in crate::pkcs11) const LONGEST: usize = 1024;

/// C_Login for a user.
pub(in crate::pkcs11) fn log_in(session: CK_SESSION_HANDLE, pin: &[u8]) -> Result {
    let (slot, held, tpm) = module::with(|module| {
        let (session, token) = module.session_and_token(session)?;
        let (slot, key) = (session.slot, token.key.clone());
        if token.is_logged_in {
            return Err(Fault(CKR_USER_ALREADY_LOGGED_IN));
        }
        Ok((slot, key, module.tpm()))
    })?;
    // Where there is nothing to protect, whatever is given is right.
    if let Some(held) = held {
        checked(&held, &tpm?, Secret::from(pin), false)?;
    }
    module::with(|module| {
        module.tokens.get_mut(slot)?.is_logged_in = true;
        Ok(())
    })
}

/// Gives a key an authorization value, which the TPM has taken or takes now; a doubtful one only if that must be sure.
pub(super) fn checked(held: &Held, tpm: &Arc<Tpm>, value: Secret, surely: bool) -> Result {
    if value.is_empty() || value.len() > LONGEST {
        return Err(Fault(CKR_PIN_INCORRECT));
    }
    let key = match held.log_in(tpm, value) {
        Ok(key) => key,
        Err(error) if error.is_wrong_value() || matches!(error, Error::Authorization(_)) => {
            return Err(fault(CKR_PIN_INCORRECT, &error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    match key.standing() {
        Standing::Good => Ok(()),
        Standing::Doubtful if !surely => Ok(()),
        Standing::Refused | Standing::Missing => Err(Fault(CKR_PIN_INCORRECT)),
        Standing::Untried | Standing::Doubtful => {
            spare_the_last_try(&key)?;
            try_value(&key)
        }
    }
}

/// Has the TPM say whether the value is right.
fn try_value(key: &keys::Key) -> Result {
    let Err(error) = key.exercise() else {
        return Ok(());
    };
    note(&error);
    if error.is_wrong_value() {
        return Err(fault(CKR_PIN_INCORRECT, &error.to_string()));
    }
    if error.tries_left() == Some(0) {
        return Err(fault(CKR_PIN_LOCKED, &error.to_string()));
    }
    match error {
        // The value may be right: whether the policy holds is another question, and can change.
        Error::Tss(error) if error.is_policy_refusal() => Ok(()),
        error => Err(error.into()),
    }
}

/// Refuses to send a value that may be wrong where that would lock the TPM. One command.
pub(in crate::pkcs11) fn spare_the_last_try(key: &keys::Key) -> Result {
    // A TPM 1.2 does not tell, and of some keys no TPM counts the tries.
    let is_counted = |public: &Public| !public.attributes().contains(Attributes::NO_DA);
    if !key.tpm_public().is_some_and(is_counted) {
        return Ok(());
    }
    let (left, most) = key.tpm().tries_left()?;
    let _ = module::with(|module| {
        module.note_tries(Some(left));
        Ok(())
    });
    match left {
        0 => Err(fault(
            CKR_PIN_LOCKED,
            "the TPM is locked after too many wrong authorization values: `tpmctl lockout` tells for how long",
        )),
        1 if most > 1 => Err(fault(
            CKR_PIN_LOCKED,
            "a wrong authorization value would lock the TPM now, with all its keys: `tpmctl lockout` tells when there \
             are more tries",
        )),
        _ => Ok(()),
    }
}

/// Takes note of what an error says of the TPM's lockout.
pub(in crate::pkcs11) fn note(error: &Error) {
    if let Some(left) = error.tries_left() {
        let _ = module::with(|module| {
            module.note_tries(Some(left));
            Ok(())
        });
    }
}

/// Runs a private operation with a key. A value that nobody has tried may be wrong here, too; one that is ends the
/// login.
pub(in crate::pkcs11) fn used<T>(
    slot: CK_SLOT_ID,
    held: &Held,
    run: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let loaded = held.loaded();
    if let Some(key) = &loaded
        && matches!(key.standing(), Standing::Untried | Standing::Doubtful)
        && held.wants_login()
    {
        spare_the_last_try(key).map_err(|_| Fault(CKR_FUNCTION_FAILED))?;
    }
    let result = run();
    if result.is_err()
        && let Some(key) = loaded
        && key.needs_login()
    {
        let _ = module::with(|module| {
            module.tokens.log_out(slot);
            Ok(())
        });
    }
    result
}
