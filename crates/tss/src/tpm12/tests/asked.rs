//! Answers of somebody who knows the well-known secret of the storage root key, and so can authorize what he likes.
#![forbid(unsafe_code)]

use super::blob::{EncScheme, SigScheme, Usage};
use super::*;

#[track_caller]
fn assert_not_as_asked<T: std::fmt::Debug>(result: Result<T>, command: &str, part: &str) {
    let error = result.unwrap_err();
    match error.kind() {
        ErrorKind::NotAsAsked { command: of, what } => {
            assert_eq!(*of, command, "{error}");
            assert!(what.contains(part), "{part} in {what}");
        }
        _ => panic!("{part}: {error}"),
    }
}

#[test]
fn a_new_key_that_is_not_the_one_that_was_asked_for_is_refused() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let template = Template::legacy(1024, true);
    let create = || client.create(&zeros(), &template, &zeros(), &zeros());
    let other = |change: &dyn Fn(&mut Template)| {
        let mut other = template.clone();
        change(&mut other);
        let mut modulus = vec![0xc3; other.bits as usize / 8];
        modulus[0] |= 0x80;
        other.blob(modulus, vec![9; 256]).as_bytes().to_vec()
    };
    let good = || other(&|_| {});
    let at = |offset: usize, value: u8| {
        let mut blob = good();
        blob[offset] = value;
        blob
    };
    // Version, usage, flags, need of a password, parameters, no registers, size of the modulus.
    const MODULUS: usize = 4 + 2 + 4 + 1 + 24 + 4 + 4;
    for (part, forged) in [
        ("usage", other(&|t| t.usage = Usage::SIGNING)),
        ("usage", other(&|t| t.usage = Usage::STORAGE)),
        ("flags", other(&|t| t.flags |= KeyBlob::MIGRATABLE)),
        ("need of a password", other(&|t| t.needs_auth = false)),
        (
            "encryption scheme",
            other(&|t| t.enc_scheme = EncScheme::OAEP),
        ),
        (
            "signature scheme",
            other(&|t| t.sig_scheme = SigScheme::SHA1),
        ),
        ("size", other(&|t| t.bits = 512)),
        ("structure", [&[0, 0x28, 0, 0], &good()[4..]].concat()),
        ("modulus", at(MODULUS, 0x43)),
        ("modulus", at(MODULUS + 127, 0xc2)),
        ("exponent", {
            // One byte more in the parameters and in the exponent.
            let blob = good();
            let mut longer = blob[..35].to_vec();
            longer[22] += 1;
            longer[34] += 1;
            longer.push(3);
            longer.extend_from_slice(&blob[35..]);
            longer
        }),
        ("binding to registers", {
            let blob = good();
            let mut bound = blob[..39].to_vec();
            bound[38] = 1;
            bound.push(0);
            bound.extend_from_slice(&blob[39..]);
            bound
        }),
    ] {
        log.inject("CreateWrapKey", Fault::Forge(forged));
        assert_not_as_asked(create(), "TPM_CreateWrapKey", part);
    }
    // What is of the right kind gets through: nobody but the key's user can tell whose it is.
    log.inject("CreateWrapKey", Fault::Forge(good()));
    assert_eq!(create().unwrap().as_bytes(), good());
    create().unwrap();
    simulator.assert_empty();
}

#[test]
fn a_root_key_that_cannot_be_one_is_not_wrapped_under() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let weak = PublicKey::from_modulus(&[0xc3; 128]).to_bytes();
    let even = PublicKey::from_modulus(&[0xc2; 256]).to_bytes();
    let mut signs = PublicKey::from_modulus(&[0xc3; 256]).to_bytes();
    signs[7] = 3;
    for (part, forged) in [
        ("size", weak),
        ("modulus", even),
        ("signature scheme", signs),
    ] {
        log.inject("GetPubKey", Fault::Forge(forged.clone()));
        assert_not_as_asked(client.srk_public(&zeros()), "TPM_GetPubKey", part);
        log.inject("OwnerReadInternalPub", Fault::Forge(forged));
        let owner = client.srk_public_for_owner(&zeros());
        assert_not_as_asked(owner, "TPM_OwnerReadInternalPub", part);
    }
    client.srk_public(&zeros()).unwrap();
    simulator.assert_empty();
}
