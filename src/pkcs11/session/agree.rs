//! C_DeriveKey: ECDH, whose outcome is a secret key of the session.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::operation::Agreement;
use zeroize::Zeroizing;

use super::private;
use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism::{Mechanism, Parameter, kdf_of, wrong_key};
use crate::pkcs11::module;
use crate::pkcs11::object::create::point_of;
use crate::pkcs11::object::{SecretKey, Shown, Template};
use crate::pkcs11::token::login;

/// The longest secret that is derived, in bytes.
const LONGEST: usize = 4096;

/// C_DeriveKey.
pub(in crate::pkcs11) fn derive(
    session: CK_SESSION_HANDLE,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    if mechanism.kind != CKM_ECDH1_DERIVE {
        return Err(Fault(CKR_MECHANISM_INVALID));
    }
    let Parameter::Ecdh {
        kdf,
        shared,
        public,
    } = &mechanism.parameter
    else {
        return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
    };
    let hash = kdf_of(*kdf)?;
    if hash.is_none() && !shared.is_empty() {
        return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
    }
    let (slot, held, key) = private(session, key)?;
    let own = held.public().ec().map_err(|_| wrong_key())?;
    if !held.abilities().agree {
        return Err(Fault(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
    let (kind, length) = wanted(template, own.curve().size(), hash.is_some())?;
    let peer = point_of(own.curve(), public).ok_or(Fault(CKR_MECHANISM_PARAM_INVALID))?;
    let mut agreement = Agreement::start(&key)?;
    agreement.set_peer(&peer)?;
    if let Some(hash) = hash {
        agreement.derivation.is_on = true;
        agreement.derivation.hash = Some(hash);
        agreement.derivation.length = length;
        agreement.derivation.info.clone_from(shared);
    }
    let secret = login::used(slot, &held, || Ok(agreement.derive()?.run()?))?;
    // The standard takes away what is too much at the beginning.
    let value = Zeroizing::new(secret[secret.len().saturating_sub(length)..].to_vec());
    let secret = SecretKey {
        value,
        kind,
        label: template.bytes(CKA_LABEL),
        id: template.bytes(CKA_ID),
    };
    module::with(|module| module.add(session, Shown::Secret(Arc::new(secret))))
}

/// The type and the length of the new key.
fn wanted(template: &Template, size: usize, derives: bool) -> Result<(CK_KEY_TYPE, usize)> {
    let inconsistent = Fault(CKR_TEMPLATE_INCONSISTENT);
    let class = template.number(CKA_CLASS)?;
    let is_secret = class.is_none_or(|class| class == CKO_SECRET_KEY);
    // It would have to be kept in a file in clear; and who cannot read it has no use for it.
    let of_token = template.flag(CKA_TOKEN)?.unwrap_or(false);
    let is_shown = template.flag(CKA_EXTRACTABLE)?.unwrap_or(true)
        && !template.flag(CKA_SENSITIVE)?.unwrap_or(false);
    if !is_secret || of_token || !is_shown {
        return Err(inconsistent);
    }
    let kind = template.number(CKA_KEY_TYPE)?.unwrap_or(CKK_GENERIC_SECRET);
    let length = template.number(CKA_VALUE_LEN)?;
    let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let limit = if derives { LONGEST } else { size };
    let length = length.filter(|length| *length != 0).unwrap_or(size);
    if length > limit {
        return Err(Fault(CKR_KEY_SIZE_RANGE));
    }
    let fits = match kind {
        CKK_GENERIC_SECRET => true,
        CKK_AES => [16, 24, 32].contains(&length),
        _ => return Err(inconsistent),
    };
    match fits {
        true => Ok((kind, length)),
        false => Err(inconsistent),
    }
}
