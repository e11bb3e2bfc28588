//! What things cost (design decision 4).
#![forbid(unsafe_code)]

use super::*;

#[test]
fn creation_under_a_hierarchy_takes_four_commands() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    make(&client, &owner(), &sign_only(), b"");
    log.expect("CreatePrimary StartAuthSession Create FlushContext");
    // No probe for a storage root key either where there is one.
    simulator.provision();
    make(&client, &owner(), &sign_only(), b"");
    log.expect("CreatePrimary StartAuthSession Create FlushContext");
    simulator.assert_empty();
}

#[test]
fn under_a_persistent_parent() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &Parent::new(handle::SRK), &sign_only(), b"");
    log.expect("ReadPublic StartAuthSession Create");
    sign(&client, &key, b"");
    log.expect("StartAuthSession Load Sign");
    sign(&client, &key, b"");
    log.expect("Sign");
    client.release_at_exit();
    log.expect("ReadPublic FlushContext");
    simulator.assert_empty();
}

#[test]
fn under_a_hierarchy_with_and_without_a_storage_root_key() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    log.take();
    sign(&client, &key, b"");
    log.expect("ReadPublic!18b CreatePrimary StartAuthSession Load FlushContext Sign");
    sign(&client, &key, b"");
    log.expect("Sign");
    let other = make(&client, &owner(), &sign_only(), b"");
    log.take();
    sign(&client, &other, b"");
    log.expect("CreatePrimary StartAuthSession Load FlushContext Sign");
    client.release_at_exit();
    log.expect("ReadPublic FlushContext ReadPublic FlushContext");

    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    sign(&client, &key, b"");
    log.expect("ReadPublic StartAuthSession Load Sign");
    sign(&client, &other, b"");
    log.expect("StartAuthSession Load Sign");
    sign(&client, &key, b"");
    log.expect("Sign");
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn under_the_other_hierarchies_and_templates() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    for handle in [handle::NULL, handle::ENDORSEMENT, handle::PLATFORM] {
        let key = make(&client, &Parent::new(handle), &sign_only(), b"");
        log.take();
        sign(&client, &key, b"");
        log.expect("CreatePrimary StartAuthSession Load FlushContext Sign");
        client.release_at_exit();
        log.take();
    }
    for template in [PrimaryTemplate::Rsa, PrimaryTemplate::Legacy] {
        let parent = Parent {
            template,
            ..owner()
        };
        let rooted = sign_only().attributes();
        // What is under a parent that may move may move too.
        let attributes = match template {
            PrimaryTemplate::Legacy => rooted.without(Attributes::FIXED_TPM),
            _ => rooted,
        };
        let public = Public::ecc_template(Curve::NIST_P256, attributes, Scheme::Null).unwrap();
        let key = make(&client, &parent, &public, b"");
        sign(&client, &key, b"");
    }
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_persistent_key_takes_one_command() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), b"");
    client
        .evict_control(&key, 0x8100_0002, &Secret::empty())
        .unwrap();
    log.take();
    let public = client.read_public(0x8100_0002).unwrap().public;
    let persistent = Object::persistent(0x8100_0002, public).unwrap();
    sign(&client, &persistent, b"");
    log.expect("ReadPublic Sign");
    sign(&client, &persistent, b"");
    log.expect("Sign");
    client
        .evict_control(&persistent, 0x8100_0002, &Secret::empty())
        .unwrap();
    let error = client.read_public(0x8100_0002).unwrap_err().to_string();
    assert!(
        error.contains("0x81000002") && error.contains("tpmctl info"),
        "{error}"
    );
}

