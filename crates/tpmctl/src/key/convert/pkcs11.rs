//! A key out of tpm2-pkcs11's store.
//!
//! Its keys have authorization values of their own, 32 random characters, which nobody knows: they are encrypted with
//! AES-256-GCM under a key of the token, and that one is sealed in the TPM under the user PIN. So it is unsealed with the PIN,
//! the value decrypted, and the TPM gives the key another value in the new file: the PIN. The store stays as it is.

use std::path::Path;
use std::sync::Arc;

use crypto::{Hash, Secret, hash};
use keys::parent::{self, Hint};
use keys::tss2::KeyFile;
use keys::uri::Handle;
use keys::{ChangeAuth, Config, Error as KeysError, ParentRule, PublicKey, Tpm, printable};
use openssl::symm::{Cipher, decrypt_aead};
use tss::ErrorKind;
use tss::tpm2::{Object, Parent, PrimaryTemplate, Public};
use zeroize::Zeroizing;

use super::args::Convert;
use super::in_source;
use super::store::{Sealed, Store, StoredKey, StoredParent};
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::key::secret;
use crate::output;
use crate::settings::{self, Chosen};

/// Takes the one key that is meant.
pub(super) fn take(global: &Global, args: &Convert, path: &Path) -> Result<KeyFile, Error> {
    if args.pin.is_some() || args.no_check || args.parent.is_some() {
        Cli::conflict(
            "a store says how its keys are used and below which parent: --pin, --parent and --no-check are for pairs",
        );
    }
    let store = Store::open(path)?;
    let key = choose(&store, args)?;
    let public = Public::from_tpm2b(&key.public)
        .map_err(|error| store.wrong(&format!("the key is damaged: {error}")))?;
    PublicKey::of(&public).map_err(|error| store.wrong(&error.to_string()))?;
    let stored = store.parent(key.token)?;
    let chosen = settings::tpm_with_parent(global)?;
    let (tpm, hint) = hint(&store, &chosen, &stored)?;
    let chosen = Chosen { tpm, ..chosen };
    let sealed = match key.encrypted_auth {
        Some(_) => Some((store.sealed(key.token)?, pin(&store, args, &key)?)),
        None => None,
    };
    // Before the TPM is asked anything.
    let mut file = KeyFile::loadable(0x4000_0001, key.public.clone(), key.private.clone());
    let change = ChangeAuth::of(&file).map_err(|error| store.wrong(&error.to_string()))?;
    if let Some((_, pin)) = &sealed {
        change
            .check(pin)
            .map_err(|error| store.wrong(&error.to_string()))?;
    }
    chosen.client()?;
    let found = parent::find(&chosen.tpm, &public, &key.private, &hint).map_err(|error| {
        let whose = match stored.serialized {
            Some(_) => " (The parent-name is the one that the store has of its parent.)",
            None => "",
        };
        in_source(args, format!("{error}{whose}"))
    })?;
    super::check_may_be_named(args, &found)?;
    if let Some((sealed, pin)) = sealed {
        let old = value_of(&store, &chosen, &key, &sealed, &pin, &found)?;
        let object = object(&store, &key.public, &key.private, &found)?;
        file.private = chosen.client()?.change_object_auth(&object, &old, &pin)?;
        file.empty_auth = pin.is_empty();
    }
    super::named_in(args, &chosen, &mut file, found)?;
    if !file.empty_auth {
        output::note(&format!(
            "The key's authorization value is the user PIN of the token {} now, and stays so when that is changed \
             (`tpmctl key passwd` changes it). The store is as it was.",
            printable::quoted(key.token_label.as_bytes())
        ));
    }
    if !stored.auth.is_empty() {
        output::note(
            "The key's parent has an authorization value, which is not in the file: the setting parent-auth is where it goes \
             (tpm-provider(7)).",
        );
    }
    Ok(file)
}

/// The key that is meant.
fn choose(store: &Store, args: &Convert) -> Result<StoredKey, Error> {
    let mut keys = store.keys(args.token.as_deref())?;
    let names = |keys: &[StoredKey]| {
        let each: Vec<String> = keys
            .iter()
            .map(|key| {
                format!(
                    "{} (id {}, token {})",
                    printable::quoted(key.label.as_bytes()),
                    printable::quoted(key.id.as_bytes()),
                    printable::quoted(key.token_label.as_bytes())
                )
            })
            .collect();
        each.join(", ")
    };
    let all = names(&keys);
    if let Some(label) = &args.label {
        keys.retain(|key| key.label == *label || key.id == *label);
    }
    match keys.len() {
        1 => Ok(keys.remove(0)),
        0 if all.is_empty() => Err(store.wrong("there is no private key in it, or none of that token")),
        0 => Err(store.wrong(&format!("no key has that label: there are {all}"))),
        _ => Err(store.wrong(&format!(
            "several keys are in it: say which one with --label, and --token where two tokens have one of that name. There \
             are {}",
            names(&keys)
        ))),
    }
}

