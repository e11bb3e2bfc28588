//! The bodies of policy commands.
#![forbid(unsafe_code)]

use super::super::body::{self, Unreadable};
use super::*;

/// Each command, its body by hand, and what it says. All are written as they are read.
fn known() -> Vec<(u32, String, PolicyCommand)> {
    let (name, signer, signature) = (name(), signer(), signature());
    let digest = thirty_two("aa");
    let sha1 = "aa".repeat(20);
    vec![
        (
            0x17f,
            format!("{REGISTERS} {digest}"),
            PolicyCommand::Pcr {
                registers: registers(),
                digest: Some(vec![0xaa; 32]),
            },
        ),
        (
            0x17f,
            format!("00000002 0004 03 000001 000b 03 000080 {sha1}"),
            PolicyCommand::Pcr {
                registers: vec![
                    PcrSelection::new(AlgId::SHA1, &[16]).unwrap(),
                    PcrSelection::new(AlgId::SHA256, &[23]).unwrap(),
                ],
                digest: Some(vec![0xaa; 20]),
            },
        ),
        // GRUB's form.
        (
            0x17f,
            format!("0000 {REGISTERS}"),
            PolicyCommand::Pcr {
                registers: registers(),
                digest: None,
            },
        ),
        (0x16b, String::new(), PolicyCommand::AuthValue),
        (0x18c, String::new(), PolicyCommand::Password),
        (
            0x151,
            "40000001 0004 40000001 0000".into(),
            PolicyCommand::Secret {
                entity: Entity::permanent(0x4000_0001),
                policy_ref: vec![],
            },
        ),
        // Without a hint.
        (
            0x151,
            format!("00000000 {name} 0003 c0ffee"),
            PolicyCommand::Secret {
                entity: entity(0),
                policy_ref: vec![0xc0, 0xff, 0xee],
            },
        ),
        (
            0x16a,
            format!("{signer} 0000 0010"),
            PolicyCommand::Authorize {
                key: public(),
                policy_ref: vec![],
                signature: None,
            },
        ),
        (
            0x16a,
            format!("{signer} 0002 beef {signature}"),
            PolicyCommand::Authorize {
                key: public(),
                policy_ref: vec![0xbe, 0xef],
                signature: Some(ecdsa()),
            },
        ),
        (
            0x16a,
            format!("{signer} 0000 0014 000c 0004 01020304"),
            PolicyCommand::Authorize {
                key: public(),
                policy_ref: vec![],
                signature: Some(Signature::Rsa {
                    scheme: AlgId::RSASSA,
                    hash: AlgId::SHA384,
                    bytes: vec![1, 2, 3, 4],
                }),
            },
        ),
        (0x16f, "08".into(), PolicyCommand::Locality(8)),
        // Resets are the octets from 16 on, and unsigned >= is 7.
        (
            0x16d,
            "00000005 0010 0007".into(),
            PolicyCommand::CounterTimer(Operand {
                value: vec![0, 0, 0, 5],
                offset: 16,
                comparison: Comparison::from_name("uge").unwrap(),
            }),
        ),
        (
            0x149,
            format!("01500001 {name} 0001 05 0002 000a"),
            PolicyCommand::Nv {
                authority: None,
                index: entity(0x0150_0001),
                operand: Operand {
                    value: vec![5],
                    offset: 2,
                    comparison: Comparison::from_name("bitset").unwrap(),
                },
            },
        ),
        (
            0x149,
            format!("40000001 0004 40000001 01500001 {name} 0000 0000 0000"),
            PolicyCommand::Nv {
                authority: Some(Entity::permanent(0x4000_0001)),
                index: entity(0x0150_0001),
                operand: Operand {
                    value: vec![],
                    offset: 0,
                    comparison: Comparison::from_name("eq").unwrap(),
                },
            },
        ),
        (
            0x16c,
            "0000015d".into(),
            PolicyCommand::CommandCode(CommandCode::SIGN),
        ),
        (
            0x160,
            format!("{signer} 0000 0000 0002 beef 00000000 {signature}"),
            PolicyCommand::Signed {
                key: Signer::Public(Box::new(public())),
                cp_hash: vec![],
                policy_ref: vec![0xbe, 0xef],
                expiration: 0,
                signature: ecdsa(),
            },
        ),
        (
            0x160,
            format!("81000002 {name} 0000 0020 {digest} 0000 fffffffe {signature}"),
            PolicyCommand::Signed {
                key: Signer::Handle(entity(0x8100_0002)),
                cp_hash: vec![0xaa; 32],
                policy_ref: vec![],
                expiration: -2,
                signature: ecdsa(),
            },
        ),
        (
            0x171,
            format!("00000002 0020 {digest} 0020 {}", thirty_two("bb")),
            PolicyCommand::Or {
                digests: vec![vec![0xaa; 32], vec![0xbb; 32]],
                branches: vec![],
            },
        ),
    ]
}

