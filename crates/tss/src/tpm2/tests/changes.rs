//! What changes the TPM as a whole: what it costs, that nothing crosses the bus in clear, and that no forged answer counts.
#![forbid(unsafe_code)]

use super::*;
use crate::ErrorKind;
use crate::tpm2::{NvAccess, NvChange, NvDefinition, nv_attribute};

const VALUE: &[u8] = b"the value of an index";
const DATA: &[u8] = b"what is in the index";
const INDEX: u32 = 0x0180_0001;

fn none() -> Secret {
    Secret::empty()
}

fn ordinary() -> NvDefinition {
    NvDefinition {
        index: INDEX,
        attributes: nv_attribute::AUTHREAD | nv_attribute::AUTHWRITE,
        size: DATA.len() as u16,
    }
}

#[test]
fn an_index_costs_a_session_and_its_command() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    log.take();
    client
        .nv_define(ordinary(), &VALUE.into(), &none())
        .unwrap();
    log.expect("ReadPublic StartAuthSession NV_DefineSpace");
    let (value, owner) = (Secret::from(VALUE), none());
    let access = NvAccess {
        value: Some(&value),
        owner: &owner,
    };
    let data = Secret::from(DATA);
    client
        .nv_change(INDEX, &NvChange::Write(&data, 0), access)
        .unwrap();
    let sent = log.take();
    assert_eq!(
        sent.iter().filter(|it| *it == "NV_Write").count(),
        1,
        "{sent:?}"
    );
    assert_eq!(client.nv_read_by(INDEX, access).unwrap(), DATA);
    assert!(!log.carried(VALUE) && !log.carried(DATA));
    let wrong = Secret::from(&b"wrong"[..]);
    let access = NvAccess {
        value: Some(&wrong),
        owner: &owner,
    };
    let error = client.nv_read_by(INDEX, access).unwrap_err();
    assert!(error.is_authorization_failure(), "{error}");
    assert!(error.to_string().contains("of the NV index"), "{error}");
    let public = client.nv_read_public(INDEX).unwrap();
    // Another index than the one that was looked at is not released.
    let other = Name::from_bytes(&[0, 0xb, 7]);
    client.nv_release(INDEX, &other, &none()).unwrap_err();
    log.take();
    client.nv_release(INDEX, &public.name, &none()).unwrap();
    let sent = log.take();
    assert_eq!(sent.last().map(String::as_str), Some("NV_UndefineSpace"));
    simulator.assert_empty();
}

#[test]
fn clearing_forgets_what_was_known() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &sign_only(), PIN);
    client.sign(&key, &PIN.into(), ECDSA, &digest()).unwrap();
    client
        .change_hierarchy_auth(handle::LOCKOUT, &none(), &VALUE.into(), &none())
        .unwrap();
    log.take();
    let error = client
        .clear(handle::LOCKOUT, &b"wrong"[..].into(), &none())
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::LockoutAuth { shut: false, .. }),
        "{error}"
    );
    let sent = log.take();
    assert_eq!(
        sent.iter().filter(|it| it.starts_with("Clear")).count(),
        1,
        "{sent:?}"
    );
    let error = client
        .clear(handle::LOCKOUT, &VALUE.into(), &none())
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::LockoutAuth { shut: true, .. }),
        "{error}"
    );
    // The platform's value is empty in a simulator; the answer is authenticated all the same.
    client.clear(handle::PLATFORM, &none(), &none()).unwrap();
    assert!(!log.carried(VALUE));
    assert!(client.handles(handle::PERSISTENT_FIRST).unwrap().is_empty());
    client
        .sign(&key, &PIN.into(), ECDSA, &digest())
        .unwrap_err();
    // And a new owner begins.
    client.make_storage_root_key(&none()).unwrap();
    let key = make(&client, &owner(), &sign_only(), PIN);
    client.sign(&key, &PIN.into(), ECDSA, &digest()).unwrap();
    client
        .set_clear(false, handle::LOCKOUT, &none(), &none())
        .unwrap();
    let error = client.clear(handle::LOCKOUT, &none(), &none()).unwrap_err();
    assert_eq!(error.code().map(|code| code.base()), Some(0x120), "{error}");
}

#[test]
fn registers_and_hierarchies() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    log.take();
    let digests = [(AlgId::SHA256, vec![7; 32])];
    client.extend_register(16, &digests, &none()).unwrap();
    log.expect("ReadPublic StartAuthSession PCR_Extend");
    let banks = client.banks().unwrap();
    assert!(banks.iter().any(|bank| bank.bank() == AlgId::SHA256));
    client.reset_register(16, &none()).unwrap();
    client.reset_register(0, &none()).unwrap_err();
    let policy = (AlgId::SHA256, &[9; 32][..]);
    client
        .set_hierarchy_policy(handle::OWNER, Some(policy), &none(), &none())
        .unwrap();
    let told = client.hierarchy_policies().unwrap().unwrap();
    assert_eq!(told, [(handle::OWNER, AlgId::SHA256, vec![9; 32])]);
    client
        .set_hierarchy(
            handle::ENDORSEMENT,
            false,
            handle::ENDORSEMENT,
            &none(),
            &none(),
        )
        .unwrap();
    client
        .set_hierarchy(
            handle::ENDORSEMENT,
            true,
            handle::ENDORSEMENT,
            &none(),
            &none(),
        )
        .unwrap_err();
    client
        .set_hierarchy(
            handle::ENDORSEMENT,
            true,
            handle::PLATFORM,
            &none(),
            &none(),
        )
        .unwrap();
    simulator.assert_empty();
}
