//! What is believed is authenticated, and held against what was asked for.
#![forbid(unsafe_code)]

use super::*;
use crate::{Error, ErrorKind};

const KEY: u32 = 0x8100_0002;

/// A client for which only the standard primary of this TPM is a parent.
fn anchored(simulator: &Simulator, sessions: Sessions) -> (Client, Log) {
    let (client, _) = simulator.client(Sessions::Never);
    let name = client.read_public(handle::SRK).unwrap().name;
    with_parent(simulator, sessions, name)
}

fn with_parent(simulator: &Simulator, sessions: Sessions, name: Name) -> (Client, Log) {
    let options = Options {
        parent_name: ParentName::Only(name),
        ..options(sessions)
    };
    simulator.client_with(options, false)
}

/// A TPM with a storage root key and a persistent key.
fn with_persistent_key(template: &Public, auth: &[u8]) -> (Simulator, Object) {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, _) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), template, auth);
    client.evict_control(&key, KEY, &Secret::empty()).unwrap();
    client.release_at_exit();
    (simulator, Object::persistent(KEY, key.public).unwrap())
}

#[track_caller]
fn assert_forged<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    let kind = error.kind();
    let refused = matches!(
        kind,
        ErrorKind::SessionIntegrity { .. } | ErrorKind::Malformed(_)
    );
    assert!(refused, "{error}");
}

#[test]
fn a_changed_answer_that_would_be_believed_is_refused() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let none = Secret::empty();
    // Of Create the private part, the public area's key and its attributes, and the HMAC.
    for parent in [owner(), Parent::new(handle::SRK)] {
        for from_end in [1, 33, 150, 200, 300] {
            log.inject("Create", Fault::Flip(from_end));
            assert_forged(client.create(&parent, &sign_only(), &none));
        }
    }
    let key = make(&client, &owner(), &sign_only(), b"");
    log.inject("Load", Fault::Flip(60));
    assert_forged(client.sign(&key, &none, ECDSA, &digest()));
    for object in [&key, &make(&client, &owner(), &sign_and_decrypt(), b"")] {
        log.inject("EvictControl", Fault::Flip(1));
        assert_forged(client.evict_control(object, KEY, &none));
        // It was done all the same.
        let there = Object::persistent(KEY, object.public.clone()).unwrap();
        client.evict_control(&there, KEY, &none).unwrap();
    }
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn an_unauthenticated_object_of_another_kind_is_refused_too() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Never);
    let created = client
        .create(&owner(), &sign_only(), &Secret::empty())
        .unwrap();
    let asked = created.public.attributes();
    log.inject(
        "Create",
        Fault::Replace(asked.0, asked.without(Attributes::FIXED_TPM).0),
    );
    let error = client
        .create(&owner(), &sign_only(), &Secret::empty())
        .unwrap_err();
    let ErrorKind::NotAsAsked { command, what } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(*command, "TPM2_Create");
    assert!(what.contains("attributes"), "{what}");
    simulator.assert_empty();
}

