//! Tests of unpadding.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::super::pkcs1_encrypt;
use super::*;

fn block(filler: usize, message: &[u8]) -> Vec<u8> {
    [&[0, 2][..], &vec![0x11; filler], &[0], message].concat()
}

#[test]
fn good_paddings() {
    for length in [0, 1, 48, 117] {
        let message = vec![7; length];
        let padded = pkcs1_encrypt(128, &message).unwrap();
        assert_eq!(*pkcs1_decrypt(&padded).unwrap(), message);
        assert_eq!(
            *pkcs1_decrypt_implicit(&padded, b"secret", b"cipher").unwrap(),
            message
        );
    }
    assert_eq!(*pkcs1_decrypt(&block(8, b"a\0b")).unwrap(), b"a\0b");
}

/// Every way to be wrong: the first two octets, a filler that is too short, no end of it.
fn bad_blocks() -> Vec<Vec<u8>> {
    let good = block(77, &[9; 48]);
    let mut first = good.clone();
    first[0] = 1;
    let mut second = good.clone();
    second[1] = 1;
    let mut zero_in_filler = good.clone();
    zero_in_filler[9] = 0;
    let mut endless = good;
    endless[79] = 1;
    vec![
        first,
        second,
        zero_in_filler,
        endless,
        block(7, &[9; 118]),
        vec![0; 128],
    ]
}

#[test]
fn bad_paddings() {
    for block in bad_blocks() {
        assert_eq!(pkcs1_decrypt(&block), Err(CryptoError::Padding));
    }
    for block in [
        &[][..],
        &[0],
        &[0, 2],
        &[0, 2, 0],
        &[0, 2, 1, 1, 1, 1, 1, 1, 1, 0],
    ] {
        assert_eq!(pkcs1_decrypt(block), Err(CryptoError::Padding));
    }
}

#[test]
fn implicit_rejection_is_deterministic_and_keyed() {
    let made_up = |block: &[u8], secret: &[u8], ciphertext: &[u8]| {
        pkcs1_decrypt_implicit(block, secret, ciphertext).unwrap()
    };
    let mut lengths = std::collections::HashSet::new();
    for (number, block) in (0u8..).zip(bad_blocks()) {
        let ciphertext = [number; 128];
        let message = made_up(&block, b"secret", &ciphertext);
        assert_eq!(message, made_up(&block, b"secret", &ciphertext));
        // The block's own content does not count when it is wrong.
        assert_eq!(message, made_up(&[0xff; 128], b"secret", &ciphertext));
        assert_ne!(message, made_up(&block, b"another", &ciphertext));
        assert_ne!(message, made_up(&block, b"secret", &[0xee; 128]));
        assert!(message.len() <= 128 - 11);
        lengths.insert(message.len());
    }
    assert!(lengths.len() > 1);
    // A ciphertext counts as a number.
    assert_eq!(
        made_up(&[0xff; 128], b"secret", &[1, 2]),
        made_up(&[0xff; 128], b"secret", &[0, 1, 2])
    );
}

/// What OpenSSL 4.0.0 answers to a ciphertext of 0, 5a, 5a, ... under fresh keys; the secret is, as
/// there, SHA-256 of the private exponent.
#[test]
fn implicit_rejection_is_openssls() {
    let known = [
        (
            128,
            "dc61bbe5f4d92462cadeb83bf41e980a965f3b4363b2c9fe58ac2d3473f259e5",
            "3032d7e3bec27b41de51",
        ),
        (
            128,
            "9b55209da0b06e08315b6ed4005012326986393952811170faf57af9d55d0f30",
            "cd1f41bfc13d3662932b7f43",
        ),
        (
            256,
            "ed1e24d78586ad8e0da36f8a88553747747473a905c8aae1cc33a86293e7ee3c",
            "915f4fa3de8507d77e19886ea86e80d66d83c77b0053563429e492c563fe07725d84a046154f8994\
                 d56a779b4c3a8da736fdd387c87283879e5485276b73b569130b8cc1df4f7d176e281cbf9ee94876\
                 ca32866bf4373ba4f2c4a14274a1c70ab1f9af210d488a9d59960d4db36fc4cfe3f3eb831a0a7b2d\
                 679c8e8339866afc556931e5dfcdc2f33519c193dde4afa46c3d2c5daff15ecf1d442a355d0d674d\
                 66904b56b2235b59",
        ),
        (
            256,
            "6f83436c1bf4e213b6c2e45ca3529abb7145b7b04859944474bcb4afa612537f",
            "280c2613a0910ee754f181a87e665d8216bc148a",
        ),
    ];
    for (size, secret, expected) in known {
        let secret = hex::decode(secret).unwrap();
        let mut ciphertext = vec![0x5a; size];
        ciphertext[0] = 0;
        let message = pkcs1_decrypt_implicit(&vec![0; size], &secret, &ciphertext).unwrap();
        assert_eq!(hex::encode(&*message), expected);
    }
}

#[test]
fn implicit_rejection_refuses_impossible_sizes() {
    assert!(pkcs1_decrypt_implicit(&[], b"", b"").is_err());
    assert!(pkcs1_decrypt_implicit(&[0; 10], b"", b"").is_err());
    assert!(pkcs1_decrypt_implicit(&vec![0; 8202], b"", b"").is_err());
    assert!(pkcs1_decrypt_implicit(&[0; 16], b"", &[1; 17]).is_err());
    assert!(
        pkcs1_decrypt_implicit(&[0; 11], b"", b"")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn premaster() {
    let fallback = [0xaa; 48];
    let mut secret = [5; 48];
    secret[..2].copy_from_slice(&[3, 3]);
    let good = block(77, &secret);
    assert_eq!(*tls_premaster(&good, 0x0303, None, &fallback), secret);
    assert_eq!(
        *tls_premaster(&good, 0x0301, Some(0x0303), &fallback),
        secret
    );
    assert_eq!(*tls_premaster(&good, 0x0301, None, &fallback), fallback);
    assert_eq!(
        *tls_premaster(&good, 0x0301, Some(0x0302), &fallback),
        fallback
    );
    for bad in bad_blocks() {
        assert_eq!(*tls_premaster(&bad, 0x0909, None, &fallback), fallback);
    }
    // Right padding around a message that is a byte shorter or longer.
    for length in [47, 49] {
        let bad = block(125 - length, &vec![3; length]);
        assert_eq!(*tls_premaster(&bad, 0x0303, None, &fallback), fallback);
    }
    for length in [0, 1, 47, 48, 50, 58] {
        assert_eq!(
            *tls_premaster(&vec![3; length], 0x0303, None, &fallback),
            fallback
        );
    }
    let least = block(8, &secret);
    assert_eq!(*tls_premaster(&least, 0x0303, None, &fallback), secret);
}

proptest! {
    #[test]
    fn any_block_is_taken(block in proptest::collection::vec(any::<u8>(), 0..140),
                          ciphertext in proptest::collection::vec(any::<u8>(), 0..140)) {
        let _ = pkcs1_decrypt(&block);
        let _ = pkcs1_decrypt_implicit(&block, b"secret", &ciphertext);
        let _ = tls_premaster(&block, 0x0303, Some(0x0301), &[0; 48]);
    }
}
