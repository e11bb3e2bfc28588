//! Objects that are renamed or given up.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use keys::key_dirs::{LONGEST_ID, set_comment, to_trash};

use super::{Shown, Template};
use crate::pkcs11::abi::*;
use crate::pkcs11::fault::fault;
use crate::pkcs11::module;
use crate::pkcs11::token::Held;

/// C_SetAttributeValue: the label of a key, which is the comment in its `NAME.pub`, its identifier, which is a line in its file;
/// and what is so already.
pub(in crate::pkcs11) fn set(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result {
    let (object, is_rw) = module::with(|module| {
        let object = module.object(session, object)?;
        Ok((object, module.session(session)?.is_rw))
    })?;
    if object.shown.is_of_token() && !is_rw {
        return Err(Fault(CKR_SESSION_READ_ONLY));
    }
    let none = |_: &Held| Err(Fault(CKR_ATTRIBUTE_READ_ONLY));
    let (mut label, mut id) = (None, None);
    for (kind, value) in &template.0 {
        let is_so =
            super::attribute(&object.shown, *kind, &none) == super::Answer::Value(value.to_vec());
        match *kind {
            _ if is_so => {}
            CKA_LABEL => label = Some(checked_label(value)?),
            CKA_ID if (1..=LONGEST_ID).contains(&value.len()) => id = Some(value),
            CKA_ID => return Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID)),
            _ => return Err(Fault(CKR_ATTRIBUTE_READ_ONLY)),
        }
    }
    if label.is_none() && id.is_none() {
        return Ok(());
    }
    let held = match &object.shown {
        Shown::Private(held) | Shown::Public(held) => held,
        _ => return Err(Fault(CKR_ATTRIBUTE_READ_ONLY)),
    };
    let entry = held.entry().ok_or(Fault(CKR_ATTRIBUTE_READ_ONLY))?;
    let named = label.map(|label| match held.public().to_ssh() {
        Some(key) => Ok((label, key)),
        None => Err(fault(
            CKR_ATTRIBUTE_READ_ONLY,
            "the label is the comment of an SSH public key, and SSH knows no keys on this curve",
        )),
    });
    let named = named.transpose()?;
    if let Some(id) = id {
        entry.set_id(id)?;
    }
    if let Some((label, key)) = named {
        set_comment(&entry.path.with_extension("pub"), &key, label)?;
    }
    module::refresh()
}

/// A label that can be in a line.
fn checked_label(value: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(value).map_err(|_| Fault(CKR_ATTRIBUTE_VALUE_INVALID))?;
    if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 255 {
        return Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    Ok(text.trim())
}

/// C_DestroyObject. A key's file gets a name under which nobody looks for it, and so do those beside it.
pub(in crate::pkcs11) fn destroy(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result {
    let found = module::with(|module| {
        let object = match module.object(session, object) {
            Err(Fault(CKR_OBJECT_HANDLE_INVALID)) if module.was_gone(object) => return Ok(None),
            object => object?,
        };
        let session = module.session(session)?;
        Ok(Some((object, session.slot, session.is_rw)))
    })?;
    let Some((object, slot, is_rw)) = found else {
        return Ok(());
    };
    if !object.shown.is_of_token() {
        return module::with(|module| match module.remove(slot, object.handle) {
            true => Ok(()),
            false => Err(Fault(CKR_OBJECT_HANDLE_INVALID)),
        });
    }
    if !is_rw {
        return Err(Fault(CKR_SESSION_READ_ONLY));
    }
    match &object.shown {
        Shown::Private(held) => {
            key(held)?;
            module::with(|module| module.note_gone(session, held))?;
        }
        // It is in the private half's file, and goes with it.
        Shown::Public(_) => {
            return Err(fault(
                CKR_ACTION_PROHIBITED,
                "a public key is part of its private key's file: it goes when that is destroyed",
            ));
        }
        Shown::Certificate(held, index) => certificate(held, *index)?,
        _ => return Err(Fault(CKR_ACTION_PROHIBITED)),
    }
    module::refresh()
}

fn key(held: &Arc<Held>) -> Result {
    let path = held.path().ok_or_else(|| {
        fault(
            CKR_ACTION_PROHIBITED,
            "a persistent key is removed by `tpmctl key evict`",
        )
    })?;
    discard(path)?;
    for extension in ["pub", "crt", "cert.pem"] {
        let beside = path.with_extension(extension);
        if beside.is_file()
            && let Err(error) = to_trash(&beside)
        {
            log::warn!("{} stays: {error}", beside.display());
        }
    }
    Ok(())
}

/// The file of a certificate that is alone in it.
fn certificate(held: &Arc<Held>, index: usize) -> Result {
    let path = held.path().ok_or(Fault(CKR_ACTION_PROHIBITED))?;
    let one = held.certificates().get(index);
    let one = one.ok_or(Fault(CKR_OBJECT_HANDLE_INVALID))?;
    for extension in ["crt", "cert.pem"] {
        let beside = path.with_extension(extension);
        if keys::key_dirs::holds_only(&beside, one) {
            return discard(&beside);
        }
    }
    Err(fault(
        CKR_ACTION_PROHIBITED,
        "the certificate is in a file with others, or with its key: take it out there",
    ))
}

fn discard(path: &Path) -> Result {
    match to_trash(path) {
        Ok(trash) => {
            log::info!("{} is {} now", path.display(), trash.display());
            Ok(())
        }
        Err(error) => {
            log::error!("{} stays: {error}", path.display());
            Err(error.into())
        }
    }
}
