//! Sessions: who we talk to is who holds the salt key (Part 1, 19 and 21).
//!
//! Sessions are salted or not, and never bound. HMAC sessions use SHA-256, policy sessions the hash algorithm of the
//! policy; both AES-128 in CFB mode for parameters.
#![forbid(unsafe_code)]

pub(crate) mod cache;
mod salt;

use std::fmt;

use crypto::{CryptoError, Hash};
use zeroize::Zeroizing;

use crate::tpm2::commands::session::{SessionKind, StartAuthSession, StartedSession};
use crate::tpm2::constants::{AlgId, hash_of};
use crate::tpm2::name::Entity;
use crate::tpm2::public::Public;

pub(crate) use salt::{Salt, SaltError, software_curve};

const AES_BITS: u16 = 128;
/// Octets of an AES key, and of the CFB mode's first block.
const AES_SIZE: usize = 16;
/// The longest nonce; none may be longer than the digest of its session.
const NONCE_SIZE: usize = 32;

/// `TPMA_SESSION` (Part 2, 8.4).
pub(crate) mod attribute {
    /// The session goes on after this command.
    pub(crate) const CONTINUE: u8 = 1;
    /// The session's digest covers the command: for one that has nothing else to do than to authenticate.
    pub(crate) const AUDIT: u8 = 1 << 7;
    /// The first parameter of the command is encrypted.
    pub(crate) const DECRYPT: u8 = 1 << 5;
    /// The first parameter of the response is encrypted.
    pub(crate) const ENCRYPT: u8 = 1 << 6;
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It authorizes by values, or does nothing but protect parameters.
    Hmac,
    /// It authorizes by a policy whose digest this algorithm makes.
    Policy(AlgId),
}

impl Purpose {
    fn kind(self) -> SessionKind {
        match self {
            Self::Hmac => SessionKind::Hmac,
            Self::Policy(_) => SessionKind::Policy,
        }
    }

    fn algorithm(self) -> AlgId {
        match self {
            Self::Hmac => AlgId::SHA256,
            Self::Policy(algorithm) => algorithm,
        }
    }
}

/// How a session shows that the value of the entity that it authorizes is known (Part 1, 19.6 and 19.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Showing {
    /// By its HMAC, of whose key the value is a part: HMAC sessions, and policy sessions after TPM2_PolicyAuthValue.
    Hmac,
    /// By the value itself in the HMAC's place, and the answer has none: policy sessions after TPM2_PolicyPassword.
    Value,
    /// Not at all: other policy sessions.
    Nothing,
}

/// The first half of a session: our nonce and salt, before the TPM has answered.
pub(crate) struct Opening {
    purpose: Purpose,
    hash: Hash,
    salt_key: Option<Entity>,
    salt: Option<Salt>,
    nonce: Vec<u8>,
}

impl Opening {
    /// Prepares a session salted to a key, or without salt.
    pub(crate) fn new(
        purpose: Purpose,
        salt_key: Option<(Entity, &Public)>,
    ) -> Result<Self, SaltError> {
        let hash = hash_of(purpose.algorithm()).ok_or(SaltError::Unsuitable)?;
        let mut nonce = vec![0; NONCE_SIZE.min(hash.size())];
        crypto::random(&mut nonce)?;
        let salt = salt_key
            .as_ref()
            .map(|(_, public)| Salt::to(public))
            .transpose()?;
        Ok(Self {
            purpose,
            hash,
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
            kind: self.purpose.kind(),
            aes_bits: Some(AES_BITS),
            hash: self.purpose.algorithm(),
        }
    }

    /// The session, now that the TPM has answered: `sessionKey = KDFa(salt, "ATH", nonceTPM,
    /// nonceCaller)` (Part 1, 19.6.8). Without salt the key is empty, as the specification has it.
    pub(crate) fn complete(self, started: StartedSession) -> AuthSession {
        let bits = self.hash.size() as u32 * 8;
        let key = match &self.salt {
            Some(salt) => crypto::kdf::kdfa(
                self.hash,
                &salt.value,
                "ATH",
                &started.nonce,
                &self.nonce,
                bits,
            ),
            None => Zeroizing::default(),
        };
        let showing = match self.purpose {
            Purpose::Hmac => Showing::Hmac,
            Purpose::Policy(_) => Showing::Nothing,
        };
        AuthSession {
            handle: started.handle,
            hash: self.hash,
            key,
            nonce_tpm: started.nonce,
            nonce_caller: self.nonce,
            showing,
        }
    }
}

/// A running session.
pub(crate) struct AuthSession {
    handle: u32,
    hash: Hash,
    key: Zeroizing<Vec<u8>>,
    nonce_tpm: Vec<u8>,
    nonce_caller: Vec<u8>,
    showing: Showing,
}

impl AuthSession {
    /// The session's handle.
    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    /// Our current nonce.
    pub(crate) fn nonce(&self) -> &[u8] {
        &self.nonce_caller
    }

    /// The TPM's current nonce.
    pub(crate) fn nonce_tpm(&self) -> &[u8] {
        &self.nonce_tpm
    }