/// Where the parent is. One that was persistent when the store was made is written down there with its name, and no other
/// one is trusted then.
fn hint(store: &Store, chosen: &Chosen, stored: &StoredParent) -> Result<(Arc<Tpm>, Hint), Error> {
    let template = match stored.template.as_deref() {
        None => None,
        Some("tpm2-tools-default") => Some(PrimaryTemplate::ToolsRsa),
        Some("tpm2-tools-ecc-default") => Some(PrimaryTemplate::ToolsEcc),
        // ECC if the TPM has that, and RSA otherwise.
        Some("tss2-engine-key") => None,
        Some(other) => {
            return Err(store.wrong(&format!(
                "the token's parent is made from the template {}, which this version does not know",
                printable::quoted(other.as_bytes())
            )));
        }
    };
    let hint = Hint {
        place: None,
        template,
        auth: (!stored.auth.is_empty()).then(|| Secret::from(stored.auth.as_bytes())),
    };
    let Some(serialized) = &stored.serialized else {
        return Ok((Arc::clone(&chosen.tpm), hint));
    };
    let handle = Handle::from_serialized(serialized)
        .map_err(|what| store.wrong(&format!("the record of a parent is damaged: {what}")))?;
    let parent_name = match handle.name {
        Some(name) => ParentRule::Only(name),
        None => chosen.tpm.config().parent_name.clone(),
    };
    let config = Config {
        parent_name,
        ..chosen.tpm.config().clone()
    };
    Ok((Tpm::new(config)?, hint))
}

/// The user PIN.
fn pin(store: &Store, args: &Convert, key: &StoredKey) -> Result<Secret, Error> {
    if args.auth.is_none() && store.has_empty_pin(key.token)? {
        return Ok(Secret::empty());
    }
    let value = args.auth.as_ref().map(|value| value.as_str());
    secret::of_key_if_asked(value)?.ok_or_else(|| {
        Error::usage(format!(
            "the token {} has a user PIN, and there is no terminal to ask for it: say --auth file:PATH",
            printable::quoted(key.token_label.as_bytes())
        ))
    })
}

/// The key's authorization value, which the PIN opens.
fn value_of(
    store: &Store,
    chosen: &Chosen,
    key: &StoredKey,
    sealed: &Sealed,
    pin: &Secret,
    found: &Parent,
) -> Result<Secret, Error> {
    let object = object(store, &sealed.public, &sealed.private, found)?;
    let opened = chosen.client()?.unseal(&object, &opener(pin, &sealed.salt));
    let wrapping = opened.map_err(|error| match error.kind() {
        ErrorKind::WrongAuth {
            of_parent: false, ..
        } => store.wrong(&format!(
            "the user PIN of the token {} is wrong: {error}",
            printable::quoted(key.token_label.as_bytes())
        )),
        _ => store.wrong(&format!(
            "what the user PIN opens is not to be had: {}",
            Error::from(error)
        )),
    })?;
    let encrypted = key.encrypted_auth.as_deref().unwrap_or_default();
    unwrap(&wrapping, encrypted).ok_or_else(|| {
        store.wrong(
            "the key's authorization value is damaged: it does not open with the token's key",
        )
    })
}

fn object(store: &Store, public: &[u8], private: &[u8], parent: &Parent) -> Result<Object, Error> {
    let public = Public::from_tpm2b(public)
        .map_err(|error| store.wrong(&format!("an object is damaged: {error}")))?;
    Object::from_blob(public, private.to_vec(), parent.clone())
        .map_err(|error| KeysError::from(error).into())
}

/// The sealed object's authorization value: 32 digits of a hash of PIN and salt.
fn opener(pin: &Secret, salt: &[u8]) -> Secret {
    let digest = Zeroizing::new(hash(Hash::Sha256, &[pin, salt]));
    let digits = Zeroizing::new(hex::encode(&*digest));
    Secret::from(&digits.as_bytes()[..32])
}

/// Decrypts `IV:TAG:CIPHERTEXT`, all in hexadecimal as is the key.
fn unwrap(key: &[u8], encrypted: &str) -> Option<Secret> {
    let key = Zeroizing::new(hex::decode(key).ok()?);
    let mut parts = encrypted.split(':').map(|part| hex::decode(part).ok());
    let (iv, tag, text) = (parts.next()??, parts.next()??, parts.next()??);
    if key.len() != 32 || iv.len() != 12 || tag.len() != 16 || parts.next().is_some() {
        return None;
    }
    decrypt_aead(Cipher::aes_256_gcm(), &key, Some(&iv), &[], &text, &tag)
        .ok()
        .map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    /// Python's cryptography, as tpm2_ptool calls it.
    const ENCRYPTED: &str = "000102030405060708090a0b:e47059d0a1f1eda50e4817e38d4c331f:7733e428f1d0f42cb578f6e9d28d1d0bb3e7b507c44e694b005e84e77e0d65d4";
    const NOTHING: &str = "000102030405060708090a0b:f4c2db1dc38805a37b92171c5d0a81cc:";

    #[test]
    fn a_pin_opens_as_the_tool_has_it() {
        let opener = opener(&Secret::from(&b"1234"[..]), b"ab12");
        assert_eq!(&*opener, b"f05a479d94daf83d83790af7aaf7bf9f");
    }

    #[test]
    fn values_are_decrypted_and_damage_is_noticed() {
        let value = unwrap(KEY, ENCRYPTED).unwrap();
        assert_eq!(&*value, b"0123456789abcdef0123456789abcdef");
        assert!(unwrap(KEY, NOTHING).unwrap().is_empty());
        for length in 0..ENCRYPTED.len() {
            assert!(unwrap(KEY, &ENCRYPTED[..length]).is_none(), "{length}");
        }
        assert!(unwrap(KEY, &format!("{ENCRYPTED}:00")).is_none());
        assert!(unwrap(&KEY[..62], ENCRYPTED).is_none());
        assert!(unwrap(b"key", ENCRYPTED).is_none());
        for at in 0..ENCRYPTED.len() {
            let mut changed = ENCRYPTED.as_bytes().to_vec();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(unwrap(KEY, &changed).is_none(), "{at}");
        }
    }
}
