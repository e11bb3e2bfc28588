//! Key generation in a TPM 2.0.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::{Curve, Secret};
use tss::tpm2::constants::handle;
use tss::tpm2::{
    AlgId, Attributes, Client, Created, Curve as TpmCurve, Object, Parent, Policy, PolicyCommand,
    PrimaryTemplate, Public, Scheme, Source, Subject,
};

use super::Tpm2Key;
use crate::credential::{LONGEST_IN_TPM2, check_length, longest_value};
use crate::format::tss2::KeyFile;
use crate::generate::{Options, ParentChoice, Usage};
use crate::public::{alg_of, curve_of, tpm_curve_of};
use crate::{Error, KeyType, PublicKey, Tpm, policy};

/// Makes the key.
pub(super) fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Tpm2Key, Error> {
    let (template, policy) = described(options)?;
    let client = tpm.client()?;
    if options.key_type == KeyType::Ec {
        check_curve(client, options.curve, client.known_curves())?;
    }
    let make = |template: &Public| {
        below(tpm, options, |parent| {
            client.create(parent, template, &options.user_auth)
        })
    };
    let (parent, created) = match make(&template)? {
        (parent, Err(refusal)) if is_of_several_tpms(client, &parent, &refusal) => {
            let attributes = template.attributes().without(Attributes::FIXED_TPM);
            let unique = template.unique().clone();
            make(&template.with(attributes, template.auth_policy(), unique)?)?
        }
        made => made,
    };
    let created = created.map_err(|error| explain(client, options, error))?;
    finished(tpm, options, policy, parent, created)
}

/// What the TPM is asked for, and the policy that it is used by.
pub(super) fn described(options: &Options) -> Result<(Public, Policy), Error> {
    let mut policy = options.policy.clone();
    with_value(&mut policy, &options.user_auth);
    let template = guarded(template(options)?, &policy)?;
    check_length(
        &options.user_auth,
        longest_value(template.name_alg()),
        "the new key (user-auth)",
    )?;
    Ok((template, policy))
}

/// Has the TPM make something below the parent that is asked for, and says below which it came to be.
pub(super) fn below<T>(
    tpm: &Tpm,
    options: &Options,
    make: impl Fn(&Parent) -> Result<T, tss::Error>,
) -> Result<(Parent, Result<T, tss::Error>), Error> {
    let auth = options.parent_auth.as_ref();
    let auth = auth.unwrap_or(&tpm.config().parent_auth).clone();
    let mut making = Making::new(tpm, options.parent, auth)?;
    let made = making.run(|_, parent| make(parent));
    Ok((making.parent, made))
}

/// The key of what the TPM has made.
pub(super) fn finished(
    tpm: &Arc<Tpm>,
    options: &Options,
    policy: Policy,
    parent: Parent,
    created: Created,
) -> Result<Tpm2Key, Error> {
    let half = PublicKey::of(&created.public)?;
    let mut file = KeyFile::loadable(
        parent.handle,
        created.public.to_tpm2b(),
        created.private.clone(),
    );
    say_how_it_is_used(&mut file, options, &policy)?;
    let object = Object {
        name: created.public.name()?,
        public: created.public,
        source: Source::Blob {
            parent,
            private: created.private,
        },
    };
    Ok(Tpm2Key::new(tpm, half, object, Some(file)).used_by(policy, None))
}

/// Writes a policy into a new key file, and whether a value is to be asked for.
pub(super) fn say_how_it_is_used(
    file: &mut KeyFile,
    options: &Options,
    policy: &Policy,
) -> Result<(), Error> {
    // Also the value of something else is asked for when the key is loaded.
    file.empty_auth = options.user_auth.is_empty() && !policy.takes_value();
    Ok(policy::into_file(policy, file)?)
}

