//! A bare TPM: what stays in it, what is flushed, and what happens when something is lost.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_key_without_a_password_stays_and_one_with_a_password_does_not() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let plain = key_file("tss.pem");
    sign(&client, &plain, None);
    log.expect("OIAP LoadKey2 Sign");
    sign(&client, &plain, None);
    log.expect("Sign");
    // For a decryption the key is made sure of first: what is in the TPM may have changed.
    let ciphertext = encrypt(&plain, b"secret");
    client.unbind(&plain, &zeros(), &ciphertext).unwrap();
    log.expect("GetPubKey UnBind");
    let secret = key_file("tss-auth.pem");
    for _ in 0..2 {
        sign(&client, &secret, Some(PASSWORD));
        log.expect("OIAP LoadKey2 OIAP Sign FlushSpecific");
    }
    client.forget(&plain);
    sign(&client, &plain, None);
    log.expect("GetPubKey FlushSpecific OIAP LoadKey2 Sign");
    client.check(&plain, &zeros(), &digest_info()).unwrap();
    log.expect("Sign GetPubKey FlushSpecific");
    client.release_at_exit();
    log.expect("");
    simulator.assert_empty();
}

#[test]
fn every_error_path_flushes_what_it_loaded() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let (plain, secret) = (key_file("tss.pem"), key_file("tss-auth.pem"));
    let password = AuthValue::from_password(PASSWORD);
    let plain_sign = || client.sign(&plain, &zeros(), &digest_info());
    let secret_sign = || client.sign(&secret, &password, &digest_info());

    log.inject("Sign", Fault::Code(9));
    assert_eq!(failure(&plain_sign().unwrap_err()).code(), Code::FAIL);
    log.expect("OIAP LoadKey2 Sign!9 FlushSpecific");
    for fault in [Fault::FlipHmac, Fault::FlipParameter(5), Fault::NoAuth] {
        log.inject("Sign", fault);
        let error = secret_sign().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::SessionIntegrity {
                    command: "TPM_Sign"
                }
            ),
            "{error}"
        );
        log.expect("OIAP LoadKey2 OIAP Sign FlushSpecific");
    }
    log.inject("OIAP", Fault::Code(9));
    secret_sign().unwrap_err();
    log.clear();
    // A session whose command is never answered for good is ended.
    log.inject("Sign", Fault::Code(0x800));
    secret_sign().unwrap();
    log.expect("OIAP LoadKey2 OIAP Sign!800 FlushSpecific OIAP Sign FlushSpecific");
    log.inject("Sign", Fault::Code(0x801));
    secret_sign().unwrap();
    log.expect("OIAP LoadKey2 OIAP Sign!801 FlushSpecific SelfTestFull OIAP Sign FlushSpecific");
    log.inject("CreateWrapKey", Fault::FlipParameter(9));
    let error = client
        .create(&zeros(), &Template::legacy(1024, false), &zeros(), &zeros())
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::SessionIntegrity { .. }));
    simulator.assert_empty();
}

#[test]
fn a_handle_that_was_lost_or_leads_elsewhere_is_made_again() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let plain = key_file("tss.pem");
    sign(&client, &plain, None);
    // Another client of ours flushes all that ended processes and this one have loaded.
    simulator.client().0.release();
    log.clear();
    {
        let (other, _) = simulator.client();
        let handle = other.loaded_keys().unwrap()[0];
        other
            .with(|tpm| {
                tpm.flush_key(handle);
                Ok(())
            })
            .unwrap();
    }
    sign(&client, &plain, None);
    log.expect("OIAP LoadKey2 Sign");
    // A restart of the TPM that nobody notes in the table.
    log.inject("Sign", Fault::Code(0xc));
    sign(&client, &plain, None);
    log.expect("Sign!c OIAP LoadKey2 Sign");
    // Another key has the handle now.
    for code in [0x1, 0x24, 0x3] {
        log.inject("Sign", Fault::Code(code));
        log.inject("GetPubKey", Fault::FlipParameter(3));
        sign(&client, &plain, None);
        log.expect(&format!("Sign!{code:x} GetPubKey OIAP LoadKey2 Sign"));
    }
    // It is the key, and it was refused.
    let error = client.sign(&plain, &zeros(), &[1; 246]).unwrap_err();
    assert_eq!(failure(&error).code(), Code(3));
    log.expect("Sign!3 GetPubKey");
    // The handle leads to another key: never decrypt with it.
    log.inject("GetPubKey", Fault::FlipParameter(3));
    let ciphertext = encrypt(&plain, b"secret");
    client.unbind(&plain, &zeros(), &ciphertext).unwrap();
    log.expect("GetPubKey OIAP LoadKey2 UnBind");
}

