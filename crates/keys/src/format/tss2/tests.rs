//! Tests of key files: those of other tools, those of our own, and what is neither.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use super::*;

mod armour;
mod properties;

/// Name, content, and whether the writer's DER is what we write: two tools store TRUE as 1.
const FILES: [(&str, &[u8], bool); 8] = [
    (
        "e_ec",
        include_bytes!("../../../../../tests/data/tpm2/e_ec.pem"),
        false,
    ),
    (
        "j_ec",
        include_bytes!("../../../../../tests/data/tpm2/j_ec.pem"),
        true,
    ),
    (
        "j_ec_pcr",
        include_bytes!("../../../../../tests/data/tpm2/j_ec_pcr.pem"),
        true,
    ),
    (
        "j_imp_ec",
        include_bytes!("../../../../../tests/data/tpm2/j_imp_ec.pem"),
        true,
    ),
    (
        "j_rsa",
        include_bytes!("../../../../../tests/data/tpm2/j_rsa.pem"),
        true,
    ),
    (
        "j_seal",
        include_bytes!("../../../../../tests/data/tpm2/j_seal.pem"),
        true,
    ),
    (
        "o_ec",
        include_bytes!("../../../../../tests/data/tpm2/o_ec.pem"),
        false,
    ),
    (
        "py_ec",
        include_bytes!("../../../../../tests/data/tpm2/py_ec.pem"),
        false,
    ),
];

fn der_of(name: &str) -> Vec<u8> {
    let (_, text, _) = FILES.iter().find(|(known, ..)| *known == name).unwrap();
    pem::find(text, &[LABEL, LEGACY_LABEL]).unwrap().der
}

/// A file with everything in it.
fn full() -> KeyFile {
    let policy = vec![
        PolicyCommand {
            code: 0x16a,
            body: vec![0; 10],
        },
        PolicyCommand {
            code: 0x16b,
            body: vec![],
        },
    ];
    KeyFile {
        kind: Kind::Importable,
        policy: policy.clone(),
        secret: Some(vec![0, 3, 1, 2, 3]),
        auth_policies: vec![
            AuthPolicy {
                name: Some("laptop".into()),
                policy: policy.clone(),
            },
            AuthPolicy {
                name: None,
                policy: vec![],
            },
        ],
        description: Some("Schlüssel".into()),
        rsa_parent: true,
        parent: 0x8100_0001,
        ..KeyFile::loadable(OWNER, vec![0, 2, 0xaa, 0xbb], vec![0, 1, 0xcc])
    }
}

fn legacy() -> KeyFile {
    KeyFile {
        legacy: true,
        policy: vec![PolicyCommand {
            code: 0x17f,
            body: vec![1; 200],
        }],
        ..KeyFile::loadable(0x8100_0001, vec![0, 2, 0xaa, 0xbb], vec![0, 1, 0xcc])
    }
}

#[test]
fn files_of_other_tools() {
    for (name, text, canonical) in FILES {
        let file = KeyFile::from_pem(text).unwrap();
        let kind = match name {
            "j_imp_ec" => Kind::Importable,
            "j_seal" => Kind::Sealed,
            _ => Kind::Loadable,
        };
        assert_eq!(file.kind, kind, "{name}");
        assert_eq!(
            (file.parent, file.empty_auth, file.legacy),
            (OWNER, true, false),
            "{name}"
        );
        assert!(file.parent_is_hierarchy() && !file.rsa_parent);
        assert_eq!(
            file.secret.as_ref().map(Vec::len),
            (name == "j_imp_ec").then_some(70)
        );
        assert!(file.auth_policies.is_empty() && file.description.is_none());
        // TPMT_PUBLIC begins with the type: RSA, KEYEDHASH or ECC.
        let object = match name {
            "j_rsa" => [0, 1],
            "j_seal" => [0, 8],
            _ => [0, 0x23],
        };
        assert_eq!(file.public[2..4], object);
        let sealed = if name == "j_seal" {
            Err(FileError::Sealed)
        } else {
            Ok(())
        };
        assert_eq!(file.require_key(), sealed);

        let mut der = pem::find(text, &[LABEL, LEGACY_LABEL]).unwrap().der;
        assert!(KeyFile::is_ours(&der));
        if !canonical {
            // The content octet of emptyAuth, after two headers, the type and the field's tag.
            assert_eq!(std::mem::replace(&mut der[15], 0xff), 1, "{name}");
        }
        assert_eq!(file.to_der(), der, "{name}");
        assert_eq!(KeyFile::from_der(&der).unwrap(), file);
        assert_eq!(KeyFile::from_bytes(&der).unwrap(), file);
        assert_eq!(KeyFile::from_bytes(text).unwrap(), file);
        if canonical {
            assert_eq!(file.to_pem().as_bytes(), text, "{name}");
        }
    }
}