/// Whether the parent may be in several TPMs: nothing below such a one has the attribute fixedTPM (Part 1, 26.2).
fn is_of_several_tpms(client: &Client, parent: &Parent, refusal: &tss::Error) -> bool {
    // TPM_RC_ATTRIBUTES.
    let of_attributes = refusal.code().is_some_and(|code| code.base() == 0x082);
    of_attributes
        && handle::is_persistent(parent.handle)
        && client
            .parent_public(parent)
            .is_ok_and(|public| !public.attributes().contains(Attributes::FIXED_TPM))
}

/// A policy that asks for the authorization value, where there is one.
pub(crate) fn with_value(policy: &mut Policy, value: &Secret) {
    if !policy.is_empty() && !value.is_empty() && !policy.takes_value() {
        policy.commands.push(PolicyCommand::AuthValue);
    }
}

/// Where a new object is made.
pub(crate) struct Making<'a> {
    client: &'a Client,
    parent: Parent,
}

impl<'a> Making<'a> {
    /// Under this parent, which has this authorization value.
    pub(crate) fn new(tpm: &'a Tpm, choice: ParentChoice, auth: Secret) -> Result<Self, Error> {
        check_length(&auth, LONGEST_IN_TPM2, "the parent (parent-auth)")?;
        Ok(Self {
            client: tpm.client()?,
            parent: Parent {
                handle: choice.into(),
                template: PrimaryTemplate::Ecc,
                auth,
            },
        })
    }

    /// The parent, which after [`Making::run`] is the one that the object has.
    pub(crate) fn parent(&self) -> &Parent {
        &self.parent
    }

    /// Makes it. Where the owner hierarchy has a value that nobody said, the storage root key takes its primary's place.
    pub(crate) fn run<T>(
        &mut self,
        make: impl Fn(&Client, &Parent) -> Result<T, tss::Error>,
    ) -> Result<T, tss::Error> {
        match make(self.client, &self.parent) {
            Err(refusal) if needs_the_owner(&self.parent, &refusal) => {
                // What keys of the owner's are loaded under, and what needs no secret.
                self.parent.handle = handle::SRK;
                make(self.client, &self.parent).map_err(|_| {
                    refusal.advise(
                        "the owner hierarchy has one: say it with parent-auth, or have the storage root key made once, \
                         with `tpmctl srk create --parent-auth file:PATH`, under which keys are made and loaded without it",
                    )
                })
            }
            result => result,
        }
    }
}

/// Whether the owner's secret is needed for the parent, and nobody said it.
fn needs_the_owner(parent: &Parent, error: &tss::Error) -> bool {
    error.is_of_parent() && parent.handle == handle::OWNER && parent.auth.is_empty()
}

/// The template of a key that is used by a policy, if there is one: by that and nothing else.
pub(crate) fn guarded(template: Public, policy: &Policy) -> Result<Public, Error> {
    if policy.is_empty() {
        return Ok(template);
    }
    let digest = policy.digest(template.name_alg())?.ok_or_else(|| {
        Error::Setting("the policy of a new key needs the values of its registers".into())
    })?;
    let attributes = template.attributes().without(Attributes::USER_WITH_AUTH);
    Ok(template.with(attributes, &digest, template.unique().clone())?)
}

