//! C_FindObjects, and what is asked of an object.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::Key;

use crate::pkcs11::abi::*;
use crate::pkcs11::module;
use crate::pkcs11::object::{self, Answer, Shown, Template};
use crate::pkcs11::token::Held;

/// C_FindObjectsInit: looks at the directories again.
pub(in crate::pkcs11) fn start(session: CK_SESSION_HANDLE, template: &Template) -> Result {
    module::with(|module| match module.session(session)?.found {
        Some(_) => Err(Fault(CKR_OPERATION_ACTIVE)),
        None => Ok(()),
    })?;
    module::refresh()?;
    let objects = module::with(|module| module.objects(session))?;
    let found = objects
        .iter()
        .filter(|object| matches(&object.shown, template))
        .map(|object| object.handle)
        .collect();
    module::with(|module| {
        module.session(session)?.found = Some(found);
        Ok(())
    })
}

fn matches(shown: &Shown, template: &Template) -> bool {
    template.0.iter().all(
        |(kind, value)| match object::attribute(shown, *kind, &load) {
            Answer::Value(own) => own == value[..],
            Answer::Sensitive | Answer::None => false,
        },
    )
}

/// C_FindObjects.
pub(in crate::pkcs11) fn next(
    session: CK_SESSION_HANDLE,
    most: usize,
) -> Result<Vec<CK_OBJECT_HANDLE>> {
    module::with(|module| {
        let found = module.session(session)?.found.as_mut();
        let found = found.ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))?;
        Ok(found.drain(..most.min(found.len())).collect())
    })
}

/// C_FindObjectsFinal.
pub(in crate::pkcs11) fn end(session: CK_SESSION_HANDLE) -> Result {
    module::with(|module| {
        let found = module.session(session)?.found.take();
        found.map(drop).ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))
    })
}

/// What is asked of an object, one attribute after the other.
pub(in crate::pkcs11) fn attributes(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    kinds: &[CK_ATTRIBUTE_TYPE],
) -> Result<Vec<Answer>> {
    let object = module::with(|module| module.object(session, object))?;
    let answers = kinds
        .iter()
        .map(|kind| object::attribute(&object.shown, *kind, &load));
    Ok(answers.collect())
}

/// The key itself, for what only it knows. No TPM command.
fn load(held: &Held) -> Result<Arc<Key>> {
    let tpm = module::with(|module| module.tpm())?;
    Ok(held.key(&tpm)?)
}
