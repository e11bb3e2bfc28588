//! Keys that are used by their policy.
#![forbid(unsafe_code)]

use crypto::padding;

use super::services::tool;
use super::*;
use crate::ErrorKind;

/// The PCRs of a TPM that was just started are zero.
pub(super) fn pcr() -> PolicyCommand {
    PolicyCommand::Pcr {
        registers: vec![PcrSelection::new(AlgId::SHA256, &[0, 16]).unwrap()],
        digest: Some(crypto::hash(Hash::Sha256, &[&[0; 64]])),
    }
}

/// The same key for who satisfies a policy, and for nobody else.
pub(super) fn with_policy(template: &Public, policy: &Policy) -> Public {
    let digest = policy.digest(template.name_alg()).unwrap().unwrap();
    Public::assemble(
        template.name_alg(),
        template.attributes().without(Attributes::USER_WITH_AUTH),
        &digest,
        template.parms().clone(),
        template.unique().clone(),
    )
    .unwrap()
}

pub(super) fn by<'a>(policy: &'a Policy, value: &'a Secret) -> KeyAuth<'a> {
    KeyAuth {
        value: Some(value),
        policy: Some(policy),
        shown_right: None,
    }
}

#[track_caller]
pub(super) fn sign_by(
    client: &Client,
    key: &Object,
    policy: &Policy,
    auth: &[u8],
) -> crate::Result<()> {
    let signature = client.sign(key, by(policy, &auth.into()), ECDSA, &digest())?;
    assert!(is_good(key, &digest(), &signature));
    Ok(())
}

#[test]
fn a_key_signs_by_its_policy() {
    let simulator = Simulator::new();
    simulator.provision();
    let policy = Policy::new(vec![pcr()]);
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &with_policy(&sign_only(), &policy), PIN);
    log.take();
    // There is nothing to keep secret, and a signature is verified.
    sign_by(&client, &key, &policy, b"").unwrap();
    log.expect("ReadPublic StartAuthSession Load StartAuthSession PolicyPCR Sign");
    sign_by(&client, &key, &policy, b"").unwrap();
    log.expect("StartAuthSession PolicyPCR Sign");
    // Not by its value, nor by another policy, of which the TPM does not hear.
    let error = client.sign(&key, &Secret::from(PIN), ECDSA, &digest());
    assert!(error.unwrap_err().to_string().contains("policy"));
    log.take();
    let other = Policy::new(vec![pcr(), PolicyCommand::AuthValue]);
    let error = sign_by(&client, &key, &other, PIN).unwrap_err();
    assert!(
        error.to_string().contains("the policy is not the one"),
        "{error}"
    );
    log.expect("");
    client.release();
    simulator.assert_empty();
    // Another state of the machine.
    let zeros = format!("16:sha256={}", "ab".repeat(32));
    tool(&simulator, &["tpm2_pcrextend", &zeros]);
    log.take();
    let error = sign_by(&client, &key, &policy, b"").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("at least one of the registers sha256:0,16"),
        "{error}"
    );
    client.release();
    simulator.assert_empty();
}

#[test]
fn a_value_that_a_policy_asks_for_never_crosses_the_bus() {
    for command in [PolicyCommand::AuthValue, PolicyCommand::Password] {
        let simulator = Simulator::new();
        simulator.provision();
        let policy = Policy::new(vec![pcr(), command]);
        let (client, log) = simulator.client(Sessions::Auto);
        for template in [sign_only(), sign_and_decrypt()] {
            let key = make(&client, &owner(), &with_policy(&template, &policy), PIN);
            log.take();
            sign_by(&client, &key, &policy, PIN).unwrap();
            assert_eq!(
                log.take().last_chunk(),
                Some(&["PolicyPCR", "PolicyAuthValue", "Sign"].map(String::from))
            );
            let error = sign_by(&client, &key, &policy, b"wrong").unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::WrongAuth { .. }),
                "{error}"
            );
            log.take();
            sign_by(&client, &key, &policy, PIN).unwrap();
            assert!(!log.carried(PIN));
            // The session authenticates the answer.
            for from_end in [1, 30, 70, 100] {
                log.inject("Sign", Fault::Flip(from_end));
                let error = sign_by(&client, &key, &policy, PIN).unwrap_err();
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::SessionIntegrity { .. } | ErrorKind::Malformed(_)
                    ),
                    "{error}"
                );
            }
            client.release();
        }
        simulator.assert_empty();
    }
}

/// Where values cross the bus in clear by a setting, they do so in a policy session as well.
#[test]
fn a_password_is_shown_where_the_settings_say_so() {
    let simulator = Simulator::new();
    simulator.provision();
    let policy = Policy::new(vec![PolicyCommand::Password]);
    let (client, log) = simulator.client(Sessions::Never);
    for (value, before) in [(PIN, "ReadPublic Load"), (b"", "Load")] {
        let key = make(
            &client,
            &owner(),
            &with_policy(&sign_only(), &policy),
            value,
        );
        log.take();
        log.carried(PIN);
        sign_by(&client, &key, &policy, value).unwrap();
        log.expect(&format!("{before} StartAuthSession PolicyPassword Sign"));
        assert_eq!(log.carried(PIN), value == PIN);
    }
    client.release();
    simulator.assert_empty();
}

