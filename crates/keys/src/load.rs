//! Keys from files and handles.
#![forbid(unsafe_code)]

use std::sync::Arc;

use tss::tpm2::{
    AlgId, Attributes, Object, Parent, Policy, PolicyCommand, PrimaryTemplate, Public, Scheme,
    Source,
};

use super::backend::tpm2::Tpm2Key;
use super::credential::{
    Ask, Credential, Identity, LONGEST_IN_TPM2, Subject, check_length, longest_value,
};
use super::key_dirs::{Abilities, Looked};
use super::tss2::{KeyFile, Kind};
use super::uri::{Handle, PolicySource};
use super::{Error, Key, PublicKey, Tpm, policy};
use crate::printable;

impl Key {
    /// Whether a key file is one that this version can use, whatever the TPM.
    pub fn check_file(file: &KeyFile) -> Result<(), Error> {
        examine(file).map(drop)
    }

    /// What a key file tells of its key without a TPM. An error for one that cannot be used whatever the TPM.
    pub(crate) fn look_at_file(file: &KeyFile) -> Result<Looked, Error> {
        let (public, half, policy) = examine(file)?;
        Ok(Looked {
            abilities: abilities_of(&public, &half),
            needs_value: asks_for_value(file, &policy),
            public: half,
        })
    }

    /// Makes a key of a key file. `ask` is called, once, when the file says that the key has an
    /// authorization value. No TPM command.
    pub fn from_file(tpm: &Arc<Tpm>, file: KeyFile, ask: Ask<'_>) -> Result<Self, Error> {
        let (public, half, policy) = examine(&file)?;
        let credential =
            credential_of(tpm, &file, &public, &policy, "TPM key", Some(OF_KEYS), ask)?;
        let object = object_of(tpm, &file, public)?;
        let key = Tpm2Key::new(tpm, half, object, Some(file)).used_by(policy, None);
        Ok(Self::new(key, credential))
    }

    /// Reads the public half of the persistent key that `uri` names: one TPM command, or four where
    /// `parent-name` vouches for it and the URI has no name. `ask` is called when the URI says that the key has an
    /// authorization value.
    pub fn from_handle(tpm: &Arc<Tpm>, uri: &Handle, ask: Ask<'_>) -> Result<Self, Error> {
        let handle = uri.handle;
        let policy = match &uri.policy {
            Some(source) => with_value_if(uri.pass, policy::of_uri(tpm, source)?),
            None => Policy::default(),
        };
        let mut subject = Subject {
            identity: Identity::of_handle(tpm, handle),
            what: format!("TPM key at handle 0x{handle:08x}"),
            longest: LONGEST_IN_TPM2,
            advice: None,
            pin_source: uri.pin_source.clone(),
        };
        // Before the TPM is asked anything.
        let early = match uri.pass {
            true => Some(Credential::ask_early(tpm, &subject, ask)?),
            false => None,
        };
        let read = tpm.client()?.read_key(handle, uri.name.as_ref())?;
        let half = PublicKey::of(&read.public)?;
        subject.longest = longest_value(read.public.name_alg());
        let credential = match early {
            None => {
                let counted = counts_tries(&read.public).then_some(subject.identity);
                Credential::none(tpm, counted, Some(URI_SAYS_NONE))?
            }
            Some(early) => early.answer(|ask| Credential::obtain(tpm, subject, ask))?,
        };
        let policy = policy_of(tpm, &read.public, policy)?;
        let object = Object {
            public: read.public,
            name: read.name,
            source: Source::Persistent(handle),
        };
        let policy_file = match &uri.policy {
            Some(PolicySource::File(path)) => Some(path.clone()),
            _ => None,
        };
        let key = Tpm2Key::new(tpm, half, object, None).used_by(policy, policy_file);
        Ok(Self::new(key, credential))
    }
}