#[test]
fn each_form_is_read_and_written() {
    for (code, body, command) in known() {
        assert_eq!(body::read(&raw(code, &body)), Ok(command.clone()), "{body}");
        assert_eq!(body::write(&command), Ok(raw(code, &body)), "{command}");
    }
}

/// Forms that others write and we do not.
#[test]
fn other_forms_are_read() {
    let digest = thirty_two("aa");
    for (code, body, command) in [
        (
            0x17f,
            format!("0020 {digest} {REGISTERS}"),
            PolicyCommand::Pcr {
                registers: registers(),
                digest: Some(vec![0xaa; 32]),
            },
        ),
        (
            0x16a,
            format!("{} 0000", signer()),
            PolicyCommand::Authorize {
                key: public(),
                policy_ref: vec![],
                signature: None,
            },
        ),
    ] {
        assert_eq!(body::read(&raw(code, &body)), Ok(command), "{body}");
    }
}

/// Octets are missing at the end, or left over: what is read all the same is another form, written as such.
#[test]
fn every_length_but_the_own_one() {
    for (code, body, command) in known() {
        let whole = raw(code, &body);
        for length in 0..whole.body.len() {
            let short = tss2::PolicyCommand {
                code,
                body: whole.body[..length].to_vec(),
            };
            match (&command, body::read(&short)) {
                (_, Err(problem)) => assert_eq!(problem, Unreadable::Malformed, "{body}"),
                // Any digest of some algorithm.
                (
                    PolicyCommand::Pcr { digest, .. },
                    Ok(PolicyCommand::Pcr { digest: read, .. }),
                ) => {
                    assert!(read < *digest && read.is_some_and(|read| read.len() == 20));
                }
                // The signature may be missing.
                (
                    PolicyCommand::Authorize { .. },
                    Ok(PolicyCommand::Authorize { signature, .. }),
                ) => assert_eq!(signature, None),
                // The other side of the comparison has any length.
                (PolicyCommand::CounterTimer(_), Ok(read)) => {
                    assert_eq!(body::write(&read), Ok(short));
                }
                (_, Ok(read)) => panic!("{body} [..{length}]: {read:?}"),
            }
        }
        let mut long = whole;
        long.body.push(0);
        match (&command, body::read(&long)) {
            (PolicyCommand::CounterTimer(_), read) => assert_ne!(read, Ok(command)),
            (_, read) => assert_eq!(read, Err(Unreadable::Malformed), "{body} 00"),
        }
    }
}

