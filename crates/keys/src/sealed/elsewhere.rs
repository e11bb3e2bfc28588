//! Data that are sealed for the TPM of another machine, without one.
#![forbid(unsafe_code)]

use crypto::{Hash, Secret};
use tss::tpm2::{Attributes, Policy, Public, Sensitive, Unique};

use super::{KeyFile, Options, check_size, described, say_how_they_are_used};
use crate::Error;
use crate::backend::tpm2::import::file_for;
use crate::policy::Elsewhere;

/// As many octets as the name algorithm's digest has.
const SEED: usize = 32;

/// Seals `data`, up to [`MOST`](super::MOST) bytes, for the TPM that has this storage key; `options` name the storage key's
/// place in that TPM. No TPM command: the TPM imports them (TPM2_Import) before it unseals.
///
/// # Errors
///
/// Data of another size; a parent that is no storage key; a policy that needs what only that machine knows.
pub fn seal_for(data: &Secret, options: &Options, parent: &Public) -> Result<KeyFile, Error> {
    check_size(data)?;
    let policy = match options.policy.is_empty() {
        true => Policy::default(),
        false => Elsewhere.policy(&options.policy)?,
    };
    let (template, policy) = described(options, policy)?;
    let mut seed = zeroize::Zeroizing::new(vec![0; SEED]);
    crypto::random(&mut seed)?;
    // What a TPM computes of data that it seals itself, and compares on import (Part 1, 27.5.3.2).
    let unique = Unique::Digest(crypto::hash(Hash::Sha256, &[&*seed, &**data]));
    let attributes = template
        .attributes()
        .without(Attributes::FIXED_TPM)
        .without(Attributes::FIXED_PARENT);
    let public = template.with(attributes, template.auth_policy(), unique)?;
    let sensitive = Sensitive {
        auth: options.auth.clone(),
        seed: seed.into(),
        private: data.clone(),
    };
    let mut file = file_for(&public, &sensitive, options.parent, parent)?;
    say_how_they_are_used(&mut file, options, policy)?;
    Ok(file)
}