#[test]
fn policies() {
    let file = KeyFile::from_der(&der_of("j_ec_pcr")).unwrap();
    let [command] = &file.policy[..] else {
        panic!("{:?}", file.policy);
    };
    assert_eq!((command.code, command.name()), (0x17f, "PolicyPCR"));
    // TPML_PCR_SELECTION of one bank, sha256, three octets with PCR 16; then the digest.
    assert_eq!(command.body[..10], [0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 1]);
    assert_eq!(command.body.len(), 10 + 32);
    assert_eq!(
        PolicyCommand {
            code: 1,
            body: vec![]
        }
        .name(),
        "unknown policy command"
    );
}

#[test]
fn everything_round_trips() {
    for file in [
        full(),
        legacy(),
        KeyFile {
            empty_auth: false,
            ..full()
        },
    ] {
        let der = file.to_der();
        assert_eq!(KeyFile::from_der(&der).unwrap(), file);
        assert_eq!(KeyFile::from_pem(file.to_pem().as_bytes()).unwrap(), file);
        assert!(KeyFile::is_ours(&der));
    }
    // A sealed object may be importable too.
    let sealed = KeyFile {
        kind: Kind::Sealed,
        ..full()
    };
    assert_eq!(KeyFile::from_der(&sealed.to_der()).unwrap(), sealed);
    assert!(
        legacy()
            .to_pem()
            .starts_with("-----BEGIN TSS2 KEY BLOB-----\n")
    );
}

