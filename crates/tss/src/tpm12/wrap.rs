//! Wrapping a software key under an SRK without asking the TPM (part 2, 10.6: `TPM_STORE_ASYMKEY`).
#![forbid(unsafe_code)]

use crypto::Secret;
use crypto::padding::oaep_pad;
use crypto::rsa::RsaPublic;
use crypto::{CryptoError, Hash};

use super::blob::{KeyBlob, PublicKey, Template, sized};
use super::secret::AuthValue;
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::wire::Writer;

/// `TPM_PT_ASYM`
const ASYM: u8 = 1;
/// The label of every OAEP block of TPM 1.2 (part 1, 31.1.1).
pub(super) const LABEL: &[u8] = b"TCPA";

/// Wraps the RSA key with this modulus (exponent 65537), one of whose primes is `prime`, under `srk`.
/// `usage` is its authorization value; `migration` the one for moving it to another parent.
///
/// The template's size is taken from the modulus, and its migratable flag is set: the TPM refuses
/// keys made elsewhere without it.
///
/// # Errors
/// For a key too large for the SRK's padding (more than 2048 bits), or an SRK that is no RSA key.
pub fn wrap(
    srk: &PublicKey,
    template: &Template,
    modulus: &[u8],
    prime: &Secret,
    usage: &AuthValue,
    migration: &AuthValue,
) -> Result<KeyBlob> {
    let bits = u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX);
    if prime.len() * 2 != modulus.len() {
        return Err(Error::unsupported(format!(
            "a TPM 1.2 takes RSA keys of two primes of the same size: the modulus has {} bytes, the prime {}",
            modulus.len(),
            prime.len()
        )));
    }
    let template = Template {
        flags: template.flags | KeyBlob::MIGRATABLE,
        bits,
        ..template.clone()
    };
    let unwrapped = template.blob(modulus.to_vec(), Vec::new());
    let digest = crypto::hash(Hash::Sha1, &[unwrapped.public_bytes()]);
    let mut writer = Writer::new();
    writer
        .u8(ASYM)
        .bytes(usage.as_bytes())
        .bytes(migration.as_bytes())
        .bytes(&digest);
    sized(&mut writer, prime);
    let private = writer.finish("TPM_STORE_ASYMKEY")?;
    let crypto = |error: CryptoError| {
        Error::from(ErrorKind::Crypto {
            what: match error {
                CryptoError::TooLong { .. } => format!(
                    "a key of {bits} bits does not fit under this SRK: a TPM 1.2 takes keys up to 2048 bits"
                ),
                error => format!("wrapping the key: {error}"),
            },
        })
    };
    let srk = RsaPublic::with_exponent(srk.modulus(), srk.exponent()).map_err(crypto)?;
    let block = oaep_pad(srk.size(), Hash::Sha1, Hash::Sha1, LABEL, &private).map_err(crypto)?;
    let enc_data = srk.public_op(&block).map_err(crypto)?;
    Ok(template.blob(modulus.to_vec(), enc_data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_says_why() {
        let srk = PublicKey::from_modulus(&[0xc3; 256]);
        let wrapped = |size: usize, prime: usize| {
            wrap(
                &srk,
                &Template::legacy(0, false),
                &vec![0xc1; size],
                &Secret::new(vec![7; prime]),
                &AuthValue::well_known(),
                &AuthValue::well_known(),
            )
        };
        let blob = wrapped(256, 128).unwrap();
        assert_eq!(blob.as_bytes().len(), 559);
        assert_eq!(blob.flags(), KeyBlob::MIGRATABLE | KeyBlob::VOLATILE);
        assert_eq!(KeyBlob::parse(blob.as_bytes()), Ok(blob));
        let error = wrapped(512, 256).unwrap_err().to_string();
        assert!(error.contains("up to 2048 bits"), "{error}");
        let error = wrapped(256, 127).unwrap_err().to_string();
        assert!(error.contains("two primes of the same size"), "{error}");
    }
}
