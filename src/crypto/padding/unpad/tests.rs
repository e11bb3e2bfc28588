//! Tests of unpadding.

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
