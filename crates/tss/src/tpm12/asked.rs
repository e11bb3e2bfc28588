//! Whether what a TPM answers is what it was asked for. The secret of the storage root key is well known as a rule,
//! so that the authorization of an answer keeps out nobody who is between this process and the TPM: a key of another
//! kind must not be taken for the one that was meant.
#![forbid(unsafe_code)]

use super::blob::{EncScheme, Format, KeyBlob, PublicKey, SigScheme, Template};
use super::constants::Ordinal;
use super::stored::{Binding, StoredData};
use crate::error::{ErrorKind, Result};

/// What the specification has for every storage root key (part 3, 6.1: TPM_TakeOwnership).
const SRK_BITS: usize = 2048;
const EXPONENT: u32 = 65537;

/// A new key, which must have everything that `template` says, and a public part that a TPM makes.
pub(super) fn new_key(made: KeyBlob, template: &Template) -> Result<KeyBlob> {
    let facts = [
        (
            "structure",
            format!("{:?}", Format::Key),
            format!("{:?}", made.format()),
        ),
        (
            "usage",
            template.usage.name().to_owned(),
            made.usage().name().to_owned(),
        ),
        (
            "flags",
            format!("0x{:x}", template.flags),
            format!("0x{:x}", made.flags()),
        ),
        (
            "need of a password",
            template.needs_auth.to_string(),
            made.needs_auth().to_string(),
        ),
        (
            "encryption scheme",
            template.enc_scheme.0.to_string(),
            made.enc_scheme().0.to_string(),
        ),
        (
            "signature scheme",
            template.sig_scheme.0.to_string(),
            made.sig_scheme().0.to_string(),
        ),
        ("size", template.bits.to_string(), made.bits().to_string()),
        (
            "exponent",
            EXPONENT.to_string(),
            made.exponent().to_string(),
        ),
        (
            "binding to registers",
            false.to_string(),
            made.is_bound_to_pcrs().to_string(),
        ),
        (
            "modulus",
            true.to_string(),
            is_modulus(made.modulus()).to_string(),
        ),
    ];
    compare(Ordinal::CREATE_WRAP_KEY, &facts)?;
    Ok(made)
}

/// Sealed data, which must be bound to what they shall be bound to.
pub(super) fn sealed(made: StoredData, binding: Option<&Binding>) -> Result<StoredData> {
    let text = |binding: Option<&Binding>| match binding {
        None => "none".to_owned(),
        Some(binding) => format!(
            "{:?} as {} from localities 0x{:x}",
            binding.registers.numbers(),
            hex::encode(binding.digest),
            binding.localities
        ),
    };
    let facts = [("registers", text(binding), text(made.binding()))];
    compare(Ordinal::SEAL, &facts)?;
    Ok(made)
}

/// The public part of a storage root key, under which a private key is to be wrapped.
pub(super) fn storage_root_key(ordinal: Ordinal, srk: PublicKey) -> Result<PublicKey> {
    let facts = [
        (
            "encryption scheme",
            EncScheme::OAEP.0.to_string(),
            srk.enc_scheme().0.to_string(),
        ),
        (
            "signature scheme",
            SigScheme::NONE.0.to_string(),
            srk.sig_scheme().0.to_string(),
        ),
        (
            "size",
            SRK_BITS.to_string(),
            (srk.modulus().len() * 8).to_string(),
        ),
        ("exponent", EXPONENT.to_string(), srk.exponent().to_string()),
        (
            "modulus",
            true.to_string(),
            is_modulus(srk.modulus()).to_string(),
        ),
    ];
    compare(ordinal, &facts)?;
    Ok(srk)
}

/// The public part of an endorsement key, with which an owner's secret is to be encrypted: of the kind that every TPM
/// has. Whose it is, only its certificate tells.
pub(super) fn endorsement_key(ordinal: Ordinal, key: PublicKey) -> Result<PublicKey> {
    let facts = [
        (
            "size",
            true.to_string(),
            (key.modulus().len() * 8 >= SRK_BITS).to_string(),
        ),
        ("exponent", EXPONENT.to_string(), key.exponent().to_string()),
        (
            "modulus",
            true.to_string(),
            is_modulus(key.modulus()).to_string(),
        ),
    ];
    compare(ordinal, &facts)?;
    Ok(key)
}

/// Whether a number is a modulus of its size: a product of two odd primes.
fn is_modulus(modulus: &[u8]) -> bool {
    modulus.first().is_some_and(|first| first & 0x80 != 0)
        && modulus.last().is_some_and(|last| last & 1 != 0)
}

fn compare(ordinal: Ordinal, facts: &[(&str, String, String)]) -> Result<()> {
    match facts.iter().find(|(_, asked, found)| asked != found) {
        None => Ok(()),
        Some((what, asked, found)) => Err(ErrorKind::NotAsAsked {
            command: ordinal.name(),
            what: format!("asked for the {what} {asked}, got {found}"),
        }
        .into()),
    }
}
