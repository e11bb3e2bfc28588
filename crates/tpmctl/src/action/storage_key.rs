//! Storage keys of other machines, as files that were brought here.

use std::path::Path;

use keys::{ParentChoice, printable};
use openssl::bn::{BigNum, BigNumContext};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public as PublicHalf};
use tss::tpm2::{Parent, Public, Unique};

use crate::error::Error;
use crate::settings::Chosen;

/// The public area of the storage key in a file: `PUBLIC KEY` in PEM, as `tpmctl srk export` and systemd write it, which is
/// that of a key of the standard template; or a whole `TPM2B_PUBLIC`, systemd's other form.
///
/// # Errors
///
/// Neither of them; a key of another size or on another curve than standard storage keys have.
pub(crate) fn read(content: &[u8], path: &Path) -> Result<Public, Error> {
    let found = match PKey::public_key_from_pem(content) {
        Ok(key) => of_numbers(&key),
        Err(_) => Public::from_tpm2b(content).map_err(|_| {
            "this is no storage key: expected PUBLIC KEY in PEM, as `tpmctl srk export` writes it on the machine, or \
             a TPM2B_PUBLIC"
                .to_owned()
        }),
    };
    found.map_err(|what| Error::new(format!("{}: {what}", printable::path(path))))
}

/// The public area of the key below which this TPM's keys are: one that is persistent, or a hierarchy's primary.
pub(crate) fn of_this_tpm(chosen: &Chosen, parent: ParentChoice) -> Result<Public, Error> {
    let parent = Parent {
        auth: chosen.tpm.config().parent_auth.clone(),
        ..Parent::new(parent.into())
    };
    Ok(chosen.client()?.parent_public(&parent)?)
}

const OTHER: &str = "this is not the public half of a standard storage key: those are on P-256, or RSA of 2048 bits with \
                     the exponent 65537";

fn of_numbers(key: &PKey<PublicHalf>) -> Result<Public, String> {
    let template = match key.id() {
        Id::EC => Public::ecc_primary(),
        _ => Public::rsa_primary(),
    };
    let unique = unique(key).ok_or_else(|| OTHER.to_owned())?;
    template
        .and_then(|template| template.with(template.attributes(), template.auth_policy(), unique))
        .map_err(|error| error.to_string())
}

/// The unique field of a key on P-256, or of RSA-2048 with the usual exponent.
pub(super) fn unique(key: &PKey<PublicHalf>) -> Option<Unique> {
    match key.id() {
        Id::EC => point(key),
        Id::RSA => modulus(key),
        _ => None,
    }
}

fn point(key: &PKey<PublicHalf>) -> Option<Unique> {
    let key = key.ec_key().ok()?;
    if key.group().curve_name() != Some(Nid::X9_62_PRIME256V1) {
        return None;
    }
    let mut context = BigNumContext::new().ok()?;
    let (mut x, mut y) = (BigNum::new().ok()?, BigNum::new().ok()?);
    let point = key.public_key();
    point
        .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
        .ok()?;
    Some(Unique::Ecc {
        x: x.to_vec_padded(32).ok()?,
        y: y.to_vec_padded(32).ok()?,
    })
}

fn modulus(key: &PKey<PublicHalf>) -> Option<Unique> {
    let key = key.rsa().ok()?;
    let is_standard = key.size() == 256 && key.e().to_vec() == [1, 0, 1];
    is_standard.then(|| Unique::Rsa(key.n().to_vec()))
}
