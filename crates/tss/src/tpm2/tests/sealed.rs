//! Data in a TPM: sealed and unsealed, and never in clear on the way.
#![forbid(unsafe_code)]

use super::policy::{by, pcr, with_policy};
use super::services::tool;
use super::*;
use crate::ErrorKind;

const DATA: &[u8] = b"the secret of a disk, in 32 bytes";

fn template(usage: Attributes) -> Public {
    Public::sealed_template(Public::key_attributes(usage)).unwrap()
}

fn seal(client: &Client, template: &Public, auth: &[u8], data: &[u8]) -> Object {
    let created = client
        .seal(&owner(), template, &auth.into(), &data.into())
        .unwrap();
    Object::from_blob(created.public, created.private, owner()).unwrap()
}

#[test]
fn data_comes_back_and_is_never_seen() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let sealed = seal(&client, &template(Attributes::NO_DA), b"", DATA);
    log.expect("CreatePrimary StartAuthSession Create FlushContext");
    let data = client.unseal(&sealed, &Secret::empty()).unwrap();
    assert_eq!(*data, DATA);
    log.expect("ReadPublic StartAuthSession Load Unseal");
    let data = client.unseal(&sealed, &Secret::empty()).unwrap();
    assert_eq!(*data, DATA);
    log.expect("ReadPublic StartAuthSession Unseal");
    assert!(!log.carried(DATA));
    for length in [1, 2, 127, 128] {
        let bytes = vec![0xa5; length];
        let sealed = seal(&client, &template(Attributes::NO_DA), b"", &bytes);
        assert_eq!(
            *client.unseal(&sealed, &Secret::empty()).unwrap(),
            bytes,
            "{length}"
        );
    }
    assert!(!log.carried(&[0xa5; 8]));
    client.release();
    simulator.assert_empty();
}

/// By the settings, as everything else.
#[test]
fn without_sessions_it_is_in_clear() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Never);
    let sealed = seal(&client, &template(Attributes::NO_DA), b"", DATA);
    assert!(log.carried(DATA));
    assert_eq!(*client.unseal(&sealed, &Secret::empty()).unwrap(), DATA);
    assert!(log.carried(DATA));
    client.release();
    simulator.assert_empty();
}

#[test]
fn the_tpm_takes_no_more_than_it_can_and_nothing_not_at_all() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, _) = simulator.client(Sessions::Auto);
    for length in [0, 129] {
        let data = Secret::new(vec![7; length]);
        let template = template(Attributes::NO_DA);
        let refused = client.seal(&owner(), &template, &Secret::empty(), &data);
        assert!(refused.unwrap_err().code().is_some(), "{length}");
    }
    client.release();
    simulator.assert_empty();
}

#[test]
fn a_pin_is_asked_for_and_never_seen() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let sealed = seal(&client, &template(Attributes(0)), PIN, DATA);
    assert!(!log.carried(PIN));
    assert_eq!(*client.unseal(&sealed, &Secret::from(PIN)).unwrap(), DATA);
    assert!(!log.carried(PIN) && !log.carried(DATA));
    let error = client.unseal(&sealed, &Secret::from(&b"wrong"[..]));
    let error = error.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WrongAuth { .. }),
        "{error}"
    );
    client.release();
    simulator.assert_empty();
}

/// With a value that the policy asks for, with one that it does not ask for and nobody gives, and without any.
#[test]
fn policies_open_it() {
    for (commands, pin, given) in [
        (vec![pcr()], &b""[..], None),
        (vec![pcr()], PIN, None),
        (vec![pcr(), PolicyCommand::AuthValue], PIN, Some(PIN)),
        (vec![pcr(), PolicyCommand::Password], PIN, Some(PIN)),
        (
            vec![PolicyCommand::CommandCode(CommandCode::UNSEAL)],
            b"",
            None,
        ),
    ] {
        let simulator = Simulator::new();
        simulator.provision();
        let (client, log) = simulator.client(Sessions::Auto);
        let policy = Policy::new(commands);
        let guarded = with_policy(&template(Attributes::NO_DA), &policy);
        let sealed = seal(&client, &guarded, pin, DATA);
        let value = Secret::from(given.unwrap_or_default());
        let unsealed = || match given {
            Some(_) => client.unseal(&sealed, by(&policy, &value)),
            None => client.unseal(
                &sealed,
                KeyAuth {
                    value: None,
                    policy: Some(&policy),
                    shown_right: None,
                },
            ),
        };
        assert_eq!(*unsealed().unwrap(), DATA, "{policy:?}");
        assert!(!log.carried(DATA) && !log.carried(PIN), "{policy:?}");
        // Not by its value alone.
        assert!(client.unseal(&sealed, &Secret::from(pin)).is_err());
        let has_registers = !policy.registers().is_empty();
        if has_registers {
            let extended = format!("16:sha256={}", "ab".repeat(32));
            tool(&simulator, &["tpm2_pcrextend", &extended]);
        }
        assert_eq!(unsealed().is_err(), has_registers, "{policy:?}");
        client.release();
        simulator.assert_empty();
    }
}

/// Whoever changes the answer on its way does not hand out other data.
#[test]
fn an_answer_that_was_changed_is_refused() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let sealed = seal(&client, &template(Attributes::NO_DA), b"", DATA);
    // In the HMAC, and in what it covers.
    for from_end in [1, 90] {
        log.inject("Unseal", Fault::Flip(from_end));
        let error = client.unseal(&sealed, &Secret::empty()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{error}"
        );
    }
    assert_eq!(*client.unseal(&sealed, &Secret::empty()).unwrap(), DATA);
    log.inject("Create", Fault::Flip(1));
    let again = client.seal(
        &owner(),
        &template(Attributes::NO_DA),
        &Secret::empty(),
        &DATA.into(),
    );
    assert!(matches!(
        again.unwrap_err().kind(),
        ErrorKind::SessionIntegrity { .. }
    ));
    client.release();
    simulator.assert_empty();
}
