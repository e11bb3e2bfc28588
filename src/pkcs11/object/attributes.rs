//! Attributes: one function for each kind of object, which says what an attribute is.
#![forbid(unsafe_code)]

use crypto::rsa::RsaPublic;
use crypto::{Curve, Hash, der};
use keys::key_dirs::Certificate;
use keys::{Key, PublicKey};

use super::{SecretKey, Shown};
use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism;
use crate::pkcs11::token::Held;

/// What is said of an attribute.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum Answer {
    Value(Vec<u8>),
    /// It is secret.
    Sensitive,
    /// The object has none.
    None,
}

use Answer::{Sensitive, Value};

/// An attribute of an object. `load` gives the key, where only it knows.
pub(in crate::pkcs11) fn attribute(
    shown: &Shown,
    kind: CK_ATTRIBUTE_TYPE,
    load: &dyn Fn(&Held) -> Result<std::sync::Arc<Key>>,
) -> Answer {
    if let Some(value) = of_any(shown, kind) {
        return value;
    }
    match shown {
        Shown::Private(held) => private(held, kind, load),
        Shown::Public(held) => public(held.public(), held.id(), subject_of(held), kind),
        Shown::Peer(peer) => public(&peer.public, &peer.id, &[], kind),
        Shown::Certificate(held, index) => match held.certificates().get(*index) {
            Some(one) if one.is_of(held.public()) => certificate(one, held.id(), kind),
            Some(one) => certificate(one, &one.short_id(), kind),
            None => Answer::None,
        },
        Shown::Passing(passing) => certificate(&passing.certificate, &passing.id, kind),
        Shown::Profile => match kind {
            CKA_PROFILE_ID => number(CKP_BASELINE_PROVIDER),
            _ => Answer::None,
        },
        Shown::Secret(secret) => of_secret(secret, kind),
    }
}

fn of_any(shown: &Shown, kind: CK_ATTRIBUTE_TYPE) -> Option<Answer> {
    let of_token = shown.is_of_token();
    let on_file = match shown {
        Shown::Private(held) | Shown::Public(held) | Shown::Certificate(held, _) => {
            held.path().is_some()
        }
        _ => false,
    };
    Some(match kind {
        CKA_CLASS => number(shown.class()),
        CKA_TOKEN => flag(of_token),
        CKA_PRIVATE => flag(match shown {
            Shown::Private(held) => held.wants_login(),
            _ => false,
        }),
        CKA_MODIFIABLE => flag(on_file),
        CKA_COPYABLE => flag(shown.is_copyable()),
        CKA_DESTROYABLE => flag(on_file || !of_token),
        CKA_LABEL => Value(label(shown)),
        CKA_UNIQUE_ID if of_token => Value(
            shown
                .unique()
                .iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect(),
        ),
        _ => return None,
    })
}

fn label(shown: &Shown) -> Vec<u8> {
    const LONGEST: usize = 255;
    let mut label = match shown {
        Shown::Private(held) | Shown::Public(held) => held.label().as_bytes().to_vec(),
        Shown::Certificate(held, index) => match held.certificates().get(*index) {
            Some(one) if !one.is_of(held.public()) => {
                let name = one.subject_name().unwrap_or_else(|| held.name().to_owned());
                name.into_bytes()
            }
            _ => held.label().as_bytes().to_vec(),
        },
        Shown::Profile => b"profile".to_vec(),
        Shown::Secret(secret) => secret.label.clone(),
        Shown::Peer(peer) => peer.label.clone(),
        Shown::Passing(passing) => passing.label.clone(),
    };
    // OpenSSH has no more room; a character is not cut.
    let mut length = label.len().min(LONGEST);
    while length < label.len() && label[length] & 0xc0 == 0x80 {
        length -= 1;
    }
    label.truncate(length);
    label
}

/// What keys of all kinds have.
fn of_key(public: Option<&PublicKey>, id: &[u8], kind: CK_ATTRIBUTE_TYPE) -> Option<Answer> {
    Some(match kind {
        CKA_KEY_TYPE => match public? {
            PublicKey::Rsa { .. } => number(CKK_RSA),
            PublicKey::Ec(_) => number(CKK_EC),
        },
        CKA_ID => Value(id.to_vec()),
        CKA_START_DATE | CKA_END_DATE => Value(Vec::new()),
        _ => return None,
    })
}

fn private(
    held: &Held,
    kind: CK_ATTRIBUTE_TYPE,
    load: &dyn Fn(&Held) -> Result<std::sync::Arc<Key>>,
) -> Answer {
    if let Some(value) = of_key(Some(held.public()), held.id(), kind) {
        return value;
    }
    let can = held.abilities();
    match kind {
        CKA_SIGN => flag(can.sign),
        CKA_DECRYPT => flag(can.decrypt),
        CKA_DERIVE => flag(can.agree),
        CKA_SIGN_RECOVER
        | CKA_UNWRAP
        | CKA_WRAP_WITH_TRUSTED
        | CKA_ALWAYS_AUTHENTICATE
        | CKA_EXTRACTABLE => flag(false),
        CKA_SENSITIVE => flag(true),
        CKA_LOCAL | CKA_ALWAYS_SENSITIVE => flag(can.made_in_tpm),
        CKA_NEVER_EXTRACTABLE => flag(can.made_in_tpm && can.stays),
        CKA_KEY_GEN_MECHANISM => number(match (can.made_in_tpm, held.public().rsa().is_ok()) {
            (false, _) => CK_UNAVAILABLE_INFORMATION,
            (true, true) => CKM_RSA_PKCS_KEY_PAIR_GEN,
            (true, false) => CKM_EC_KEY_PAIR_GEN,
        }),
        CKA_SUBJECT => Value(subject_of(held).to_vec()),
        CKA_PUBLIC_KEY_INFO => Value(held.public().to_spki()),
        CKA_ALLOWED_MECHANISMS => match load(held) {
            Ok(key) => Value(
                mechanism::allowed(&key)
                    .iter()
                    .flat_map(|kind| kind.to_ne_bytes())
                    .collect(),
            ),
            Err(_) => Answer::None,
        },
        CKA_VALUE | CKA_PRIVATE_EXPONENT | CKA_PRIME_1 | CKA_PRIME_2 | CKA_EXPONENT_1
        | CKA_EXPONENT_2 | CKA_COEFFICIENT => Sensitive,
        _ => numbers(held.public(), kind),
    }
}