#[test]
fn thirty_two_keys_on_three_slots() {
    let simulator = Simulator::new();
    simulator.provision();
    for managed in [false, true] {
        let (client, log) = simulator.client_with(options(Sessions::Auto), managed);
        let keys: Vec<_> = (0..32)
            .map(|_| make(&client, &owner(), &sign_only(), b""))
            .collect();
        // The contexts of the last ones are saved in the second round.
        for _ in 0..3 {
            log.take();
            for key in &keys {
                sign(&client, key, b"");
            }
        }
        let cost = log.take();
        assert!(
            cost.len() <= 32 * 4,
            "{} commands: {}",
            cost.len(),
            cost.join(" ")
        );
        let loads = cost.iter().filter(|name| name.ends_with("Load")).count();
        assert_eq!(loads, 32);
        if managed {
            assert_eq!(cost.len(), 32 * 3);
            simulator.clear_away();
        } else {
            client.release_at_exit();
        }
        simulator.assert_empty();
    }
}

/// A primary is what costs most on a real chip: it is made once for each key, not once for each eviction.
#[test]
fn keys_under_a_primary_come_back_by_their_contexts() {
    let mut simulator = Simulator::new();
    for managed in [false, true] {
        let (client, log) = simulator.client_with(options(Sessions::Auto), managed);
        let keys: Vec<_> = (0..8)
            .map(|_| make(&client, &owner(), &sign_only(), b""))
            .collect();
        let round = || {
            log.take();
            for key in &keys {
                sign(&client, key, b"");
            }
            log.take()
        };
        let count = |cost: &[String], name: &str| cost.iter().filter(|c| *c == name).count();
        assert_eq!(count(&round(), "CreatePrimary"), 8);
        // The last keys are evicted for the first time.
        let second = round();
        assert_eq!(count(&second, "CreatePrimary"), 0, "{second:?}");
        let third = round();
        assert_eq!(count(&third, "ContextLoad"), 8, "{third:?}");
        assert_eq!(count(&third, "ContextSave"), 0, "{third:?}");
        let swap = if managed { 3 } else { 4 };
        assert_eq!(third.len(), 8 * swap, "{third:?}");
        if managed {
            simulator.clear_away();
        } else {
            client.release_at_exit();
        }
        simulator.assert_empty();

        // Contexts do not survive a reset, keys do.
        simulator.restart();
        let after = round();
        // Nor does the session to the first parent, where a resource manager kept it.
        let primaries = 8 + usize::from(managed);
        assert_eq!(count(&after, "CreatePrimary"), primaries, "{after:?}");
        if managed {
            simulator.clear_away();
        } else {
            client.release_at_exit();
        }
        simulator.assert_empty();
    }
}

#[test]
fn a_restricted_key_signs_what_the_tpm_has_hashed() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let usage = Attributes::SIGN.with(Attributes::RESTRICTED);
    let scheme = Scheme::Hashed(AlgId::ECDSA, AlgId::SHA256);
    let attributes = Public::key_attributes(usage);
    let template = Public::ecc_template(Curve::NIST_P256, attributes, scheme).unwrap();
    let key = make(&client, &owner(), &template, b"");
    log.take();
    let signed = |message: &[u8]| {
        let auth = Secret::empty();
        let signature = client
            .sign_restricted(&key, &auth, SignScheme::Null, AlgId::SHA256, message)
            .unwrap();
        assert!(is_good(
            &key,
            &crypto::hash(Hash::Sha256, &[message]),
            &signature
        ));
    };
    signed(b"short");
    log.expect("Hash ReadPublic StartAuthSession Load Sign");
    signed(&[7; 1024]);
    log.expect("Hash Sign");
    signed(&[7; 2049]);
    log.expect("HashSequenceStart SequenceUpdate SequenceUpdate SequenceComplete Sign");
    signed(b"");
    let generated = b"\xffTCG and more";
    let error = client
        .sign_restricted(
            &key,
            &Secret::empty(),
            SignScheme::Null,
            AlgId::SHA256,
            generated,
        )
        .unwrap_err();
    assert!(error.to_string().contains("TPM_GENERATED_VALUE"), "{error}");
    client.release_at_exit();
    simulator.assert_empty();
}
