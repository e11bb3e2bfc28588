//! Keys that were outside of any TPM, on their way into one.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::{Curve, Hash, Secret};
use tss::tpm2::{
    Attributes, Client, Created, Duplicate, Incoming, Object, Policy, Public, Sensitive, Source,
    Unique,
};

use super::generate::{below, check_curve, described, explain, finished, say_how_it_is_used};
use crate::format::tss2::{KeyFile, Kind};
use crate::generate::{Options, ParentChoice};
use crate::import::Software;
use crate::load::parent_of;
use crate::{Error, Key, KeyType, Tpm};

/// Takes a key into the TPM, below the parent that `options` name, and checks that it works there unless a policy guards
/// it. Costs ReadPublic, StartAuthSession, Import, and what the check does; under a hierarchy without a storage root key
/// CreatePrimary and FlushContext, too.
///
/// # Errors
///
/// A key that the TPM has no room, size or curve for; a private half that is not the public one's.
pub fn import(tpm: &Arc<Tpm>, software: &Software, options: &Options) -> Result<Key, Error> {
    if let Some(options) = options.with_policy(tpm)? {
        return import(tpm, software, &options);
    }
    let (options, public, policy) = prepared(software, options)?;
    let sensitive = sensitive(software, &options);
    let client = tpm.client()?;
    if options.key_type == KeyType::Ec {
        check_curve(client, options.curve, client.known_curves())?;
    }
    let (parent, private) = below(tpm, &options, |parent| {
        client.import(parent, &public, Incoming::Clear(&sensitive))
    })?;
    let private = private.map_err(|error| explain(client, &options, error))?;
    let is_open = policy.is_empty();
    let made = finished(tpm, &options, policy, parent, Created { public, private })?;
    let key = Key::made(made, &options.user_auth)?;
    if is_open {
        key.check()?;
    }
    Ok(key)
}

/// Wraps a key for this TPM, which imports it when it is first used: an importable file. Costs ReadPublic; under a hierarchy
/// without a storage root key CreatePrimary and FlushContext, too.
///
/// # Errors
///
/// As [`wrap`].
pub fn importable(
    tpm: &Arc<Tpm>,
    software: &Software,
    options: &Options,
) -> Result<KeyFile, Error> {
    if let Some(options) = options.with_policy(tpm)? {
        return importable(tpm, software, &options);
    }
    let client = tpm.client()?;
    let (parent, public) = below(tpm, options, |parent| client.parent_public(parent))?;
    let options = Options {
        parent: ParentChoice::at(parent.handle)?,
        ..options.clone()
    };
    wrap(software, &options, &public?)
}

/// Wraps a key for the TPM that has this storage key, without any TPM: an importable file. `options` name the storage key's
/// place in that TPM.
///
/// # Errors
///
/// A parent that is no storage key.
pub fn wrap(software: &Software, options: &Options, parent: &Public) -> Result<KeyFile, Error> {
    let (options, public, policy) = prepared(software, options)?;
    let sensitive = sensitive(software, &options);
    wrapped(&options, &policy, &public, &sensitive, parent)
}

fn wrapped(
    options: &Options,
    policy: &Policy,
    public: &Public,
    sensitive: &Sensitive,
    parent: &Public,
) -> Result<KeyFile, Error> {
    let mut file = file_for(public, sensitive, options.parent, parent)?;
    say_how_it_is_used(&mut file, options, policy)?;
    Ok(file)
}

/// A file of what is wrapped for the TPM that has this storage key at this place.
pub(crate) fn file_for(
    public: &Public,
    sensitive: &Sensitive,
    place: ParentChoice,
    parent: &Public,
) -> Result<KeyFile, Error> {
    let duplicate = Duplicate::wrap(public, sensitive, parent)
        .map_err(|error| Error::Unsupported(error.to_string()))?;
    let mut file = KeyFile::loadable(place.into(), public.to_tpm2b(), duplicate.private);
    file.kind = Kind::Importable;
    file.secret = Some(duplicate.encrypted_seed);
    file.rsa_parent =
        file.parent_is_hierarchy() && parent.matches_template(&Public::rsa_primary()?);
    Ok(file)
}

