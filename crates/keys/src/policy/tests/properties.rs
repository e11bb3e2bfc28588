//! What holds for any policy and any input.
#![forbid(unsafe_code)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn few() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..70)
}

fn any_entity() -> impl Strategy<Value = Entity> {
    let digest = prop_oneof![
        vec(any::<u8>(), 32).prop_map(|digest| (AlgId::SHA256, digest)),
        vec(any::<u8>(), 48).prop_map(|digest| (AlgId::SHA384, digest)),
    ];
    // A key at a handle, by hint or without one.
    let object = (prop_oneof![Just(0), 0x8100_0100u32..0x8100_0200], digest).prop_map(
        |(handle, (algorithm, digest))| {
            let name = [&algorithm.0.to_be_bytes()[..], &digest].concat();
            Entity::object(handle, Name::from_bytes(&name))
        },
    );
    prop_oneof![object, any::<u32>().prop_map(Entity::permanent)]
}

fn any_public() -> impl Strategy<Value = Public> {
    (vec(any::<u8>(), 32), vec(any::<u8>(), 32)).prop_map(|(x, y)| {
        let start = [hex("0056"), hex(SIGNER)].concat();
        Public::from_tpm2b(
            &[&start, &hex("0020"), &x, &hex("0020"), &y]
                .map(|part| &part[..])
                .concat(),
        )
        .unwrap()
    })
}

fn any_signature() -> impl Strategy<Value = Signature> {
    let rsa = prop_oneof![Just(AlgId::RSASSA), Just(AlgId::RSAPSS)];
    let (of_rsa, of_curve) = (
        (rsa, any::<u16>(), vec(any::<u8>(), 0..300)),
        (any::<u16>(), few(), few()),
    );
    prop_oneof![
        of_rsa.prop_map(|(scheme, hash, bytes)| Signature::Rsa {
            scheme,
            hash: AlgId(hash),
            bytes
        }),
        of_curve.prop_map(|(hash, r, s)| Signature::Ecc {
            scheme: AlgId::ECDSA,
            hash: AlgId(hash),
            r,
            s
        }),
    ]
}

fn any_registers() -> impl Strategy<Value = PolicyCommand> {
    let selection = (any::<u16>(), vec(0u8..24, 0..24))
        .prop_map(|(bank, registers)| PcrSelection::new(AlgId(bank), &registers).unwrap());
    let size = prop_oneof![Just(20usize), Just(32), Just(48), Just(64)];
    let digest = size.prop_flat_map(|size| vec(any::<u8>(), size));
    (vec(selection, 1..=16), proptest::option::of(digest))
        .prop_map(|(registers, digest)| PolicyCommand::Pcr { registers, digest })
}

fn any_operand() -> impl Strategy<Value = Operand> {
    (few(), any::<u16>(), 0u16..12).prop_map(|(value, offset, comparison)| Operand {
        value,
        offset,
        comparison: Comparison::new(comparison).unwrap(),
    })
}

fn any_signed() -> impl Strategy<Value = PolicyCommand> {
    let key = prop_oneof![
        any_entity().prop_map(Signer::Handle),
        any_public().prop_map(|public| Signer::Public(Box::new(public))),
    ];
    (key, few(), few(), any::<i32>(), any_signature()).prop_map(
        |(key, cp_hash, policy_ref, expiration, signature)| PolicyCommand::Signed {
            key,
            cp_hash,
            policy_ref,
            expiration,
            signature,
        },
    )
}

fn any_authorize(signed: bool) -> impl Strategy<Value = PolicyCommand> {
    (any_public(), few(), any_signature()).prop_map(move |(key, policy_ref, signature)| {
        PolicyCommand::Authorize {
            key,
            policy_ref,
            signature: signed.then_some(signature),
        }
    })
}

