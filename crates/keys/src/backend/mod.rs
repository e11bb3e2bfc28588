//! The private half of a key: what each family of TPMs does with it, in its way.
//!
//! A backend knows what its TPM can do, which command does it, and what must be padded outside. It neither verifies
//! what comes back nor hides whether a padding was right: that is the same everywhere, and in `crate::operation`.
#![forbid(unsafe_code)]

pub(crate) mod tpm12;
pub(crate) mod tpm2;

use std::sync::Arc;

use crypto::Hash;
use crypto::ecdsa::EcPublic;
use tss::schedule::Queue;
use tss::tpm2::{Name, Public};
use tss::tpm12::KeyBlob;
use tss::transport::Family;
use zeroize::Zeroizing;

use crate::credential::{Credential, Identity};
use crate::format::tss2::KeyFile;
use crate::generate::Options;
use crate::key_dirs::Abilities;
use crate::operation::{Decryption, Signing};
use crate::{Error, PublicKey, Tpm};

/// A key's private half in a TPM, beside its public half.
pub(crate) trait Backend: Send + Sync {
    /// Makes a key in the TPM.
    fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Self, Error>
    where
        Self: Sized;

    /// The family of the TPM.
    fn family(&self) -> Family;
    /// The TPMs of the key's user, one of which it belongs to.
    fn tpm(&self) -> &Arc<Tpm>;
    /// The public half.
    fn public(&self) -> &PublicKey;
    /// Which key it is, for its authorization value.
    fn identity(&self) -> Identity;
    /// What a TPM 2.0 calls it.
    fn name(&self) -> Option<&Name> {
        None
    }
    /// The public area of a key of a TPM 2.0.
    fn area(&self) -> Option<&Public> {
        None
    }
    /// What the key's attributes and scheme let it do.
    fn can(&self) -> Abilities;
    /// The key file of a TPM 2.0.
    fn file(&self) -> Option<&KeyFile> {
        None
    }
    /// The wrapped key of a TPM 1.2.
    fn blob(&self) -> Option<&KeyBlob> {
        None
    }
    /// The key's file in DER, if it has one.
    fn to_der(&self) -> Option<Vec<u8>>;
    /// The key's file in PEM, if it has one.
    fn to_pem(&self) -> Option<String>;
    /// What concerns the private half, in lines; none of it is secret.
    fn describe(&self) -> String;
    /// How error messages call the key's abilities.
    fn abilities(&self) -> String;

    /// The digest to use when nobody names one.
    fn default_digest(&self) -> Hash;
    /// The one digest that the key signs, if there is one and the public half does not say so.
    fn only_digest(&self) -> Option<Hash> {
        None
    }
    /// Whether the key signs only messages that the TPM has hashed.
    fn is_restricted(&self) -> bool {
        false
    }
    /// A padding that the key decrypts, if it decrypts at all.
    fn usual_decryption(&self) -> Decryption;

    /// Whether the key can sign so; costs nothing.
    fn check_signing(&self, signing: &Signing) -> Result<(), Error>;
    /// Whether nothing speaks against the key decrypting so; its padding's parts may not all be known yet.
    fn check_decrypting(&self, decryption: &Decryption) -> Result<(), Error>;
    /// Who takes the padding off, if the key decrypts so.
    fn unpads(&self, decryption: &Decryption) -> Result<Unpads, Error>;
    /// Whether the key can agree on secrets; costs nothing.
    fn check_agreement(&self) -> Result<(), Error>;

    /// Signs; nobody has verified what comes out.
    fn sign(
        &self,
        credential: &Credential,
        signing: &Signing,
        input: Input<'_>,
    ) -> Result<Vec<u8>, Error>;
    /// Takes note of a signature that does not verify. The error says more of it, if more can be said.
    fn note_wrong(
        &self,
        _signing: &Signing,
        _signature: &[u8],
        _digest: &[u8],
    ) -> Result<(), Error> {
        Ok(())
    }
    /// Decrypts: the block as long as the modulus if [`Unpads::Us`], else the message.
    fn decrypt(
        &self,
        credential: &Credential,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error>;
    /// The point that the key agrees on with `peer`; nobody has looked whether it is one.
    fn agree(&self, credential: &Credential, peer: &EcPublic) -> Result<Point, Error>;
    /// Something that the key has or computes, always the same, and that outsiders do not know.
    fn only_ours(&self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// The line in which the operations of this process on the key's TPM stand.
    fn queue(&self) -> Result<&'static Queue, Error>;
    /// Gives up what this process has in the key's TPM.
    fn release(&self) -> Result<(), Error>;
    /// Has the key loaded anew by the next operation.
    fn forget(&self) -> Result<(), Error>;
    /// What has become of the key's handle, if it is persistent and no longer there. One command of such a key.
    fn gone(&self) -> Option<String> {
        None
    }
}

/// What is to be signed.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// The digest, or bytes that are signed as they are.
    pub(crate) digest: &'a [u8],
    /// The message that it is the digest of, if that is known: a restricted key's TPM hashes it itself.
    pub(crate) message: Option<&'a [u8]>,
}

/// The coordinates of a point that must stay secret.
pub(crate) type Point = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Who takes a decrypted message's padding off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpads {
    /// The TPM, whose answer tells whether it was right.
    Tpm,
    /// We, from the whole block.
    Us,
}
