//! Everything but keys.
#![forbid(unsafe_code)]

use super::*;
use crate::tpm2::constants::property;

pub(super) fn tool(simulator: &Simulator, arguments: &[&str]) {
    let output = Command::new(arguments[0])
        .args(&arguments[1..])
        .env("TPM2TOOLS_TCTI", simulator.address())
        .current_dir(simulator.directory.path())
        .output()
        .expect("tpm2-tools: apt-get install tpm2-tools");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn capabilities() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let properties = client
        .capability_properties(property::FIXED, property::PERMANENT)
        .unwrap();
    assert!(
        properties
            .iter()
            .any(|(number, _)| *number == property::MANUFACTURER)
    );
    assert!(
        properties
            .iter()
            .all(|(number, _)| *number < property::PERMANENT)
    );
    assert!(
        client
            .algorithms()
            .unwrap()
            .iter()
            .any(|(algorithm, _)| *algorithm == AlgId::ECDSA)
    );
    assert!(client.commands().unwrap().contains(&CommandCode::SIGN));
    assert!(client.commands().unwrap().len() > 90);
    assert!(client.curves().unwrap().contains(&Curve::NIST_P256));
    assert_eq!(
        client.handles(handle::PERSISTENT_FIRST).unwrap(),
        [handle::SRK]
    );
    assert_eq!(client.handles(handle::NV_FIRST).unwrap(), Vec::<u32>::new());
    log.take();
    let lockout = client.lockout().unwrap();
    log.expect("GetCapability");
    assert!(!lockout.in_lockout && lockout.max_tries > 0);
}

/// Which curves there are is asked once for each client, and not before somebody wants to know.
#[test]
fn curves_are_asked_once() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    assert_eq!(client.known_curves(), None);
    log.expect("");
    // A failure is no answer to remember.
    log.inject("GetCapability", Fault::Code(0x101));
    assert!(client.curves().is_err());
    assert_eq!(client.known_curves(), None);
    log.take();
    let curves = client.curves().unwrap();
    assert!(curves.contains(&Curve::NIST_P256) && curves.contains(&Curve::BN_P256));
    log.expect("GetCapability");
    assert_eq!(client.curves().unwrap(), curves);
    assert_eq!(client.known_curves(), Some(curves));
    log.expect("");
}

#[test]
fn random_numbers_and_tests() {
    let simulator = Simulator::new();
    let (client, _) = simulator.client(Sessions::Auto);
    let (one, two) = (client.random(100).unwrap(), client.random(100).unwrap());
    assert_eq!((one.len(), two.len()), (100, 100));
    assert_ne!(one, two);
    client.self_test(true).unwrap();
    assert_eq!(client.test_result().unwrap().code, ResponseCode::SUCCESS);
}

#[test]
fn nv_memory() {
    let simulator = Simulator::new();
    let content: Vec<u8> = (0..1500u32).map(|number| number as u8).collect();
    fs::write(simulator.directory.path().join("content"), &content).unwrap();
    let (client, log) = simulator.client(Sessions::Auto);
    for (index, attributes) in [
        ("0x1500001", "ownerwrite|authread|ownerread"),
        ("0x1500002", "ownerwrite|ownerread"),
    ] {
        tool(
            &simulator,
            &[
                "tpm2_nvdefine",
                index,
                "-C",
                "o",
                "-s",
                "1500",
                "-a",
                attributes,
            ],
        );
        let number = u32::from_str_radix(&index[2..], 16).unwrap();
        let error = client.nv_read(number).unwrap_err();
        assert!(error.to_string().contains("never written"), "{error}");
        tool(
            &simulator,
            &["tpm2_nvwrite", index, "-C", "o", "-i", "content"],
        );
        log.take();
        assert_eq!(client.nv_read(number).unwrap(), content);
        log.expect("NV_ReadPublic GetCapability NV_Read NV_Read");
        assert_eq!(client.nv_read_public(number).unwrap().size, 1500);
    }
    let error = client.nv_read(0x0150_0099).unwrap_err();
    assert!(error.to_string().contains("TPM_RC_HANDLE"), "{error}");
    tool(
        &simulator,
        &[
            "tpm2_nvdefine",
            "0x1500003",
            "-C",
            "o",
            "-s",
            "8",
            "-a",
            "ownerwrite|policyread",
        ],
    );
    let error = client.nv_read(0x0150_0003).unwrap_err();
    assert!(error.to_string().contains("policy"), "{error}");
}

