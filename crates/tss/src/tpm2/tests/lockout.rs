//! The lockout authorization: what its use costs, what crosses the bus, and what one wrong try does.
#![forbid(unsafe_code)]

use super::*;
use crate::ErrorKind;

const LOCKOUT: &[u8] = b"the lockout authorization";

fn none() -> Secret {
    Secret::empty()
}

/// Locks the TPM with wrong values for a key of its own.
fn lock(client: &Client) {
    let key = make(client, &owner(), &sign_only(), PIN);
    for _ in 0..client.lockout().unwrap().tries_left() {
        let wrong = client.sign(&key, &b"wrong"[..].into(), ECDSA, &digest());
        assert!(wrong.unwrap_err().is_authorization_failure());
    }
    assert!(client.lockout().unwrap().in_lockout);
}

#[test]
fn a_lock_is_reset_and_its_limits_are_set() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let before = client.lockout().unwrap();
    let limits = LockoutParameters {
        max_tries: 3,
        interval: 500,
        recovery: 700,
    };
    log.take();
    // Nothing is secret of an empty value.
    client.set_lockout(limits, &none(), &none()).unwrap();
    log.expect("DictionaryAttackParameters");
    let after = client.lockout().unwrap();
    assert_eq!(LockoutParameters::from(&after), limits);
    assert_ne!(LockoutParameters::from(&before), limits);
    lock(&client);
    log.take();
    client.reset_lockout(&none(), &none()).unwrap();
    log.expect("DictionaryAttackLockReset");
    assert_eq!(client.lockout().unwrap().counter, 0);
    // Whatever the settings say, a value is not sent.
    client
        .change_hierarchy_auth(handle::LOCKOUT, &none(), &LOCKOUT.into(), &none())
        .unwrap();
    for sessions in [Sessions::Never, Sessions::Auto, Sessions::Always] {
        let (client, log) = simulator.client(sessions);
        lock(&client);
        assert!(client.lockout().unwrap().auth_set);
        log.take();
        client.reset_lockout(&LOCKOUT.into(), &none()).unwrap();
        let sent = log.take().join(" ");
        assert!(
            sent.ends_with("StartAuthSession DictionaryAttackLockReset"),
            "{sent}"
        );
        assert_eq!(client.lockout().unwrap().counter, 0);
        client
            .set_lockout(limits, &LOCKOUT.into(), &none())
            .unwrap();
        assert!(!log.carried(LOCKOUT));
        client.release_at_exit();
    }
    simulator.assert_empty();
}

#[test]
fn one_wrong_lockout_authorization_shuts_it_and_says_so() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let (limits, right) = (
        LockoutParameters {
            max_tries: 3,
            interval: 500,
            recovery: 700,
        },
        Secret::from(LOCKOUT),
    );
    client.set_lockout(limits, &none(), &none()).unwrap();
    client
        .change_hierarchy_auth(handle::LOCKOUT, &none(), &right, &none())
        .unwrap();
    log.take();
    let wrong = client
        .reset_lockout(&b"wrong"[..].into(), &none())
        .unwrap_err();
    assert!(
        matches!(
            wrong.kind(),
            ErrorKind::LockoutAuth {
                shut: false,
                recovery: Some(700),
                ..
            }
        ),
        "{wrong}"
    );
    assert!(wrong.to_string().contains("700 seconds"), "{wrong}");
    assert_eq!(
        log.take()
            .iter()
            .filter(|name| name.starts_with("DictionaryAttackLockReset"))
            .count(),
        1
    );
    // Nor is the right one taken now, and what refuses it is told.
    for refused in [
        client.reset_lockout(&right, &none()),
        client.set_lockout(limits, &right, &none()),
    ] {
        let error = refused.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::LockoutAuth { shut: true, .. }),
            "{error}"
        );
    }
    // No try of a key's was spent.
    assert_eq!(client.lockout().unwrap().tries_left(), 3);
    let key = make(&client, &owner(), &sign_only(), PIN);
    sign(&client, &key, PIN);
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn changed_answers_to_the_lockout_authority_are_errors() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    client
        .change_hierarchy_auth(handle::LOCKOUT, &none(), &LOCKOUT.into(), &none())
        .unwrap();
    log.inject("DictionaryAttackLockReset", Fault::Flip(1));
    let error = client.reset_lockout(&LOCKOUT.into(), &none()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
        "{error}"
    );
}
