//! Decryption and key agreement: the answer is secret, so it comes through a session.
#![forbid(unsafe_code)]

use crypto::padding;

use super::*;

fn modulus(key: &Object) -> rsa::RsaPublic {
    match key.public.unique() {
        Unique::Rsa(modulus) => rsa::RsaPublic::with_exponent(modulus, 0).unwrap(),
        _ => panic!("not RSA"),
    }
}

#[test]
fn rsa_with_all_paddings() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &rsa_decrypt(), b"");
    log.take();
    let public = modulus(&key);
    let text = b"attack at dawn";
    let decrypt = |scheme, block: &[u8], label: &[u8]| {
        let ciphertext = public.public_op(block).unwrap();
        client
            .rsa_decrypt(&key, &Secret::empty(), scheme, &ciphertext, label)
            .unwrap()
            .to_vec()
    };
    let pkcs1 = padding::pkcs1_encrypt(256, text).unwrap();
    assert_eq!(decrypt(DecryptScheme::Rsaes, &pkcs1, b""), text);
    log.expect("ReadPublic StartAuthSession Load StartAuthSession RSA_Decrypt");
    let hash = Hash::Sha256;
    let oaep = padding::oaep_pad(256, hash, hash, b"", text).unwrap();
    assert_eq!(
        decrypt(DecryptScheme::Oaep(AlgId::SHA256), &oaep, b""),
        text
    );
    log.expect("StartAuthSession RSA_Decrypt");
    let oaep = padding::oaep_pad(256, hash, hash, b"label\0", text).unwrap();
    assert_eq!(
        decrypt(DecryptScheme::Oaep(AlgId::SHA256), &oaep, b"label\0"),
        text
    );
    let raw = decrypt(DecryptScheme::Null, &oaep, b"");
    assert!(raw.ends_with(&oaep[1..]));
    assert!(!log.carried(text) && !log.carried(&oaep[200..]));
    let signature = client
        .sign(
            &key,
            &Secret::empty(),
            SignScheme::Rsassa(AlgId::SHA256),
            &digest(),
        )
        .unwrap();
    assert!(is_good(&key, &digest(), &signature));
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_wrong_padding_is_the_tpms_own_answer() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let key = make(&client, &owner(), &rsa_decrypt(), b"");
    log.take();
    let ciphertext = modulus(&key).public_op(&[1; 256]).unwrap();
    let scheme = DecryptScheme::Rsaes;
    let error = client
        .rsa_decrypt(&key, &Secret::empty(), scheme, &ciphertext, b"")
        .unwrap_err();
    // TPM_RC_VALUE as the specification has it; libtpms hands out TPM_RC_FAILURE and goes on.
    assert!(
        matches!(error.code().unwrap().base(), 0x84 | 0x101),
        "{error}"
    );
    log.expect("ReadPublic StartAuthSession Load StartAuthSession RSA_Decrypt!101 FlushContext");
    client
        .rsa_decrypt(
            &key,
            &Secret::empty(),
            DecryptScheme::Null,
            &ciphertext,
            b"",
        )
        .unwrap();
    client.release_at_exit();
    simulator.assert_empty();
}

#[test]
fn a_managed_tpm_keeps_the_session() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.managed_client(Sessions::Auto);
    let key = make(&client, &owner(), &rsa_decrypt(), PIN);
    log.take();
    let ciphertext = modulus(&key)
        .public_op(&padding::pkcs1_encrypt(256, b"x").unwrap())
        .unwrap();
    let scheme = DecryptScheme::Rsaes;
    for expected in [
        "ReadPublic StartAuthSession Load StartAuthSession RSA_Decrypt",
        "RSA_Decrypt",
        "RSA_Decrypt",
    ] {
        let plain = client
            .rsa_decrypt(&key, &Secret::from(PIN), scheme, &ciphertext, b"")
            .unwrap();
        assert_eq!(**plain, *b"x");
        log.expect(expected);
    }
}

#[test]
fn key_agreement_on_both_sides() {
    let simulator = Simulator::new();
    simulator.provision();
    for (curve, software) in [
        (Curve::NIST_P256, crypto::Curve::P256),
        (Curve::NIST_P384, crypto::Curve::P384),
    ] {
        let (client, log) = simulator.client(Sessions::Auto);
        let attributes = Public::key_attributes(Attributes::DECRYPT);
        let template = Public::ecc_template(curve, attributes, Scheme::Null).unwrap();
        let key = make(&client, &owner(), &template, b"");
        log.take();
        let Unique::Ecc { x, y } = key.public.unique() else {
            panic!("not ECC")
        };
        let (own_x, own_y, z) = ecdh::agree_ephemeral(software, x, y).unwrap();
        let (shared, _) = client
            .ecdh_z(&key, &Secret::empty(), &own_x, &own_y)
            .unwrap();
        assert_eq!(**shared, **z);
        log.expect("ReadPublic StartAuthSession Load StartAuthSession ECDH_ZGen");
        assert!(!log.carried(&z));
        let (again, _) = client
            .ecdh_z(&key, &Secret::empty(), &own_x, &own_y)
            .unwrap();
        assert_eq!(again, shared);
        log.expect("StartAuthSession ECDH_ZGen");
        let point = (vec![1; own_x.len()], vec![1; own_y.len()]);
        let error = client
            .ecdh_z(&key, &Secret::empty(), &point.0, &point.1)
            .unwrap_err();
        assert_eq!(
            error.code().unwrap().base(),
            0xa7,
            "not on the curve: {error}"
        );
        client.release_at_exit();
    }
    simulator.assert_empty();
}

#[test]
fn without_sessions_everything_is_in_clear_and_works() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Never);
    let key = make(&client, &owner(), &rsa_decrypt(), PIN);
    assert!(log.carried(PIN));
    log.take();
    let block = padding::pkcs1_encrypt(256, b"in clear").unwrap();
    let ciphertext = modulus(&key).public_op(&block).unwrap();
    for expected in ["ReadPublic Load RSA_Decrypt", "ReadPublic RSA_Decrypt"] {
        let scheme = DecryptScheme::Rsaes;
        let plain = client
            .rsa_decrypt(&key, &Secret::from(PIN), scheme, &ciphertext, b"")
            .unwrap();
        assert_eq!(**plain, *b"in clear");
        log.expect(expected);
    }
    assert!(log.carried(b"in clear"));
}
