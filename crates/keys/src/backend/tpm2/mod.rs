//! Keys in a TPM 2.0.
//!
//! A key's attributes and scheme decide. An RSA key that decrypts without a scheme gives the raw operation, over which
//! any padding is done in software; a signing key gives the TPM's own PKCS#1 v1.5, PSS and ECDSA; a restricted key
//! signs only what the TPM itself has hashed.
#![forbid(unsafe_code)]

mod decrypt;
mod ecdsa;
pub(crate) mod generate;
pub(crate) mod import;
mod sign;

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crypto::Hash;
use crypto::ecdsa::EcPublic;
use tss::os::AppendOnly;
use tss::schedule::Queue;
use tss::tpm2::{
    AlgId, Attributes, Client, Duplicate, KeyAuth, Name, Object, Policy, Public, ResponseCode,
    Scheme, Source,
};
use tss::transport::Family;
use zeroize::Zeroizing;

use super::{Backend, Input, Point, Unpads};
use crate::credential::{Credential, Identity};
use crate::format::tss2::KeyFile;
use crate::generate::Options;
use crate::key_dirs::Abilities;
use crate::load::abilities_of;
use crate::operation::{Decryption, Signing};
use crate::public::hash_of;
use crate::{Error, PublicKey, Tpm, policy};

/// A key in a TPM 2.0.
pub(crate) struct Tpm2Key {
    tpm: Arc<Tpm>,
    public: PublicKey,
    /// The object to load or to refer to, once it is imported.
    object: Object,
    /// What must be imported first, of an importable key.
    duplicate: Option<Duplicate>,
    /// What came of importing it, in this process; at most one.
    imported: AppendOnly<Object>,
    /// What to write when the key is encoded; persistent keys have none.
    file: Option<KeyFile>,
    /// The policy by which it is used, if there is one, the newest first: signed policies may come later. Not behind a
    /// lock: a fork in another thread would leave that locked.
    policy: AppendOnly<Policy>,
    /// The file that the policy came from.
    policy_file: Option<PathBuf>,
}

impl Tpm2Key {
    /// The key that `object` is, which is in `file` unless it is persistent.
    pub(crate) fn new(
        tpm: &Arc<Tpm>,
        public: PublicKey,
        object: Object,
        file: Option<KeyFile>,
    ) -> Self {
        tpm.hold(Family::Tpm2);
        Self {
            tpm: Arc::clone(tpm),
            public,
            object,
            duplicate: file.as_ref().and_then(import::duplicate_in),
            imported: AppendOnly::new(),
            file,
            policy: AppendOnly::new(),
            policy_file: None,
        }
    }

    /// The same key, used by this policy, which came from a file if that is not the key's own.
    pub(crate) fn used_by(mut self, policy: Policy, file: Option<PathBuf>) -> Self {
        if !policy.is_empty() {
            self.policy.find_or_add(|_| false, || policy);
        }
        self.policy_file = file;
        self
    }

    fn has(&self, attribute: Attributes) -> bool {
        self.object.public.attributes().contains(attribute)
    }

    fn scheme(&self) -> Scheme {
        self.object.public.scheme()
    }

    /// Whether the TPM does the raw private operation with this key (Part 3, 14.3).
    fn is_raw(&self) -> bool {
        self.has(Attributes::DECRYPT) && !self.is_restricted() && self.scheme() == Scheme::Null
    }

    fn scheme_name(&self) -> String {
        match self.scheme() {
            Scheme::Null => "null (free)".into(),
            Scheme::Plain(scheme) => scheme.to_string(),
            Scheme::Hashed(scheme, hash) | Scheme::HashedWith(scheme, hash, _) => {
                format!("{scheme} with {hash}")
            }
        }
    }

