//! The parent of a key that another tool made: tools have templates of their own, and their files do not say which.
//!
//! A TPM loads a key below its parent and refuses it below any other (TPM_RC_INTEGRITY), so that trying is certain. What
//! is tried first is what is there: persistent storage keys, then the primaries that are known.
#![forbid(unsafe_code)]

use crypto::Secret;
use tss::ErrorKind;
use tss::tpm2::constants::handle;
use tss::tpm2::{Attributes, Client, Object, Parent, Parms, PrimaryTemplate, Public, Symmetric};

use super::generate::ParentChoice;
use super::tss2::KeyFile;
use super::{Error, Tpm};

/// Where a key may be looked for.
#[derive(Clone, Debug, Default)]
pub struct Hint {
    /// The parent's place: a persistent handle, or the hierarchy that its primary is in.
    pub place: Option<ParentChoice>,
    /// The template of the primary.
    pub template: Option<PrimaryTemplate>,
    /// A persistent parent's authorization value, where it is known.
    pub auth: Option<Secret>,
}

/// The hierarchies, those that most keys are in first.
const HIERARCHIES: [u32; 4] = [
    handle::OWNER,
    handle::ENDORSEMENT,
    handle::NULL,
    handle::PLATFORM,
];

/// Finds the parent below which the TPM loads this key: one TPM2_Load for each that is tried, which has a primary made
/// first.
///
/// # Errors
///
/// What was tried, where there is none; a failure that is not the parent's.
pub fn find(tpm: &Tpm, public: &Public, private: &[u8], hint: &Hint) -> Result<Parent, Error> {
    let client = tpm.client()?;
    let mut tried = Vec::new();
    for parent in candidates(tpm, client, hint)? {
        match client.try_load(&Object::from_blob(
            public.clone(),
            private.to_vec(),
            parent.clone(),
        )?) {
            Ok(()) => return Ok(parent),
            Err(error) => tried.push(format!("{parent}: {}", refusal(error)?)),
        }
    }
    Err(Error::Unsupported(format!(
        "no parent was found below which this TPM loads the key: the two halves do not belong together or are damaged, the \
         key was made in another TPM (or in this one before it was cleared), or its parent is gone or is another than \
         these. Tried: {}",
        match tried.is_empty() {
            true => "nothing, since there is nothing of that kind".to_owned(),
            false => tried.join("; "),
        }
    )))
}

/// Why a parent is not the one; an error where nothing is learned about it.
fn refusal(error: tss::Error) -> Result<String, Error> {
    Ok(match error.kind() {
        ErrorKind::ForeignKey { .. } => "not its parent".to_owned(),
        ErrorKind::WrongAuth {
            of_parent: true, ..
        } => "it has an authorization value, which is not known (--parent and --parent-auth)"
            .to_owned(),
        ErrorKind::Tpm { code, .. } => code.to_string(),
        ErrorKind::ParentName { .. }
        | ErrorKind::ParentNotPinned { .. }
        | ErrorKind::Unsupported { .. } => error.to_string(),
        _ => return Err(error.into()),
    })
}

/// What is tried, in this order. A wrong value may count as a try: that of the settings goes to the owner hierarchy, and
/// where [`Hint::place`] says.
fn candidates(tpm: &Tpm, client: &Client, hint: &Hint) -> Result<Vec<Parent>, Error> {
    let place = hint.place.map(u32::from);
    let of_settings = |at: u32| match at == handle::OWNER || place == Some(at) {
        true => tpm.config().parent_auth.clone(),
        false => Secret::empty(),
    };
    let mut parents = Vec::new();
    let persistent = match place {
        Some(at) if handle::is_persistent(at) => vec![at],
        Some(_) => Vec::new(),
        None => client.handles(handle::PERSISTENT_FIRST)?,
    };
    for at in persistent {
        if is_storage_key(&client.read_public(at)?.public) {
            parents.push(Parent {
                auth: hint.auth.clone().unwrap_or_else(|| of_settings(at)),
                ..Parent::new(at)
            });
        }
    }
    for at in HIERARCHIES {
        if place.is_some_and(|place| place != at) {
            continue;
        }
        for template in PrimaryTemplate::ALL {
            let meant = hint.template.is_none_or(|meant| meant == template);
            // Few tools make keys elsewhere than below the owner, and an RSA primary takes its time.
            let usual = at == handle::OWNER
                || place.is_some()
                || matches!(
                    template,
                    PrimaryTemplate::Ecc | PrimaryTemplate::ToolsRsa | PrimaryTemplate::ToolsEcc
                );
            if meant && usual {
                parents.push(Parent {
                    handle: at,
                    template,
                    auth: of_settings(at),
                });
            }
        }
    }
    Ok(parents)
}

/// Whether keys can be below it: restricted, for decryption, with a cipher for its children (Part 1, 25.6).
pub fn is_storage_key(public: &Public) -> bool {
    let usage = Attributes::RESTRICTED.with(Attributes::DECRYPT);
    let has_cipher = match public.parms() {
        Parms::Rsa { symmetric, .. } | Parms::Ecc { symmetric, .. } => {
            *symmetric != Symmetric::NULL
        }
        Parms::SymCipher { .. } => true,
        _ => false,
    };
    has_cipher
        && public.attributes().contains(usage)
        && !public.attributes().contains(Attributes::SIGN)
}

/// Whether a key file has words for a parent: a persistent one, and the primaries of standard templates.
pub fn has_a_name(parent: &Parent) -> bool {
    handle::is_persistent(parent.handle)
        || matches!(parent.template, PrimaryTemplate::Ecc | PrimaryTemplate::Rsa)
}

/// Names the parent in a key file, if that has words for it.
pub fn name_in(file: &mut KeyFile, parent: &Parent) -> bool {
    if !has_a_name(parent) {
        return false;
    }
    let is_hierarchy = !handle::is_persistent(parent.handle);
    file.parent = parent.handle;
    file.rsa_parent = is_hierarchy && parent.template == PrimaryTemplate::Rsa;
    file.legacy = false;
    true
}

/// Makes a primary persistent, so that key files can name it, and gives it as the parent that it is then. `owner` is the
/// owner's authorization value.
///
/// # Errors
///
/// A refusal of the TPM; the null hierarchy, whose objects are not kept.
pub fn make_persistent(
    client: &Client,
    primary: &Parent,
    at: u32,
    owner: &Secret,
) -> Result<Parent, tss::Error> {
    client.make_primary_persistent(primary, at, owner)?;
    Ok(Parent::new(at))
}
