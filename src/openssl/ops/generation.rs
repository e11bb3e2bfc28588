//! Key generation: what all key types have in common.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Secret;
use keys::{GenerateOptions, ParentChoice, Usage};

use crate::openssl::Instance;
use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::keymgmt::{KeyData, Progress};
use crate::openssl::entry::param::{Params, ParamsOut};

/// Takes the options that say where the key belongs and what guards it.
pub(super) fn set_common(options: &mut GenerateOptions, params: Params<'_>) -> Result<(), Error> {
    if let Some(parent) = params.get(c"parent") {
        options.parent = ParentChoice::parse(parent.text()?)?;
    }
    if let Some(secret) = params.get(c"parent-auth") {
        options.parent_auth = Some(secret_of(secret.text()?)?);
    }
    if let Some(secret) = params.get(c"user-auth") {
        options.user_auth = secret_of(secret.text()?)?;
    }
    if let Some(words) = params.get(c"policy") {
        options.policy_words = Some(words.text()?.to_owned());
    }
    if let Some(family) = params.get(c"tpm") {
        options.family = Some(keys::parse_family(family.text()?)?);
    }
    Ok(())
}

/// Says what [`set_common`] and the digest have come to. Secrets are not among the answers.
pub(super) fn get_common(options: &GenerateOptions, params: &mut ParamsOut) -> Result<(), Error> {
    params.set_owned_text(
        c"digest",
        match options.usage {
            Usage::Any => "",
            Usage::Sign(hash) => hash.name(),
        },
    )
}

/// Makes the key. The TPM says nothing while it searches primes, which takes seconds: one sign of
/// life before and one after, as OpenSSL's own generation ends.
pub(super) fn run(
    instance: &Arc<Instance>,
    options: &GenerateOptions,
    progress: Progress<'_>,
) -> Result<KeyData, Error> {
    if !progress(0, 0) {
        return Err(Error::new(
            Reason::InvalidArgument,
            "the generation was cancelled",
        ));
    }
    let key = keys::generate(instance.tpm()?, options)?;
    if let Some(note) = key.unanchored() {
        instance.note(note);
    }
    progress(3, 0);
    Ok(KeyData::Key(Arc::new(key)))
}

fn secret_of(value: &str) -> Result<Secret, Error> {
    Ok(keys::read_secret(value)?)
}
