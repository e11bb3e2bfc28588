//! C_CopyObject: a key of a session goes into the token, as a file.
#![forbid(unsafe_code)]

use super::{Answer, Shown, Template};
use crate::pkcs11::abi::*;
use crate::pkcs11::fault::fault;
use crate::pkcs11::module;
use crate::pkcs11::session::generate::keep;
use crate::pkcs11::token::Held;

/// C_CopyObject. The session keeps its own, which goes with it.
pub(in crate::pkcs11) fn copy(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    let shown = module::with(|module| Ok(module.object(session, object)?.shown))?;
    if !shown.is_copyable() {
        return Err(fault(
            CKR_ACTION_PROHIBITED,
            "keys of a session can be copied, into the token; what is in the token, and others' keys, cannot (CKA_COPYABLE)",
        ));
    }
    let none = |_: &Held| Err(Fault(CKR_ATTRIBUTE_READ_ONLY));
    let of_token = template.flag(CKA_TOKEN)?.unwrap_or(false);
    for (kind, value) in &template.0 {
        // What a copy may differ in; and what the token has otherwise than the session.
        let may_differ = match *kind {
            CKA_TOKEN | CKA_LABEL | CKA_ID => true,
            CKA_MODIFIABLE => of_token && value.as_slice() == [CK_TRUE],
            CKA_COPYABLE => of_token && value.as_slice() == [CK_FALSE],
            _ => false,
        };
        if !may_differ && super::attribute(&shown, *kind, &none) != Answer::Value(value.to_vec()) {
            return Err(Fault(CKR_ATTRIBUTE_READ_ONLY));
        }
    }
    let (label, id) = (template.get(CKA_LABEL), template.get(CKA_ID));
    match &shown {
        Shown::Private(held) if of_token => keep(session, held, label, id),
        Shown::Private(held) | Shown::Public(held) if !of_token => {
            let held = std::sync::Arc::new(held.called(label, id)?);
            let copied = match shown {
                Shown::Private(_) => Shown::Private(held),
                _ => Shown::Public(held),
            };
            module::with(|module| module.add(session, copied))
        }
        _ => Err(fault(
            CKR_TEMPLATE_INCONSISTENT,
            "both halves of a key are in one file: the private half's copy (CKA_TOKEN) brings the public one along",
        )),
    }
}
