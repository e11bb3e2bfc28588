//! Wrong secrets: told apart, never tried twice, and the lockout that comes of them.
#![forbid(unsafe_code)]

use super::*;

fn wrong(error: &Error, expected: Whose, expected_again: bool) {
    match failure(error) {
        Failure::WrongSecret { whose, again, .. } => {
            assert_eq!((*whose, *again), (expected, expected_again), "{error}");
        }
        _ => panic!("{error}"),
    }
    assert!(error.is_authorization_failure());
}

fn the_secrets_are_told_apart(client: &Client, log: &Log) {
    let file = key_file("tss-auth.pem");
    let bad_srk = Key::new(file.blob().clone(), AuthValue::from_password(b"no"));
    let password = AuthValue::from_password(PASSWORD);
    let error = client
        .sign(&bad_srk, &password, &digest_info())
        .unwrap_err();
    wrong(&error, Whose::Srk, false);
    assert!(error.to_string().contains("srk-auth"), "{error}");
    log.expect("OIAP LoadKey2!1");
    let error = client
        .sign(&bad_srk, &password, &digest_info())
        .unwrap_err();
    wrong(&error, Whose::Srk, true);
    log.expect("");

    let bad = AuthValue::from_password(b"wrong");
    let error = client.sign(&file, &bad, &digest_info()).unwrap_err();
    wrong(&error, Whose::Key, false);
    assert!(error.to_string().contains("password"), "{error}");
    log.clear();
    let error = client.unbind(&file, &bad, &[1; 256]).unwrap_err();
    wrong(&error, Whose::Key, true);
    log.expect("");
    let error = client
        .create(&bad, &Template::legacy(1024, false), &zeros(), &zeros())
        .unwrap_err();
    wrong(&error, Whose::Srk, false);
    let error = client.srk_public_for_owner(&bad).unwrap_err();
    wrong(&error, Whose::Owner, false);
    // Right ones still work.
    sign(client, &file, Some(PASSWORD));
}

#[test]
fn raw_secrets_are_told_apart_and_not_tried_twice() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    the_secrets_are_told_apart(&client, &log);
    simulator.assert_empty();
}

#[test]
fn through_tcsd_secrets_are_told_apart_and_not_tried_twice() {
    let simulator = Simulator::with_tcsd();
    let (client, log) = simulator.client();
    the_secrets_are_told_apart(&client, &log);
}

#[test]
fn a_wrong_password_costs_one_try() {
    for simulator in [
        Simulator::of_the_key_files(Server::Unix),
        Simulator::with_tcsd(),
    ] {
        let (client, _) = simulator.client();
        let count = || client.lockout().unwrap().unwrap().count.unwrap();
        let before = count();
        let bad = AuthValue::from_password(b"wrong");
        let file = key_file("tss-auth.pem");
        client.sign(&file, &bad, &digest_info()).unwrap_err();
        assert_eq!(count(), before + 1, "{}", simulator.address());
        client.sign(&file, &bad, &digest_info()).unwrap_err();
        assert_eq!(count(), before + 1, "{}", simulator.address());
    }
}

#[test]
fn a_locked_tpm_says_so_and_recovers() {
    for simulator in [
        Simulator::of_the_key_files(Server::Unix),
        Simulator::with_tcsd(),
    ] {
        let (client, _) = simulator.client();
        let file = key_file("tss-auth.pem");
        let mut locked = None;
        for number in 0..20 {
            let bad = AuthValue::from_password(&[number]);
            let error = client.sign(&file, &bad, &digest_info()).unwrap_err();
            if matches!(failure(&error), Failure::Locked) {
                locked = Some(error);
                break;
            }
            wrong(&error, Whose::Key, false);
        }
        let locked = locked.expect("no lockout");
        assert!(
            locked.to_string().contains("tpmctl lockout reset"),
            "{locked}"
        );
        assert!(!locked.is_authorization_failure());
        // A locked TPM refuses what is right, too; that is no reason to remember it as wrong.
        let started = Instant::now();
        while let Err(error) =
            client.sign(&file, &AuthValue::from_password(PASSWORD), &digest_info())
        {
            assert!(matches!(failure(&error), Failure::Locked), "{error}");
            assert!(started.elapsed() < Duration::from_secs(60), "still locked");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

#[test]
fn a_tpm_without_an_owner_and_a_key_of_another_tpm() {
    let simulator = Simulator::unowned(Server::Unix);
    let (client, _) = simulator.client();
    assert!(!client.properties().unwrap().owned);
    let error = client
        .sign(&key_file("tss.pem"), &zeros(), &digest_info())
        .unwrap_err();
    assert!(
        matches!(failure(&error), Failure::Unowned { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("tpmctl owner take"), "{error}");
    let error = client
        .create(&zeros(), &Template::legacy(1024, false), &zeros(), &zeros())
        .unwrap_err();
    assert!(
        matches!(failure(&error), Failure::Unowned { .. }),
        "{error}"
    );
    simulator.assert_empty();

    let simulator = Simulator::unowned(Server::Tcp).behind_tcsd(false);
    let (client, _) = simulator.client();
    for error in [
        client
            .sign(&key_file("tss.pem"), &zeros(), &digest_info())
            .unwrap_err(),
        client
            .create(&zeros(), &Template::legacy(1024, false), &zeros(), &zeros())
            .unwrap_err(),
    ] {
        assert!(
            matches!(failure(&error), Failure::NoSrkInStorage { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("tpmctl owner take"), "{error}");
    }

    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, _) = simulator.client();
    let mut foreign = blob_of("tss.pem");
    let last = foreign.len() - 10;
    foreign[last] ^= 1;
    let foreign = Key::new(KeyBlob::parse(&foreign).unwrap(), zeros());
    let error = client.sign(&foreign, &zeros(), &digest_info()).unwrap_err();
    assert!(
        matches!(failure(&error), Failure::ForeignKey { .. }),
        "{error}"
    );
    simulator.assert_empty();
}
