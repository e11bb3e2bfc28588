//! Public keys of those who sign.
#![forbid(unsafe_code)]

use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;

use super::super::signer;
use super::*;

fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A number as a `TPM2B`, as long as the curve.
fn number(bytes: &openssl::bn::BigNumRef, size: i32) -> Vec<u8> {
    let bytes = bytes.to_vec_padded(size).unwrap();
    [&(size as u16).to_be_bytes()[..], &bytes].concat()
}

/// The same `TPMT_PUBLIC` from PEM, from PEM with text around it, and from DER.
#[track_caller]
fn is_read_as(key: &PKey<Private>, area: &[u8]) {
    let (pem, der) = (
        key.public_key_to_pem().unwrap(),
        key.public_key_to_der().unwrap(),
    );
    let surrounded = [b"who signs\n", &pem[..], b"and more\n"].concat();
    for content in [pem, surrounded, der] {
        assert_eq!(signer::read(&content).unwrap().to_tpmt(), area);
    }
}

#[test]
fn curves() {
    for (curve, number_of_curve, size) in [
        (Nid::X9_62_PRIME256V1, "0003", 32),
        (Nid::SECP384R1, "0004", 48),
        (Nid::SECP521R1, "0005", 66),
    ] {
        let key = ec(curve);
        let of_curve = key.ec_key().unwrap();
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        let mut x = openssl::bn::BigNum::new().unwrap();
        let mut y = openssl::bn::BigNum::new().unwrap();
        of_curve
            .public_key()
            .affine_coordinates(of_curve.group(), &mut x, &mut y, &mut context)
            .unwrap();
        let start = format!("0023 000b 00060040 0000 0010 0010 {number_of_curve} 0010");
        let area = [hex(&start), number(&x, size), number(&y, size)].concat();
        is_read_as(&key, &area);
    }
}

#[test]
fn rsa_keys() {
    for (bits, exponent, number_of_exponent) in [(2048, 65537, "00000000"), (3072, 3, "00000003")] {
        let exponent = openssl::bn::BigNum::from_u32(exponent).unwrap();
        let rsa = Rsa::generate_with_e(bits, &exponent).unwrap();
        let start = format!("0001 000b 00060040 0000 0010 0010 {bits:04x} {number_of_exponent}");
        let area = [hex(&start), number(rsa.n(), bits as i32 / 8)].concat();
        is_read_as(&PKey::from_rsa(rsa).unwrap(), &area);
    }
}

/// Who has the key file signs by the same name as who has its public half.
#[test]
fn a_key_file_and_its_public_half() {
    for (file, public) in [
        (
            &include_bytes!("../../../../../tests/data/tpm2/j_ec.pem")[..],
            &include_bytes!("../../../../../tests/data/tpm2/j_ec.pub")[..],
        ),
        (
            include_bytes!("../../../../../tests/data/tpm2/j_rsa.pem"),
            include_bytes!("../../../../../tests/data/tpm2/j_rsa.pub"),
        ),
        (
            include_bytes!("../../../../../tests/data/tpm2/o_ec.pem"),
            include_bytes!("../../../../../tests/data/tpm2/o_ec.pub"),
        ),
    ] {
        let (of_file, of_public) = (signer::read(file).unwrap(), signer::read(public).unwrap());
        assert_eq!(of_file, of_public);
        assert_eq!(of_file.name(), of_public.name());
    }
    let sealed = include_bytes!("../../../../../tests/data/tpm2/j_seal.pem");
    let text = signer::read(sealed).unwrap_err().to_string();
    assert!(text.contains("neither an RSA nor an EC key"), "{text}");
}

#[test]
fn what_is_no_key_of_somebody_who_signs() {
    let key = ec(Nid::X9_62_PRIME256V1);
    let der = key.public_key_to_der().unwrap();
    let rsa = Rsa::generate(2048).unwrap().public_key_to_der().unwrap();
    for whole in [&der, &rsa] {
        for length in 0..whole.len() {
            assert!(signer::read(&whole[..length]).is_err(), "{length}");
        }
        assert!(signer::read(&[&whole[..], &[0]].concat()).is_err());
    }

    let of_curve = key.ec_key().unwrap();
    let mut compressed = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let form = PointConversionForm::COMPRESSED;
    let point = of_curve
        .public_key()
        .to_bytes(&compressed, form, &mut context);
    // SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING }
    let algorithm = hex("3013 0607 2a8648ce3d0201 0608 2a8648ce3d030107");
    let spki = [hex("3039"), algorithm, hex("0322 00"), point.unwrap()].concat();
    // It is sound, and OpenSSL reads it.
    assert!(PKey::public_key_from_der(&spki).is_ok());
    compressed.set_asn1_flag(openssl::ec::Asn1Flag::EXPLICIT_CURVE);
    let explicit = EcKey::from_public_key(&compressed, of_curve.public_key()).unwrap();

    let mut unused_bits = der.clone();
    let bits = unused_bits.len() - 66;
    assert_eq!(unused_bits[bits..bits + 2], [0, 4]);
    unused_bits[bits] = 1;
    let mut other_curve = der.clone();
    // secp256r1 ends with 7, prime239v3 with 6.
    other_curve[22] = 6;
    for content in [
        spki,
        explicit.public_key_to_der().unwrap(),
        unused_bits,
        other_curve,
        PKey::generate_ed25519()
            .unwrap()
            .public_key_to_der()
            .unwrap(),
        ec(Nid::SECP256K1).public_key_to_pem().unwrap(),
        key.private_key_to_pem_pkcs8().unwrap(),
        key.private_key_to_der().unwrap(),
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".to_vec(),
    ] {
        let text = signer::read(&content).unwrap_err().to_string();
        assert!(text.contains("openssl pkey -pubout"), "{text}");
    }
    assert_eq!(key.id(), Id::EC);
}
