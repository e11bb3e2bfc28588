//! Several users of one bare TPM, and processes that come and go.
#![forbid(unsafe_code)]

use super::*;
use crate::os::process::Process;
use crate::tpm2::transaction::loaded::LoadedObjects;

/// Replaces the owner of every object in the shared table.
fn disown(client: &Client, owner: Process) {
    client
        .with(|tpm| {
            let mut table = LoadedObjects::default();
            for entry in tpm.state.loaded.entries() {
                table.add(entry.handle, entry.identity.clone(), owner);
            }
            tpm.state.loaded = table;
            Ok(())
        })
        .unwrap();
}

/// A process that has ended.
fn ended() -> Process {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    Process { pid, started: 1 }
}

fn private_part(key: &Object) -> &[u8] {
    let Source::Blob { private, .. } = &key.source else {
        panic!("a key of a file");
    };
    private
}

/// The key's true public area, with private parts that nobody made: of zeros, with the last bit changed, and
/// none at all; and the true one under another parent.
fn forgeries(key: &Object) -> [Object; 4] {
    let private = private_part(key);
    let mut zeros = private.to_vec();
    zeros[2..].fill(0);
    let mut changed = private.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let with = |private: &[u8], parent| {
        Object::from_blob(key.public.clone(), private.to_vec(), parent).unwrap()
    };
    [
        with(&zeros, owner()),
        with(&changed, owner()),
        with(&[0, 0], owner()),
        with(private, Parent::new(handle::NULL)),
    ]
}

/// Neither what is loaded nor what was saved when it was evicted serves who has the public area alone.
#[test]
fn a_name_is_not_a_capability() {
    let simulator = Simulator::new();
    simulator.provision();
    for managed in [false, true] {
        for pin in [&b""[..], PIN] {
            let (client, log) = simulator.client_with(options(Sessions::Auto), managed);
            let key = make(&client, &owner(), &sign_only(), pin);
            let refused = |what: &str| {
                for forged in forgeries(&key) {
                    log.take();
                    let signed = client.sign(&forged, &Secret::from(pin), ECDSA, &digest());
                    let error = signed.map(drop).expect_err(what);
                    let sent = log.take();
                    let used = ["Load", "ContextLoad", "Sign"];
                    assert!(
                        !sent.iter().any(|name| used.contains(&name.as_str())),
                        "{what}, managed: {managed}: {error}: {sent:?}"
                    );
                }
            };
            refused("never loaded");
            sign(&client, &key, pin);
            refused("loaded");
            // The key itself is where it was, or comes back.
            sign(&client, &key, pin);
            for _ in 0..4 {
                let other = make(&client, &owner(), &sign_only(), b"");
                sign(&client, &other, b"");
            }
            refused("evicted and saved");
            sign(&client, &key, pin);
            if managed {
                simulator.clear_away();
            } else {
                client.release_at_exit();
            }
            simulator.assert_empty();
            assert_eq!(client.lockout().unwrap().counter, 0);
        }
    }
}

/// Another program flushes our object, and its own gets the handle.
#[test]
fn what_took_the_place_of_ours_is_left_alone() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    let exit: &dyn Fn() = &|| client.release_at_exit();
    let forget: &dyn Fn() = &|| {
        client.forget(&key);
        client.random(1).unwrap();
    };
    let evict: &dyn Fn() = &|| {
        log.inject("GetRandom", Fault::Code(0x902));
        client.random(1).unwrap();
    };
    for (how, leave, cost) in [
        ("exit", exit, "ReadPublic"),
        ("forget", forget, "ReadPublic GetRandom"),
        ("evict", evict, "GetRandom!902 ReadPublic GetRandom"),
    ] {
        sign(&client, &key, b"");
        let taken = client.loaded_objects().unwrap();
        assert_eq!(taken.len(), 1, "{how}");
        let (foreign, _) = simulator.managed_client(Sessions::Never);
        foreign.flush(taken[0]).unwrap();
        let other = make(&foreign, &owner(), &sign_only(), b"other");
        foreign
            .sign(&other, &Secret::from(&b"other"[..]), ECDSA, &digest())
            .unwrap();
        assert_eq!(foreign.loaded_objects().unwrap(), taken, "{how}");
        log.take();
        leave();
        log.expect(cost);
        assert_eq!(foreign.loaded_objects().unwrap(), taken, "{how}");
        // The entry is gone, too.
        client.release_at_exit();
        log.expect("");
        foreign.flush(taken[0]).unwrap();
        // Nothing at all is there: the same.
        sign(&client, &key, b"");
        foreign.flush(client.loaded_objects().unwrap()[0]).unwrap();
        log.take();
        leave();
        log.expect(&cost.replacen("ReadPublic", "ReadPublic!910", 1));
        client.release_at_exit();
        simulator.assert_empty();
    }
}

