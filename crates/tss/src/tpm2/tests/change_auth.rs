//! New authorization values of keys: what they cost, what crosses the bus, and what is not believed.
#![forbid(unsafe_code)]

use super::*;
use crate::ErrorKind;

const NEW: &[u8] = b"quite another value";

fn none() -> Secret {
    Secret::empty()
}

/// The same key with another private part.
fn with_private(key: &Object, private: Vec<u8>) -> Object {
    let Source::Blob { parent, .. } = key.source.clone() else {
        panic!("a blob")
    };
    Object {
        source: Source::Blob { parent, private },
        ..key.clone()
    }
}

#[test]
fn a_keys_value_is_changed_and_neither_crosses_the_bus() {
    for provisioned in [true, false] {
        for sessions in [Sessions::Auto, Sessions::Always, Sessions::Never] {
            let simulator = Simulator::new();
            if provisioned {
                simulator.provision();
            }
            for template in [sign_only(), sign_and_decrypt(), rsa_decrypt()] {
                // A new client's parent is not known yet.
                let (client, log) = simulator.client(Sessions::Auto);
                let key = make(&client, &owner(), &template, PIN);
                client.release_at_exit();
                log.take();
                let (client, log) = simulator.client(sessions);
                let private = client
                    .change_object_auth(&key, &PIN.into(), &NEW.into())
                    .unwrap();
                let sent = log.take().join(" ");
                let expected = match (provisioned, sessions) {
                    (true, Sessions::Never) => {
                        "ReadPublic Load StartAuthSession ObjectChangeAuth FlushContext Load FlushContext"
                    }
                    (true, _) => {
                        "ReadPublic StartAuthSession Load ObjectChangeAuth FlushContext Load FlushContext"
                    }
                    (false, Sessions::Never) => {
                        "ReadPublic!18b CreatePrimary Load StartAuthSession ObjectChangeAuth FlushContext Load \
                         FlushContext FlushContext"
                    }
                    (false, _) => {
                        "ReadPublic!18b CreatePrimary StartAuthSession Load ObjectChangeAuth FlushContext Load \
                         FlushContext FlushContext"
                    }
                };
                let sessionless = sent.strip_suffix(" FlushContext").filter(|_| {
                    // Without sessions nobody uses up the one that encrypted.
                    sessions == Sessions::Never
                });
                assert_eq!(sessionless.unwrap_or(&sent), expected);
                assert!(!log.carried(PIN) && !log.carried(NEW));
                let changed = with_private(&key, private);
                let scheme = match template.unique() {
                    Unique::Rsa(_) => SignScheme::Rsassa(AlgId::SHA256),
                    _ => ECDSA,
                };
                let (client, _) = simulator.client(Sessions::Auto);
                let before = client.lockout().unwrap().counter;
                // What is in the old file keeps its value, what is in the new one has the new value only.
                for (key, value) in [(&key, PIN), (&changed, NEW)] {
                    let made = client.sign(key, &value.into(), scheme, &digest()).unwrap();
                    assert!(is_good(key, &digest(), &made));
                }
                assert_eq!(client.lockout().unwrap().counter, before);
                let old = client.sign(&changed, &PIN.into(), scheme, &digest());
                assert!(old.unwrap_err().is_authorization_failure());
                client.release_at_exit();
                simulator.assert_empty();
            }
        }
    }
}

#[test]
fn a_value_is_given_and_taken_away() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, _) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    let given = client
        .change_object_auth(&key, &none(), &NEW.into())
        .unwrap();
    let given = with_private(&key, given);
    sign(&client, &given, NEW);
    let taken = client
        .change_object_auth(&given, &NEW.into(), &none())
        .unwrap();
    sign(&client, &with_private(&key, taken), b"");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_wrong_old_value_is_tried_once() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    let before = client.lockout().unwrap();
    log.take();
    let error = client
        .change_object_auth(&key, &b"wrong"[..].into(), &NEW.into())
        .unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::WrongAuth {
                of_parent: false,
                tries_left: Some(left),
                ..
            } if *left == before.tries_left() - 1
        ),
        "{error}"
    );
    let tries = log.take();
    let tries = tries
        .iter()
        .filter(|name| name.starts_with("ObjectChangeAuth"));
    assert_eq!(tries.count(), 1);
    assert_eq!(client.lockout().unwrap().counter, before.counter + 1);
    simulator.assert_empty();
}

#[test]
fn an_answer_that_was_changed_is_no_private_part() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    // A TPM that has just been started answers the first use of a value with TPM_RC_RETRY.
    sign(&client, &key, PIN);
    // In the HMAC, in the nonce, in the private part.
    for from_end in [1, 40, 120] {
        log.inject("ObjectChangeAuth", Fault::Flip(from_end));
        let error = client
            .change_object_auth(&key, &PIN.into(), &NEW.into())
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{from_end}: {error}"
        );
        simulator.clear_away();
    }
    // What does not load is not handed out.
    log.inject("Load", Fault::Later);
    log.inject("Load", Fault::Code(0x1df));
    let error = client
        .change_object_auth(&key, &PIN.into(), &NEW.into())
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotAsAsked { .. }),
        "{error}"
    );
    let changes = log
        .take()
        .iter()
        .filter(|name| *name == "ObjectChangeAuth")
        .count();
    assert_eq!(changes, 4);
    assert_eq!(client.lockout().unwrap().counter, 0);
}

#[test]
fn a_persistent_key_keeps_its_value() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    client.evict_control(&key, 0x8100_0009, &none()).unwrap();
    let key = Object {
        source: Source::Persistent(0x8100_0009),
        ..key
    };
    log.take();
    let error = client
        .change_object_auth(&key, &PIN.into(), &NEW.into())
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unsupported { .. }),
        "{error}"
    );
    log.expect("");
}
