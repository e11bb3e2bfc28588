//! C_Digest with all that belongs to it, in software.
#![forbid(unsafe_code)]

use crypto::Digest;

use super::{Digesting, Output};
use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism::Mechanism;
use crate::pkcs11::module;

/// C_DigestInit.
pub(in crate::pkcs11) fn start(session: CK_SESSION_HANDLE, mechanism: &Mechanism) -> Result {
    module::with(|module| {
        let session = module.session(session)?;
        if session.digest.is_some() {
            return Err(Fault(CKR_OPERATION_ACTIVE));
        }
        session.digest = Some(Digesting {
            digest: Digest::new(mechanism.digest()?),
            is_in_parts: false,
        });
        Ok(())
    })
}

/// C_DigestUpdate.
pub(in crate::pkcs11) fn update(session: CK_SESSION_HANDLE, part: &[u8]) -> Result {
    module::with(|module| {
        let digesting = module.session(session)?.digest.as_mut();
        let digesting = digesting.ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))?;
        digesting.digest.update(part);
        digesting.is_in_parts = true;
        Ok(())
    })
}

/// C_Digest and C_DigestFinal.
pub(in crate::pkcs11) fn finish(
    session: CK_SESSION_HANDLE,
    message: Option<&[u8]>,
    out: &mut dyn Output,
) -> Result {
    module::with(|module| {
        let place = &mut module.session(session)?.digest;
        let mut digesting = place.take().ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))?;
        if message.is_some() && digesting.is_in_parts {
            return Err(Fault(CKR_OPERATION_ACTIVE));
        }
        match out.has_room_for(digesting.digest.hash().size()) {
            Ok(true) => {
                digesting.digest.update(message.unwrap_or_default());
                out.give(&digesting.digest.finish())
            }
            asked => {
                *place = Some(digesting);
                asked.map(drop)
            }
        }
    })
}