/// Any command but a PolicyOR.
fn any_plain() -> impl Strategy<Value = PolicyCommand> {
    prop_oneof![
        any_registers(),
        Just(PolicyCommand::AuthValue),
        Just(PolicyCommand::Password),
        (any_entity(), few())
            .prop_map(|(entity, policy_ref)| PolicyCommand::Secret { entity, policy_ref }),
        any_authorize(true),
        any::<u8>().prop_map(PolicyCommand::Locality),
        any_operand().prop_map(PolicyCommand::CounterTimer),
        (
            proptest::option::of(any_entity()),
            any_entity(),
            any_operand()
        )
            .prop_map(|(authority, index, operand)| PolicyCommand::Nv {
                authority,
                index,
                operand
            }),
        any::<u32>().prop_map(|code| PolicyCommand::CommandCode(CommandCode(code))),
        any_signed(),
    ]
}

/// Any command, with alternatives inside each other.
fn any_command() -> impl Strategy<Value = PolicyCommand> {
    any_plain().prop_recursive(3, 24, 4, |inner| {
        let branch = vec(inner, 0..3);
        (vec(few(), 0..5), vec(branch, 0..5)).prop_map(|(digests, mut branches)| {
            branches.truncate(digests.len());
            PolicyCommand::Or { digests, branches }
        })
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let authorized = (
        proptest::option::of(".*"),
        vec(any_command(), 0..3),
        any_authorize(true),
    )
        .prop_map(|(name, mut commands, last)| {
            commands.push(last);
            AuthorizedPolicy { name, commands }
        });
    let authorizing = (
        any_authorize(false),
        vec(any_command(), 0..3),
        vec(authorized, 0..3),
    )
        .prop_map(|(first, rest, authorized)| Policy {
            commands: [vec![first], rest].concat(),
            authorized,
        });
    prop_oneof![vec(any_command(), 0..4).prop_map(Policy::new), authorizing]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_policy_round_trips(policy in any_policy()) {
        let text = document::write(&policy).unwrap();
        prop_assert_eq!(document::read(text.as_bytes()).unwrap(), policy.clone());
        let mut key = with(vec![]);
        file::into_file(&policy, &mut key).unwrap();
        let key = KeyFile::from_der(&key.to_der()).unwrap();
        prop_assert_eq!(file::of_file(&key).unwrap(), policy);
    }

    /// What is read at all is read the same again, whatever was changed in it.
    #[test]
    fn changed_bodies(
        policy in any_policy(),
        changes in vec((any::<u16>(), any::<u16>(), any::<u8>()), 1..4),
    ) {
        let mut key = with(vec![]);
        file::into_file(&policy, &mut key).unwrap();
        for (command, at, value) in changes {
            let mut all: Vec<_> = key.policy.iter_mut().collect();
            all.extend(key.auth_policies.iter_mut().flat_map(|entry| &mut entry.policy));
            all.extend(key.branches.iter_mut().flatten().flatten());
            all.retain(|command| !command.body.is_empty());
            let length = all.len();
            if length > 0 {
                let body = &mut all[usize::from(command) % length].body;
                let at = usize::from(at) % body.len();
                body[at] = value;
            }
        }
        if let Ok(read) = file::of_file(&key) {
            let mut again = with(vec![]);
            file::into_file(&read, &mut again).unwrap();
            prop_assert_eq!(file::of_file(&again).unwrap(), read);
        }
    }

    #[test]
    fn any_bodies_never_panic(code in any::<u8>(), body in vec(any::<u8>(), 0..200)) {
        let command = tss2::PolicyCommand { code: 0x100 | u32::from(code), body };
        if let Ok(read) = file::of_file(&with(vec![command])) {
            let text = document::write(&read).unwrap();
            prop_assert_eq!(document::read(text.as_bytes()).unwrap(), read);
        }
    }

    #[test]
    fn any_octets_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(document::read(&bytes).is_err());
        prop_assert!(super::super::signer::read(&bytes).is_err());
    }
}