/// A resource manager keeps the session. What was asserted in it is gone after each use, and taken back before one
/// if the last did not come to its end.
#[test]
fn a_policy_session_is_used_again() {
    let simulator = Simulator::new();
    let policy = Policy::new(vec![pcr(), PolicyCommand::AuthValue]);
    let (client, log) = simulator.managed_client(Sessions::Auto);
    let key = make(&client, &owner(), &with_policy(&sign_only(), &policy), PIN);
    sign_by(&client, &key, &policy, PIN).unwrap();
    log.take();
    for _ in 0..2 {
        sign_by(&client, &key, &policy, PIN).unwrap();
        log.expect("PolicyPCR PolicyAuthValue Sign");
    }
    sign_by(&client, &key, &policy, b"wrong").unwrap_err();
    log.take();
    sign_by(&client, &key, &policy, PIN).unwrap();
    log.expect("PolicyRestart PolicyPCR PolicyAuthValue Sign");
    // A session that is gone is noticed at its policy, or at its use.
    for (command, code) in [("PolicyPCR", 0x910), ("Sign", 0x918)] {
        log.inject(command, Fault::Code(code));
        let first = sign_by(&client, &key, &policy, PIN);
        log.take();
        if first.is_err() {
            assert_eq!(command, "PolicyPCR");
        }
        sign_by(&client, &key, &policy, PIN).unwrap();
        log.take();
    }
}

const TEXT: &[u8] = b"attack at dawn";

fn decrypt(client: &Client, key: &Object, policy: &Policy) -> crate::Result<Zeroizing<Vec<u8>>> {
    let Unique::Rsa(modulus) = key.public.unique() else {
        panic!("not RSA")
    };
    let public = rsa::RsaPublic::with_exponent(modulus, 0).unwrap();
    let block = padding::pkcs1_encrypt(256, TEXT).unwrap();
    let ciphertext = public.public_op(&block).unwrap();
    let scheme = DecryptScheme::Rsaes;
    client.rsa_decrypt(key, by(policy, &PIN.into()), scheme, &ciphertext, &[])
}

/// What a policy key decrypts comes back encrypted: by the policy session if the value is known, which is part of that
/// session's key, or else by a session beside it.
#[test]
fn a_key_decrypts_by_its_policy() {
    let simulator = Simulator::new();
    simulator.provision();
    for (commands, cost) in [
        (vec![pcr()], "StartAuthSession PolicyPCR RSA_Decrypt"),
        (
            vec![PolicyCommand::AuthValue],
            "PolicyAuthValue RSA_Decrypt",
        ),
    ] {
        let policy = Policy::new(commands);
        let (client, log) = simulator.client(Sessions::Auto);
        let key = make(
            &client,
            &owner(),
            &with_policy(&rsa_decrypt(), &policy),
            PIN,
        );
        log.take();
        assert_eq!(*decrypt(&client, &key, &policy).unwrap(), TEXT);
        log.expect(&format!(
            "ReadPublic StartAuthSession Load StartAuthSession {cost}"
        ));
        assert!(!log.carried(TEXT) && !log.carried(PIN));
        // Each session's HMAC counts, the last one's at the end of the answer.
        for from_end in [1, 40, 80, 90] {
            log.inject("RSA_Decrypt", Fault::Flip(from_end));
            let error = decrypt(&client, &key, &policy).unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::SessionIntegrity { .. } | ErrorKind::Malformed(_)
                ),
                "{error}"
            );
        }
        client.release();
        simulator.assert_empty();
    }
}

/// Two sessions are kept, and no more: those of one command do not push each other out.
#[test]
fn keys_take_turns_with_two_sessions_each() {
    let simulator = Simulator::new();
    simulator.provision();
    let policy = Policy::new(vec![pcr()]);
    let (client, log) = simulator.managed_client(Sessions::Auto);
    let keys = [(); 2].map(|()| {
        make(
            &client,
            &owner(),
            &with_policy(&rsa_decrypt(), &policy),
            PIN,
        )
    });
    for _ in 0..3 {
        for key in &keys {
            assert_eq!(*decrypt(&client, key, &policy).unwrap(), TEXT);
        }
    }
    log.take();
    decrypt(&client, &keys[0], &policy).unwrap();
    log.expect("FlushContext StartAuthSession PolicyPCR RSA_Decrypt");
    decrypt(&client, &keys[0], &policy).unwrap();
    log.expect("PolicyPCR RSA_Decrypt");
}

/// The policy that tpm2-tools make, and a key under it.
#[test]
fn a_key_of_tpm2_tools_signs_by_its_policy() {
    let simulator = Simulator::new();
    simulator.provision();
    let pcrs = ["--policy-pcr", "-l", "sha256:0,16", "-L", "policy"];
    tool(&simulator, &[&["tpm2_createpolicy"][..], &pcrs].concat());
    let policy = Policy::new(vec![pcr()]);
    assert_eq!(
        fs::read(simulator.directory.path().join("policy")).unwrap(),
        policy.digest(AlgId::SHA256).unwrap().unwrap()
    );
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|sign|noda";
    let create = [
        "tpm2_create",
        "-C",
        "0x81000001",
        "-G",
        "ecc256",
        "-a",
        attributes,
        "-L",
        "policy",
        "-p",
        "whatever",
        "-u",
        "public",
        "-r",
        "private",
    ];
    tool(&simulator, &create);
    let read = |name| fs::read(simulator.directory.path().join(name)).unwrap();
    let key = Object::from_blob(
        Public::from_tpm2b(&read("public")).unwrap(),
        read("private"),
        Parent::new(handle::SRK),
    )
    .unwrap();
    // Their trial session is still there.
    simulator.clear_away();
    let (client, _) = simulator.client(Sessions::Auto);
    sign_by(&client, &key, &policy, b"").unwrap();
    client.release();
    simulator.assert_empty();
}
