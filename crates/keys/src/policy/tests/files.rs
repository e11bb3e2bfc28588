//! Where policies are in key files, and how much of them is taken.
#![forbid(unsafe_code)]

use super::*;
use crate::Error;

const PIN: u32 = 0x16b;

fn pin() -> tss2::PolicyCommand {
    raw(PIN, "")
}

/// PolicyOR of so many digests.
fn either(count: u32) -> tss2::PolicyCommand {
    let digests = format!("0020 {}", thirty_two("aa")).repeat(count as usize);
    raw(0x171, &format!("{count:08x} {digests}"))
}

fn signed(commands: Vec<tss2::PolicyCommand>) -> tss2::AuthPolicy {
    tss2::AuthPolicy {
        name: None,
        policy: commands,
    }
}

/// It is refused, and its place and the reason are said.
#[track_caller]
fn refused(file: &KeyFile, parts: &[&str]) {
    let Err(Error::Unsupported(text)) = file::of_file(file) else {
        panic!("{:?}", file::of_file(file))
    };
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_file_of_openssl_tpm2_engine() {
    let content = include_bytes!("../../../../../tests/data/tpm2/j_ec_pcr.pem");
    let mut key = KeyFile::from_bytes(content).unwrap();
    let policy = file::of_file(&key).unwrap();
    let [
        PolicyCommand::Pcr {
            digest: Some(digest),
            ..
        },
    ] = &policy.commands[..]
    else {
        panic!("{policy:?}")
    };
    assert_eq!((digest.len(), policy.authorized.len()), (32, 0));
    let before = key.clone();
    file::into_file(&policy, &mut key).unwrap();
    assert_eq!(key, before);
    // Without a policy.
    let plain = KeyFile::from_bytes(include_bytes!("../../../../../tests/data/tpm2/j_ec.pem"));
    assert_eq!(file::of_file(&plain.unwrap()).unwrap(), Policy::default());
}

#[test]
fn a_command_that_is_wrong_is_named_by_its_place() {
    refused(
        &with(vec![pin(), raw(0x188, "00")]),
        &["(policy[1])", "PolicyDuplicationSelect (0x188)"],
    );
    refused(&with(vec![raw(0x999, "")]), &["(policy[0])", "(0x999)"]);
    refused(
        &with(vec![raw(0x16f, "0001")]),
        &["(policy[0])", "PolicyLocality (2 bytes)"],
    );
    let once = format!("{} 0001 00 0000 0000 00000000 {}", signer(), signature());
    refused(
        &with(vec![raw(0x160, &once)]),
        &["(policy[0])", "PolicySigned", "one session"],
    );

    let mut file = with(vec![authorize("0010")]);
    file.auth_policies = vec![
        signed(vec![authorize(&signature())]),
        signed(vec![pin(), raw(0x16c, "00"), authorize(&signature())]),
    ];
    refused(&file, &["(authPolicy[1].policy[1])", "PolicyCommandCode"]);

    let mut file = with(vec![pin(), either(2)]);
    file.branches = vec![vec![vec![pin()], vec![pin(), raw(0x16f, "")]]];
    refused(&file, &["(policy[1].branch[1][1])", "PolicyLocality"]);
}

#[test]
fn signed_policies() {
    let mut file = with(vec![authorize("0010"), pin()]);
    file.auth_policies = vec![
        tss2::AuthPolicy {
            name: Some("kernel-6.12".into()),
            policy: vec![
                raw(0x17f, &format!("{REGISTERS} {}", thirty_two("aa"))),
                authorize(&signature()),
            ],
        },
        signed(vec![authorize(&signature())]),
    ];
    let policy = file::of_file(&file).unwrap();
    assert_eq!(policy.commands.len(), 2);
    let [first, second] = &policy.authorized[..] else {
        panic!("{policy:?}")
    };
    assert_eq!(
        (first.name.as_deref(), first.commands.len()),
        (Some("kernel-6.12"), 2)
    );
    assert_eq!((second.name.as_deref(), second.commands.len()), (None, 1));

    // A key's policy that takes none, be it empty of signatures or signed itself.
    for commands in [vec![pin()], vec![authorize(&signature())]] {
        let other = KeyFile {
            policy: commands,
            ..file.clone()
        };
        refused(
            &other,
            &["(authPolicy)", "does not begin with PolicyAuthorize"],
        );
    }
    // Signed policies alone are for some key's.
    file.policy.clear();
    assert_eq!(file::of_file(&file).unwrap().authorized.len(), 2);
    for commands in [vec![], vec![pin()], vec![authorize("0010")]] {
        file.auth_policies[1].policy = commands;
        refused(
            &file,
            &["(authPolicy[1].policy)", "ends with PolicyAuthorize"],
        );
    }
    for commands in [
        vec![authorize("0010"), authorize(&signature())],
        vec![pin(), authorize("0010"), authorize(&signature())],
    ] {
        file.auth_policies[1].policy = commands;
        refused(&file, &["(authPolicy[1].policy)", "without a signature"]);
    }
    for commands in [
        vec![pin(), authorize("0010")],
        vec![authorize("0010"), authorize("0010")],
    ] {
        refused(&with(commands), &["(policy)", "without a signature"]);
    }
    // Nor inside an alternative, or an alternative's.
    let mut file = with(vec![pin(), either(1)]);
    file.branches = vec![vec![vec![authorize("0010")]]];
    refused(&file, &["(policy)", "without a signature"]);
    file.branches = vec![vec![vec![either(1)]], vec![vec![pin(), authorize("0010")]]];
    refused(&file, &["(policy)", "without a signature"]);
}

/// Alternatives are in the order in which they are met, one's own right behind it.
#[test]
fn alternatives_belong_to_the_command_that_is_met() {
    let locality = |bits: &str| raw(0x16f, bits);
    let mut file = with(vec![authorize("0010"), either(2), either(2)]);
    file.auth_policies = vec![signed(vec![either(2), authorize(&signature())])];
    file.branches = vec![
        vec![vec![locality("01"), either(2)], vec![locality("02")]],
        vec![vec![locality("03")], vec![locality("04")]],
        vec![vec![locality("05")]],
        vec![vec![], vec![locality("06")]],
    ];
    let policy = file::of_file(&file).unwrap();
    let of = |command: &PolicyCommand| match command {
        PolicyCommand::Or { branches, .. } => branches.clone(),
        other => panic!("{other:?}"),
    };
    let one = PolicyCommand::Locality;
    let first = of(&policy.commands[1]);
    assert_eq!((&first[0][0], &first[1]), (&one(1), &vec![one(2)]));
    assert_eq!(of(&first[0][1]), [[one(3)], [one(4)]]);
    assert_eq!(of(&policy.commands[2]), [[one(5)]]);
    assert_eq!(
        of(&policy.authorized[0].commands[0]),
        [vec![], vec![one(6)]]
    );
    let mut written = with(vec![]);
    file::into_file(&policy, &mut written).unwrap();
    assert_eq!(written, file);

    // Without them what comes before may be one of the alternatives.
    let none = file::of_file(&with(vec![pin(), either(2)])).unwrap();
    assert_eq!(of(&none.commands[1]), Vec::<Vec<PolicyCommand>>::new());
    // Such a file gets no field of ours by being written anew.
    let mut written = with(vec![]);
    file::into_file(&none, &mut written).unwrap();
    assert_eq!(written, with(vec![pin(), either(2)]));
    file.branches.push(vec![]);
    refused(&file, &["(branches)", "without a PolicyOR"]);
    file.branches = vec![vec![vec![]; 3]];
    refused(&file, &["(policy[1])", "more alternatives than digests"]);
    let mut file = with(vec![pin()]);
    file.branches = vec![vec![vec![pin()]]];
    refused(&file, &["(branches)", "without a PolicyOR"]);
}

/// Alternatives inside each other, so deep.
fn nested(depth: usize) -> KeyFile {
    let mut file = with(vec![either(1)]);
    file.branches = vec![vec![vec![either(1)]]; depth - 1];
    file.branches.push(vec![vec![pin()]]);
    file
}

#[test]
fn how_much_is_taken() {
    assert_eq!(file::of_file(&nested(8)).unwrap().commands.len(), 1);
    refused(&nested(9), &["too deep", ".branch[0][0].branch[0][0]"]);
    refused(&nested(1000), &["too deep"]);

    let many = file::of_file(&with(vec![pin(); 1024])).unwrap();
    assert_eq!(many.commands.len(), 1024);
    refused(
        &with(vec![pin(); 1025]),
        &["(policy[1024])", "more than 1024 commands"],
    );
    // Those of alternatives and of signed policies count as well.
    let mut file = with(vec![authorize("0010"), either(1)]);
    file.branches = vec![vec![vec![pin(); 1021]]];
    assert!(file::of_file(&file).is_ok());
    file.auth_policies = vec![signed(vec![authorize(&signature())])];
    assert!(file::of_file(&file).is_ok());
    file.auth_policies.push(file.auth_policies[0].clone());
    refused(
        &file,
        &["(authPolicy[1].policy[0])", "more than 1024 commands"],
    );

    let mut file = with(vec![authorize("0010")]);
    file.auth_policies = vec![signed(vec![authorize(&signature())]); 128];
    assert_eq!(file::of_file(&file).unwrap().authorized.len(), 128);
    file.auth_policies.push(file.auth_policies[0].clone());
    refused(
        &file,
        &[
            "(authPolicy)",
            "129 signed policies",
            "`tpmctl policy remove`",
        ],
    );
}