#[test]
fn a_persistent_key_is_vouched_for_by_its_name() {
    let (simulator, key) = with_persistent_key(&sign_only(), b"");
    let (client, log) = simulator.client(Sessions::Auto);
    let read = client.read_key(KEY, Some(&key.name)).unwrap();
    assert_eq!(read.public, key.public);
    log.expect("ReadPublic");
    let error = client.read_key(handle::SRK, Some(&key.name)).unwrap_err();
    let ErrorKind::ObjectName { expected, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(*expected, key.name);
    // A public area that is not the one of the name it comes with.
    log.inject("ReadPublic", Fault::Flip(80));
    assert!(matches!(
        client.read_key(KEY, None).unwrap_err().kind(),
        ErrorKind::Malformed(_)
    ));
}

#[test]
fn a_persistent_key_is_vouched_for_by_the_parent_s_name() {
    let (simulator, key) = with_persistent_key(&sign_only(), b"");
    let (client, log) = anchored(&simulator, Sessions::Auto);
    log.take();
    assert_eq!(client.read_key(KEY, None).unwrap().name, key.name);
    log.expect("ReadPublic ReadPublic StartAuthSession ReadPublic");
    for from_end in [1, 40, 80, 120] {
        log.inject("ReadPublic", Fault::Later);
        log.inject("ReadPublic", Fault::Flip(from_end));
        assert_forged(client.read_key(KEY, None));
        // The session is over, but that is not believed of an answer that was changed.
        log.expect("ReadPublic StartAuthSession ReadPublic FlushContext!1cb");
    }
    // The URI's own name comes first and costs less.
    let (client, log) = anchored(&simulator, Sessions::Auto);
    client.read_key(KEY, Some(&key.name)).unwrap();
    log.expect("ReadPublic");
    // Another parent vouches for nothing.
    let (client, _) = with_parent(&simulator, Sessions::Auto, key.name.clone());
    assert!(matches!(
        client.read_key(KEY, None).unwrap_err().kind(),
        ErrorKind::ParentName { .. }
    ));
    simulator.assert_empty();
    // Who gives sessions up gives this up.
    let (client, log) = anchored(&simulator, Sessions::Never);
    client.read_key(KEY, None).unwrap();
    log.expect("ReadPublic");
}

#[test]
fn the_null_hierarchys_primary_is_the_tpms() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    log.take();
    let name = client.null_primary(&Secret::empty()).unwrap();
    log.expect("ReadPublic StartAuthSession CreatePrimary FlushContext");
    // The name by itself: another program's, of the standard template.
    services::tool(
        &simulator,
        &[
            "tpm2_createprimary",
            "-Q",
            "-C",
            "n",
            "-G",
            "ecc",
            "-c",
            "null.ctx",
            "-a",
            "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
        ],
    );
    services::tool(
        &simulator,
        &["tpm2_readpublic", "-Q", "-c", "null.ctx", "-n", "null.name"],
    );
    services::tool(&simulator, &["tpm2_flushcontext", "-t"]);
    assert_eq!(*name.as_bytes(), *simulator.directory.read("null.name"));
    for from_end in [1, 40, 60, 200, 300] {
        log.inject("CreatePrimary", Fault::Flip(from_end));
        assert_forged(client.null_primary(&Secret::empty()));
        simulator.assert_empty();
    }
    // Only below a parent that is the TPM's, where one is named.
    let (anchored, _) = anchored(&simulator, Sessions::Never);
    assert_eq!(anchored.null_primary(&Secret::empty()).unwrap(), name);
    let (other, _) = with_parent(&simulator, Sessions::Auto, name);
    assert!(matches!(
        other.null_primary(&Secret::empty()).unwrap_err().kind(),
        ErrorKind::ParentName { .. }
    ));
    simulator.assert_empty();
}

/// A key in clear, of whom nobody else may know anything.
#[test]
fn nothing_is_imported_below_somebody_elses_parent() {
    let simulator = Simulator::new();
    simulator.provision();
    let (plain, _) = simulator.client(Sessions::Auto);
    let key = make(&plain, &owner(), &sign_only(), b"");
    let outside = |attributes: Attributes| {
        Public::assemble(
            key.public.name_alg(),
            attributes,
            &[],
            key.public.parms().clone(),
            key.public.unique().clone(),
        )
        .unwrap()
    };
    let movable = key
        .public
        .attributes()
        .without(Attributes::FIXED_TPM)
        .without(Attributes::FIXED_PARENT);
    let sensitive = Sensitive {
        auth: Secret::empty(),
        seed: Secret::empty(),
        private: Secret::new(vec![0x5a; 32]),
    };
    let incoming = Incoming::Clear(&sensitive);
    for parent in [owner(), Parent::new(handle::SRK)] {
        for sessions in [Sessions::Auto, Sessions::Never] {
            let (client, log) = with_parent(&simulator, sessions, key.name.clone());
            let error = client
                .import(&parent, &outside(movable), incoming)
                .unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::ParentName { .. }),
                "{error}"
            );
            assert!(!log.take().contains(&"Import".to_owned()));
        }
    }
    // The TPM itself refuses a private half that is not the public one's (TPM_RC_BINDING).
    let refused = plain.import(&owner(), &outside(movable), incoming);
    assert_eq!(refused.unwrap_err().code().unwrap().base(), 0x0a5);
    // And what could not leave the TPM that made it.
    let refused = plain.import(&owner(), &outside(key.public.attributes()), incoming);
    assert!(refused.unwrap_err().code().is_some());
    plain.release_at_exit();
    simulator.assert_empty();
}