    /// Runs a private operation. After an authorization failure the key stays shut, in every process that has it from
    /// the one that loaded it: every further try would count towards the TPM's lockout.
    ///
    /// Where no signed policy of the key's holds, those that somebody has written since are tried.
    fn run<T>(
        &self,
        credential: &Credential,
        operation: impl Fn(&Client, &Object, KeyAuth<'_>) -> Result<T, tss::Error>,
    ) -> Result<T, Error> {
        let object = self.loadable(self.tpm.client()?)?;
        use_object(
            &self.tpm,
            object,
            &self.policy,
            || policy_files(&self.tpm, self.policy_file.as_ref()),
            credential,
            operation,
        )
    }

    /// The object as it can be loaded. An importable one is imported once in a process.
    fn loadable(&self, client: &Client) -> Result<&Object, Error> {
        let Some(duplicate) = &self.duplicate else {
            return Ok(&self.object);
        };
        if let Some(imported) = self.imported.iter().next() {
            return Ok(imported);
        }
        let object = import::imported(client, &self.object, duplicate)?;
        // Of several threads at once each has imported it, and the first one's counts.
        Ok(self.imported.find_or_add(|_| true, || object))
    }
}

/// Uses an object: a key, or sealed data. See [`Tpm2Key::run`]; `files` are where signed policies may have come to since
/// it was loaded, and `policy` is where they are kept then, the newest first.
pub(crate) fn use_object<T>(
    tpm: &Tpm,
    object: &Object,
    policy: &AppendOnly<Policy>,
    files: impl FnOnce() -> Vec<PathBuf>,
    credential: &Credential,
    operation: impl Fn(&Client, &Object, KeyAuth<'_>) -> Result<T, tss::Error>,
) -> Result<T, Error> {
    let client = tpm.client()?;
    let attempt = |policy: Option<&Policy>| {
        credential.used_for(tpm.patience(), |offered| {
            let auth = KeyAuth {
                value: offered.value,
                policy,
                shown_right: Some(offered.shown_right),
            };
            operation(client, object, auth)
        })
    };
    let known = policy.iter().next();
    let (first, known) = match (attempt(known), known) {
        (Err(Error::Tss(error)), Some(known)) if error.is_policy_refusal() => (error, known),
        (done, _) => return done,
    };
    let Some(newer) = policy::newer(known, &object.public, files()) else {
        return Err(first.into());
    };
    let done = attempt(Some(&newer))?;
    policy.find_or_add(|_| false, || newer);
    Ok(done)
}

/// Where signed policies may have come to since an object was loaded, whose own policy may have come from a file.
pub(crate) fn policy_files(tpm: &Tpm, own: Option<&PathBuf>) -> Vec<PathBuf> {
    let directory = tpm.config().policy_dir.iter();
    own.into_iter()
        .cloned()
        .chain(directory.flat_map(|directory| policy::files_in(directory)))
        .collect()
}

impl Backend for Tpm2Key {
    fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Self, Error> {
        generate::generate(tpm, options)
    }

    fn family(&self) -> Family {
        Family::Tpm2
    }

    fn tpm(&self) -> &Arc<Tpm> {
        &self.tpm
    }

    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn identity(&self) -> Identity {
        match &self.object.source {
            Source::Blob { private, .. } => {
                Identity::of_file(&self.object.public.to_tpm2b(), private)
            }
            Source::Persistent(handle) => Identity::of_handle(&self.tpm, *handle),
        }
    }

    fn name(&self) -> Option<&Name> {
        Some(&self.object.name)
    }

    fn area(&self) -> Option<&Public> {
        Some(&self.object.public)
    }

    fn can(&self) -> Abilities {
        abilities_of(&self.object.public, &self.public)
    }

    fn file(&self) -> Option<&KeyFile> {
        self.file.as_ref()
    }

    fn to_der(&self) -> Option<Vec<u8>> {
        self.file.as_ref().map(KeyFile::to_der)
    }

    fn to_pem(&self) -> Option<String> {
        self.file.as_ref().map(KeyFile::to_pem)
    }

    fn describe(&self) -> String {
        let (object, file) = (&self.object, self.file.as_ref());
        let place = match (&object.source, file) {
            (Source::Persistent(handle), _) => format!("Handle: 0x{handle:08x}"),
            (_, Some(file)) => format!("Parent: {}", file.parent_text()),
            _ => "Parent: unknown".into(),
        };
        let policy = match file {
            Some(file) => file.policy_text(),
            None if object.public.auth_policy().is_empty() => "none".into(),
            None => "in the TPM".into(),
        };
        let authorization = match file {
            Some(file) if file.empty_auth => "none",
            Some(_) => "asked for when the key is loaded",
            None => "asked for with ?pass",
        };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{place}\nAttributes: {}\nScheme: {}\nAuthorization value: {authorization}\nPolicy: {policy}",
            object.public.attributes(),
            self.scheme_name(),
        );
        let _ = writeln!(text, "Name: {}", object.name);
        text
    }

    fn abilities(&self) -> String {
        format!(
            "the key's attributes are {}, its scheme is {}",
            self.object.public.attributes(),
            self.scheme_name()
        )
    }

    fn default_digest(&self) -> Hash {
        let fixed = self.scheme().hash().and_then(hash_of);
        fixed.unwrap_or(Hash::Sha256)
    }

    /// A restricted key signs only digests that the TPM computed (Part 1, 25.2.3).
    fn is_restricted(&self) -> bool {
        self.has(Attributes::RESTRICTED)
    }

    fn usual_decryption(&self) -> Decryption {
        match self.scheme() {
            Scheme::Hashed(AlgId::OAEP, hash) => {
                let hash = hash_of(hash).unwrap_or(Hash::Sha256);
                Decryption::Oaep {
                    hash,
                    mgf_hash: hash,
                    label: Vec::new(),
                }
            }
            _ => Decryption::Pkcs1 {
                implicit_rejection: false,
            },
        }
    }

    fn check_signing(&self, signing: &Signing) -> Result<(), Error> {
        self.route(signing, None).map(drop)
    }

    /// The padding is looked at when there is something to decrypt: until then its parts are set one after another.
    fn check_decrypting(&self, _decryption: &Decryption) -> Result<(), Error> {
        self.check_decrypts()
    }

    fn unpads(&self, decryption: &Decryption) -> Result<Unpads, Error> {
        self.unpads_by(decryption)
    }

    fn check_agreement(&self) -> Result<(), Error> {
        if !self.has(Attributes::DECRYPT) {
            return Err(Error::Cannot(format!(
                "ECDH needs a key with the attribute decrypt: {}",
                self.abilities()
            )));
        }
        if self.is_restricted() {
            return Err(Error::Cannot(format!(
                "a restricted decryption key is a parent for other keys and agrees on nothing else ({})",
                self.abilities()
            )));
        }
        match self.scheme() {
            Scheme::Null | Scheme::Hashed(AlgId::ECDH, _) => Ok(()),
            _ => Err(Error::Scheme(format!(
                "ECDH is not what this key was made for: {}",
                self.abilities()
            ))),
        }
    }

    fn sign(
        &self,
        credential: &Credential,
        signing: &Signing,
        input: Input<'_>,
    ) -> Result<Vec<u8>, Error> {
        self.signature(credential, signing, input)
    }

    fn note_wrong(&self, signing: &Signing, signature: &[u8], digest: &[u8]) -> Result<(), Error> {
        self.note_wrong_salt(signing, signature, digest)
    }

    fn decrypt(
        &self,
        credential: &Credential,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.plaintext(credential, decryption, ciphertext)
    }

    fn agree(&self, credential: &Credential, peer: &EcPublic) -> Result<Point, Error> {
        self.run(credential, |client, object, secret| {
            client.ecdh_z(object, secret, peer.x(), peer.y())
        })
    }

    fn only_ours(&self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.rejection_input(credential)
    }

    fn queue(&self) -> Result<&'static Queue, Error> {
        Ok(self.tpm.client()?.endpoint().queue())
    }

    fn release(&self) -> Result<(), Error> {
        self.tpm.client()?.release();
        Ok(())
    }

    fn forget(&self) -> Result<(), Error> {
        let object = self.imported.iter().next().unwrap_or(&self.object);
        self.tpm.client()?.forget(object);
        Ok(())
    }

    fn gone(&self) -> Option<String> {
        let Source::Persistent(handle) = self.object.source else {
            return None;
        };
        match self.tpm.client().ok()?.read_public(handle) {
            Ok(found) if found.name == self.object.name => None,
            Ok(_) => Some(format!(
                "another key is at handle 0x{handle:08x} than when it was read first; `tpmctl key list --persistent` shows it. \
                 A program that is started anew uses that one"
            )),
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => Some(format!(
                "there is no key at handle 0x{handle:08x} any more; `tpmctl key list --persistent` shows those that there are, \
                 and `tpmctl key persist` puts one there"
            )),
            Err(_) => None,
        }
    }
}
