//! Faults between us and the TPM.
#![forbid(unsafe_code)]

use super::*;
use crate::ErrorKind;

#[test]
fn a_busy_tpm_is_asked_again() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    log.take();
    for code in [0x922, 0x908, 0x90a, 0x920, 0x000b_0922] {
        log.inject("Sign", Fault::Code(code));
    }
    sign(&client, &key, PIN);
    log.expect("ReadPublic StartAuthSession Load Sign");
}

#[test]
fn a_changed_response_is_an_error_and_never_a_result() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_and_decrypt(), PIN);
    sign(&client, &key, PIN);
    // The last bytes are the HMAC, before it attributes and nonce, before those the signature.
    for from_end in [1, 32, 35, 50, 70, 90] {
        log.inject("Sign", Fault::Flip(from_end));
        let error = client
            .sign(&key, &Secret::from(PIN), ECDSA, &digest())
            .unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::SessionIntegrity { .. } | ErrorKind::Malformed(_)
            ),
            "{from_end}: {error}"
        );
    }
    sign(&client, &key, PIN);
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn lost_objects_and_sessions_come_back() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.managed_client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_and_decrypt(), PIN);
    sign(&client, &key, PIN);
    for handle in client.loaded_objects().unwrap() {
        simulator.client(Sessions::Never).0.flush(handle).unwrap();
    }
    log.take();
    sign(&client, &key, PIN);
    log.expect("Sign!910 Load Sign");
    for handle in client.loaded_sessions().unwrap() {
        simulator.client(Sessions::Never).0.flush(handle).unwrap();
    }
    log.take();
    sign(&client, &key, PIN);
    log.expect("Sign!918 FlushContext!1cb StartAuthSession Sign");
    log.inject("Sign", Fault::Code(0x901));
    sign(&client, &key, PIN);
    // The other session, that of the parent, has been flushed as well.
    log.expect("Sign!901 FlushContext FlushContext!1cb StartAuthSession Sign");
}

#[test]
fn a_handle_that_stays_bad_is_an_error() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    sign(&client, &key, b"");
    log.take();
    log.inject("Sign", Fault::Code(0x910));
    log.inject("Sign", Fault::Code(0x910));
    client
        .sign(&key, &Secret::empty(), ECDSA, &digest())
        .unwrap_err();
    // What was said to be gone is looked at once more, since it would stay in the TPM for ever.
    log.expect("Sign!910 StartAuthSession Load ReadPublic FlushContext Sign!910");
}

#[test]
fn a_wrong_value_is_not_tried_again_after_a_stale_handle() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_and_decrypt(), PIN);
    sign(&client, &key, PIN);
    log.take();
    let error = client
        .sign(&key, &Secret::from(&b"wrong"[..]), ECDSA, &digest())
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WrongAuth { .. }),
        "{error}"
    );
    log.expect("ReadPublic StartAuthSession Sign!98e GetCapability FlushContext");
}

#[test]
fn no_room_for_a_session() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    log.take();
    log.inject("StartAuthSession", Fault::Code(0x903));
    let error = client
        .sign(&key, &Secret::from(PIN), ECDSA, &digest())
        .unwrap_err();
    assert!(
        error.to_string().contains("sessions fill the TPM"),
        "{error}"
    );
    sign(&client, &key, PIN);
}