#[test]
fn two_workers_pay_for_one_load() {
    let simulator = Simulator::new();
    simulator.provision();
    let (one, one_log) = simulator.client(Sessions::Auto);
    let (two, two_log) = simulator.client(Sessions::Auto);
    let key = make(&one, &owner(), &sign_only(), b"");
    one_log.take();
    sign(&one, &key, b"");
    one_log.expect("ReadPublic StartAuthSession Load Sign");
    sign(&two, &key, b"");
    two_log.expect("Sign");
    for _ in 0..5 {
        sign(&one, &key, b"");
        sign(&two, &key, b"");
    }
    assert_eq!(one_log.take().len() + two_log.take().len(), 10);
    one.release_at_exit();
    simulator.assert_empty();
    // The other one notices, and loads the key for itself.
    sign(&two, &key, b"");
    two_log.expect("ReadPublic StartAuthSession Load Sign");
    two.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn another_process_uses_what_is_loaded() {
    const ADDRESS: &str = "TPM_PROVIDER_TEST_ADDRESS";
    const NAME: &str = "tpm2::tests::sharing::another_process_uses_what_is_loaded";
    // The key travels by file.
    if let Ok(address) = std::env::var(ADDRESS) {
        let (client, log) = client_of(&address, options(Sessions::Auto), false);
        let file = |name| {
            let socket = address.strip_prefix("swtpm:path=").unwrap();
            fs::read(socket.replace(SOCKET, name)).unwrap()
        };
        let public = Public::from_tpm2b(&file("public")).unwrap();
        let key = Object::from_blob(public, file("private"), owner()).unwrap();
        sign(&client, &key, b"");
        log.expect("Sign");
        for forged in forgeries(&key) {
            let signed = client.sign(&forged, &Secret::empty(), ECDSA, &digest());
            signed.map(drop).unwrap_err();
            let sent = log.take();
            assert!(!sent.iter().any(|name| name == "Sign"), "{sent:?}");
        }
        sign(&client, &key, b"");
        log.expect("Sign");
        client.release_at_exit();
        log.expect("");
        return;
    }
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    sign(&client, &key, b"");
    log.take();
    fs::write(
        simulator.directory.path().join("public"),
        key.public.to_tpm2b(),
    )
    .unwrap();
    fs::write(
        simulator.directory.path().join("private"),
        private_part(&key),
    )
    .unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--test-threads=1"])
        .env(ADDRESS, simulator.address())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{shown}"
    );
    // What it did not load it did not flush either.
    sign(&client, &key, b"");
    log.expect("Sign");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn what_a_killed_process_left_is_used_or_cleared_away() {
    let simulator = Simulator::new();
    simulator.provision();
    let (killed, _) = simulator.client(Sessions::Auto);
    // Two, since a persistent parent needs the third slot while it is used.
    let keys: Vec<_> = (0..2)
        .map(|_| make(&killed, &owner(), &sign_only(), b""))
        .collect();
    for key in &keys {
        sign(&killed, key, b"");
    }
    disown(&killed, ended());
    let (client, log) = simulator.client(Sessions::Auto);
    sign(&client, &keys[0], b"");
    log.expect("Sign");
    // The TPM is full of a dead process's objects; one goes, once its name is confirmed.
    let new = make(&client, &Parent::new(handle::SRK), &sign_only(), b"");
    log.expect("ReadPublic StartAuthSession Create!902 ReadPublic FlushContext Create");
    sign(&client, &new, b"");
    log.expect("StartAuthSession Load Sign");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn objects_of_others_are_never_touched() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    // A program that does not know the table fills the TPM.
    let (foreign, _) = simulator.managed_client(Sessions::Never);
    let fill = || {
        let request = commands::hierarchy::CreatePrimary {
            hierarchy: handle::NULL,
            template: &Public::ecc_primary().unwrap(),
        };
        let empty = Secret::empty();
        foreign
            .with(|tpm| tpm.run(&request, &[Authority::Password(&empty)]))
            .unwrap()
            .handle
    };
    let mut handles: Vec<_> = (0..3).map(|_| fill()).collect();
    log.take();
    let error = client
        .sign(&key, &Secret::empty(), ECDSA, &digest())
        .unwrap_err();
    log.expect("ReadPublic!902");
    let text = error.to_string();
    for part in [
        "0x902",
        "tpmctl flush",
        "/dev/tpmrm0",
        &simulator.address(),
        "TPM_TCTI",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // One slot for the key, and one for the parent while it is used.
    for freed in [handles.pop().unwrap(), handles.pop().unwrap()] {
        client.flush(freed).unwrap();
    }
    sign(&client, &key, b"");
    let other = make(&client, &Parent::new(handle::SRK), &sign_only(), b"");
    sign(&client, &other, b"");
    client.release_at_exit();
    assert_eq!(client.loaded_objects().unwrap(), handles);
}

#[test]
fn a_handle_that_changed_hands() {
    for pin in [&b""[..], PIN] {
        for template in [sign_only(), sign_and_decrypt(), rsa_decrypt()] {
            let simulator = Simulator::new();
            simulator.provision();
            let (client, log) = simulator.client(Sessions::Auto);
            let key = make(&client, &owner(), &template, pin);
            let scheme = match key.public.object_type() {
                AlgId::RSA => SignScheme::Rsassa(AlgId::SHA256),
                _ => ECDSA,
            };
            let auth: Secret = pin.into();
            client.sign(&key, &auth, scheme, &digest()).unwrap();
            // Somebody flushes it and puts another key of the same kind in its place.
            let taken = client.loaded_objects().unwrap()[0];
            let (foreign, _) = simulator.managed_client(Sessions::Never);
            foreign.flush(taken).unwrap();
            let other = make(&foreign, &owner(), &template, b"other");
            foreign
                .sign(&other, &Secret::from(&b"other"[..]), scheme, &digest())
                .unwrap();
            assert_eq!(foreign.loaded_objects().unwrap(), [taken]);
            log.take();
            // No secret went to the other key, so nothing was counted.
            let signature = match client.sign(&key, &auth, scheme, &digest()) {
                Ok(signature) if is_good(&key, &digest(), &signature) => signature,
                Ok(_) => {
                    client.forget(&key);
                    client.sign(&key, &auth, scheme, &digest()).unwrap()
                }
                Err(error) => panic!("{error}: {}", log.take().join(" ")),
            };
            assert!(
                is_good(&key, &digest(), &signature),
                "{}",
                log.take().join(" ")
            );
            if !pin.is_empty() {
                assert_eq!(
                    client.lockout().unwrap().counter,
                    0,
                    "{}",
                    log.take().join(" ")
                );
            }
            client.release_at_exit();
            assert_eq!(client.loaded_objects().unwrap(), [taken]);
        }
    }
}

#[test]
fn a_restarted_tpm_goes_unnoticed() {
    let mut simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_and_decrypt(), PIN);
    sign(&client, &key, PIN);
    simulator.restart();
    // The same socket, another swtpm; the state went with the directory.
    let (client, log) = (client, log);
    log.take();
    sign(&client, &key, PIN);
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_garbled_table_is_no_table() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    let garble = |bytes: &[u8]| {
        let address = simulator.address().parse().unwrap();
        let endpoint = Endpoint::new(address, Origin::Detected).unwrap();
        let mut transport = Transport::new(endpoint, options(Sessions::Auto).limits);
        transport
            .transaction()
            .unwrap()
            .record()
            .unwrap()
            .set(bytes);
    };
    for bytes in [&b""[..], &[0xff; 4096], b"tpm\x02"] {
        sign(&client, &key, b"");
        for handle in client.loaded_objects().unwrap() {
            client.flush(handle).unwrap();
        }
        garble(bytes);
        log.take();
        sign(&client, &key, b"");
        let cost = log.take();
        assert!(
            cost.ends_with(&["Load".to_owned(), "Sign".to_owned()]),
            "{}",
            cost.join(" ")
        );
    }
    // A table that leads to nothing, or to another object.
    let mut table = LoadedObjects::default();
    table.add(0x8000_0002, key.fingerprint().unwrap(), Process::current());
    garble(&table.to_record());
    log.take();
    sign(&client, &key, b"");
    log.expect("Sign!910 StartAuthSession Load Sign");
}

#[test]
fn a_tpm_inside_the_process_starts_anew_in_every_section() {
    const ALONE: &str = "TPM_PROVIDER_TEST_INSIDE";
    const NAME: &str =
        "tpm2::tests::sharing::a_tpm_inside_the_process_starts_anew_in_every_section";
    // A process has one such TPM in its life, so the test has a process of its own.
    if std::env::var_os(ALONE).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again
            .args([NAME, "--exact", "--test-threads=1"])
            .env(ALONE, "1");
        let output = again.output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && shown.contains("1 passed"),
            "{shown}"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let address = format!("libtpms:{}", directory.path().display());
    let (client, log) = client_of(&address, options(Sessions::Auto), false);
    let key = make(&client, &owner(), &sign_only(), b"");
    log.expect("CreatePrimary StartAuthSession Create");
    for _ in 0..2 {
        // What is not there is asked for once; the rest again and again.
        sign(&client, &key, b"");
    }
    log.expect(
        "ReadPublic!18b CreatePrimary StartAuthSession Load Sign CreatePrimary StartAuthSession Load Sign",
    );
    client
        .evict_control(&key, 0x8100_0002, &Secret::empty())
        .unwrap();
    let persistent = Object::persistent(0x8100_0002, key.public.clone()).unwrap();
    log.take();
    sign(&client, &persistent, b"");
    log.expect("Sign");
    let key = make(&client, &owner(), &rsa_decrypt(), PIN);
    log.take();
    let scheme = SignScheme::Rsassa(AlgId::SHA256);
    for _ in 0..3 {
        client
            .sign(&key, &Secret::from(PIN), scheme, &digest())
            .unwrap();
        log.expect("CreatePrimary StartAuthSession Load StartAuthSession Sign");
    }
    client.release_at_exit();
    assert_eq!(client.lockout().unwrap().counter, 0);
}

/// One connection, one cache, many threads: with more keys than slots, each evicts what another has just used.
#[test]
fn threads_share_a_client() {
    let simulator = Simulator::new();
    simulator.provision();
    for managed in [false, true] {
        let (client, log) = simulator.client_with(options(Sessions::Auto), managed);
        let parent = Parent::new(handle::SRK);
        let keys: Vec<_> = (0..4)
            .map(|n| {
                let pin = if n == 3 { PIN } else { b"" };
                (make(&client, &parent, &sign_only(), pin), pin)
            })
            .collect();
        log.take();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (client, keys) = (&client, &keys);
                scope.spawn(move || {
                    for turn in 0..12 {
                        let (key, pin) = &keys[(thread + turn) % keys.len()];
                        sign(client, key, pin);
                        if turn == 5 {
                            client.forget(key);
                        }
                    }
                });
            }
        });
        let signed = log.take().iter().filter(|name| *name == "Sign").count();
        assert_eq!(signed, 8 * 12);
        if managed {
            simulator.clear_away();
        } else {
            client.release_at_exit();
        }
        simulator.assert_empty();
    }
}
