//! Sealed data: what a TPM keeps for who satisfies its policy and knows its authorization value.
//!
//! A TPM 2.0 seals up to [`MOST`] bytes in an object, whose file is a `TSS2 PRIVATE KEY` of the type "sealed data"; other
//! programs have forms of their own for it ([`Reader`]). Anything else is encrypted under a key that is sealed in its
//! place ([`contents`]), in a file of two parts ([`container`]).
#![forbid(unsafe_code)]

pub mod container;
pub mod contents;
mod elsewhere;
mod reader;
#[cfg(test)]
mod tests;
pub mod tpm12;

use std::sync::Arc;

use crypto::Secret;
use tss::os::AppendOnly;
use tss::tpm2::wire::Malformed;
use tss::tpm2::{AlgId, Attributes, Duplicate, Object, Policy, Public, Scheme};
use tss::transport::Family;

use super::backend::tpm2::generate::{Making, guarded, with_value};
use super::backend::tpm2::import::{duplicate_in, imported};
use super::backend::tpm2::{policy_files, use_object};
use super::credential::{Credential, check_length, longest_value};
use super::format::tss2::{KeyFile, Kind};
use super::generate::ParentChoice;
use super::load::{check_usable_by, credential_of, object_of};
use super::policy::InTpm;
use super::{Ask, Error, Tpm, policy};

pub use contents::ContentsKey;
pub use elsewhere::seal_for;
pub use reader::{Reader, from_hex, to_hex};

/// The most bytes that a TPM seals (MAX_SYM_DATA; Part 2, 11.1.14).
pub const MOST: usize = 128;

/// How data shall be sealed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The parent.
    pub parent: ParentChoice,
    /// The parent's authorization value; `None` takes the setting's.
    pub parent_auth: Option<Secret>,
    /// The authorization value without which nothing is unsealed; empty for none.
    pub auth: Secret,
    /// The policy, in words (see [`crate::policy::words`]), which are read with the TPM at hand; empty for none.
    pub policy: String,
    /// Who shall read the file, besides us.
    pub reader: Reader,
}

impl Default for Options {
    /// Under the owner hierarchy, without anything that must be known or satisfied.
    fn default() -> Self {
        Self {
            parent: ParentChoice::OWNER,
            parent_auth: None,
            auth: Secret::empty(),
            policy: String::new(),
            reader: Reader::Any,
        }
    }
}

/// Whether a TPM seals these data themselves. Those that look like a key for contents are none, so that whoever has
/// half of a file does not take the key for the data.
pub fn fits(data: &[u8]) -> bool {
    (1..=MOST).contains(&data.len()) && !ContentsKey::is_in(data)
}

/// Seals `data`, up to [`MOST`] bytes, in the TPM. Under a hierarchy four commands (CreatePrimary, StartAuthSession,
/// Create, FlushContext), under a persistent parent three (ReadPublic, StartAuthSession, Create); registers cost as for
/// [`InTpm::policy`].
///
/// # Errors
///
/// Data of another size; a policy, a parent or a value that the file's reader does not take.
pub fn seal(tpm: &Arc<Tpm>, data: &Secret, options: &Options) -> Result<KeyFile, Error> {
    check_size(data)?;
    options.reader.check(data.len(), options)?;
    if tpm.family() == Some(Family::Tpm12) {
        return Err(Error::Unsupported(
            "the TPM is a TPM 1.2, which seals in another form".into(),
        ));
    }
    let owner = options.parent_auth.as_ref();
    let owner = owner.unwrap_or(&tpm.config().parent_auth);
    let policy = match options.policy.is_empty() {
        true => Policy::default(),
        false => InTpm { tpm, owner }.policy(&options.policy)?,
    };
    let (template, policy) = described(options, policy)?;
    let mut making = Making::new(tpm, options.parent, owner.clone())?;
    let created =
        making.run(|client, parent| client.seal(parent, &template, &options.auth, data))?;
    let mut file = KeyFile::loadable(
        making.parent().handle,
        created.public.to_tpm2b(),
        created.private,
    );
    say_how_they_are_used(&mut file, options, policy)?;
    Ok(file)
}

fn check_size(data: &Secret) -> Result<(), Error> {
    match data.len() {
        1..=MOST => Ok(()),
        length => Err(Error::Argument(format!(
            "a TPM seals 1 to {MOST} bytes, and these are {length}: `tpmctl seal` encrypts others under a sealed key"
        ))),
    }
}

