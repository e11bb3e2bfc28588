//! C_Sign and C_Verify with all that belongs to them.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::operation::Signer;

use super::{Output, private};
use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism::{Mechanism, Signature, of_key};
use crate::pkcs11::module;
use crate::pkcs11::token::{Held, login};

/// A signature under way.
#[derive(Clone)]
pub(in crate::pkcs11) struct Signing {
    signature: Signature,
    slot: CK_SLOT_ID,
    held: Arc<Held>,
}

/// A verification under way.
pub(in crate::pkcs11) type Verifying = Signature;

/// C_SignInit. Says at once what the key cannot do.
pub(in crate::pkcs11) fn start(
    session: CK_SESSION_HANDLE,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
) -> Result {
    module::with(|module| match module.session(session)?.sign {
        Some(_) => Err(Fault(CKR_OPERATION_ACTIVE)),
        None => Ok(()),
    })?;
    let (slot, held, key) = private(session, key)?;
    if !held.abilities().sign {
        return Err(Fault(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
    let signature = of_key(mechanism, &key)?;
    module::with(|module| {
        module.session(session)?.sign = Some(Signing {
            signature,
            slot,
            held,
        });
        Ok(())
    })
}

/// C_SignUpdate.
pub(in crate::pkcs11) fn update(session: CK_SESSION_HANDLE, part: &[u8]) -> Result {
    let mut signing = take(session)?;
    signing.signature.update(part)?;
    put_back(session, signing)
}

/// C_Sign, with the whole message, and C_SignFinal, without one.
pub(in crate::pkcs11) fn finish(
    session: CK_SESSION_HANDLE,
    message: Option<&[u8]>,
    out: &mut dyn Output,
) -> Result {
    let signing = take(session)?;
    if message.is_some() && signing.signature.is_in_parts() {
        return Err(Fault(CKR_OPERATION_ACTIVE));
    }
    match out.has_room_for(signing.signature.size()) {
        Ok(true) => {}
        asked => {
            put_back(session, signing)?;
            return asked.map(drop);
        }
    }
    let Signing {
        signature,
        slot,
        held,
    } = signing;
    let signature = login::used(slot, &held, || signature.sign(message.unwrap_or_default()))?;
    out.give(&signature)
}

fn take(session: CK_SESSION_HANDLE) -> Result<Signing> {
    module::with(|module| {
        let signing = module.session(session)?.sign.take();
        signing.ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))
    })
}

fn put_back(session: CK_SESSION_HANDLE, signing: Signing) -> Result {
    module::with(|module| {
        module.session(session)?.sign = Some(signing);
        Ok(())
    })
}

/// C_VerifyInit.
pub(in crate::pkcs11) fn start_verify(
    session: CK_SESSION_HANDLE,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
) -> Result {
    let public = module::with(|module| {
        if module.session(session)?.verify.is_some() {
            return Err(Fault(CKR_OPERATION_ACTIVE));
        }
        public(module, session, key)
    })?;
    let verifying = Signature::start(mechanism, Signer::Peer(public), true)?;
    module::with(|module| {
        module.session(session)?.verify = Some(verifying);
        Ok(())
    })
}

/// A public key that a session sees.
pub(super) fn public(
    module: &mut module::Module,
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
) -> Result<Arc<keys::PublicKey>> {
    let object = match module.object(session, key) {
        Err(Fault(CKR_OBJECT_HANDLE_INVALID)) => return Err(Fault(CKR_KEY_HANDLE_INVALID)),
        object => object?,
    };
    let is_public = object.shown.class() == CKO_PUBLIC_KEY;
    let public = object.shown.public().filter(|_| is_public);
    public.cloned().ok_or(Fault(CKR_KEY_FUNCTION_NOT_PERMITTED))
}

/// C_VerifyUpdate.
pub(in crate::pkcs11) fn update_verify(session: CK_SESSION_HANDLE, part: &[u8]) -> Result {
    let mut verifying = take_verify(session)?;
    verifying.update(part)?;
    module::with(|module| {
        module.session(session)?.verify = Some(verifying);
        Ok(())
    })
}

/// C_Verify and C_VerifyFinal.
pub(in crate::pkcs11) fn finish_verify(
    session: CK_SESSION_HANDLE,
    message: Option<&[u8]>,
    signature: &[u8],
) -> Result {
    let verifying = take_verify(session)?;
    if message.is_some() && verifying.is_in_parts() {
        return Err(Fault(CKR_OPERATION_ACTIVE));
    }
    verifying.verify(message.unwrap_or_default(), signature)
}

fn take_verify(session: CK_SESSION_HANDLE) -> Result<Verifying> {
    module::with(|module| {
        let verifying = module.session(session)?.verify.take();
        verifying.ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))
    })
}
