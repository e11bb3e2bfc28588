//! Signatures of other keys: a host's, by which a connection to an agent is bound to a session.

use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;

use super::wire::Reader;

/// Whether `signature` of `data` is by the key in `blob`: RSA with SHA-2, ECDSA or Ed25519. Any other is not.
pub(crate) fn is_right(blob: &[u8], data: &[u8], signature: &[u8]) -> bool {
    let parts = || {
        let mut key = Reader::new(blob);
        let mut signed = Reader::new(signature);
        let parts = (key.text()?, signed.text()?, signed.string()?);
        signed.is_at_end().then_some((key, parts))
    };
    let Some((key, (kind, algorithm, signature))) = parts() else {
        return false;
    };
    let right = match (kind, algorithm) {
        ("ssh-rsa", "rsa-sha2-256") => rsa(key, MessageDigest::sha256(), data, signature),
        ("ssh-rsa", "rsa-sha2-512") => rsa(key, MessageDigest::sha512(), data, signature),
        ("ssh-ed25519", "ssh-ed25519") => ed25519(key, data, signature),
        ("ecdsa-sha2-nistp256", _) if algorithm == kind => {
            let (curve, digest) = (Nid::X9_62_PRIME256V1, MessageDigest::sha256());
            ecdsa(key, curve, digest, data, signature)
        }
        ("ecdsa-sha2-nistp384", _) if algorithm == kind => ecdsa(
            key,
            Nid::SECP384R1,
            MessageDigest::sha384(),
            data,
            signature,
        ),
        ("ecdsa-sha2-nistp521", _) if algorithm == kind => ecdsa(
            key,
            Nid::SECP521R1,
            MessageDigest::sha512(),
            data,
            signature,
        ),
        _ => None,
    };
    right == Some(true)
}

/// What does not fit is as wrong as what does not verify.
fn tried(check: impl FnOnce() -> Result<bool, ErrorStack>) -> Option<bool> {
    check().ok()
}

fn rsa(mut key: Reader<'_>, digest: MessageDigest, data: &[u8], signature: &[u8]) -> Option<bool> {
    let (exponent, modulus) = (key.string()?, key.string()?);
    tried(|| {
        let key = Rsa::from_public_components(
            BigNum::from_slice(modulus)?,
            BigNum::from_slice(exponent)?,
        )?;
        Verifier::new(digest, &*PKey::from_rsa(key)?)?.verify_oneshot(signature, data)
    })
}

fn ed25519(mut key: Reader<'_>, data: &[u8], signature: &[u8]) -> Option<bool> {
    let public = key.string()?;
    tried(|| {
        let key = PKey::public_key_from_raw_bytes(public, Id::ED25519)?;
        Verifier::new_without_digest(&key)?.verify_oneshot(signature, data)
    })
}

fn ecdsa(
    mut key: Reader<'_>,
    curve: Nid,
    digest: MessageDigest,
    data: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let (_, point) = (key.string()?, key.string()?);
    let mut numbers = Reader::new(signature);
    let (r, s) = (numbers.string()?, numbers.string()?);
    tried(|| {
        let group = EcGroup::from_curve_name(curve)?;
        let mut context = openssl::bn::BigNumContext::new()?;
        let point = EcPoint::from_bytes(&group, point, &mut context)?;
        let key = EcKey::from_public_key(&group, &point)?;
        let signature =
            EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
        signature.verify(&hash(digest, data)?, &key)
    })
}

#[cfg(test)]
mod tests {
    use openssl::sign::Signer;

    use super::super::wire::{mpint, string};
    use super::*;

    fn ed25519_pair() -> (Vec<u8>, Vec<u8>, &'static [u8]) {
        let key = PKey::generate_ed25519().unwrap();
        let data = b"a session".as_slice();
        let signature = Signer::new_without_digest(&key)
            .unwrap()
            .sign_oneshot_to_vec(data)
            .unwrap();
        let name = string(b"ssh-ed25519");
        (
            [name.clone(), string(&key.raw_public_key().unwrap())].concat(),
            [name, string(&signature)].concat(),
            data,
        )
    }

    #[test]
    fn only_what_was_signed_verifies() {
        let (blob, signature, data) = ed25519_pair();
        assert!(is_right(&blob, data, &signature));
        assert!(!is_right(&blob, b"another", &signature));
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!is_right(&blob, data, &changed), "{at}");
            assert!(!is_right(&blob, data, &signature[..at]), "{at}");
        }
        for at in 0..blob.len() {
            assert!(!is_right(&blob[..at], data, &signature), "{at}");
        }
    }

    #[test]
    fn curves_and_rsa() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        let point = key
            .public_key()
            .to_bytes(&group, form, &mut context)
            .unwrap();
        let name = b"ecdsa-sha2-nistp256";
        let blob = [string(name), string(b"nistp256"), string(&point)].concat();
        let digest = hash(MessageDigest::sha256(), b"data").unwrap();
        let made = EcdsaSig::sign(&digest, &key).unwrap();
        let numbers = [mpint(&made.r().to_vec()), mpint(&made.s().to_vec())].concat();
        let signature = [string(name), string(&numbers)].concat();
        assert!(is_right(&blob, b"data", &signature));
        assert!(!is_right(&blob, b"date", &signature));

        let key = Rsa::generate(2048).unwrap();
        let blob = [
            string(b"ssh-rsa"),
            mpint(&key.e().to_vec()),
            mpint(&key.n().to_vec()),
        ]
        .concat();
        let key = PKey::from_rsa(key).unwrap();
        for (name, digest, right) in [
            ("rsa-sha2-256", MessageDigest::sha256(), true),
            ("rsa-sha2-512", MessageDigest::sha512(), true),
            // SHA-1 is believed nowhere.
            ("ssh-rsa", MessageDigest::sha1(), false),
        ] {
            let mut signer = Signer::new(digest, &key).unwrap();
            let made = signer.sign_oneshot_to_vec(b"data").unwrap();
            let signature = [string(name.as_bytes()), string(&made)].concat();
            assert_eq!(is_right(&blob, b"data", &signature), right, "{name}");
        }
    }
}