    /// How it shows a value from now on.
    pub(crate) fn show(&mut self, showing: Showing) {
        self.showing = showing;
    }

    /// Takes a new nonce for the next command (Part 1, 19.6.3).
    pub(crate) fn roll(&mut self) -> Result<(), CryptoError> {
        crypto::random(&mut self.nonce_caller)
    }

    /// `cpHash` (Part 1, 16.7): what a command's HMAC covers. `parameters` as they go over the wire.
    pub(crate) fn cp_hash(&self, command: u32, entities: &[Entity], parameters: &[u8]) -> Vec<u8> {
        let code = command.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&code];
        parts.extend(entities.iter().map(|entity| entity.name.as_bytes()));
        parts.push(parameters);
        crypto::hash(self.hash, &parts)
    }

    /// `rpHash` (Part 1, 16.8): what a response's HMAC covers. Only successful responses have one.
    pub(crate) fn rp_hash(&self, command: u32, parameters: &[u8]) -> Vec<u8> {
        crypto::hash(self.hash, &[&[0; 4], &command.to_be_bytes(), parameters])
    }

    /// The HMAC of a command whose parameters hash to `cp_hash` (Part 1, 19.6.5), or what stands in its place.
    /// `others` are nonces of other sessions that it covers.
    pub(crate) fn authorize(
        &self,
        auth: &[u8],
        cp_hash: &[u8],
        others: &[u8],
        attributes: u8,
    ) -> Zeroizing<Vec<u8>> {
        if self.showing == Showing::Value {
            return Zeroizing::new(auth.to_vec());
        }
        let nonces = [&self.nonce_caller, &self.nonce_tpm, others];
        self.hmac(auth, cp_hash, nonces, attributes)
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
        let nonces = [nonce, &self.nonce_caller, &[]];
        let expected = match self.showing {
            // It is answered like a password: by nothing.
            Showing::Value => Zeroizing::default(),
            Showing::Hmac | Showing::Nothing => self.hmac(auth, rp_hash, nonces, attributes),
        };
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

    /// Decrypts a response's first parameter; call after [`AuthSession::verify`].
    pub(crate) fn decrypt(&self, auth: &[u8], parameter: &mut [u8]) -> Result<(), CryptoError> {
        let keys = self.parameter_keys(auth, &self.nonce_tpm, &self.nonce_caller);
        let (key, iv) = keys.split_at_checked(AES_SIZE).ok_or(CryptoError::Failed)?;
        crypto::cfb::decrypt(key, iv, parameter)
    }

    fn hmac(
        &self,
        auth: &[u8],
        hash: &[u8],
        [newer, older, others]: [&[u8]; 3],
        attributes: u8,
    ) -> Zeroizing<Vec<u8>> {
        let auth = match self.showing {
            Showing::Hmac => auth,
            _ => &[],
        };
        crypto::hmac(
            self.hash,
            &self.keyed(auth),
            &[hash, newer, older, others, &[attributes]],
        )
    }

    /// Whatever the HMAC's key is, the value is part of this one (Part 1, 21.2).
    fn parameter_keys(&self, auth: &[u8], newer: &[u8], older: &[u8]) -> Zeroizing<Vec<u8>> {
        let bits = u32::from(AES_BITS) + 128;
        crypto::kdf::kdfa(self.hash, &self.keyed(auth), "CFB", newer, older, bits)
    }

    /// `sessionKey || authValue`, the value without trailing zeros (Part 1, 19.6.5 and 21.2).
    fn keyed(&self, auth: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&self.key, without_trailing_zeros(auth)].concat())
    }
}

impl fmt::Debug for AuthSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthSession(0x{:08x})", self.handle)
    }
}

fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
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
        let session = Opening::new(Purpose::Hmac, None)
            .unwrap()
            .complete(StartedSession {
                handle: 0x0200_0000,
                nonce: vec![1; 32],
            });
        assert!(session.key.is_empty());
        assert_eq!(format!("{session:?}"), "AuthSession(0x02000000)");
    }

    #[test]
    fn a_changed_response_is_refused_and_the_nonce_kept() {
        let mut session = Opening::new(Purpose::Hmac, None)
            .unwrap()
            .complete(StartedSession {
                handle: 0x0200_0000,
                nonce: vec![1; 32],
            });
        let hash = session.rp_hash(0x15d, b"parameters");
        let other = session.rp_hash(0x15d, b"Parameters");
        let good = session.hmac(b"pin", &hash, [&[2; 32], session.nonce(), &[]], 1);
        assert!(!session.verify(b"other", &hash, &[2; 32], 1, &good));
        assert!(!session.verify(b"pin", &hash, &[2; 32], 0, &good));
        assert!(!session.verify(b"pin", &other, &[2; 32], 1, &good));
        assert_eq!(session.nonce_tpm, [1; 32]);
        assert!(session.verify(b"pin", &hash, &[2; 32], 1, &good));
        assert_eq!(session.nonce_tpm, [2; 32]);
    }
}
