//! Key files and URIs.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "not a public interface")]
#![allow(clippy::disallowed_types, reason = "not part of the module")]

use std::sync::{Arc, OnceLock};

use crypto::Secret;
use tss::tpm2::policy::Registers;
use tss::tpm2::{AlgId, Entity, Name, Policy, Public};
use tss::transport::Origin;

use crate::attested::AttestedKey;
use crate::compat;
use crate::foreign::{Context, Piece};
use crate::policy::{compat as policy_compat, document, words};
use crate::sealed::{self, container, contents};
use crate::trust;
use crate::tss2::KeyFile;
use crate::tss12;
use crate::uri::{Handle, parse_handle};
use crate::{Ask, Config, Error, Key, KeyType, ParentChoice, PublicKey, Tpm};
use crate::{parent, serialized};

/// A TPM that is not there: nothing here may need it.
pub(crate) fn nowhere() -> &'static Arc<Tpm> {
    static TPM: OnceLock<Arc<Tpm>> = OnceLock::new();
    TPM.get_or_init(|| {
        let address = "swtpm:path=/nonexistent/fuzz".parse().unwrap();
        Tpm::new(Config {
            address: Some((address, Origin::CommandLine)),
            ..Config::default()
        })
        .unwrap()
    })
}

pub fn tss2_pem(data: &[u8]) {
    let der = KeyFile::der_in_pem(data);
    let any = KeyFile::from_bytes(data);
    let Ok(file) = KeyFile::from_pem(data) else {
        return;
    };
    assert_eq!(any.as_ref(), Ok(&file));
    let der = der.unwrap().expect("the block that was read");
    assert_eq!(KeyFile::from_der(&der).as_ref(), Ok(&file));
    whole(file);
}

pub fn tss2_der(data: &[u8]) {
    let Ok(file) = KeyFile::from_der(data) else {
        return;
    };
    assert!(KeyFile::is_ours(data));
    whole(file);
}

/// A sealed file, whose contents' key is known: what comes out was put in.
pub fn sealed(data: &[u8]) {
    let mut input = data;
    let Ok(head) = container::Head::read(&mut input) else {
        return;
    };
    if let container::InTpm::Two(file) = &head.sealed {
        let _ = sealed::Sealed::check_file(file);
    }
    let Some(header) = head.contents else {
        return;
    };
    let text = [head.sealed.to_pem(), header.to_pem()].concat();
    let again = container::Head::read(&mut text.as_bytes()).unwrap();
    assert_eq!(
        (again.sealed, again.contents),
        (head.sealed, Some(header.clone()))
    );
    let secret = [&b"TPM SEALED DATA\0"[..], &[0; 32]].concat();
    let key = sealed::ContentsKey::from_sealed(Secret::new(secret)).unwrap();
    let (mut out, chunks) = (Vec::new(), input);
    let opened = contents::decrypt(&key, &header, &mut input, &mut out, &mut |_| true);
    assert!(out.len() <= chunks.len());
    if opened.is_ok() {
        let mut sealed = Vec::new();
        contents::encrypt(&key, &header, &mut &*out, &mut sealed, &mut |_| true).unwrap();
        assert_eq!(sealed, chunks);
    }
}

/// A key file of TPM 1.2 in any form: `TSS KEY BLOB` in PEM or DER, or a text of simple-tpm-pk11's.
pub fn tss_key_blob(data: &[u8]) {
    let _ = (tss12::is_der(data), tss12::is_text(data));
    if let Ok(blob) = tss12::from_der(data) {
        assert_eq!(tss12::from_der(&tss12::to_der(&blob)).as_ref(), Ok(&blob));
    }
    let Ok(blob) = tss12::from_bytes(data) else {
        return;
    };
    // A glance knows the usages of the specification only.
    assert!(blob.usage().name() == "unknown" || tss12::is_ours(&tss12::to_der(&blob)));
    assert_eq!(
        tss12::from_bytes(tss12::to_pem(&blob).as_bytes()).as_ref(),
        Ok(&blob)
    );
    let needs_auth = blob.needs_auth();
    let asked = std::cell::Cell::new(0);
    let key = Key::from_blob(
        nowhere(),
        blob,
        Ask::Now(&mut |_| {
            asked.set(asked.get() + 1);
            Some(Secret::from(&b"pin"[..]))
        }),
    );
    if key.is_ok() {
        assert_eq!(asked.get(), usize::from(needs_auth));
    }
}

/// What follows a file that was read: it is written, read again, shown and made into a key.
fn whole(file: KeyFile) {
    let der = file.to_der();
    assert_eq!(KeyFile::from_der(&der).as_ref(), Ok(&file));
    assert_eq!(
        KeyFile::from_pem(file.to_pem().as_bytes()).as_ref(),
        Ok(&file)
    );
    let _ = (format!("{file:?}"), file.parent_text(), file.policy_text());
    let key_type = KeyType::of_file(&file);
    let asked = std::cell::Cell::new(0);
    let (empty_auth, has_policy) = (file.empty_auth, !file.policy.is_empty());
    let key = Key::from_file(
        nowhere(),
        file,
        Ask::Now(&mut |_| {
            asked.set(asked.get() + 1);
            Some(Secret::from(&b"pin"[..]))
        }),
    );
    let Ok(key) = key else {
        return;
    };
    // A policy may need no value.
    assert!(asked.get() <= i32::from(!empty_auth));
    assert!(has_policy || asked.get() == i32::from(!empty_auth));
    assert_eq!(key_type.unwrap(), key.key_type());
    let _ = (key.describe(true), key.describe(false), key.name());
    let _ = (key.default_digest(), key.is_restricted());
    examine(key.public());
}