/// What `openssl asn1parse` sees in a file of ours.
#[test]
fn structure_as_openssl_sees_it() {
    let mut child = Command::new("openssl")
        .args(["asn1parse", "-inform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), &full().to_der()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let depth = line.split_once("d=").unwrap().1.split_once(' ').unwrap().0;
            let (_, what) = line
                .split_once("cons: ")
                .or(line.split_once("prim: "))
                .unwrap();
            format!(
                "{depth} {}",
                what.split_whitespace().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    let policy = |depth: usize| {
        let zeros = "[HEX DUMP]:00000000000000000000";
        [
            format!("{depth} cont [ 1 ]"),
            format!("{} SEQUENCE", depth + 1),
            format!("{} SEQUENCE", depth + 2),
            format!("{} cont [ 0 ]", depth + 3),
            format!("{} INTEGER :016A", depth + 4),
            format!("{} cont [ 1 ]", depth + 3),
            format!("{} OCTET STRING {zeros}", depth + 4),
            format!("{} SEQUENCE", depth + 2),
            format!("{} cont [ 0 ]", depth + 3),
            format!("{} INTEGER :016B", depth + 4),
            format!("{} cont [ 1 ]", depth + 3),
            format!("{} OCTET STRING", depth + 4),
        ]
    };
    let line = |text: &str| text.to_owned();
    let mut expected = vec![
        line("0 SEQUENCE"),
        line("1 OBJECT :2.23.133.10.1.4"),
        line("1 cont [ 0 ]"),
        line("2 BOOLEAN :255"),
    ];
    expected.extend(policy(1));
    expected.extend(
        [
            "1 cont [ 2 ]",
            "2 OCTET STRING [HEX DUMP]:0003010203",
            "1 cont [ 3 ]",
            "2 SEQUENCE",
        ]
        .map(line),
    );
    expected.extend(["3 SEQUENCE", "4 cont [ 0 ]", "5 UTF8STRING :laptop"].map(line));
    expected.extend(policy(4));
    expected.extend(["3 SEQUENCE", "4 cont [ 1 ]", "5 SEQUENCE", "1 cont [ 4 ]"].map(line));
    expected.extend(["2 UTF8STRING :Schlüssel", "1 cont [ 5 ]", "2 BOOLEAN :255"].map(line));
    expected.extend(["1 INTEGER :81000001", "1 OCTET STRING [HEX DUMP]:0002AABB"].map(line));
    expected.push(line("1 OCTET STRING [HEX DUMP]:0001CC"));
    assert_eq!(lines, expected);
}

/// A file with the given INTEGER content as its parent.
fn with_parent(content: &[u8]) -> Result<u32, FileError> {
    use crypto::der::{element, oid, sequence, tag};
    let der = sequence(&[
        &oid(TYPES[0].0),
        &element(tag::INTEGER, &[content]),
        &element(tag::OCTET_STRING, &[&[0, 1, 1]]),
        &element(tag::OCTET_STRING, &[&[0, 1, 1]]),
    ]);
    KeyFile::from_der(&der).map(|file| {
        assert!(!file.empty_auth, "absent means ask");
        file.parent
    })
}

#[test]
fn parents() {
    let good: [(&[u8], u32); 12] = [
        (&[0x40, 0, 0, 1], OWNER),
        (&[0x40, 0, 0, 7], NULL),
        (&[0x40, 0, 0, 0x0b], ENDORSEMENT),
        (&[0x40, 0, 0, 0x0c], PLATFORM),
        (&[0, 0x81, 0, 0, 1], 0x8100_0001),
        (&[0, 0x81, 0xff, 0xff, 0xff], 0x81ff_ffff),
        // Negative numbers of old 32-bit writers, with and without the sign's extension.
        (&[0x81, 0, 0, 1], 0x8100_0001),
        (&[0xff, 0x81, 0, 0, 1], 0x8100_0001),
        (
            &[0xff, 0xff, 0xff, 0xff, 0x81, 0x12, 0x34, 0x56],
            0x8112_3456,
        ),
        // Zeros in front.
        (&[0, 0x40, 0, 0, 1], OWNER),
        (&[0, 0, 0, 0, 0x81, 0, 0, 1], 0x8100_0001),
        (&[0], OWNER),
    ];
    for (content, parent) in good {
        assert_eq!(with_parent(content), Ok(parent), "{content:02x?}");
    }
    for content in [
        &[0x80, 0, 0, 0][..],
        &[0, 0x80, 0, 0, 0],
        &[0xff, 0x80, 0, 0, 0],
    ] {
        assert_eq!(
            with_parent(content),
            Err(FileError::TransientParent {
                offset: 10,
                handle: 0x8000_0000
            })
        );
    }
    let message = with_parent(&[0x80, 0, 0, 0]).unwrap_err().to_string();
    assert!(
        message.contains("parent 0x80000000 names an object that is gone"),
        "{message}"
    );
    for content in [
        &[1][..],
        &[0x40, 0, 0, 0],
        &[0x40, 0, 0, 9],
        &[0, 0x90, 0, 0, 0],
        &[0xff],
        &[0x82, 0, 0, 0],
    ] {
        let error = with_parent(content);
        let right = matches!(
            error,
            Err(FileError::InvalidParent { .. }
                | FileError::Malformed {
                    field: "parent",
                    ..
                })
        );
        assert!(right, "{content:02x?} {error:?}");
    }
    for content in [
        &[][..],
        &[1, 0, 0, 0, 0],
        &[0xff, 0x7f, 0xff, 0xff, 0xff],
        &[0x80, 1, 1, 1, 1],
    ] {
        let error = with_parent(content);
        assert!(matches!(
            error,
            Err(FileError::Malformed {
                field: "parent",
                offset: 10,
                ..
            })
        ));
    }
}

/// The field and offset of the error for a file whose bytes were changed.
fn malformed(der: &[u8]) -> (&'static str, usize) {
    match KeyFile::from_der(der) {
        Err(FileError::Malformed { field, offset, .. }) => (field, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_name_field_and_offset() {
    let der = der_of("j_ec");
    let changed = |at: usize, value: u8| {
        let mut der = der.clone();
        der[at] = value;
        der
    };
    assert_eq!(malformed(&[]), ("the whole file", 0));
    assert_eq!(
        malformed(&[&der[..], &[0]].concat()),
        ("the whole file", der.len())
    );
    assert_eq!(malformed(&der[..100]), ("the whole file", 0));
    assert_eq!(malformed(&changed(0, 0x31)), ("the whole file", 0));
    assert_eq!(malformed(&changed(3, 4)), ("type", 3));
    assert_eq!(malformed(&changed(13, 2)), ("emptyAuth", 13));
    // Fields out of order, or tags that do not exist, are met where the parent should be.
    assert_eq!(malformed(&changed(11, 0xa7)), ("parent", 11));
    assert_eq!(malformed(&changed(16, 4)), ("parent", 16));
    assert_eq!(malformed(&changed(25, 0x57)), ("pubkey", 24));
    assert_eq!(malformed(&changed(116, 0x7d)), ("privkey", 115));
    let text = KeyFile::from_der(&changed(25, 0x57))
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "key file: pubkey at byte 24: expected a TPM2B, whose first two bytes tell the length of the \
         rest, found 87 before 86 bytes; the file is damaged or incomplete, copy it again from where \
         it was made"
    );

    assert_eq!(
        KeyFile::from_der(&changed(10, 6)),
        Err(FileError::UnknownType {
            offset: 3,
            oid: "2.23.133.10.1.6".into()
        })
    );
    // The importable key's type changed to loadable, and the other way round.
    let mut importable = der_of("j_imp_ec");
    importable[11] = 3;
    let error = KeyFile::from_der(&importable);
    assert_eq!(error, Err(FileError::UnexpectedSecret { offset: 19 }));
    assert_eq!(
        KeyFile::from_der(&changed(10, 4)),
        Err(FileError::MissingSecret)
    );
}

#[test]
fn bad_policies() {
    let base = KeyFile {
        policy: vec![PolicyCommand {
            code: 0x17f,
            body: vec![5],
        }],
        ..full()
    };
    let der = KeyFile {
        kind: Kind::Loadable,
        secret: None,
        ..base
    }
    .to_der();
    // Outer header 2, type 8, emptyAuth 5, then [1], SEQUENCE, SEQUENCE, [0], INTEGER 01 7f.
    let at = 15 + 2 + 2 + 2;
    assert_eq!(der[at..at + 6], [0xa0, 4, 2, 2, 1, 0x7f]);
    for (index, value, field) in [
        (at, 0xa2, "commandCode"),
        (at + 4, 0, "commandCode"),
        (at + 4, 0x80, "commandCode"),
        (at + 2, 4, "commandCode"),
        (at + 6, 0xa2, "commandPolicy"),
        (at + 8, 2, "commandPolicy"),
        (at - 2, 0x31, "policy"),
    ] {
        let mut wrong = der.clone();
        wrong[index] = value;
        assert_eq!(malformed(&wrong).0, field, "{index}");
    }
}

#[test]
fn legacy_defaults() {
    use crypto::der::{element, oid, sequence, tag};
    let public = element(
        tag::explicit(2),
        &[&element(tag::OCTET_STRING, &[&[0, 1, 1]])],
    );
    let private = element(tag::OCTET_STRING, &[&[0, 1, 2]]);
    let file = KeyFile::from_der(&sequence(&[&oid(TYPES[3].0), &public, &private])).unwrap();
    assert_eq!(
        (file.parent, file.legacy, file.empty_auth),
        (OWNER, true, false)
    );
    assert_eq!(file.kind, Kind::Loadable);
    let without = sequence(&[&oid(TYPES[3].0), &private]);
    assert_eq!(malformed(&without), ("pubkey", 9));
}

#[test]
fn foreign_keys_are_not_ours() {
    let rsa = openssl::rsa::Rsa::generate(1024).unwrap();
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let ec = openssl::ec::EcKey::generate(&group).unwrap();
    let pkcs8 = openssl::pkey::PKey::from_rsa(rsa.clone())
        .unwrap()
        .private_key_to_pkcs8()
        .unwrap();
    for foreign in [
        pkcs8,
        rsa.private_key_to_der().unwrap(),
        rsa.public_key_to_der().unwrap(),
        ec.private_key_to_der().unwrap(),
        ec.public_key_to_der().unwrap(),
        vec![],
        vec![0x30],
        vec![0x30, 0],
        b"-----BEGIN TSS2 PRIVATE KEY-----".to_vec(),
    ] {
        assert!(!KeyFile::is_ours(&foreign));
        assert!(KeyFile::from_der(&foreign).is_err());
    }
    let ours = der_of("j_ec");
    assert!(!KeyFile::is_ours(&ours[..ours.len() - 1]));
    assert!(!KeyFile::is_ours(&[&ours[..], &[0]].concat()));
}

#[test]
fn debug_hides_the_blobs() {
    let text = format!("{:?}", full());
    assert!(
        text.contains("private: 3") && text.contains("0x81000001"),
        "{text}"
    );
    assert!(!text.contains("204"), "{text}");
}