fn template(options: &Options) -> Result<Public, Error> {
    // A key without an authorization value has nothing that could be guessed, and must not stop
    // working because somebody guesses at another key.
    let lockout = if options.user_auth.is_empty() {
        Attributes::NO_DA
    } else {
        Attributes(0)
    };
    let (usage, scheme) = match (options.usage, options.key_type) {
        (Usage::Any, _) => (Attributes::SIGN.with(Attributes::DECRYPT), Scheme::Null),
        (Usage::Sign(hash), key_type) => {
            let scheme = match key_type {
                KeyType::Rsa => AlgId::RSASSA,
                KeyType::RsaPss => AlgId::RSAPSS,
                KeyType::Ec => AlgId::ECDSA,
            };
            let hash = alg_of(hash)
                .ok_or_else(|| Error::Setting(format!("TPMs do not know the digest {hash}")))?;
            (Attributes::SIGN, Scheme::Hashed(scheme, hash))
        }
    };
    let attributes = Public::key_attributes(usage.with(lockout));
    if options.key_type == KeyType::Ec {
        return Ok(Public::ecc_template(
            tpm_curve_of(options.curve),
            attributes,
            scheme,
        )?);
    }
    let bits = u16::try_from(options.bits)
        .ok()
        .filter(|bits| *bits >= 1024 && bits % 8 == 0)
        .ok_or_else(|| {
            Error::Setting(format!(
                "{} bits is no size for an RSA key in a TPM: TPMs make 2048, many also 3072 and \
                 4096 (`tpmctl info -a` lists what this one does)",
                options.bits
            ))
        })?;
    // 0 stands for 65537, and some TPMs accept nothing else.
    let exponent = if options.exponent == 65537 {
        0
    } else {
        options.exponent
    };
    Ok(Public::rsa_template(
        bits,
        exponent,
        attributes,
        scheme,
        AlgId::SHA256,
    )?)
}

/// Refuses a curve that the TPM is known not to have.
pub(super) fn check_curve(
    client: &Client,
    curve: Curve,
    offered: Option<Vec<TpmCurve>>,
) -> Result<(), Error> {
    let Some(offered) = offered.filter(|list| !list.contains(&tpm_curve_of(curve))) else {
        return Ok(());
    };
    let names: Vec<String> = offered
        .iter()
        .map(|one| curve_of(*one).map_or_else(|| one.to_string(), |known| known.to_string()))
        .collect();
    Err(Error::Scheme(format!(
        "the TPM at {} has no keys on the curve {curve}: it offers {}",
        client.endpoint().address(),
        names.join(", ")
    )))
}

/// Says more of a template that the TPM refuses. Which curves it has is asked then and not before:
/// generation on a curve that it has costs nothing more.
pub(super) fn explain(client: &Client, options: &Options, error: tss::Error) -> Error {
    let Some(code) = error
        .code()
        .filter(|code| code.subject() == Subject::Parameter(2))
    else {
        return error.into();
    };
    // TPM_RC_VALUE and TPM_RC_CURVE are about the size or the curve.
    let size = matches!(code.base(), 0x084 | 0x0a6);
    match options.key_type {
        // TPMs differ in the code for a curve that they lack.
        KeyType::Ec => match check_curve(client, options.curve, client.curves().ok()) {
            Err(refusal) => refusal,
            Ok(()) if size => error
                .advise(format!(
                    "can it make EC keys on {}? `tpmctl info -a` lists the curves",
                    options.curve
                ))
                .into(),
            Ok(()) => error.into(),
        },
        KeyType::Rsa | KeyType::RsaPss if size => error
            .advise(format!(
                "can it make RSA keys of {} bits with this exponent? `tpmctl info -a` lists the sizes",
                options.bits
            ))
            .into(),
        KeyType::Rsa | KeyType::RsaPss => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_secret_is_not_subject_to_lockout() {
        let free = template(&Options::new(KeyType::Rsa)).unwrap();
        assert!(free.attributes().contains(Attributes::NO_DA));
        let options = Options {
            user_auth: Secret::from(&b"pin"[..]),
            ..Options::new(KeyType::Rsa)
        };
        assert!(
            !template(&options)
                .unwrap()
                .attributes()
                .contains(Attributes::NO_DA)
        );
    }

    #[test]
    fn refuses_sizes_that_no_tpm_makes() {
        for bits in [0, 512, 2047, 70000] {
            let options = Options {
                bits,
                ..Options::new(KeyType::Rsa)
            };
            let error = template(&options).unwrap_err().to_string();
            assert!(error.contains(&bits.to_string()), "{error}");
        }
    }
}
