//! C_GenerateKeyPair: a key that the TPM makes, in a new file (CKA_TOKEN), or gone with its session.
#![forbid(unsafe_code)]

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::key_dirs::{Entry, LONGEST_ID, id_text, place_for_new, write_new};
use keys::{GenerateOptions, Key, KeyType, Tpm, generate};

use crate::pkcs11::abi::*;
use crate::pkcs11::fault::fault;
use crate::pkcs11::mechanism::Mechanism;
use crate::pkcs11::module;
use crate::pkcs11::object::create::curve_of;
use crate::pkcs11::object::{Shown, Template};
use crate::pkcs11::token::{Held, OPEN};

/// More files of one name than this are not tried.
const MOST_NAMES: u32 = 10_000;

/// Where a session's new keys come from and go to.
struct At {
    /// Asked when there is something for the TPM to do.
    tpm: Result<Arc<Tpm>>,
    dirs: Vec<PathBuf>,
    slot: CK_SLOT_ID,
    is_rw: bool,
}

impl At {
    fn session(session: CK_SESSION_HANDLE) -> Result<Self> {
        module::with(|module| {
            let (slot, is_rw) = {
                let session = module.session(session)?;
                (session.slot, session.is_rw)
            };
            Ok(Self {
                tpm: module.tpm(),
                dirs: module.dirs().to_vec(),
                slot,
                is_rw,
            })
        })
    }

    /// Refuses to put a key where it would be in no token, or without the caller's right to it.
    fn takes_new_keys(&self) -> Result {
        if !self.is_rw {
            return Err(Fault(CKR_SESSION_READ_ONLY));
        }
        if self.slot != OPEN {
            return Err(fault(
                CKR_TOKEN_WRITE_PROTECTED,
                "the token of a key with a PIN has that key only: `tpmctl key new --auth` makes one with a PIN, and the \
                 token for the keys without one takes new ones",
            ));
        }
        Ok(())
    }
}

/// C_GenerateKeyPair: the handles of the public and the private half.
pub(in crate::pkcs11) fn pair(
    session: CK_SESSION_HANDLE,
    mechanism: &Mechanism,
    public: &Template,
    private: &Template,
) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
    let at = At::session(session)?;
    let of_token = private.flag(CKA_TOKEN)?.unwrap_or(false);
    let wants_two_places = public.flag(CKA_TOKEN)?.is_some_and(|one| one != of_token);
    if private.flag(CKA_EXTRACTABLE)? == Some(true) || (wants_two_places && !of_token) {
        return Err(fault(
            CKR_TEMPLATE_INCONSISTENT,
            "a key in a TPM cannot be extracted, and its halves are in one place (CKA_TOKEN)",
        ));
    }
    let options = options(mechanism, public)?;
    let id = id(public, private)?;
    let label = [private, public]
        .iter()
        .find_map(|template| template.get(CKA_LABEL))
        .filter(|label| !label.is_empty());
    let label = label.map(std::str::from_utf8).transpose();
    let label = label.map_err(|_| Fault(CKR_ATTRIBUTE_VALUE_INVALID))?;
    if !of_token {
        let key = generate(&at.tpm?, &options)?;
        let name = label.unwrap_or_default().to_owned();
        let entry = Entry::of_new_key(&key, name, None, id.map(<[u8]>::to_vec))?;
        let held = Arc::new(Held::of_session(entry));
        return module::with(|module| {
            Ok((
                module.add(session, Shown::Public(Arc::clone(&held)))?,
                module.add(session, Shown::Private(held))?,
            ))
        });
    }
    at.takes_new_keys()?;
    let directory = place_for_new(&at.dirs)?;
    let key = generate(&at.tpm?, &options)?;
    store(session, directory, &key, id, label.unwrap_or("key"))
}

/// Writes a key's file, and finds the handles of its halves.
fn store(
    session: CK_SESSION_HANDLE,
    directory: &Path,
    key: &Key,
    id: Option<&[u8]>,
    label: &str,
) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
    let before = id.map_or_else(String::new, id_text);
    let pem = before + &key.to_pem().ok_or(Fault(CKR_FUNCTION_FAILED))?;
    // It may be the user's ~/.ssh.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let path = write(directory, label, &pem)?;
    if let Some(ssh) = key.public().to_ssh() {
        // Without it the file's name is the label.
        let _ = keys::key_dirs::set_comment(&path.with_extension("pub"), &ssh, label);
    }
    module::refresh()?;
    halves(session, &key.public().to_spki())
}

