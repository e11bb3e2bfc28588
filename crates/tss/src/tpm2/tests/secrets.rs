//! Authorization values: they never cross the bus, and a wrong one is tried once.
#![forbid(unsafe_code)]

use super::*;
use crate::ErrorKind;

#[test]
fn a_value_never_crosses_the_bus() {
    let simulator = Simulator::new();
    let parents = [
        owner(),
        Parent {
            template: PrimaryTemplate::Rsa,
            ..owner()
        },
    ];
    for template in [sign_only(), sign_and_decrypt()] {
        for parent in &parents {
            let (client, log) = simulator.client(Sessions::Auto);
            let key = make(&client, parent, &template, PIN);
            log.expect("CreatePrimary StartAuthSession Create FlushContext");
            sign(&client, &key, PIN);
            sign(&client, &key, PIN);
            assert!(!log.carried(PIN));
            client.release_at_exit();
            simulator.assert_empty();
        }
    }
}

#[test]
fn costs_on_a_bare_tpm() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    log.take();
    sign(&client, &key, PIN);
    log.expect("ReadPublic StartAuthSession Load Sign");
    // The handle is confirmed before the value is staked on it.
    sign(&client, &key, PIN);
    log.expect("ReadPublic StartAuthSession Sign");
    let key = make(&client, &owner(), &rsa_decrypt(), PIN);
    log.take();
    let rsassa = SignScheme::Rsassa(AlgId::SHA256);
    client
        .sign(&key, &Secret::from(PIN), rsassa, &digest())
        .unwrap();
    log.expect("StartAuthSession Load StartAuthSession Sign");
    // A session salted to an RSA key is the confirmation.
    client
        .sign(&key, &Secret::from(PIN), rsassa, &digest())
        .unwrap();
    log.expect("StartAuthSession Sign");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn costs_on_a_managed_tpm() {
    let simulator = Simulator::new();
    let (client, log) = simulator.managed_client(Sessions::Auto);
    for template in [sign_only(), sign_and_decrypt()] {
        let key = make(&client, &owner(), &template, PIN);
        log.take();
        sign(&client, &key, PIN);
        let first = log.take();
        assert!(
            first.contains(&"StartAuthSession".to_owned()),
            "{}",
            first.join(" ")
        );
        sign(&client, &key, PIN);
        log.expect("Sign");
    }
}

#[test]
fn a_wrong_value_is_tried_once_and_tells_the_tries_left() {
    for sessions in [Sessions::Auto, Sessions::Never] {
        for template in [sign_only(), sign_and_decrypt()] {
            let simulator = Simulator::new();
            simulator.provision();
            let (client, log) = simulator.client(sessions);
            let before = client.lockout().unwrap();
            let key = make(&client, &owner(), &template, PIN);
            log.take();
            let error = client
                .sign(&key, &Secret::from(&b"wrong"[..]), ECDSA, &digest())
                .unwrap_err();
            let left = before.tries_left() - 1;
            let ErrorKind::WrongAuth {
                tries_left: Some(tries),
                of_parent: false,
                ..
            } = error.kind()
            else {
                panic!("{error}")
            };
            assert_eq!(*tries, left);
            assert!(error.to_string().contains(&simulator.address()), "{error}");
            assert_eq!(
                log.take()
                    .iter()
                    .filter(|name| name.starts_with("Sign"))
                    .count(),
                1
            );
            assert_eq!(client.lockout().unwrap().counter, before.counter + 1);
            sign(&client, &key, PIN);
            client.release_at_exit();
            simulator.assert_empty();
        }
    }
}

