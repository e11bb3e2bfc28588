//! `tpmctl policy sign`: a policy that keys accept which trust the signer.

use std::sync::Arc;

use crypto::{Hash, Secret};
use keys::operation::Signing;
use keys::policy::{InTpm, compat, document, signer, words};
use keys::tss2::KeyFile;
use keys::{Key, PublicKey, Tpm, printable};
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use tss::tpm2::policy::{AuthorizedPolicy, digest_of};
use tss::tpm2::{AlgId, Policy, PolicyCommand, Public, Signature};

use super::args::{Reader, Sign};
use super::new::{finish, in_words};
use crate::action::key_file::Parsed;
use crate::cli::Global;
use crate::error::Error;
use crate::key::file::{self, Target};
use crate::key::secret;
use crate::settings;

/// Signs.
pub(super) fn run(global: &Global, args: &Sign) -> Result<(), Error> {
    let target = Target::unless_stdout(&args.output, args.force)?;
    let policy_ref = match &args.policy_ref {
        Some(digits) => words::octets(digits)?,
        None => Vec::new(),
    };
    let chosen = settings::tpm_with_parent(global)?;
    let policy = match &args.policy {
        Some(path) => InTpm::of(&chosen.tpm).bound(&document::read_at(path)?)?,
        None => in_words(&chosen.tpm, &args.terms, false)?,
    };
    if !policy.authorized.is_empty() {
        return Err(Error::new(
            "a signed policy has no signed policies of its own",
        ));
    }
    let mut commands = policy.commands;
    let approved = digest_of(&commands, AlgId::SHA256)?
        .ok_or_else(|| Error::new("the policy depends on registers whose values are not known"))?;
    let signer = SigningKey::read(&chosen.tpm, args)?;
    let key = signer.public()?;
    let signature = signer.sign(&[&approved[..], &policy_ref].concat())?;
    if args.reader == Some(Reader::Grub) {
        compat::open_for_grub(&mut commands)?;
    }
    commands.push(PolicyCommand::Authorize {
        key,
        policy_ref,
        signature: Some(signature),
    });
    let entry = AuthorizedPolicy {
        name: args.name.clone(),
        commands,
    };
    if entry.is_signed(AlgId::SHA256)? == Some(false) {
        return Err(Error::new(
            "the signature that was made does not verify; nothing was written",
        ));
    }
    let signed = Policy {
        commands: Vec::new(),
        authorized: vec![entry],
    };
    finish(target.as_ref(), &signed)
}

/// A private key that signs policies.
enum SigningKey {
    Software(PKey<Private>),
    InTpm(Box<Key>),
}

impl SigningKey {
    fn read(tpm: &Arc<Tpm>, args: &Sign) -> Result<Self, Error> {
        let content = file::read_secret(&args.key)?;
        let value = match &args.auth {
            Some(value) => Some(secret::of_key(value)?),
            None => None,
        };
        if KeyFile::from_bytes(&content).is_ok() {
            let parsed = Parsed::new(&content, &args.key)?;
            let value = match parsed.has_secret() && value.is_none() {
                true => secret::of_key_if_asked(None)?,
                false => value,
            };
            return Ok(Self::InTpm(Box::new(parsed.load(tpm, value)?)));
        }
        let passphrase = value.unwrap_or_else(Secret::empty);
        let key = PKey::private_key_from_pem_passphrase(&content, &passphrase);
        key.map(Self::Software).map_err(|_| {
            Error::new(format!(
                "{} is no private key in PEM, or its passphrase is another one (--auth)",
                printable::path(&args.key)
            ))
        })
    }

    fn public(&self) -> Result<Public, Error> {
        let spki = match self {
            Self::Software(key) => key.public_key_to_der().map_err(failed)?,
            Self::InTpm(key) => key.public().to_spki(),
        };
        Ok(signer::of_spki(&spki)?)
    }

    /// A signature with SHA-256: RSASSA, or ECDSA.
    fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let (bytes, size) = match self {
            Self::Software(key) => {
                let mut signer =
                    openssl::sign::Signer::new(MessageDigest::sha256(), key).map_err(failed)?;
                let bytes = signer.sign_oneshot_to_vec(message).map_err(failed)?;
                let size = (key.id() == Id::EC).then(|| key.bits().div_ceil(8) as usize);
                (bytes, size)
            }
            Self::InTpm(key) => {
                let (signing, size) = match key.public() {
                    PublicKey::Ec(point) => {
                        let size = point.curve().size();
                        (Signing::Ecdsa(Some(Hash::Sha256)), Some(size))
                    }
                    PublicKey::Rsa { .. } => (Signing::Pkcs1(Hash::Sha256), None),
                };
                (key.sign_message(&signing, message)?, size)
            }
        };
        let hash = AlgId::SHA256;
        match size {
            None => Ok(Signature::Rsa {
                scheme: AlgId::RSASSA,
                hash,
                bytes,
            }),
            Some(size) => {
                let numbers = crypto::ecdsa::decode_signature(&bytes);
                let padded = numbers.and_then(|(r, s)| {
                    Some((
                        crypto::fixed_width(&r, size)?,
                        crypto::fixed_width(&s, size)?,
                    ))
                });
                let (r, s) = padded.ok_or_else(|| Error::new("the signature is malformed"))?;
                Ok(Signature::Ecc {
                    scheme: AlgId::ECDSA,
                    hash,
                    r,
                    s,
                })
            }
        }
    }
}

fn failed(error: openssl::error::ErrorStack) -> Error {
    Error::new(format!("signing with the private key failed: {error}"))
}
