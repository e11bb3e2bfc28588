//! HMAC sessions: who we talk to is who holds the salt key (Part 1, 19 and 21).
//!
//! Sessions are salted and never bound. They use SHA-256, and AES-128 in CFB mode for parameters.
#![forbid(unsafe_code)]

pub(crate) mod cache;
mod salt;

use std::fmt;

use crypto::{CryptoError, Hash};
use zeroize::Zeroizing;

use crate::tpm2::commands::session::{SessionKind, StartAuthSession, StartedSession};
use crate::tpm2::constants::AlgId;
use crate::tpm2::name::Entity;
use crate::tpm2::public::Public;

pub(crate) use salt::{Salt, SaltError};

/// The hash algorithm of our sessions.
const HASH: Hash = Hash::Sha256;
const HASH_ALG: AlgId = AlgId::SHA256;
const HASH_BITS: u32 = 256;
const AES_BITS: u16 = 128;
/// Octets of an AES key, and of the CFB mode's first block.
const AES_SIZE: usize = 16;
const NONCE_SIZE: usize = 32;

/// `TPMA_SESSION` (Part 2, 8.4).
pub(crate) mod attribute {
    /// The session goes on after this command.
    pub(crate) const CONTINUE: u8 = 1;
    /// The first parameter of the command is encrypted.
    pub(crate) const DECRYPT: u8 = 1 << 5;
    /// The first parameter of the response is encrypted.
    pub(crate) const ENCRYPT: u8 = 1 << 6;
}

/// The first half of a session: our nonce and salt, before the TPM has answered.
pub(crate) struct Opening {
    salt_key: Option<Entity>,
    salt: Option<Salt>,
    nonce: Vec<u8>,
}

impl Opening {
    /// Prepares a session salted to a key, or without salt.
    pub(crate) fn new(salt_key: Option<(Entity, &Public)>) -> Result<Self, SaltError> {
        let mut nonce = vec![0; NONCE_SIZE];
        crypto::random(&mut nonce)?;
        let salt = salt_key
            .as_ref()
            .map(|(_, public)| Salt::to(public))
            .transpose()?;
        Ok(Self {
            salt_key: salt_key.map(|(entity, _)| entity),
            salt,
            nonce,
        })
    }

    /// The command that starts it.
    pub(crate) fn request(&self) -> StartAuthSession<'_> {
        StartAuthSession {
            salt_key: self.salt_key.clone(),
            nonce: &self.nonce,
            encrypted_salt: self.salt.as_ref().map_or(&[], |salt| &salt.encrypted),
            kind: SessionKind::Hmac,
            aes_bits: Some(AES_BITS),
            hash: HASH_ALG,
        }
    }

    /// The session, now that the TPM has answered: `sessionKey = KDFa(salt, "ATH", nonceTPM,
    /// nonceCaller)` (Part 1, 19.6.8). Without salt the key is empty, as the specification has it.
    pub(crate) fn complete(self, started: StartedSession) -> HmacSession {
        let key = match &self.salt {
            Some(salt) => crypto::kdf::kdfa(
                HASH,
                &salt.value,
                "ATH",
                &started.nonce,
                &self.nonce,
                HASH_BITS,
            ),
            None => Zeroizing::default(),
        };
        HmacSession {
            handle: started.handle,
            key,
            nonce_tpm: started.nonce,
            nonce_caller: self.nonce,
        }
    }
}

/// A running HMAC session.
pub(crate) struct HmacSession {
    handle: u32,
    key: Zeroizing<Vec<u8>>,
    nonce_tpm: Vec<u8>,
    nonce_caller: Vec<u8>,
}

impl HmacSession {
    /// The session's handle.
    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    /// Our current nonce.
    pub(crate) fn nonce(&self) -> &[u8] {
        &self.nonce_caller
    }

    /// Takes a new nonce for the next command (Part 1, 19.6.3).
    pub(crate) fn roll(&mut self) -> Result<(), CryptoError> {
        crypto::random(&mut self.nonce_caller)
    }

    /// The HMAC of a command whose parameters hash to `cp_hash` (Part 1, 19.6.5).
    pub(crate) fn authorize(
        &self,
        auth: &[u8],
        cp_hash: &[u8],
        attributes: u8,
    ) -> Zeroizing<Vec<u8>> {
        self.hmac(
            auth,
            cp_hash,
            &self.nonce_caller,
            &self.nonce_tpm,
            attributes,
        )
    }

