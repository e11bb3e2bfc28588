//! Secrets of a TPM 1.2: of its owner, of what the owner makes.

use std::path::Path;

use crypto::Secret;
use keys::{read_secret, srk_value};
use tss::tpm12::AuthValue;

use crate::error::Error;

/// The secret in a file's first line: 40 hexadecimal digits are the 20 bytes themselves, anything else is a password.
pub(crate) fn in_file(path: &Path) -> Result<AuthValue, Error> {
    let secret = read_secret(&format!("file:{}", path.display()))?;
    match secret.is_empty() {
        false => Ok(value(&secret)),
        true => Err(Error::new(format!(
            "the first line of {} is empty, and no secret: the well-known one is 40 zeros",
            path.display()
        ))),
    }
}

/// What a secret stands for.
pub(crate) fn value(secret: &Secret) -> AuthValue {
    srk_value(secret)
}

/// The owner's secret, from the file that was named. No other is tried: a wrong one counts.
pub(crate) fn of_owner(named: Option<&Path>) -> Result<AuthValue, Error> {
    match named {
        Some(path) => in_file(path),
        None => Err(Error::new(
            "a TPM 1.2 does this for its owner: name the file that the owner's secret is in with --auth file:PATH (40 \
             zeros are the well-known secret)",
        )),
    }
}

/// The owner's secret where it is the settings' or that of --parent-auth.
pub(crate) fn of_owner_in(parent_auth: &Secret) -> Result<AuthValue, Error> {
    match parent_auth.is_empty() {
        false => Ok(value(parent_auth)),
        true => Err(Error::new(
            "a TPM 1.2 does this for its owner: name the file that the owner's secret is in with --parent-auth file:PATH \
             (40 zeros are the well-known secret)",
        )),
    }
}
