//! Files as they come, whole, damaged and mixed up.

use std::fs;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Name};
use proptest::prelude::*;

use super::*;

const EC: &[u8] = include_bytes!("../../../tss/src/tpm2/tests/data/o_ec.pem");
const RSA: &[u8] = include_bytes!("../../../tss/src/tpm2/tests/data/j_rsa.pem");

/// A certificate of a software key.
fn certificate(key: &PKey<Private>, name: &str) -> X509 {
    let mut subject = X509Name::builder().unwrap();
    subject
        .append_entry_by_text("O", "an organisation")
        .unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(2).unwrap())
        .unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn software_ec() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

#[test]
fn parts_of_a_certificate_are_openssl_s() {
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    for key in [software_ec(), rsa] {
        let theirs = certificate(&key, "somebody");
        let ours = Certificate::from_der(&theirs.to_der().unwrap()).unwrap();
        assert_eq!(ours.subject, theirs.subject_name().to_der().unwrap());
        assert_eq!(ours.issuer, theirs.issuer_name().to_der().unwrap());
        assert_eq!(ours.spki, key.public_key_to_der().unwrap());
        assert_eq!(ours.subject_name().as_deref(), Some("somebody"));
        let number = match key.rsa() {
            Ok(rsa) => rsa.n().to_vec(),
            Err(_) => {
                let spki = &ours.spki;
                spki[spki.len() - 65..].to_vec()
            }
        };
        assert_eq!(ours.short_id(), crypto::hash(Hash::Sha1, &[&number]));
        assert_eq!(ours.to_pem().as_bytes(), theirs.to_pem().unwrap());
        let mut longer = ours.der.clone();
        longer.push(0);
        assert_eq!(Certificate::from_der(&longer), None);
    }
}

#[test]
fn files_have_keys_comments_and_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(dir.path().join(name), content).unwrap();
    let other = certificate(&software_ec(), "other").to_pem().unwrap();
    write("both", &[EC, b"text between\n", &other, RSA].concat());
    write("both.pub", b"ssh-rsa AAAA a comment of several words\n");
    write("both.crt", &other);
    let mut listing = Listing::default();
    let dirs = [dir.path().to_owned()];
    assert!(listing.refresh(&dirs));
    let names: Vec<_> = listing
        .entries()
        .iter()
        .map(|entry| (entry.name.as_str(), entry.comment.as_deref()))
        .collect();
    assert_eq!(
        names,
        [
            ("both", Some("a comment of several words")),
            ("both-2", None)
        ]
    );
    // Of nobody's, once: with the first.
    assert_eq!(listing.entries()[0].certificates.len(), 1);
    assert!(listing.entries()[1].certificates.is_empty());
    assert!(!listing.refresh(&dirs));
    let kept = Arc::clone(&listing.entries()[0]);
    write("new", RSA);
    // It is a copy.
    assert!(!listing.refresh(&dirs));
    assert!(Arc::ptr_eq(&kept, &listing.entries()[0]));
    write("both.pub", b"ssh-rsa AAAA other\n");
    assert!(listing.refresh(&dirs));
    assert_eq!(listing.entries()[0].comment.as_deref(), Some("other"));
    fs::remove_file(dir.path().join("both")).unwrap();
    assert!(listing.refresh(&dirs));
    assert_eq!(listing.entries().len(), 1);
    assert_eq!(listing.entries()[0].name, "new");
}

#[test]
fn certificates_of_keys_without_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = ["none", "first", "second"].map(|name| dir.path().join(name));
    for dir in &dirs[1..] {
        fs::create_dir(dir).unwrap();
    }
    let entries = entries_in(Path::new("/nonexistent/key"), EC);
    let public = &entries[0].public;
    let own = PKey::public_key_from_der(&public.to_spki()).unwrap();
    let issuer = software_ec();
    let mut builder = X509::builder().unwrap();
    builder.set_pubkey(&own).unwrap();
    builder.sign(&issuer, MessageDigest::sha256()).unwrap();
    let own = builder.build().to_pem().unwrap();
    let other = certificate(&issuer, "issuer").to_pem().unwrap();
    let found = || certificates_of(&dirs, "0x81020000", public);
    assert!(found().is_empty());
    // Nobody's alone are not taken.
    fs::write(dirs[1].join("0x81020000.crt"), &other).unwrap();
    assert!(found().is_empty());
    fs::write(dirs[2].join("0x81020000.cert.pem"), [other, own].concat()).unwrap();
    let found = found();
    assert_eq!(found.len(), 2);
    assert!(found[0].is_of(public) && !found[1].is_of(public));
}

#[test]
fn what_is_written_is_whole_and_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.tpm");
    write_new(&path, b"one").unwrap();
    let error = write_new(&path, b"two").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"one");
    let trash = to_trash(&path).unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read(&trash).unwrap(), b"one");
    assert!(
        trash
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(TRASH)
    );
    let public = dir.path().join("key.pub");
    set_comment(&public, "ssh-rsa AAAA", "a").unwrap();
    set_comment(&public, "ssh-rsa AAAA", "b").unwrap();
    assert_eq!(fs::read(&public).unwrap(), b"ssh-rsa AAAA b\n");
    assert!(set_comment(&public, "ssh-rsa BBBB", "c").is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_damaged_file_is_none_or_the_same_key() {
    let whole = KeyFile::from_pem(EC).unwrap();
    for end in 0..EC.len() {
        for found in content::keys_in(&EC[..end]).into_iter().flatten() {
            assert!(matches!(found, (Content::Tss2(file), None) if *file == whole));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        look(&bytes);
    }

    #[test]
    fn changed_certificates_are_looked_at(place in 0usize..600, value: u8) {
        let mut der = certificate(&software_ec(), "x").to_der().unwrap();
        if let Some(byte) = der.get_mut(place) {
            *byte = value;
        }
        look(&der);
    }
}