#[test]
fn contexts_and_external_keys() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, _) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &rsa_decrypt(), b"");
    client
        .with(|tpm| {
            let public = &key.public;
            let request = commands::object::LoadExternal {
                public,
                hierarchy: handle::NULL,
            };
            let loaded = tpm.run(&request, &[])?;
            assert_eq!(loaded.name, key.name);
            let save = commands::context::ContextSave {
                handle: loaded.handle,
            };
            let context = tpm.run(&save, &[])?;
            tpm.flush(loaded.handle)?;
            let load = commands::context::ContextLoad { context: &context };
            let handle = tpm.run(&load, &[])?;
            let scheme = Scheme::Plain(AlgId::RSAES);
            let request = commands::asymmetric::RsaEncrypt {
                handle,
                message: b"text",
                scheme,
                label: b"",
            };
            let ciphertext = tpm.run(&request, &[])?;
            assert_eq!(ciphertext.len(), 256);
            tpm.flush(handle)
        })
        .unwrap();
    simulator.assert_empty();
}

#[test]
fn a_tpm_that_cannot_be_reached_names_itself() {
    let simulator = Simulator::new();
    let (client, _) = simulator.client(Sessions::Auto);
    let address = simulator.address();
    drop(simulator);
    let error = client.random(1).unwrap_err().to_string();
    assert!(
        error.contains(&address) && error.contains("TPM_TCTI"),
        "{error}"
    );
}

#[test]
fn a_hierarchys_value_is_set_by_one_salted_session() {
    let simulator = Simulator::new();
    let (none, first, second) = (
        Secret::empty(),
        Secret::from(&b"first"[..]),
        Secret::from(&b"second"[..]),
    );
    // Whatever the settings say: the value would cross in clear.
    for sessions in [Sessions::Never, Sessions::Auto, Sessions::Always] {
        let (client, log) = simulator.client(sessions);
        let change = |hierarchy, old, new| client.change_hierarchy_auth(hierarchy, old, new, &none);
        change(handle::LOCKOUT, &none, &first).unwrap();
        log.expect(
            "ReadPublic!18b CreatePrimary StartAuthSession FlushContext HierarchyChangeAuth",
        );
        // The old value does not count any more.
        let wrong = client.change_hierarchy_auth(handle::ENDORSEMENT, &first, &second, &none);
        assert!(wrong.unwrap_err().is_authorization_failure());
        log.take();
        change(handle::LOCKOUT, &first, &none).unwrap();
        client.release_at_exit();
    }
    simulator.assert_empty();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    client
        .change_hierarchy_auth(handle::OWNER, &none, &first, &none)
        .unwrap();
    log.expect("ReadPublic StartAuthSession HierarchyChangeAuth");
    client
        .change_hierarchy_auth(handle::OWNER, &first, &none, &none)
        .unwrap();
    log.expect("StartAuthSession HierarchyChangeAuth");
    // An answer that was changed on its way is not believed, whatever the TPM has done.
    log.inject("HierarchyChangeAuth", Fault::Flip(1));
    let error = client
        .change_hierarchy_auth(handle::OWNER, &none, &second, &none)
        .unwrap_err();
    assert!(
        matches!(error.kind(), crate::ErrorKind::SessionIntegrity { .. }),
        "{error}"
    );
    simulator.assert_empty();
}
