//! New objects: of a session, or certificates beside a key's file.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::der::{Reader, tag};
use crypto::ecdsa::EcPublic;
use crypto::rsa::RsaPublic;
use crypto::{Curve, Hash};
use keys::PublicKey;
use keys::key_dirs::{Certificate, write_new};

use super::attributes::parameters;
use super::{Passing, Peer, Shown, Template};
use crate::pkcs11::abi::*;
use crate::pkcs11::fault::fault;
use crate::pkcs11::module;
use crate::pkcs11::token::Held;

/// C_CreateObject.
pub(in crate::pkcs11) fn create(
    session: CK_SESSION_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    let class = template
        .number(CKA_CLASS)?
        .ok_or(Fault(CKR_TEMPLATE_INCOMPLETE))?;
    let of_token = template.flag(CKA_TOKEN)?.unwrap_or(false);
    let is_rw = module::with(|module| Ok(module.session(session)?.is_rw))?;
    if of_token && !is_rw {
        return Err(Fault(CKR_SESSION_READ_ONLY));
    }
    let (label, id) = (template.bytes(CKA_LABEL), template.bytes(CKA_ID));
    let shown = match (class, of_token) {
        (CKO_PUBLIC_KEY, false) => Shown::Peer(Arc::new(Peer {
            public: Arc::new(public(template)?),
            label,
            id,
        })),
        (CKO_CERTIFICATE, false) => Shown::Passing(Arc::new(Passing {
            certificate: certificate(template)?,
            label,
            id,
        })),
        (CKO_CERTIFICATE, true) => return store(session, &certificate(template)?),
        // That of a key of the token is there already, and there is no place for another.
        (CKO_PUBLIC_KEY, true) => return existing(session, &public(template)?),
        _ => {
            return Err(fault(
                CKR_TEMPLATE_INCONSISTENT,
                "only certificates can be written to a token, and public keys to a session: keys are made by the TPM, \
                 or imported by `tpmctl key import`",
            ));
        }
    };
    module::with(|module| module.add(session, shown))
}

fn certificate(template: &Template) -> Result<Certificate> {
    let is_x509 = template
        .number(CKA_CERTIFICATE_TYPE)?
        .is_none_or(|kind| kind == CKC_X_509);
    let value = template.get(CKA_VALUE);
    let value = value.ok_or(Fault(CKR_TEMPLATE_INCOMPLETE))?;
    Certificate::from_der(value)
        .filter(|_| is_x509)
        .ok_or(Fault(CKR_ATTRIBUTE_VALUE_INVALID))
}

fn public(template: &Template) -> Result<PublicKey> {
    let needed = |kind| template.get(kind).ok_or(Fault(CKR_TEMPLATE_INCOMPLETE));
    let wrong = Fault(CKR_ATTRIBUTE_VALUE_INVALID);
    match template.number(CKA_KEY_TYPE)? {
        Some(CKK_RSA) => {
            let (modulus, exponent) = (needed(CKA_MODULUS)?, needed(CKA_PUBLIC_EXPONENT)?);
            let start = modulus.iter().take_while(|byte| **byte == 0).count();
            let key = RsaPublic::new(&modulus[start..], exponent).map_err(|_| wrong)?;
            Ok(PublicKey::Rsa {
                key: Box::new(key),
                pss: None,
            })
        }
        Some(CKK_EC) => {
            let curve = curve_of(needed(CKA_EC_PARAMS)?)?;
            point_of(curve, needed(CKA_EC_POINT)?)
                .map(PublicKey::Ec)
                .ok_or(wrong)
        }
        Some(_) => Err(wrong),
        None => Err(Fault(CKR_TEMPLATE_INCOMPLETE)),
    }
}

/// The curve that ECParameters name: by its object identifier, or by its name.
pub(in crate::pkcs11) fn curve_of(value: &[u8]) -> Result<Curve> {
    let by_name = |value: &[u8]| {
        let element = Reader::new(value).element().ok()?;
        const PRINTABLE_STRING: u8 = 0x13;
        if element.tag != PRINTABLE_STRING {
            return None;
        }
        Curve::from_name(std::str::from_utf8(element.content).ok()?)
    };
    Curve::ALL
        .into_iter()
        .find(|curve| parameters(*curve) == value)
        .or_else(|| by_name(value))
        .ok_or(Fault(CKR_CURVE_NOT_SUPPORTED))
}

/// A point, in an OCTET STRING as the standard has it or by itself as older programs do.
pub(in crate::pkcs11) fn point_of(curve: Curve, value: &[u8]) -> Option<EcPublic> {
    if let Ok(point) = EcPublic::from_point(curve, value) {
        return Some(point);
    }
    let mut reader = Reader::new(value);
    let element = reader.element().ok()?;
    let is_whole = element.tag == tag::OCTET_STRING && reader.is_empty();
    is_whole
        .then(|| EcPublic::from_point(curve, element.content).ok())
        .flatten()
}

/// Writes a certificate beside the file of its key.
fn store(session: CK_SESSION_HANDLE, one: &Certificate) -> Result<CK_OBJECT_HANDLE> {
    let held = key_of(session, |held| one.is_of(held.public()))?.ok_or_else(|| {
        fault(
            CKR_TEMPLATE_INCONSISTENT,
            "no key of this token has the certificate's public key, and a certificate goes beside its key's file",
        )
    })?;
    if let Some(handle) = find(session, |shown| match shown {
        Shown::Certificate(held, index) => {
            held.certificates().get(*index).map(|one| &one.der) == Some(&one.der)
        }
        _ => false,
    })? {
        return Ok(handle);
    }
    let path = held.path().ok_or(Fault(CKR_TOKEN_WRITE_PROTECTED))?;
    let path = path.with_extension("crt");
    let pem = one.to_pem();
    if let Err(error) = write_new(&path, pem.as_bytes()) {
        log::error!("{} is not written: {error}", path.display());
        return Err(error.into());
    }
    module::refresh()?;
    let der = one.der.clone();
    find(session, |shown| match shown {
        Shown::Certificate(held, index) => {
            held.certificates().get(*index).map(|one| &one.der) == Some(&der)
        }
        _ => false,
    })?
    .ok_or(Fault(CKR_FUNCTION_FAILED))
}

/// The public half of a key of the token, if it is that.
fn existing(session: CK_SESSION_HANDLE, public: &PublicKey) -> Result<CK_OBJECT_HANDLE> {
    let spki = public.to_spki();
    find(session, |shown| match shown {
        Shown::Public(held) => {
            crypto::hash(Hash::Sha1, &[&held.public().to_spki()])
                == crypto::hash(Hash::Sha1, &[&spki])
        }
        _ => false,
    })?
    .ok_or_else(|| {
        fault(
            CKR_TEMPLATE_INCONSISTENT,
            "a token holds public keys of its own private keys only",
        )
    })
}

fn find(
    session: CK_SESSION_HANDLE,
    is: impl Fn(&Shown) -> bool,
) -> Result<Option<CK_OBJECT_HANDLE>> {
    module::with(|module| {
        let objects = module.objects(session)?;
        let found = objects.iter().find(|object| is(&object.shown));
        Ok(found.map(|object| object.handle))
    })
}

fn key_of(session: CK_SESSION_HANDLE, is: impl Fn(&Held) -> bool) -> Result<Option<Arc<Held>>> {
    module::with(|module| {
        let objects = module.objects(session)?;
        Ok(objects.into_iter().find_map(|object| match object.shown {
            Shown::Public(held) if is(&held) => Some(held),
            _ => None,
        }))
    })
}