#[test]
fn without_dictionary_attack_protection_no_tries_are_counted() {
    let simulator = Simulator::new();
    let (client, _) = simulator.client(Sessions::Auto);
    let attributes = Public::key_attributes(Attributes::SIGN.with(Attributes::NO_DA));
    let template = Public::ecc_template(Curve::NIST_P256, attributes, Scheme::Null).unwrap();
    let key = make(&client, &owner(), &template, PIN);
    let error = client
        .sign(&key, &Secret::from(&b"wrong"[..]), ECDSA, &digest())
        .unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::WrongAuth {
                tries_left: None,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(client.lockout().unwrap().counter, 0);
}

#[test]
fn a_locked_tpm_says_for_how_long() {
    let simulator = Simulator::new();
    let (client, _) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    let tries = client.lockout().unwrap().max_tries;
    let wrong = Secret::new(b"wrong".to_vec());
    for _ in 0..tries {
        client.sign(&key, &wrong, ECDSA, &digest()).unwrap_err();
    }
    let error = client
        .sign(&key, &Secret::from(PIN), ECDSA, &digest())
        .unwrap_err();
    let ErrorKind::Lockout { state: Some(state) } = error.kind() else {
        panic!("{error}")
    };
    assert!(state.in_lockout && state.tries_left() == 0);
    assert!(
        error
            .to_string()
            .contains(&format!("within {} seconds", state.interval)),
        "{error}"
    );
}

#[test]
fn always_means_also_without_a_value() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Always);
    let key = make(&client, &owner(), &sign_and_decrypt(), b"");
    log.expect("CreatePrimary StartAuthSession Create FlushContext");
    sign(&client, &key, b"");
    log.expect("ReadPublic StartAuthSession Load StartAuthSession Sign");
    sign(&client, &key, b"");
    log.expect("StartAuthSession Sign");
    let key = make(&client, &Parent::new(handle::SRK), &sign_only(), b"");
    log.take();
    sign(&client, &key, b"");
    log.expect("StartAuthSession Load Sign");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_parent_with_a_value() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    // A storage key with a value of its own, made persistent.
    let storage = Public::ecc_primary().unwrap();
    let parent = make(&client, &owner(), &storage, PIN);
    client
        .evict_control(&parent, 0x8100_0007, &Secret::empty())
        .unwrap();
    log.take();
    let parent = Parent {
        auth: PIN.into(),
        ..Parent::new(0x8100_0007)
    };
    let key = make(&client, &parent, &sign_only(), b"");
    log.expect("ReadPublic StartAuthSession Create");
    sign(&client, &key, b"");
    log.expect("StartAuthSession Load Sign");
    let pinned = make(&client, &parent, &sign_only(), b"another");
    log.take();
    sign(&client, &pinned, b"another");
    log.expect("StartAuthSession Load Sign");
    assert!(!log.carried(PIN) && !log.carried(b"another"));
    let wrong = Parent {
        auth: b"wrong"[..].into(),
        ..parent
    };
    let error = client
        .create(&wrong, &sign_only(), &Secret::empty())
        .unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::WrongAuth {
                of_parent: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains(
            "the parent's authorization value (parent-auth, or TPM_PARENT_AUTH) is wrong"
        ),
        "{error}"
    );
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_parent_of_another_name_is_refused() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, _) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    let name = client.read_public(handle::SRK).unwrap().name;
    let with_name = |name: &Name| {
        simulator.client_with(
            Options {
                parent_name: ParentName::Only(name.clone()),
                ..options(Sessions::Auto)
            },
            false,
        )
    };
    let (right, _) = with_name(&name);
    sign(&right, &key, PIN);
    right.release_at_exit();
    let (wrong, log) = with_name(&key.name);
    for parent in [owner(), Parent::new(handle::SRK), Parent::new(handle::NULL)] {
        let Source::Blob { private, .. } = key.source.clone() else {
            panic!("a blob")
        };
        let key = Object {
            source: Source::Blob { parent, private },
            ..key.clone()
        };
        let error = wrong
            .sign(&key, &Secret::from(PIN), ECDSA, &digest())
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::ParentName { .. }),
            "{error}"
        );
    }
    assert!(!log.take().iter().any(|name| name == "Load"));
    simulator.assert_empty();
}

#[test]
fn values_that_end_in_zeros_and_long_ones() {
    let simulator = Simulator::new();
    simulator.provision();
    for value in [&b"pin\0\0"[..], &[0, 0], &[9; 32]] {
        let (client, _) = simulator.client(Sessions::Auto);
        let key = make(&client, &owner(), &sign_only(), value);
        sign(&client, &key, value);
        client.release_at_exit();
    }
}
