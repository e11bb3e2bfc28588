//! Everything the client does, the same on every way to a TPM.
#![forbid(unsafe_code)]

use super::*;

/// What every transport must do, on the TPM of the key files.
fn everything(client: &Client) {
    let version = client.version().unwrap().unwrap();
    assert_eq!(version.version[..2], [1, 2]);
    assert_eq!(&version.vendor, b"IBM\0");
    assert_eq!(client.structure_version().unwrap(), [1, 1, 0, 0]);
    let properties = client.properties().unwrap();
    assert!(properties.owned);
    assert_eq!(&properties.manufacturer, b"IBM\0");
    assert_eq!(properties.key_slots, Some(20));
    let permanent = properties.permanent.unwrap();
    assert!(!permanent.disable && !permanent.deactivated);
    assert!(!properties.volatile.unwrap().deactivated);
    assert!(!client.lockout().unwrap().unwrap().active);
    client.self_test().unwrap();
    assert!(!client.test_result().unwrap().is_empty());
    client.stir_random(&[7; 300]).unwrap();
    let random = client.random(2000).unwrap();
    assert_eq!(random.len(), 2000);
    assert_ne!(random[..32], random[32..64]);

    let plain = key_file("tss.pem");
    for _ in 0..2 {
        sign(client, &plain, None);
        sign(client, &key_file("tss-auth.pem"), Some(PASSWORD));
        sign(client, &key_file("my.key"), None);
    }
    let decrypted = client
        .unbind(&plain, &zeros(), &encrypt(&plain, b"secret"))
        .unwrap();
    assert_eq!(&decrypted[..], b"secret");
    let error = client.unbind(&plain, &zeros(), &[1; 256]).unwrap_err();
    assert!(error.is_bad_padding(), "{error}");
    let error = client
        .unbind(&key_file("my.key"), &zeros(), &[1; 256])
        .unwrap_err();
    assert_eq!(failure(&error).code(), Code::INVALID_KEYUSAGE);
    assert!(!error.is_bad_padding());
    assert!(error.to_string().contains("TPM12_TCTI"), "{error}");
    let error = client.sign(&plain, &zeros(), &[1; 246]).unwrap_err();
    assert_eq!(failure(&error).code(), Code(3));
    sign(client, &plain, None);

    // The owner of this TPM has allowed everybody who knows the SRK's secret to read its public part.
    assert!(permanent.read_srk_pub);
    let srk = client.srk_public(&zeros()).unwrap();
    assert_eq!((srk.modulus().len(), srk.exponent()), (256, 65537));
    assert_eq!(client.srk_public_for_owner(&zeros()).unwrap(), srk);

    let password = AuthValue::from_password(b"pass");
    let made = client
        .create(&zeros(), &Template::legacy(1024, true), &password, &zeros())
        .unwrap();
    let made = Key::new(made, zeros());
    assert!(made.blob().needs_auth());
    sign(client, &made, Some(b"pass"));
    let decrypted = client
        .unbind(&made, &password, &encrypt(&made, b"x"))
        .unwrap();
    assert_eq!(&decrypted[..], b"x");

    for password in [None, Some(&b"wrapped"[..])] {
        for key in wrapped_keys(client, 1, password) {
            sign(client, &key, password);
        }
    }
}

#[test]
fn raw_through_a_unix_socket() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, _) = simulator.client();
    everything(&client);
    client.release();
    simulator.assert_empty();
}

#[test]
fn raw_through_tcp_where_the_tpm_hangs_up_after_every_answer() {
    let simulator = Simulator::of_the_key_files(Server::Tcp);
    let (client, _) = simulator.client();
    everything(&client);
    client.release();
    simulator.assert_empty();
}

#[test]
fn through_tcsd() {
    let simulator = Simulator::with_tcsd();
    let (client, _) = simulator.client();
    everything(&client);
}

#[test]
fn in_this_process() {
    // libtpms serves one TPM per process.
    if alone().is_none() {
        finish_alone(start_alone("transports::in_this_process", "-"));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("tpm-00.permall");
    fs::write(state, data("tpm-00.permall")).unwrap();
    let address = format!("libtpms:{}", directory.path().display());
    let (client, _) = client_of(&address, limits());
    everything(&client);
}

#[test]
fn raw_clients_and_tcsd_share_one_tpm() {
    let simulator = Simulator::with_tcsd();
    let (through, _) = simulator.client();
    let (past, _) = simulator.raw_client();
    for _ in 0..3 {
        sign(&through, &key_file("tss.pem"), None);
        sign(&past, &key_file("my.key"), None);
    }
    past.release();
    simulator.assert_empty();
}

#[test]
fn a_tpm_2_is_told_from_a_tpm_1_2() {
    let directory = Scratch::new();
    let socket = directory.join("swtpm");
    let server = format!("type=unixio,path={}", socket.display());
    let mut swtpm = swtpm(&directory, &server, &["--tpm2"]);
    assert!(came_up(&mut swtpm, || UnixStream::connect(&socket).is_ok()));
    let (client, _) = client_of(&format!("swtpm:path={}", socket.display()), limits());
    let error = client
        .sign(&key_file("tss.pem"), &zeros(), &digest_info())
        .unwrap_err();
    assert!(
        matches!(failure(&error), Failure::NotTpm12 { .. }),
        "{error}"
    );
    let empty = directory.join("new");
    let (client, _) = client_of(&format!("libtpms:{}", empty.display()), limits());
    let error = client.structure_version().unwrap_err();
    assert!(
        matches!(failure(&error), Failure::NotTpm12 { .. }),
        "{error}"
    );
    let _ = swtpm.kill();
    let _ = swtpm.wait();
}
