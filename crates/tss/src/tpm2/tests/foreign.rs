//! Keys that other tools made, and keys of other TPMs.
#![forbid(unsafe_code)]

use super::*;
use crate::ErrorKind;

/// The octet strings of a `TSS2 PRIVATE KEY`: for importable keys the secret, then public area and
/// private part. Reading key files properly is `key`'s business.
fn octets(name: &str) -> Vec<Vec<u8>> {
    let pem = String::from_utf8(data(name)).unwrap();
    let (_, der) = pem_rfc7468::decode_vec(pem.as_bytes()).unwrap();
    let mut found = Vec::new();
    let (_, mut rest) = element(&der);
    while !rest.is_empty() {
        let (tag, mut content) = element(rest);
        let whole = content.as_ptr() as usize - rest.as_ptr() as usize + content.len();
        rest = &rest[whole..];
        let mut tag = tag;
        if tag == 0xa2 {
            (tag, content) = element(content);
        }
        if tag == 0x04 {
            found.push(content.to_vec());
        }
    }
    found
}

fn element(der: &[u8]) -> (u8, &[u8]) {
    let (header, length) = match der[1] {
        short @ ..=0x80 => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        _ => (4, usize::from(der[2]) * 256 + usize::from(der[3])),
    };
    (der[0], &der[header..header + length])
}

fn key(name: &str) -> Object {
    let [public, private] = octets(name).try_into().unwrap();
    Object::from_blob(Public::from_tpm2b(&public).unwrap(), private, owner()).unwrap()
}

#[test]
fn other_tools_keys_sign() {
    let simulator = Simulator::of_the_key_files();
    let (client, log) = simulator.client(Sessions::Auto);
    for (name, scheme) in [
        ("e_ec.pem", SignScheme::Null),
        ("j_ec.pem", ECDSA),
        ("o_ec.pem", ECDSA),
        ("py_ec.pem", ECDSA),
    ] {
        let key = key(name);
        let signature = client
            .sign(&key, &Secret::empty(), scheme, &digest())
            .unwrap();
        assert!(is_good(&key, &digest(), &signature), "{name}");
    }
    let cost = log.take();
    assert!(
        !cost.contains(&"CreatePrimary".to_owned()),
        "{}",
        cost.join(" ")
    );
    // A key that only decrypts signs a padded block.
    let rsa = key("j_rsa.pem");
    let block = crypto::padding::pkcs1_sign(256, b"payload").unwrap();
    let raw = client
        .rsa_decrypt(&rsa, &Secret::empty(), DecryptScheme::Null, &block, b"")
        .unwrap();
    let Unique::Rsa(modulus) = rsa.public.unique() else {
        panic!("not RSA")
    };
    let public = rsa::RsaPublic::with_exponent(modulus, 0).unwrap();
    assert!(public.verify_pkcs1_unprefixed(b"payload", &raw));
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn an_importable_key_is_imported_and_signs() {
    let simulator = Simulator::of_the_key_files();
    let (client, log) = simulator.client(Sessions::Auto);
    let [secret, public, duplicate] = octets("j_imp_ec.pem").try_into().unwrap();
    let public = Public::from_tpm2b(&public).unwrap();
    let duplicate = Duplicate {
        private: duplicate,
        encrypted_seed: secret,
    };
    let private = client
        .import(&owner(), &public, Incoming::Duplicate(&duplicate))
        .unwrap();
    log.expect("ReadPublic StartAuthSession Import");
    let key = Object::from_blob(public, private, owner()).unwrap();
    sign(&client, &key, b"");
    log.expect("StartAuthSession Load Sign");
    client.release_at_exit();
}

#[test]
fn a_key_of_another_tpm_is_named_as_such() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    for provisioned in [false, true] {
        if provisioned {
            simulator.provision();
        }
        let (client, log) = simulator.client(Sessions::Auto);
        let key = key("o_ec.pem");
        let error = client
            .sign(&key, &Secret::empty(), ECDSA, &digest())
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::ForeignKey { .. }),
            "{error}"
        );
        let text = error.to_string();
        for part in [
            "another TPM",
            "0x1df",
            "standard ECC P-256 primary",
            "owner",
            "TPM_TCTI",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        log.expect(if provisioned {
            "ReadPublic StartAuthSession Load!1df CreatePrimary Load!1df FlushContext FlushContext"
        } else {
            "ReadPublic!18b CreatePrimary StartAuthSession Load!1df FlushContext FlushContext"
        });
        simulator.assert_empty();
    }
    let rsa = Parent {
        template: PrimaryTemplate::Rsa,
        ..owner()
    };
    let Source::Blob { private, .. } = key("o_ec.pem").source else {
        panic!("a blob")
    };
    let key = Object {
        source: Source::Blob {
            parent: rsa,
            private,
        },
        ..key("o_ec.pem")
    };
    let error = client
        .sign(&key, &Secret::empty(), ECDSA, &digest())
        .unwrap_err();
    assert!(error.to_string().contains("rsaParent"), "{error}");
    log.take();
    simulator.assert_empty();
}

#[test]
fn a_storage_root_key_that_only_looks_like_the_primary() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    // The TCG's provisioning guidance fills the unique field with zeros: the same looks, another key.
    let zeros = Unique::Ecc {
        x: vec![0; 32],
        y: vec![0; 32],
    };
    let standard = Public::ecc_primary().unwrap();
    let parms = standard.parms().clone();
    let template =
        Public::assemble(AlgId::SHA256, standard.attributes(), &[], parms, zeros).unwrap();
    client
        .with(|tpm| {
            let empty = Secret::empty();
            let password = [Authority::Password(&empty)];
            let request = commands::hierarchy::CreatePrimary {
                hierarchy: handle::OWNER,
                template: &template,
            };
            let primary = tpm.run(&request, &password)?;
            let object = Entity::object(primary.handle, primary.name);
            let request = commands::context::EvictControl {
                hierarchy: handle::OWNER,
                object,
                persistent_handle: handle::SRK,
            };
            tpm.run(&request, &password)?;
            tpm.flush(primary.handle)
        })
        .unwrap();
    log.take();
    sign(&client, &key, PIN);
    log.expect("ReadPublic StartAuthSession Load!1df CreatePrimary StartAuthSession Load FlushContext Sign FlushContext");
    let other = make(&client, &owner(), &sign_only(), b"");
    log.take();
    sign(&client, &other, b"");
    log.expect("CreatePrimary StartAuthSession Load FlushContext Sign");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_missing_parent_is_named() {
    let simulator = Simulator::new();
    let (client, _) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    let Source::Blob { private, .. } = key.source.clone() else {
        panic!("a blob")
    };
    for (parent, part) in [
        (0x8100_0099, "0x81000099"),
        (0x8000_0000, "neither a persistent object"),
    ] {
        let source = Source::Blob {
            parent: Parent::new(parent),
            private: private.clone(),
        };
        let key = Object {
            source,
            ..key.clone()
        };
        let error = client
            .sign(&key, &Secret::empty(), ECDSA, &digest())
            .unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
