//! The arithmetic of OIAP and OSAP (part 1, 14), the same for a TPM and for tcsd.
#![forbid(unsafe_code)]

use crypto::{CryptoError, Hash};
use zeroize::Zeroizing;

use super::constants::Ordinal;
use super::secret::AuthValue;

/// A nonce, or a digest of SHA-1.
pub(super) type Nonce = [u8; 20];

/// A fresh nonce.
pub(super) fn nonce() -> Result<Nonce, CryptoError> {
    let mut bytes = [0; 20];
    crypto::random(&mut bytes)?;
    Ok(bytes)
}

/// An open session, for one command: the TPM ends it with the command.
pub(super) struct Session {
    /// The TPM's name of the session.
    pub(super) handle: u32,
    /// The TPM's nonce.
    even: Nonce,
    /// Our nonce for the command.
    odd: Nonce,
    /// The entity's secret for OIAP, the shared secret for OSAP.
    key: Zeroizing<[u8; 20]>,
}

/// What goes out with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestAuth {
    pub(super) handle: u32,
    pub(super) odd: Nonce,
    pub(super) hmac: Nonce,
}

impl RequestAuth {
    /// The session ends with its command: nothing here lasts longer than one.
    pub(super) const CONTINUE: u8 = 0;
}

/// What comes back with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseAuth {
    pub(super) even: Nonce,
    pub(super) continues: u8,
    pub(super) hmac: Nonce,
}

impl Session {
    /// A session opened by TPM_OIAP, for the entity with this secret.
    pub(super) fn oiap(handle: u32, even: Nonce, odd: Nonce, secret: &AuthValue) -> Self {
        Self {
            handle,
            even,
            odd,
            key: Zeroizing::new(*secret.as_bytes()),
        }
    }

    /// A session opened by TPM_OSAP, which binds it to the entity with this secret.
    pub(super) fn osap(
        handle: u32,
        even: Nonce,
        odd: Nonce,
        osap_nonces: (&Nonce, &Nonce),
        secret: &AuthValue,
    ) -> Self {
        let (even_osap, odd_osap) = osap_nonces;
        Self {
            handle,
            even,
            odd,
            key: hmac(secret.as_bytes(), &[even_osap, odd_osap]),
        }
    }

    /// Authorizes a command with these parameters.
    pub(super) fn authorize(&self, ordinal: Ordinal, parameters: &[u8]) -> RequestAuth {
        let digest = crypto::hash(Hash::Sha1, &[&ordinal.0.to_be_bytes(), parameters]);
        let hmac = hmac(
            &*self.key,
            &[&digest, &self.even, &self.odd, &[RequestAuth::CONTINUE]],
        );
        RequestAuth {
            handle: self.handle,
            odd: self.odd,
            hmac: *hmac,
        }
    }

    /// Whether an answer with these parameters was made by somebody who knows the secret, to the
    /// command that was authorized. In constant time.
    pub(super) fn verify(&self, ordinal: Ordinal, parameters: &[u8], auth: &ResponseAuth) -> bool {
        let digest = crypto::hash(Hash::Sha1, &[&[0; 4], &ordinal.0.to_be_bytes(), parameters]);
        let expected = hmac(
            &*self.key,
            &[&digest, &auth.even, &self.odd, &[auth.continues]],
        );
        crypto::constant_time_eq(&*expected, &auth.hmac)
    }

    /// Encrypts a new key's two secrets for the way to the TPM (ADIP; part 1, 14.5: XOR with a digest
    /// of the shared secret and either nonce). For OSAP sessions.
    pub(super) fn encrypt(&self, usage: &AuthValue, migration: &AuthValue) -> [Nonce; 2] {
        let pad = |secret: &AuthValue, nonce: &Nonce| {
            let mask = Zeroizing::new(crypto::hash(Hash::Sha1, &[&*self.key, nonce]));
            let mut out = *secret.as_bytes();
            out.iter_mut()
                .zip(mask.iter())
                .for_each(|(byte, mask)| *byte ^= mask);
            out
        };
        [pad(usage, &self.even), pad(migration, &self.odd)]
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 20]> {
    let tag = crypto::hmac(Hash::Sha1, key, parts);
    let mut out = Zeroizing::new([0; 20]);
    out.copy_from_slice(&tag);
    out
}