fn public(public: &PublicKey, id: &[u8], subject: &[u8], kind: CK_ATTRIBUTE_TYPE) -> Answer {
    if let Some(value) = of_key(Some(public), id, kind) {
        return value;
    }
    let is_rsa = public.rsa().is_ok();
    match kind {
        CKA_VERIFY => flag(true),
        CKA_ENCRYPT => flag(is_rsa && public.pss().is_none()),
        CKA_VERIFY_RECOVER | CKA_WRAP | CKA_TRUSTED | CKA_DERIVE | CKA_LOCAL => flag(false),
        CKA_KEY_GEN_MECHANISM => number(CK_UNAVAILABLE_INFORMATION),
        CKA_SUBJECT => Value(subject.to_vec()),
        CKA_PUBLIC_KEY_INFO => Value(public.to_spki()),
        CKA_MODULUS_BITS if is_rsa => number(public.bits() as CK_ULONG),
        _ => numbers(public, kind),
    }
}

/// The numbers of a public key.
fn numbers(public: &PublicKey, kind: CK_ATTRIBUTE_TYPE) -> Answer {
    match (public, kind) {
        (PublicKey::Rsa { key, .. }, CKA_MODULUS) => Value(modulus(key)),
        (PublicKey::Rsa { key, .. }, CKA_PUBLIC_EXPONENT) => Value(key.exponent().to_vec()),
        (PublicKey::Ec(key), CKA_EC_PARAMS) => Value(parameters(key.curve())),
        (PublicKey::Ec(key), CKA_EC_POINT) => {
            Value(der::element(der::tag::OCTET_STRING, &[key.point()]))
        }
        _ => Answer::None,
    }
}

fn modulus(key: &RsaPublic) -> Vec<u8> {
    key.modulus().to_vec()
}

/// A named curve's ECParameters (RFC 5480, 2.1.1).
pub(super) fn parameters(curve: Curve) -> Vec<u8> {
    der::oid(curve.oid())
}

/// The subject of a key's own certificate, if it has one.
fn subject_of(held: &Held) -> &[u8] {
    let own = held
        .certificates()
        .iter()
        .find(|one| one.is_of(held.public()));
    own.map_or(&[], |one| one.subject.as_slice())
}

fn certificate(one: &Certificate, id: &[u8], kind: CK_ATTRIBUTE_TYPE) -> Answer {
    match kind {
        CKA_CERTIFICATE_TYPE => number(CKC_X_509),
        CKA_CERTIFICATE_CATEGORY => number(CK_CERTIFICATE_CATEGORY_UNSPECIFIED),
        CKA_TRUSTED => flag(false),
        CKA_ID => Value(id.to_vec()),
        CKA_SUBJECT => Value(one.subject.clone()),
        CKA_ISSUER => Value(one.issuer.clone()),
        CKA_SERIAL_NUMBER => Value(one.serial.clone()),
        CKA_VALUE => Value(one.der.clone()),
        CKA_PUBLIC_KEY_INFO => Value(one.spki.clone()),
        CKA_CHECK_VALUE => Value(crypto::hash(Hash::Sha1, &[&one.der])[..3].to_vec()),
        CKA_START_DATE
        | CKA_END_DATE
        | CKA_URL
        | CKA_HASH_OF_SUBJECT_PUBLIC_KEY
        | CKA_HASH_OF_ISSUER_PUBLIC_KEY => Value(Vec::new()),
        CKA_NAME_HASH_ALGORITHM => number(CKM_SHA_1),
        CKA_JAVA_MIDP_SECURITY_DOMAIN => number(CK_SECURITY_DOMAIN_UNSPECIFIED),
        _ => Answer::None,
    }
}

fn of_secret(secret: &SecretKey, kind: CK_ATTRIBUTE_TYPE) -> Answer {
    if let Some(value) = of_key(None, &secret.id, kind) {
        return value;
    }
    match kind {
        CKA_KEY_TYPE => number(secret.kind),
        CKA_VALUE => Value(secret.value.to_vec()),
        CKA_VALUE_LEN => number(secret.value.len() as CK_ULONG),
        CKA_EXTRACTABLE => flag(true),
        CKA_DERIVE
        | CKA_SENSITIVE
        | CKA_ALWAYS_SENSITIVE
        | CKA_NEVER_EXTRACTABLE
        | CKA_LOCAL
        | CKA_ENCRYPT
        | CKA_DECRYPT
        | CKA_SIGN
        | CKA_VERIFY
        | CKA_WRAP
        | CKA_UNWRAP
        | CKA_TRUSTED
        | CKA_WRAP_WITH_TRUSTED => flag(false),
        CKA_KEY_GEN_MECHANISM => number(CK_UNAVAILABLE_INFORMATION),
        _ => Answer::None,
    }
}

fn number(number: CK_ULONG) -> Answer {
    Value(number.to_ne_bytes().to_vec())
}

fn flag(is_set: bool) -> Answer {
    Value(vec![if is_set { CK_TRUE } else { CK_FALSE }])
}