/// What the TPM is asked for, and the policy that it is used by.
fn described(options: &Options, mut policy: Policy) -> Result<(Public, Policy), Error> {
    with_value(&mut policy, &options.auth);
    let template = guarded(options.reader.template(&options.auth)?, &policy)?;
    check_length(
        &options.auth,
        longest_value(template.name_alg()),
        "the sealed data",
    )?;
    Ok((template, policy))
}

fn say_how_they_are_used(
    file: &mut KeyFile,
    options: &Options,
    policy: Policy,
) -> Result<(), Error> {
    file.kind = Kind::Sealed;
    file.empty_auth = options.auth.is_empty() && !policy.takes_value();
    policy::into_file(&options.reader.policy(policy)?, file)?;
    Ok(())
}

/// Sealed data in a file, and what opens them.
pub struct Sealed {
    tpm: Arc<Tpm>,
    object: Object,
    /// What must be imported first, of data that were sealed elsewhere.
    duplicate: Option<Duplicate>,
    /// See [`use_object`].
    policy: AppendOnly<Policy>,
    credential: Credential,
}

impl Sealed {
    /// Whether a file holds sealed data that this version can unseal, whatever the TPM.
    pub fn check_file(file: &KeyFile) -> Result<(), Error> {
        examine(file).map(drop)
    }

    /// Whether an authorization value is asked for: the file says that the data have one, or their policy takes one.
    pub fn asks(file: &KeyFile) -> bool {
        !file.empty_auth
    }

    /// Makes them of a file. `ask` is called, once, when the file says that there is an authorization value. No TPM
    /// command.
    pub fn from_file(tpm: &Arc<Tpm>, file: &KeyFile, ask: Ask<'_>) -> Result<Self, Error> {
        let (public, policy) = examine(file)?;
        let credential = credential_of(tpm, file, &public, &policy, "sealed data", None, ask)?;
        let object = object_of(tpm, file, public)?;
        tpm.hold(Family::Tpm2);
        let policies = AppendOnly::new();
        if !policy.is_empty() {
            policies.find_or_add(|_| false, || policy);
        }
        Ok(Self {
            tpm: Arc::clone(tpm),
            object,
            duplicate: duplicate_in(file),
            policy: policies,
            credential,
        })
    }

    /// Unseals them: Load, which has the parent made or looked for first, and Unseal, each in a session; more for a
    /// policy. What was sealed elsewhere is imported first.
    ///
    /// # Errors
    ///
    /// A wrong value, which is tried once; a policy that does not hold; another TPM; an answer that is not the TPM's.
    pub fn unseal(&self) -> Result<Secret, Error> {
        let files = || policy_files(&self.tpm, None);
        let imported = match &self.duplicate {
            Some(duplicate) => Some(imported(self.tpm.client()?, &self.object, duplicate)?),
            None => None,
        };
        let data = use_object(
            &self.tpm,
            imported.as_ref().unwrap_or(&self.object),
            &self.policy,
            files,
            &self.credential,
            |client, object, auth| client.unseal(object, auth),
        )?;
        Ok(Secret::from(data))
    }
}

fn examine(file: &KeyFile) -> Result<(Public, Policy), Error> {
    if file.kind != Kind::Sealed {
        return Err(Error::Unsupported(
            "the file holds a key, not sealed data: `tpmctl key show` says what it is".into(),
        ));
    }
    let public = Public::from_tpm2b(&file.public)?;
    let usage = Attributes::SIGN.with(Attributes::DECRYPT);
    let is_data = public.object_type() == AlgId::KEYEDHASH
        && public.scheme() == Scheme::Null
        && public.attributes().without(usage) == public.attributes();
    if !is_data {
        return Err(Error::Unsupported(format!(
            "the file says that it holds sealed data, and its object is of another kind (type {}, attributes {}): it was \
             damaged, or another program has a form of its own",
            public.object_type(),
            public.attributes()
        )));
    }
    let policy = policy::of_file(file)?;
    check_usable_by(&public, &policy, "sealed data")?;
    Ok((public, policy))
}

/// The template of sealed data that are used with their value. Without one there is nothing that could be guessed, and
/// they must not be shut because somebody guesses at something else.
fn template(auth: &Secret) -> Result<Public, Malformed> {
    let lockout = match auth.is_empty() {
        true => Attributes::NO_DA,
        false => Attributes(0),
    };
    Public::sealed_template(Public::key_attributes(lockout))
}