/// Wraps a storage key likewise, below which the same key files can be loaded in each TPM that has it: what it derives their
/// protection from depends on the key alone.
///
/// # Errors
///
/// As [`wrap`]; a key that is neither RSA-2048 nor on P-256, which every TPM has.
pub fn wrap_storage_key(
    software: &Software,
    options: &Options,
    parent: &Public,
) -> Result<KeyFile, Error> {
    let options = software.decide(options)?;
    let template = match software {
        Software::Rsa { modulus, .. } if modulus.len() == 256 => Public::rsa_primary()?,
        Software::Ec {
            curve: Curve::P256, ..
        } => Public::ecc_primary()?,
        _ => {
            return Err(Error::Setting(
                "a storage key is on P-256, or RSA of 2048 bits, so that every TPM takes it".into(),
            ));
        }
    };
    let public = outside(&template, software)?;
    let mut sensitive = sensitive(software, &options);
    // No two keys have the same, and whoever wraps the key again makes the same one.
    sensitive.seed = Secret::new(crypto::hash(
        Hash::Sha256,
        &[public.to_tpmt(), &sensitive.private],
    ));
    wrapped(&options, &Policy::default(), &public, &sensitive, parent)
}

/// Makes a loadable file of an importable one, be it of a key or of sealed data: what this TPM gives for it. Costs
/// ReadPublic, StartAuthSession and Import.
///
/// # Errors
///
/// A file that is not importable, or for another TPM.
pub fn finish(tpm: &Tpm, file: &KeyFile) -> Result<KeyFile, Error> {
    let duplicate = duplicate_in(file).ok_or_else(|| {
        Error::Unsupported(
            "the file is not importable: there is nothing to be done before it is used".into(),
        )
    })?;
    let public = Public::from_tpm2b(&file.public)?;
    let parent = parent_of(tpm, file)?;
    let private = tpm
        .client()?
        .import(&parent, &public, Incoming::Duplicate(&duplicate))?;
    Ok(KeyFile {
        kind: match file.kind {
            Kind::Sealed => Kind::Sealed,
            Kind::Loadable | Kind::Importable => Kind::Loadable,
        },
        secret: None,
        private,
        ..file.clone()
    })
}

/// The object as it can be loaded, of what must be imported first.
pub(crate) fn imported(
    client: &Client,
    object: &Object,
    duplicate: &Duplicate,
) -> Result<Object, Error> {
    let Source::Blob { parent, .. } = &object.source else {
        return Ok(object.clone());
    };
    let incoming = Incoming::Duplicate(duplicate);
    let private = client.import(parent, &object.public, incoming)?;
    Ok(Object {
        source: Source::Blob {
            parent: parent.clone(),
            private,
        },
        ..object.clone()
    })
}

/// What is to be imported before the key or the data in a file are used, if that is so.
pub(crate) fn duplicate_in(file: &KeyFile) -> Option<Duplicate> {
    match (file.kind, &file.secret) {
        (Kind::Importable | Kind::Sealed, Some(encrypted_seed)) => Some(Duplicate {
            private: file.private.clone(),
            encrypted_seed: encrypted_seed.clone(),
        }),
        _ => None,
    }
}

/// The options with what the key itself decides, its public area, and its policy.
fn prepared(software: &Software, options: &Options) -> Result<(Options, Public, Policy), Error> {
    if options.policy_words.is_some() {
        return Err(Error::Setting(
            "a policy in words needs a TPM to be read: make a file of it, with the values of its registers, with `tpmctl \
             policy new`"
                .into(),
        ));
    }
    let options = software.decide(options)?;
    let (template, policy) = described(&options)?;
    let public = outside(&template, software)?;
    Ok((options, public, policy))
}

/// The public area of a key that was made outside. It is like the template, but that it is somewhere else, too, and could
/// be brought elsewhere (Part 3, 13.3.1).
fn outside(template: &Public, software: &Software) -> Result<Public, Error> {
    let attributes = template
        .attributes()
        .without(Attributes::FIXED_TPM)
        .without(Attributes::FIXED_PARENT)
        .without(Attributes::SENSITIVE_DATA_ORIGIN);
    let unique = match software {
        Software::Rsa { modulus, .. } => Unique::Rsa(modulus.clone()),
        Software::Ec { x, y, .. } => Unique::Ecc {
            x: x.clone(),
            y: y.clone(),
        },
    };
    Ok(template.with(attributes, template.auth_policy(), unique)?)
}

fn sensitive(software: &Software, options: &Options) -> Sensitive {
    Sensitive {
        auth: options.user_auth.clone(),
        seed: Secret::empty(),
        private: match software {
            Software::Rsa { prime, .. } => prime.clone(),
            Software::Ec { scalar, .. } => scalar.clone(),
        },
    }
}
