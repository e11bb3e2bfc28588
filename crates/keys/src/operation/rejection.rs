//! Implicit rejection: what made-up messages are derived from.
//!
//! A ciphertext with wrong PKCS#1 v1.5 padding gets a made-up message instead of an error
//! (draft-irtf-cfrg-rsa-guidance, 7), always the same one. OpenSSL derives it from the private exponent, which the TPM
//! keeps. It must come from something else that only this key has and that every process finds alike: if three
//! workers made up three messages of a wrong ciphertext and one of a right one, they would tell right from wrong.
//!
//! - A key that does raw RSA (TPM 2.0, no scheme) computes it: the private operation on a fixed block, once for each
//!   loaded key and process. It is the same on every machine that has the key.
//! - A key of a TPM 1.2 that signs, too, computes it by a signature with PKCS#1 v1.5, which is not random.
//! - A key that can do neither (RSAES in a TPM 2.0, a binding key in a TPM 1.2) does nothing whose outcome others do
//!   not know. Its file's wrapped private part takes the place: a client does not have it, though who may read the
//!   file does.
//! - Such a key at a persistent handle has no file. Nothing is made up, and that is an error whatever the ciphertext.
//!
//! The block is nothing that is signed or encrypted: it begins with 0 and 3, where PKCS#1 has 0, 1 or 2, and ends
//! with 0, where PSS has 0xbc. Who sends it as a ciphertext gets a message that is made up from the secret, as for
//! any other with wrong padding: [`Rejection`] sees to it that the padding of its outcome *is* wrong. OAEP says that
//! it is wrong, a TLS server takes a random premaster secret. Who could compute the outcome could decrypt everything
//! with this key, so the secret is as safe as the messages. A caller to whom a service does raw RSA learns it, and
//! needs no oracle: such a service decrypts for its callers whatever they like.
#![forbid(unsafe_code)]

use crypto::Hash;
use crypto::rsa::RsaPublic;
use tss::os::AppendOnly;
use zeroize::Zeroizing;

use crate::{Error, Key};

/// A loaded key's secret, once it is known. Not behind a lock: a fork in another thread would leave that locked. A
/// forked child has what its parent had.
#[derive(Default)]
pub(crate) struct Rejection(AppendOnly<Zeroizing<Vec<u8>>>);

/// Separates what is derived here from everything else.
const LABEL: &[u8] = b"tpm-provider: implicit rejection, 1";

impl Key {
    /// The secret of made-up messages. Asked for before a ciphertext is decrypted, so that neither commands nor time
    /// tell whether it was needed.
    pub(super) fn rejection_secret(&self) -> Result<&[u8], Error> {
        // Of two threads that come here at once both compute it, to the same end.
        let secret = self.rejection.0.get_or_make(|| {
            let only_ours = self.backend.only_ours(&self.credential)?;
            let modulus = self.public().rsa()?.modulus();
            Ok::<_, Error>(crypto::hmac(Hash::Sha256, &only_ours, &[LABEL, modulus]))
        })?;
        Ok(secret)
    }
}

/// What a key of a TPM 1.2, which has no raw operation, is asked to sign once for itself.
pub(crate) fn rejection_digest(rsa: &RsaPublic) -> Vec<u8> {
    crypto::hash(Hash::Sha256, &[LABEL, rsa.modulus()])
}

/// The block that a key without a scheme is asked to decrypt, once for itself: public, and different for each key.
/// `counter` tells several from each other.
pub fn rejection_block(rsa: &RsaPublic, counter: u8) -> Vec<u8> {
    let size = rsa.size();
    let mut block = vec![0, 3];
    for part in 0u16.. {
        if block.len() >= size {
            break;
        }
        let parts: [&[u8]; 5] = [
            LABEL,
            b"block",
            &[counter],
            &part.to_be_bytes(),
            rsa.modulus(),
        ];
        block.extend_from_slice(&crypto::hash(Hash::Sha256, &parts));
    }
    block.truncate(size);
    if let Some(last) = block.last_mut() {
        *last = 0;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below every modulus, unlike whatever is signed or encrypted, and another for each key and counter.
    #[test]
    fn the_block_is_like_nothing_else() {
        let mut seen = Vec::new();
        for bits in [1024usize, 1025, 2048, 3072, 4096] {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            if bits % 8 != 0 {
                modulus[0] = 1;
            }
            let rsa = RsaPublic::with_exponent(&modulus, 0).unwrap();
            for counter in [0, 1, 255] {
                let block = rejection_block(&rsa, counter);
                assert_eq!(block.len(), rsa.size());
                assert!(block.as_slice() < rsa.modulus());
                assert_eq!(block[..2], [0, 3]);
                assert_eq!(block.last(), Some(&0));
                assert!(!seen.contains(&block));
                seen.push(block);
            }
        }
    }
}