/// What the object of a file is used with: a key, or sealed data, as `noun` says.
pub(super) fn credential_of(
    tpm: &Arc<Tpm>,
    file: &KeyFile,
    public: &Public,
    policy: &Policy,
    noun: &str,
    advice: Option<Advice>,
    ask: Ask<'_>,
) -> Result<Credential, Error> {
    let what = match &file.description {
        Some(description) => format!("{noun} ({})", printable::quoted(description)),
        None => noun.to_owned(),
    };
    let identity = Identity::of_file(&file.public, &file.private);
    if !asks_for_value(file, policy) {
        let counted = takes_value(policy) && counts_tries(public);
        let counted = counted.then_some(identity);
        return Credential::none(tpm, counted, advice.map(|advice| advice.says_none));
    }
    let subject = Subject {
        identity,
        what,
        longest: longest_value(public.name_alg()),
        advice: advice.map(|advice| advice.says_one),
        pin_source: None,
    };
    match policy.is_empty() || policy.needs_value() {
        true => Credential::obtain(tpm, subject, ask),
        false => Credential::obtain_if_given(tpm, subject, ask),
    }
}

/// Whether an authorization value plays a part in using a key with this policy.
fn takes_value(policy: &Policy) -> bool {
    policy.is_empty() || policy.takes_value()
}

/// Whether somebody is asked for the authorization value of a file's object.
fn asks_for_value(file: &KeyFile, policy: &Policy) -> bool {
    !file.empty_auth && takes_value(policy)
}

/// What a key may do, by its public area. With what parameters is said when it is to do it.
pub(super) fn abilities_of(public: &Public, half: &PublicKey) -> Abilities {
    let has = |attribute| public.attributes().contains(attribute);
    let decrypts = has(Attributes::DECRYPT) && !has(Attributes::RESTRICTED);
    let scheme = public.scheme();
    let is = |algorithms: &[AlgId]| match scheme {
        Scheme::Null => true,
        Scheme::Plain(algorithm)
        | Scheme::Hashed(algorithm, _)
        | Scheme::HashedWith(algorithm, _, _) => algorithms.contains(&algorithm),
    };
    let signs = match half {
        PublicKey::Rsa { .. } => {
            let is_raw = decrypts && scheme == Scheme::Null;
            is_raw || has(Attributes::SIGN) && is(&[AlgId::RSASSA, AlgId::RSAPSS])
        }
        PublicKey::Ec(_) => has(Attributes::SIGN) && is(&[AlgId::ECDSA]),
    };
    let is_rsa = half.rsa().is_ok();
    Abilities {
        sign: signs,
        decrypt: is_rsa && decrypts && is(&[AlgId::RSAES, AlgId::OAEP]),
        agree: !is_rsa && decrypts && is(&[AlgId::ECDH]),
        made_in_tpm: has(Attributes::SENSITIVE_DATA_ORIGIN),
        stays: has(Attributes::FIXED_TPM),
    }
}

/// The object of a file.
pub(super) fn object_of(tpm: &Tpm, file: &KeyFile, public: Public) -> Result<Object, Error> {
    Ok(Object {
        name: public.name()?,
        public,
        source: Source::Blob {
            parent: parent_of(tpm, file)?,
            private: file.private.clone(),
        },
    })
}

/// A policy in words need not say what the rest of the URI does.
fn with_value_if(pass: bool, mut policy: Policy) -> Policy {
    if pass && !policy.takes_value() {
        policy.commands.push(PolicyCommand::AuthValue);
    }
    policy
}

/// The policy of a persistent key, if it is that. Where the URI names registers and no values, they are looked at once:
/// what is the key's policy now is its policy for ever.
fn policy_of(tpm: &Tpm, public: &Public, policy: Policy) -> Result<Policy, Error> {
    if policy.is_empty() {
        if !public.attributes().contains(Attributes::USER_WITH_AUTH) {
            return Err(Error::Unsupported(format!(
                "the key can be used with a policy only (its attributes are {}): say which behind the handle, \
                 ?policy=sha256:0,7 or ?policy-file=PATH",
                public.attributes()
            )));
        }
        return Ok(policy);
    }
    policy.check(public)?;
    let open = policy.open_registers();
    if open.is_empty() {
        return Ok(policy);
    }
    let values = tpm.client()?.registers(&open)?;
    let fixed = policy.fixed(public.name_alg(), &values);
    // Otherwise it is another state than the one it was made for, or the TPM lacks a bank, which its use will say.
    Ok(match fixed.check(public) {
        Ok(()) => fixed,
        Err(_) => policy,
    })
}