/// Puts the private key of a session into the token: its file, which has the public half too. No TPM command.
pub(in crate::pkcs11) fn keep(
    session: CK_SESSION_HANDLE,
    held: &Held,
    label: Option<&[u8]>,
    id: Option<&[u8]>,
) -> Result<CK_OBJECT_HANDLE> {
    let at = At::session(session)?;
    at.takes_new_keys()?;
    if halves(session, &held.public().to_spki()).is_ok() {
        return Err(fault(
            CKR_ACTION_PROHIBITED,
            "the key is in the token already, in a file: C_SetAttributeValue gives that another label or identifier",
        ));
    }
    let named = held.called(label, id)?;
    let label = match named.label() {
        "" => "key",
        label => label,
    };
    // What it has as a key of a session, unless that is what it would have anyway.
    let id = Some(named.id()).filter(|id| !id.is_empty() && *id != held.public().short_id());
    let directory = place_for_new(&at.dirs)?;
    let key = held.key(&at.tpm?)?;
    store(session, directory, &key, id, label).map(|(_, private)| private)
}

/// The handles of the halves of a key of the token.
fn halves(session: CK_SESSION_HANDLE, spki: &[u8]) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
    module::with(|module| {
        let objects = module.objects(session)?;
        let half = |class| {
            let found = objects.iter().find(|object| {
                let public = object.shown.public();
                object.shown.is_of_token()
                    && object.shown.class() == class
                    && public.is_some_and(|public| public.to_spki() == spki)
            });
            found.map(|object| object.handle)
        };
        half(CKO_PUBLIC_KEY)
            .zip(half(CKO_PRIVATE_KEY))
            .ok_or(Fault(CKR_FUNCTION_FAILED))
    })
}

/// The identifier that the program has chosen, if it has.
fn id<'a>(public: &'a Template, private: &'a Template) -> Result<Option<&'a [u8]>> {
    let of = |template: &'a Template| template.get(CKA_ID).filter(|id| !id.is_empty());
    match (of(public), of(private)) {
        (Some(one), Some(other)) if one != other => Err(fault(
            CKR_TEMPLATE_INCONSISTENT,
            "both halves of a key have one identifier (CKA_ID)",
        )),
        (Some(id), _) | (None, Some(id)) if id.len() > LONGEST_ID => {
            Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID))
        }
        (one, other) => Ok(one.or(other)),
    }
}

fn options(mechanism: &Mechanism, public: &Template) -> Result<GenerateOptions> {
    match mechanism.kind {
        CKM_RSA_PKCS_KEY_PAIR_GEN => {
            mechanism.without_parameter()?;
            let mut options = GenerateOptions::new(KeyType::Rsa);
            if let Some(bits) = public.number(CKA_MODULUS_BITS)? {
                options.bits = u32::try_from(bits).map_err(|_| Fault(CKR_KEY_SIZE_RANGE))?;
            }
            if let Some(exponent) = public.get(CKA_PUBLIC_EXPONENT) {
                let start = exponent.iter().take_while(|byte| **byte == 0).count();
                options
                    .set_exponent(&exponent[start..])
                    .map_err(|_| Fault(CKR_ATTRIBUTE_VALUE_INVALID))?;
            }
            if !(1024..=4096).contains(&options.bits) {
                return Err(Fault(CKR_KEY_SIZE_RANGE));
            }
            Ok(options)
        }
        CKM_EC_KEY_PAIR_GEN => {
            mechanism.without_parameter()?;
            let mut options = GenerateOptions::new(KeyType::Ec);
            let curve = public.get(CKA_EC_PARAMS);
            options.curve = curve_of(curve.ok_or(Fault(CKR_TEMPLATE_INCOMPLETE))?)?;
            Ok(options)
        }
        _ => Err(Fault(CKR_MECHANISM_INVALID)),
    }
}

/// Writes the key into a file whose name is the label, as far as that can be one; a number behind it if that is taken.
fn write(directory: &Path, label: &str, pem: &str) -> Result<PathBuf> {
    let plain: String = label
        .chars()
        .map(|letter| match letter {
            '.' | '-' | '_' | '@' | '+' => letter,
            letter if letter.is_alphanumeric() => letter,
            _ => '-',
        })
        .take(64)
        .collect();
    let plain = plain.trim_start_matches('.');
    let plain = if plain.is_empty() { "key" } else { plain };
    for number in 1..MOST_NAMES {
        let name = match number {
            1 => format!("{plain}.tpm"),
            number => format!("{plain}-{number}.tpm"),
        };
        let path = directory.join(name);
        match write_new(&path, pem.as_bytes()) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                log::error!("{} is not written: {error}", path.display());
                return Err(error.into());
            }
        }
    }
    Err(Fault(CKR_FUNCTION_FAILED))
}
