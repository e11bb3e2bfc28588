//! Key generation in a TPM 1.2, and the import of existing keys.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use crypto::Secret;
use tss::tpm12::{AuthValue, SigScheme, Template, wrap};
use zeroize::Zeroizing;

use super::{Tpm12Key, public_half};
use crate::generate::{Options, ParentChoice, Usage};
use crate::tpm::srk_value;
use crate::{Error, Key, KeyType, Tpm};

/// The sizes that the specification knows; 2048 is what every TPM 1.2 has (part 1, 5.3).
const SIZES: std::ops::RangeInclusive<u32> = 512..=2048;

/// Makes a key under the storage root key.
pub(super) fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Tpm12Key, Error> {
    let template = template(options)?;
    let srk = match &options.parent_auth {
        Some(secret) => srk_value(secret),
        None => tpm.srk_auth(),
    };
    // The key is not migratable, so its migration value is never looked at.
    let blob = tpm.client12()?.create(
        &srk,
        &template,
        &value_of(&options.user_auth),
        &AuthValue::well_known(),
    )?;
    let public = public_half(&blob)?;
    Ok(Tpm12Key::new(tpm, blob, srk, public))
}

/// Takes a software RSA key (its modulus and one of its primes; the exponent is 65537) into a TPM 1.2, by
/// wrapping it under the public half of the storage root key, and checks that it works there. With the owner's
/// secret the TPM gives that half out; without it only after `tpm_restrictsrk -a`. What `options` say about size
/// and parent does not matter.
pub fn import(
    tpm: &Arc<Tpm>,
    modulus: &[u8],
    prime: &Secret,
    options: &Options,
    owner: Option<&Secret>,
) -> Result<Key, Error> {
    let template = template(options)?;
    let client = tpm.client12()?;
    let srk = match owner {
        Some(owner) => client.srk_public_for_owner(&srk_value(owner))?,
        None => client.srk_public(&tpm.srk_auth())?,
    };
    // Nobody can move the key on with a value that nobody knows; the well-known one would let everybody.
    let mut migration = Zeroizing::new([0; AuthValue::SIZE]);
    crypto::random(&mut *migration)?;
    let migration = AuthValue::from_bytes(&*migration).unwrap_or_else(AuthValue::well_known);
    let usage = value_of(&options.user_auth);
    let blob = wrap(&srk, &template, modulus, prime, &usage, &migration)?;
    let public = public_half(&blob)?;
    let key = Key::made(
        Tpm12Key::new(tpm, blob, tpm.srk_auth(), public),
        &options.user_auth,
    )?;
    key.check()?;
    Ok(key)
}

fn value_of(password: &Secret) -> AuthValue {
    if password.is_empty() {
        AuthValue::well_known()
    } else {
        AuthValue::from_password(password)
    }
}

fn template(options: &Options) -> Result<Template, Error> {
    let wrong = |text: String| Err(Error::Setting(text));
    if options.key_type != KeyType::Rsa {
        return wrong(format!(
            "a TPM 1.2 has RSA keys for PKCS#1 v1.5 and no others, not {}",
            options.key_type.name()
        ));
    }
    if options.parent != ParentChoice::OWNER {
        return wrong(
            "in a TPM 1.2 keys are made under its storage root key: leave the parent out".into(),
        );
    }
    if !SIZES.contains(&options.bits) || !options.bits.is_multiple_of(8) {
        return wrong(format!(
            "{} bits is no size for an RSA key in a TPM 1.2: every one makes 2048, and none more",
            options.bits
        ));
    }
    if options.exponent != 65537 {
        return wrong("the public exponent of a key in a TPM 1.2 is 65537".into());
    }
    let needs_auth = !options.user_auth.is_empty();
    match options.usage {
        Usage::Any if options.sign_only => Ok(Template::signing(options.bits, needs_auth)),
        Usage::Any => Ok(Template::legacy(options.bits, needs_auth)),
        Usage::Sign(Hash::Sha1) => Ok(Template {
            sig_scheme: SigScheme::SHA1,
            ..Template::signing(options.bits, needs_auth)
        }),
        Usage::Sign(hash) => wrong(format!(
            "a TPM 1.2 cannot tie a key to the digest {hash}: leave the digest out; a key that signs only is \
             made with usage:sign (tpmctl: --sign-only)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use crypto::Curve;

    use super::*;

    #[test]
    fn what_a_tpm_12_cannot_make_is_refused_with_the_reason() {
        let rsa = || Options::new(KeyType::Rsa);
        for (options, part) in [
            (Options::new(KeyType::RsaPss), "not RSA-PSS"),
            (
                Options {
                    curve: Curve::P256,
                    ..Options::new(KeyType::Ec)
                },
                "not EC",
            ),
            (
                Options {
                    bits: 3072,
                    ..rsa()
                },
                "3072 bits",
            ),
            (
                Options {
                    bits: 1023,
                    ..rsa()
                },
                "1023 bits",
            ),
            (
                Options {
                    exponent: 3,
                    ..rsa()
                },
                "65537",
            ),
            (
                Options {
                    usage: Usage::Sign(Hash::Sha256),
                    ..rsa()
                },
                "usage:sign",
            ),
            (
                Options {
                    parent: ParentChoice::parse("null").unwrap(),
                    ..rsa()
                },
                "storage root key",
            ),
        ] {
            let error = template(&options).unwrap_err().to_string();
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn options_become_templates() {
        assert_eq!(
            template(&Options::new(KeyType::Rsa)).unwrap(),
            Template::legacy(2048, false)
        );
        let options = Options {
            sign_only: true,
            user_auth: Secret::from(&b"pin"[..]),
            bits: 1024,
            ..Options::new(KeyType::Rsa)
        };
        assert_eq!(template(&options).unwrap(), Template::signing(1024, true));
        let options = Options {
            usage: Usage::Sign(Hash::Sha1),
            ..Options::new(KeyType::Rsa)
        };
        assert_eq!(template(&options).unwrap().sig_scheme, SigScheme::SHA1);
    }
}
