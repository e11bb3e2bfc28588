//! Sessions as the interposer would have them: whole where it can read the salt, forged where it cannot.

use super::crypto::{cfb_decrypt, cfb_encrypt, hmac, kdfa, random, sha256};
use super::wire::{Auth, Command, attribute};
use openssl::hash::MessageDigest;

/// How an answer's HMAC is made where the session's key is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forgery {
    /// As if the session had neither salt nor value.
    #[default]
    EmptyKey,
    /// Empty, as in the answer to a password.
    Nothing,
    /// The command's own, sent back.
    Mirrored,
}

/// One session.
pub struct Session {
    nonce: Vec<u8>,
    /// `None` where the salt could not be read.
    key: Option<Vec<u8>>,
}

/// What the interposer has found out about one authorization.
pub struct Understood {
    /// The authorization value, if one of the dictionary's, or the empty one, fits.
    pub value: Option<Vec<u8>>,
}

impl Session {
    /// Answers TPM2_StartAuthSession: `salt` is `None` where it cannot be read, empty where there is none.
    pub fn start(salt: Option<Vec<u8>>, nonce_caller: &[u8]) -> Self {
        let nonce = random(32);
        let key = salt.map(|salt| match salt.is_empty() {
            true => Vec::new(),
            false => kdfa(&salt, "ATH", &nonce, nonce_caller, 32),
        });
        Self { nonce, key }
    }

    /// Somebody else's: nothing is known of it.
    pub fn unknown() -> Self {
        Self {
            nonce: random(32),
            key: None,
        }
    }

    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// Tries the values of a dictionary on a command's HMAC: possible for whoever has the session's key, at any time
    /// later, without asking the TPM. `names` are the names that the command's handles may have, one list for each.
    pub fn guess(
        &self,
        command: &Command,
        auth: &Auth,
        names: &[Vec<Vec<u8>>],
        dictionary: &[Vec<u8>],
    ) -> Understood {
        let mut value = None;
        for hash in cp_hashes(command, names) {
            for candidate in std::iter::once(&Vec::new()).chain(dictionary) {
                let mac = self.mac(candidate, &hash, &auth.nonce, &self.nonce, auth.attributes);
                if mac.as_deref() == Some(&auth.hmac) {
                    value = Some(candidate.clone());
                }
            }
        }
        Understood { value }
    }

    /// Reads the command's first parameter, if it was encrypted and the key is known.
    pub fn open(&self, command: &mut Command, auth: &Auth, value: &[u8]) {
        if auth.attributes & attribute::DECRYPT == 0 {
            return;
        }
        let Some(keys) = self.parameter_keys(value, &auth.nonce, &self.nonce) else {
            return;
        };
        if let Some(first) = first(&command.parameters) {
            let clear = cfb_decrypt(&keys, &command.parameters[first.clone()]);
            command.parameters[first].copy_from_slice(&clear);
        }
    }

    /// Encrypts an answer's first parameter and makes its authorization.
    pub fn close(
        &mut self,
        code: u32,
        auth: &Auth,
        value: &[u8],
        parameters: &mut [u8],
        forgery: Forgery,
    ) -> (Vec<u8>, u8, Vec<u8>) {
        self.nonce = random(32);
        if auth.attributes & attribute::ENCRYPT != 0
            && let Some(first) = first(parameters)
        {
            let keys = self
                .parameter_keys(value, &self.nonce, &auth.nonce)
                .unwrap_or_else(|| random(32));
            let sealed = cfb_encrypt(&keys, &parameters[first.clone()]);
            parameters[first].copy_from_slice(&sealed);
        }
        let hash = sha256(&[&[0; 4], &code.to_be_bytes(), parameters]);
        let attributes = auth.attributes;
        let mac = self.mac(value, &hash, &self.nonce, &auth.nonce, attributes);
        let mac = mac.unwrap_or_else(|| match forgery {
            Forgery::EmptyKey => hmac(
                MessageDigest::sha256(),
                &[],
                &[&hash, &self.nonce, &auth.nonce, &[attributes]],
            ),
            Forgery::Nothing => Vec::new(),
            Forgery::Mirrored => auth.hmac.clone(),
        });
        (self.nonce.clone(), attributes, mac)
    }

    fn mac(
        &self,
        value: &[u8],
        hash: &[u8],
        newer: &[u8],
        older: &[u8],
        attributes: u8,
    ) -> Option<Vec<u8>> {
        let key = [self.key.as_ref()?, value].concat();
        let parts: [&[u8]; 4] = [hash, newer, older, &[attributes]];
        Some(hmac(MessageDigest::sha256(), &key, &parts))
    }

    fn parameter_keys(&self, value: &[u8], newer: &[u8], older: &[u8]) -> Option<Vec<u8>> {
        let key = [self.key.as_ref()?, value].concat();
        Some(kdfa(&key, "CFB", newer, older, 32))
    }
}

/// Where the content of the first parameter is.
fn first(parameters: &[u8]) -> Option<std::ops::Range<usize>> {
    let size = usize::from(u16::from_be_bytes(
        parameters.get(..2)?.try_into().expect("two bytes"),
    ));
    (parameters.len() >= 2 + size).then_some(2..2 + size)
}

/// What the HMAC of a command covers, for every choice of names.
fn cp_hashes(command: &Command, names: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let mut heads = vec![command.code.to_be_bytes().to_vec()];
    for choices in names {
        heads = heads
            .iter()
            .flat_map(|head| choices.iter().map(|name| [&head[..], name].concat()))
            .collect();
    }
    heads
        .iter()
        .map(|head| sha256(&[head, &command.parameters]))
        .collect()
}