/// A policy file, or a policy in words.
pub fn policies(data: &[u8]) {
    if let Ok(policy) = document::read(data) {
        let text = document::write(&policy).unwrap();
        let again = document::read(text.as_bytes()).unwrap();
        assert_eq!(again, policy);
        let _ = (
            words::display(&policy.commands),
            policy_compat::refused_by(&policy),
        );
        let _ = (
            policy.takes_value(),
            policy.needs_value(),
            policy.registers(),
        );
        for algorithm in [AlgId::SHA256, AlgId::SHA384] {
            let judged = policy.judge(algorithm, None, &Registers::default());
            assert!(judged.len() <= 256);
            let _ = (policy.digest(algorithm), format!("{judged:?}"));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(policy) = words::parse(text, &Nothing) {
        let shown = words::display(&policy.commands);
        let again = words::parse(&shown, &Nothing).map(|policy| words::display(&policy.commands));
        assert_eq!(again.unwrap(), shown);
        let _ = words::completed(&policy, AlgId::SHA256);
    }
}

/// Handles have names; there are no files.
struct Nothing;

impl words::Lookup for Nothing {
    fn entity(&self, handle: u32) -> Result<Entity, Error> {
        Ok(Entity::object(handle, Name::from_bytes(&[7; 34])))
    }

    fn signer(&self, path: &str) -> Result<Public, Error> {
        Err(Error::Setting(path.to_owned()))
    }

    fn file(&self, path: &str) -> Result<Policy, Error> {
        Err(Error::Setting(path.to_owned()))
    }
}

/// Everything that is asked about a public key.
pub fn examine(public: &PublicKey) {
    let _ = (public.to_spki(), public.bits(), public.security_bits());
    assert!(public.max_size() > 0);
    match public.key_type() {
        KeyType::Ec => drop(public.ec().unwrap()),
        KeyType::Rsa | KeyType::RsaPss => drop(public.rsa().unwrap()),
    }
}

pub fn uri(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(handle) = parse_handle(&text) {
        assert_eq!(parse_handle(&format!("{handle:x}")), Some(handle));
        assert_eq!(parse_handle(&format!("0x{handle:08X}")), Some(handle));
    }
    if let Ok(uri) = Handle::parse(&text) {
        let pass = uri.pass.then(|| "pass".to_owned());
        let name = uri.name.as_ref().map(|name| format!("name={name}"));
        let query: Vec<String> = pass.into_iter().chain(name).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let again = format!("handle:0x{:08x}{mark}{}", uri.handle, query.join("&"));
        assert_eq!(Handle::parse(&again).unwrap(), uri);
    }
    let _ = (ParentChoice::parse(&text), Handle::from_serialized(data));
}

/// A key for a TPM that is known by its endorsement key.
pub fn attested(data: &[u8]) {
    let _ = (AttestedKey::is_ours(data), compat::refused_by(data));
    let read = [AttestedKey::from_pem(data), AttestedKey::from_der(data)];
    for file in read.into_iter().flatten() {
        let again = AttestedKey::from_pem(file.to_pem().as_bytes()).unwrap();
        assert_eq!(again, file);
    }
}

/// A key of another tool's in pieces: what is read is written, and read again.
pub fn foreign(data: &[u8]) {
    let again = match Piece::of(data) {
        None => return,
        Some(Piece::Public(public)) => {
            let _ = (PublicKey::of(&public), parent::is_storage_key(&public));
            let name = public.name().ok();
            if let Ok(object) = serialized::write(0x8102_0000, &public) {
                assert_eq!(Handle::from_serialized(&object).unwrap().name, name);
            }
            (public.to_tpm2b(), Piece::Public(public))
        }
        Some(Piece::Private(private)) => (private.0.clone(), Piece::Private(private)),
        Some(Piece::Context(context)) => {
            assert_eq!(context.public.name(), Ok(context.name.clone()));
            assert!(Context::is_one(data) && context.saved.len() < data.len());
            return;
        }
    };
    assert_eq!(Piece::of(&again.0), Some(again.1));
}

/// A file of pinned names: what is read is what would be written, and never nothing.
pub fn trust(data: &[u8]) {
    const TPM: &str = "device:/dev/tpmrm0";
    let Ok(pins) = trust::parse(data, TPM) else {
        return;
    };
    assert!(!pins.is_empty());
    let text = trust::format(TPM, &pins);
    assert_eq!(trust::parse(text.as_bytes(), TPM), Ok(pins));
    assert!(
        text.bytes()
            .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
    );
}

/// A public area, also as the key that it is.
pub fn public(data: &[u8]) {
    tss::tpm2::fuzzing::public(data);
    let whole = [Public::from_tpm2b(data), Public::from_tpmt(data)];
    for public in whole.iter().flatten() {
        if let Ok(half) = PublicKey::of(public) {
            let _ = (half.to_spki(), half.bits(), half.security_bits());
            assert!(half.max_size() > 0);
        }
    }
}

/// A file in a directory of keys: keys, certificates, the comment of an SSH public key.
pub fn key_dirs(data: &[u8]) {
    crate::key_dirs::look(data);
}