#[test]
fn a_tpm_of_version_1_1_gets_the_old_commands() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let secret = key_file("tss-auth.pem");
    log.inject("LoadKey2", Fault::Code(0xa));
    sign(&client, &secret, Some(PASSWORD));
    // libtpms knows TPM_LoadKey still, whose answer's handle is authorized, too.
    log.expect("OIAP LoadKey2!a Terminate_Handle OIAP LoadKey OIAP Sign EvictKey");
    sign(&client, &secret, Some(PASSWORD));
    log.expect("OIAP LoadKey OIAP Sign EvictKey");
    simulator.assert_empty();
}

#[test]
fn a_full_tpm_gives_up_our_least_recently_used_key_and_says_so_when_there_is_none() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let plain = key_file("tss.pem");
    let other = key_file("my.key");
    sign(&client, &plain, None);
    log.clear();
    log.inject("LoadKey2", Fault::Code(0x15));
    sign(&client, &other, None);
    log.expect("OIAP LoadKey2!15 FlushSpecific GetPubKey FlushSpecific OIAP LoadKey2 Sign");
    client.release();
    log.clear();
    for _ in 0..3 {
        log.inject("OIAP", Fault::Code(0x15));
    }
    let error = client.sign(&plain, &zeros(), &digest_info()).unwrap_err();
    assert!(
        matches!(
            failure(&error),
            Failure::Full {
                command: "TPM_OIAP"
            }
        ),
        "{error}"
    );
    log.expect("OIAP!15");
}

#[test]
fn a_child_process_leaves_its_parents_keys_alone() {
    use crate::transport::testing::Forked;
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let plain = key_file("tss.pem");
    sign(&client, &plain, None);
    log.clear();
    let child = Forked::new(|| {
        client.release_at_exit();
        log.expect("");
        // It may use the loaded key: the table is shared, and the signature is verified.
        sign(&client, &plain, None);
        sign(&client, &key_file("my.key"), None);
        client.release_at_exit();
        vec![1]
    });
    assert_eq!(child.wait(), Some(vec![1]));
    assert_eq!(client.loaded_keys().unwrap().len(), 1);
    log.clear();
    sign(&client, &plain, None);
    log.expect("Sign");
    client.release();
    simulator.assert_empty();
}

/// Another program flushes our key, and its own gets the handle, which is in our table then.
#[test]
fn a_key_that_took_the_place_of_ours_is_left_alone() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let plain = key_file("tss.pem");
    let take_place = |theirs: &Key| {
        let handle = client
            .with(|tpm| {
                for entry in tpm.state.loaded.entries().to_vec() {
                    tpm.flush_key(entry.handle);
                }
                let handle = tpm.load(theirs, true)?;
                let own = tpm.state.process();
                tpm.state.loaded.add(handle, plain.fingerprint, own);
                tpm.save();
                Ok(handle)
            })
            .unwrap();
        log.clear();
        handle
    };
    let exit: &dyn Fn() = &|| client.release_at_exit();
    let forget: &dyn Fn() = &|| {
        client.forget(&plain);
        client.structure_version().unwrap();
    };
    let evict: &dyn Fn() = &|| {
        log.inject("GetCapability", Fault::Code(0x15));
        client.structure_version().unwrap_err();
    };
    for (leave, asked) in [
        (exit, "GetPubKey"),
        (forget, "GetPubKey GetCapability"),
        (evict, "GetCapability!15 GetPubKey"),
    ] {
        // One tells what it is, the other one that it needs a password.
        for (name, refused) in [("my.key", ""), ("tss-auth.pem", "!1")] {
            let theirs = take_place(&key_file(name));
            leave();
            log.expect(&asked.replace("GetPubKey", &format!("GetPubKey{refused}")));
            assert_eq!(client.loaded_keys().unwrap(), [theirs]);
            // The entry is gone, too.
            log.clear();
            client.release_at_exit();
            log.expect("");
            client.with(|tpm| tpm.flush(theirs)).unwrap();
        }
    }
    // What is ours goes.
    sign(&client, &plain, None);
    log.clear();
    client.release_at_exit();
    log.expect("GetPubKey FlushSpecific");
    simulator.assert_empty();
}

/// A blob's fingerprint is that of all of it, so that what is loaded serves only who has the private part.
#[test]
fn a_forged_blob_signs_nothing() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, _) = simulator.client();
    let plain = key_file("tss.pem");
    sign(&client, &plain, None);
    let mut forged = blob_of("tss.pem");
    let end = forged.len();
    forged[end - 200..].fill(0);
    let forged = Key::new(KeyBlob::parse(&forged).unwrap(), zeros());
    assert_eq!(forged.blob().modulus(), plain.blob().modulus());
    for client in [&client, &simulator.client().0] {
        client.sign(&forged, &zeros(), &digest_info()).unwrap_err();
    }
    sign(&client, &plain, None);
    client.release();
    simulator.assert_empty();
}
