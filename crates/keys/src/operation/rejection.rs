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
use tss::tpm2::{Scheme, Source};
use tss::tpm12::{self, SigScheme};
use tss::transport::AppendOnly;
use zeroize::Zeroizing;

use super::Signing;
use crate::{Error, Key, Private};

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
            let only_ours = self.only_ours()?;
            let modulus = self.public.rsa()?.modulus();
            Ok::<_, Error>(crypto::hmac(Hash::Sha256, &only_ours, &[LABEL, modulus]))
        })?;
        Ok(secret)
    }

    /// Something that this key has or computes and that outsiders do not know.
    fn only_ours(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        match &self.private {
            Private::Tpm2 { object, .. } => match (object.public.scheme(), &object.source) {
                (Scheme::Null, _) => self.fixed_operation(),
                (_, Source::Blob { private, .. }) => Ok(Zeroizing::new(private.clone())),
                (_, Source::Persistent(handle)) => Err(Error::Scheme(format!(
                    "the key at handle 0x{handle:08x} is bound to RSAES: the TPM takes the padding off and tells \
                     whether it was right, and there is no key file from which a message could be made up in place of \
                     that answer. Use the key's file, or a key without a scheme; with implicit-rejection = 0 (pkeyutl: \
                     -pkeyopt rsa_pkcs1_implicit_rejection:0) wrong padding is an error, which lets whoever \
                     sees it decrypt"
                ))),
            },
            Private::Tpm12(key) => self.only_ours12(key),
        }
    }

    /// The private operation on the first block whose outcome is no PKCS#1 v1.5 encryption: nearly always the first
    /// of all.
    fn fixed_operation(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let rsa = self.public.rsa()?;
        for counter in 0..=u8::MAX {
            let block = rejection_block(rsa, counter);
            let mut outcome = self.raw_operation(&block)?;
            if rsa.public_op(&outcome)? != block {
                // As with a signature that does not verify: on a bare TPM another key may have the handle by now.
                log::warn!("the raw operation came out wrong: the key is loaded again");
                self.forget()?;
                outcome = self.raw_operation(&block)?;
                if rsa.public_op(&outcome)? != block {
                    return Err(Error::Data(
                        "the TPM's raw RSA operation does not agree with the key's public half, twice: the key \
                         file's public part may be damaged, or the TPM faulty"
                            .into(),
                    ));
                }
            }
            if !outcome.starts_with(&[0, 2]) {
                return Ok(outcome);
            }
        }
        Err(Error::Data(
            "the TPM's raw RSA operation gives encrypted messages of anything".into(),
        ))
    }

    fn only_ours12(&self, key: &tpm12::Key) -> Result<Zeroizing<Vec<u8>>, Error> {
        let blob = key.blob();
        let digest = crypto::hash(Hash::Sha256, &[LABEL, self.public.rsa()?.modulus()]);
        // No message has this as its digest or DigestInfo: half of a SHA-256 where SHA-1 is due, or without the prefix.
        let (input, signed) = match blob.sig_scheme() {
            SigScheme::SHA1 => {
                let input = digest.get(..Hash::Sha1.size()).unwrap_or_default().to_vec();
                let signed = [Hash::Sha1.digest_info_prefix(), &input].concat();
                (input, signed)
            }
            SigScheme::DER => (digest.clone(), digest),
            // What the TPM cannot sign so, and the keys that sign nothing.
            _ => return Ok(Zeroizing::new(blob.as_bytes().to_vec())),
        };
        if !blob.usage().signs() {
            return Ok(Zeroizing::new(blob.as_bytes().to_vec()));
        }
        let signature = Zeroizing::new(self.signature12(key, &input)?);
        if !self.verify(&Signing::Pkcs1Raw, &signature, &signed) {
            return Err(Error::WrongSignature(
                "the TPM returned a signature that does not verify under the key's public half: the key file may \
                 be damaged, or the TPM faulty"
                    .into(),
            ));
        }
        Ok(signature)
    }
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