impl PublicKey {
    /// The public half of the key that `uri` names, whatever value the key has: as many commands as
    /// [`Key::from_handle`].
    pub fn at_handle(tpm: &Tpm, uri: &Handle) -> Result<Self, Error> {
        Self::of(
            &tpm.client()?
                .read_key(uri.handle, uri.name.as_ref())?
                .public,
        )
    }
}

/// What to do about a file that says of an object with a value that it has none, and the other way round.
#[derive(Clone, Copy)]
pub(super) struct Advice {
    says_none: &'static str,
    says_one: &'static str,
}

/// For keys. No program is known that writes it wrong of sealed data.
const OF_KEYS: Advice = Advice {
    says_none: SAYS_NONE,
    says_one: SAYS_ONE,
};
const SAYS_NONE: &str = "the key file says that the key has none (emptyAuth), as tpm2_encodeobject before 5.8 wrote of \
                         keys that have one: `tpmctl key convert --pin yes FILE -o NEWFILE` mends that";
const SAYS_ONE: &str = "if the key has none, the file's flag emptyAuth is wrong, as tpm2_encodeobject before 5.8 wrote \
                        it: `tpmctl key convert --pin no FILE -o NEWFILE` mends that";
/// What to do about a URI that says nothing of a value.
const URI_SAYS_NONE: &str =
    "nothing was asked for, since the URI does not say that the key has one: add ?pass to it";

/// Whether wrong tries of its value count towards the TPM's lockout.
pub(super) fn counts_tries(public: &Public) -> bool {
    !public.attributes().contains(Attributes::NO_DA)
}

pub(super) fn parent_of(tpm: &Tpm, file: &KeyFile) -> Result<Parent, Error> {
    let template = match (file.legacy, file.rsa_parent) {
        (true, _) => PrimaryTemplate::Legacy,
        (false, true) => PrimaryTemplate::Rsa,
        (false, false) => PrimaryTemplate::Ecc,
    };
    let auth = tpm.config().parent_auth.clone();
    check_length(&auth, LONGEST_IN_TPM2, "the parent (parent-auth)")?;
    Ok(Parent {
        handle: file.parent,
        template,
        auth,
    })
}

/// Reads the public area and the policy of a key file and refuses what cannot be used, whatever the TPM.
pub(super) fn examine(file: &KeyFile) -> Result<(Public, PublicKey, Policy), Error> {
    refuse_what_is_not_done(file)?;
    let public = Public::from_tpm2b(&file.public)?;
    let half = PublicKey::of(&public)?;
    let policy = policy::of_file(file)?;
    check_usable_by(&public, &policy, "key")?;
    Ok((public, half, policy))
}

/// Refuses an object that cannot be used by the policy of its file; `noun` says what it is.
pub(super) fn check_usable_by(public: &Public, policy: &Policy, noun: &str) -> Result<(), Error> {
    if !policy.is_empty() {
        policy.check(public)?;
    } else if !public.attributes().contains(Attributes::USER_WITH_AUTH) {
        return Err(Error::Unsupported(format!(
            "the {noun} can be used with a policy only (its attributes are {}), and the file has none: make the file anew \
             with the tool that made it, and the policy in it",
            public.attributes()
        )));
    }
    Ok(())
}

fn refuse_what_is_not_done(file: &KeyFile) -> Result<(), Error> {
    match file.kind {
        Kind::Loadable | Kind::Importable => Ok(()),
        Kind::Sealed => Ok(file.require_key()?),
    }
}
