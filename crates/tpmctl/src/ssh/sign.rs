//! Signatures in SSH's forms (RFC 5656, 3.1.2; RFC 8332, 3).

use crypto::Hash;
use crypto::ecdsa::decode_signature;
use keys::format::ssh::curve_name;
use keys::operation::Signing;
use keys::{Key, PublicKey};

use super::wire::{mpint, string};
use crate::error::Error;

/// Flags of a request to sign (draft-ietf-sshm-ssh-agent, 3.6.1).
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Signs `data`: with an RSA key by the digest that `flags` ask for, with an EC key by its curve's.
pub(crate) fn sign(key: &Key, data: &[u8], flags: u32) -> Result<Vec<u8>, Error> {
    let public = key.public();
    if let PublicKey::Ec(point) = public {
        let (curve, hash) = match point.curve().bits() {
            0..=256 => (point.curve(), Hash::Sha256),
            257..=384 => (point.curve(), Hash::Sha384),
            _ => (point.curve(), Hash::Sha512),
        };
        let name =
            curve_name(curve).ok_or_else(|| Error::new(format!("SSH has no keys on {curve}")))?;
        let signature = key.sign_message(&Signing::Ecdsa(Some(hash)), data)?;
        let (r, s) = decode_signature(&signature)
            .ok_or_else(|| Error::new("the signature is not in DER"))?;
        let numbers = [mpint(&r), mpint(&s)].concat();
        return Ok([
            string(format!("ecdsa-sha2-{name}").as_bytes()),
            string(&numbers),
        ]
        .concat());
    }
    let (name, hash) = match flags {
        flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", Hash::Sha512),
        flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", Hash::Sha256),
        _ => {
            return Err(Error::new(
                "a signature of an RSA key with SHA-1 is asked for (ssh-rsa), which is not made: OpenSSH has the better \
                 ones since 7.2",
            ));
        }
    };
    let signature = key.sign_message(&Signing::Pkcs1(hash), data)?;
    Ok([string(name.as_bytes()), string(&signature)].concat())
}