    /// Checks the HMAC of a response and takes over the TPM's new nonce.
    pub(crate) fn verify(
        &mut self,
        auth: &[u8],
        rp_hash: &[u8],
        nonce: &[u8],
        attributes: u8,
        hmac: &[u8],
    ) -> bool {
        let expected = self.hmac(auth, rp_hash, nonce, &self.nonce_caller, attributes);
        if !crypto::constant_time_eq(&expected, hmac) {
            return false;
        }
        self.nonce_tpm = nonce.to_vec();
        true
    }

    /// Encrypts a command's first parameter (Part 1, 21.3).
    pub(crate) fn encrypt(&self, auth: &[u8], parameter: &mut [u8]) -> Result<(), CryptoError> {
        let keys = self.parameter_keys(auth, &self.nonce_caller, &self.nonce_tpm);
        let (key, iv) = keys.split_at_checked(AES_SIZE).ok_or(CryptoError::Failed)?;
        crypto::cfb::encrypt(key, iv, parameter)
    }

    /// Decrypts a response's first parameter; call after [`HmacSession::verify`].
    pub(crate) fn decrypt(&self, auth: &[u8], parameter: &mut [u8]) -> Result<(), CryptoError> {
        let keys = self.parameter_keys(auth, &self.nonce_tpm, &self.nonce_caller);
        let (key, iv) = keys.split_at_checked(AES_SIZE).ok_or(CryptoError::Failed)?;
        crypto::cfb::decrypt(key, iv, parameter)
    }

    fn hmac(
        &self,
        auth: &[u8],
        hash: &[u8],
        newer: &[u8],
        older: &[u8],
        attributes: u8,
    ) -> Zeroizing<Vec<u8>> {
        crypto::hmac(
            HASH,
            &self.keyed(auth),
            &[hash, newer, older, &[attributes]],
        )
    }

    fn parameter_keys(&self, auth: &[u8], newer: &[u8], older: &[u8]) -> Zeroizing<Vec<u8>> {
        let bits = u32::from(AES_BITS) + 128;
        crypto::kdf::kdfa(HASH, &self.keyed(auth), "CFB", newer, older, bits)
    }

    /// `sessionKey || authValue`, the value without trailing zeros (Part 1, 19.6.5 and 21.2).
    fn keyed(&self, auth: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&self.key, without_trailing_zeros(auth)].concat())
    }
}

impl fmt::Debug for HmacSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacSession(0x{:08x})", self.handle)
    }
}

fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// `cpHash` (Part 1, 16.7): what a command's HMAC covers. `parameters` as they go over the wire.
pub(crate) fn cp_hash(command: u32, entities: &[Entity], parameters: &[u8]) -> Vec<u8> {
    let code = command.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&code];
    parts.extend(entities.iter().map(|entity| entity.name.as_bytes()));
    parts.push(parameters);
    crypto::hash(HASH, &parts)
}

/// `rpHash` (Part 1, 16.8): what a response's HMAC covers. Only successful responses have one.
pub(crate) fn rp_hash(command: u32, parameters: &[u8]) -> Vec<u8> {
    crypto::hash(HASH, &[&[0; 4], &command.to_be_bytes(), parameters])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_of_a_value_do_not_count() {
        assert_eq!(without_trailing_zeros(b"pin\0\0"), b"pin");
        assert_eq!(without_trailing_zeros(b"\0p\0"), b"\0p");
        assert_eq!(without_trailing_zeros(&[0, 0]), b"");
        assert_eq!(without_trailing_zeros(b""), b"");
    }

    #[test]
    fn a_session_without_salt_has_an_empty_key() {
        let session = Opening::new(None).unwrap().complete(StartedSession {
            handle: 0x0200_0000,
            nonce: vec![1; 32],
        });
        assert!(session.key.is_empty());
        assert_eq!(format!("{session:?}"), "HmacSession(0x02000000)");
    }

    #[test]
    fn a_changed_response_is_refused_and_the_nonce_kept() {
        let mut session = Opening::new(None).unwrap().complete(StartedSession {
            handle: 0x0200_0000,
            nonce: vec![1; 32],
        });
        let hash = rp_hash(0x15d, b"parameters");
        let good = session.hmac(b"pin", &hash, &[2; 32], session.nonce(), 1);
        assert!(!session.verify(b"other", &hash, &[2; 32], 1, &good));
        assert!(!session.verify(b"pin", &hash, &[2; 32], 0, &good));
        assert!(!session.verify(b"pin", &rp_hash(0x15d, b"Parameters"), &[2; 32], 1, &good));
        assert_eq!(session.nonce_tpm, [1; 32]);
        assert!(session.verify(b"pin", &hash, &[2; 32], 1, &good));
        assert_eq!(session.nonce_tpm, [2; 32]);
    }
}