#[test]
fn every_field_wrong_in_turn() {
    let (name, signer, signature) = (name(), signer(), signature());
    let digest = thirty_two("aa");
    for (code, body) in [
        // No bank, too many, a selection of four octets or two.
        (0x17f, String::new()),
        (0x17f, format!("00000000 {digest}")),
        (0x17f, "0000 00000000".into()),
        (
            0x17f,
            format!("00000011 {} {digest}", "000b03810000".repeat(17)),
        ),
        (0x17f, format!("00000001 000b 04 81000000 {digest}")),
        (0x17f, format!("00000001 000b 02 8100 {digest}")),
        (0x17f, "0000 00000001 000b 04 81000000".into()),
        // More banks than there are; a digest that is none's.
        (0x17f, format!("00000002 000b 03 810000 {digest}")),
        (0x17f, REGISTERS.into()),
        (0x17f, format!("{REGISTERS} {}", "aa".repeat(31))),
        (0x17f, format!("{REGISTERS} 0020 {digest}")),
        (0x17f, format!("001f {} {REGISTERS}", "aa".repeat(31))),
        // Whose secret: nobody's, or a name that is none.
        (0x151, "40000001 0000 0000".into()),
        (0x151, "40000001 0001 40 0000".into()),
        (0x151, "40000001 0002 000b 0000".into()),
        (0x151, "40000001 0003 400000 0000".into()),
        (0x151, "40000001 0005 4000000100 0000".into()),
        (0x151, format!("81000002 0022 0010 {digest} 0000")),
        (0x151, format!("81000002 0022 9999 {digest} 0000")),
        (
            0x151,
            format!("81000002 0016 000b {} 0000", "aa".repeat(20)),
        ),
        (0x151, "40000001 0004 40000001 ffff".into()),
        // No key, one of another length; no scheme, one that does not exist.
        (0x16a, "0000 0000 0010".into()),
        (
            0x16a,
            format!("0055 {} 0000 0010", signer.trim_start_matches("0056")),
        ),
        (0x16a, format!("{signer} 0001 0010")),
        (0x16a, format!("{signer} 0000 00")),
        (0x16a, format!("{signer} 0000 0010 000b")),
        (0x16a, format!("{signer} 0000 9999 000b 0001 00")),
        (0x16a, format!("{signer} 0000 0005 000b {digest}")),
        // A thirteenth comparison.
        (0x16d, "00000005 0010 000c".into()),
        (0x149, format!("01500001 {name} 0001 05 0002 000c")),
        // An authority without a name, an index by a name that is none.
        (
            0x149,
            format!("40000001 0000 01500001 {name} 0001 05 0002 0000"),
        ),
        (0x149, "01500001 0000 0001 05 0002 0000".into()),
        (0x149, format!("01500001 {name} 0002 05 0002 0000")),
        // No signature, none that exists; who signed is nobody.
        (0x160, format!("{signer} 0000 0000 0000 00000000 0010")),
        (
            0x160,
            format!("{signer} 0000 0000 0000 00000000 9999 000b 0000"),
        ),
        (
            0x160,
            format!("81000002 0000 0000 0000 0000 00000000 {signature}"),
        ),
        (
            0x160,
            format!("{signer} 0000 ffff 0000 00000000 {signature}"),
        ),
        // More alternatives than there are.
        (0x171, format!("00000003 0020 {digest} 0020 {digest}")),
        (0x171, format!("ffffffff 0020 {digest}")),
        (0x171, format!("00000001 0020 {digest} 0020 {digest}")),
    ] {
        let read = body::read(&raw(code, &body));
        assert_eq!(read, Err(Unreadable::Malformed), "{code:x} {body}");
    }
}

/// A signature over a nonce of the TPM's was for the session that the nonce was of.
#[test]
fn a_signature_for_another_session() {
    let body = format!(
        "{} 0004 01020304 0000 0000 00000000 {}",
        signer(),
        signature()
    );
    let Err(Unreadable::Useless(why)) = body::read(&raw(0x160, &body)) else {
        panic!("{body}")
    };
    assert!(why.contains("one session"), "{why}");
}

#[test]
fn commands_that_are_not_run() {
    // PolicyCpHash, PolicyNameHash, PolicyTicket, PolicyDuplicationSelect, PolicyAuthorizeNV; TPM2_Sign.
    for code in [0, 0x15d, 0x16e, 0x170, 0x172, 0x188, 0x192, u32::MAX] {
        assert_eq!(
            body::read(&raw(code, "")),
            Err(Unreadable::Unknown),
            "{code:x}"
        );
    }
}

#[test]
fn what_no_size_field_can_say_is_not_written() {
    let command = PolicyCommand::Secret {
        entity: Entity::permanent(0x4000_0001),
        policy_ref: vec![0; 0x1_0000],
    };
    assert!(body::write(&command).is_err());
}
