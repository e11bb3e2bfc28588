//! Software cryptography: DER, paddings, signatures.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "not a public interface")]

pub mod input;

use self::input::Input;
use crate::der::{self, Reader, tag};
use crate::ecdsa::{self, EcPublic};
use crate::padding;
use crate::rsa::{RsaPublic, SaltLength};
use crate::{Curve, ecdh};
use crate::{Hash, hash};

pub fn der(data: &[u8]) {
    walk(Reader::new(data), data, 0);
    let _ = der::dotted(data);
    let number = der::unsigned(data);
    let mut reader = Reader::new(&number);
    assert_eq!(
        reader.element().map(|element| element.tag),
        Ok(tag::INTEGER)
    );
    assert!(reader.is_empty());
}

/// Reads elements and what is inside them; each, written again, is the bytes it was read from.
fn walk(mut reader: Reader<'_>, whole: &[u8], depth: u8) {
    loop {
        let (before, left) = (reader.offset(), reader.rest().len());
        let Ok(element) = reader.element() else {
            assert_eq!((reader.offset(), reader.rest().len()), (before, left));
            return;
        };
        let end = element.content_start + element.content.len();
        assert_eq!((element.start, reader.offset()), (before, end));
        assert_eq!(&whole[element.content_start..end], element.content);
        let written = der::element(element.tag, &[element.content]);
        assert_eq!(&whole[element.start..end], written);
        if depth < 8 {
            walk(element.reader(), whole, depth + 1);
        }
    }
}

const HASHES: [Hash; 6] = [
    Hash::Sha1,
    Hash::Sha256,
    Hash::Sha384,
    Hash::Sha512,
    Hash::Sha3_256,
    Hash::Sha224,
];

/// The constant-time code against plain code that says what it must do.
pub fn padding(data: &[u8]) {
    let mut input = Input::new(data);
    let (which, mgf) = (input.choose(&HASHES), input.choose(&HASHES));
    let fallback = [0xa5; 48];
    let (offered, negotiated) = (input.u16(), input.flag().then_some(0x0301));
    let label = input.bytes();
    let repair = input.u8();
    let mut block = input.rest().to_vec();
    // Without help hardly any input would begin as a padded block does.
    if repair & 1 == 1 && block.len() > 2 {
        block[..2].copy_from_slice(&[0, 2]);
    }
    if repair & 2 == 2 && block.len() > 51 {
        let at = block.len() - 49;
        block[at] = 0;
        block[at + 1..at + 3].copy_from_slice(&offered.to_be_bytes());
    }

    let plain = plain_pkcs1(&block);
    let found = padding::pkcs1_decrypt(&block).ok();
    assert_eq!(found.as_deref().map(Vec::as_slice), plain);

    let made_up = padding::pkcs1_decrypt_implicit(&block, b"secret", &vec![7; block.len()]);
    match (&made_up, plain) {
        (Ok(message), Some(plain)) => assert_eq!(&message[..], plain),
        (Ok(message), None) => assert!(message.len() <= block.len().saturating_sub(11)),
        (Err(_), _) => assert!(!(11..0x2000).contains(&block.len())),
    }

    let premaster = padding::tls_premaster(&block, offered, negotiated, &fallback);
    let right = plain.filter(|message| {
        let version = message
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes));
        message.len() == 48 && (version == Some(offered) || version == negotiated)
    });
    assert_eq!(&premaster[..], right.unwrap_or(&fallback));

    let _ = padding::oaep_unpad(&block, which, mgf, label);
    if let Ok(padded) = padding::oaep_pad(block.len() + 200, which, mgf, label, &block) {
        let back = padding::oaep_unpad(&padded, which, mgf, label).unwrap();
        assert_eq!(*back, block);
    }
}

/// RFC 8017, 7.2.2, as it reads.
fn plain_pkcs1(block: &[u8]) -> Option<&[u8]> {
    let rest = block.strip_prefix(&[0, 2])?;
    let zero = rest.iter().position(|&octet| octet == 0)?;
    (zero >= 8).then(|| &rest[zero + 1..])
}

pub fn signatures(data: &[u8]) {
    if let Some((r, s)) = ecdsa::decode_signature(data) {
        assert_eq!(ecdsa::encode_signature(&r, &s), data);
    }
    let mut input = Input::new(data);
    let curve = input.choose(&[Curve::P256, Curve::P384, Curve::P521]);
    let which = input.choose(&HASHES);
    let point = input.bytes();
    // As a TPM's: a power with a longer exponent takes its time, and none comes from outside.
    let exponent = input.u32();
    let modulus = input.bytes();
    let signature = input.rest();
    let digest = hash(which, &[signature]);
    if let Ok(public) = EcPublic::from_point(curve, point) {
        assert_eq!(
            EcPublic::new(curve, public.x(), public.y())
                .unwrap()
                .point(),
            public.point()
        );
        if let Some((r, s)) = ecdsa::decode_signature(signature) {
            assert!(
                !public.verify(&digest, &r, &s),
                "a digest of its own signature"
            );
        }
    }
    // The two ways to look at a point agree.
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    let secret = ecdh::shared_secret(curve, x, y);
    let fits = x.len().max(y.len()) <= curve.size();
    assert_eq!(secret.is_some(), fits && EcPublic::new(curve, x, y).is_ok());
    let Ok(public) = RsaPublic::with_exponent(modulus, exponent) else {
        return;
    };
    let _ = public.verify_pkcs1(which, &digest, signature);
    let _ = public.verify_pss(which, which, SaltLength::Any, &digest, signature);
    let _ = public.recover_pkcs1(signature);
    if let Ok(power) = public.public_op(signature) {
        assert_eq!(power.len(), public.size());
    }
    let _ = public.pss_salt_length(which, which, &digest, signature);
}
