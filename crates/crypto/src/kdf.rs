//! The TPM's two key derivation functions.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::hash::{Hash, hash as digest, hmac};

/// KDFa: counter-mode derivation with HMAC (TPM 2.0 Part 1, 11.4.10.2; SP 800-108).
///
/// `label` is written with a terminating NUL, as the specification's labels are. The result has
/// `bits` rounded up to whole bytes; when `bits` is no multiple of eight the surplus bits, the top
/// ones of the first byte, are zero.
pub fn kdfa(
    hash: Hash,
    key: &[u8],
    label: &str,
    context_u: &[u8],
    context_v: &[u8],
    bits: u32,
) -> Zeroizing<Vec<u8>> {
    derive(hash, bits, |counter| {
        hmac(
            hash,
            key,
            &[
                counter,
                label.as_bytes(),
                &[0],
                context_u,
                context_v,
                &bits.to_be_bytes(),
            ],
        )
    })
}

/// KDFe: derivation from an ECDH secret (TPM 2.0 Part 1, 11.4.10.3; SP 800-56A).
///
/// `z`, `party_u` and `party_v` are x coordinates, padded to the size of the curve; `use_` is written
/// with a terminating NUL. The result is shaped as in [`kdfa`].
pub fn kdfe(
    hash: Hash,
    z: &[u8],
    use_: &str,
    party_u: &[u8],
    party_v: &[u8],
    bits: u32,
) -> Zeroizing<Vec<u8>> {
    derive(hash, bits, |counter| {
        Zeroizing::new(digest(
            hash,
            &[counter, z, use_.as_bytes(), &[0], party_u, party_v],
        ))
    })
}

/// The key derivation function of ANSI X9.63 (SEC 1, 3.6.1), which CMS uses with ECDH.
pub fn x963(hash: Hash, z: &[u8], info: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let bits = u32::try_from(length.checked_mul(8)?).ok()?;
    Some(derive(hash, bits, |counter| {
        Zeroizing::new(digest(hash, &[z, counter, info]))
    }))
}

/// Joins blocks for the counters 1, 2, ... and cuts them to `bits`.
fn derive(
    hash: Hash,
    bits: u32,
    block: impl Fn(&[u8; 4]) -> Zeroizing<Vec<u8>>,
) -> Zeroizing<Vec<u8>> {
    let size = bits.div_ceil(8) as usize;
    // All the room at once: growing would leave copies of the key material behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size + hash.size()));
    let mut counter = 1u32;
    while out.len() < size {
        out.extend_from_slice(&block(&counter.to_be_bytes()));
        counter = counter.wrapping_add(1);
    }
    out.truncate(size);
    if let (Some(first), surplus @ 1..) = (out.first_mut(), bits % 8) {
        *first &= (1 << surplus) - 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kdfa_is_its_definition() {
        let out = kdfa(Hash::Sha256, b"key", "STORAGE", b"u", b"v", 128);
        let whole = hmac(Hash::Sha256, b"key", &[b"\0\0\0\x01STORAGE\0uv\0\0\0\x80"]);
        assert_eq!(out[..], whole[..16]);

        let out = kdfa(Hash::Sha1, b"key", "CFB", b"", b"", 256);
        let first = hmac(Hash::Sha1, b"key", &[b"\0\0\0\x01CFB\0\0\0\x01\0"]);
        let second = hmac(Hash::Sha1, b"key", &[b"\0\0\0\x02CFB\0\0\0\x01\0"]);
        assert_eq!(out[..20], first[..]);
        assert_eq!(out[20..], second[..12]);
    }

    #[test]
    fn kdfe_is_its_definition() {
        let out = kdfe(Hash::Sha256, b"zz", "DUPLICATE", b"u", b"v", 256);
        assert_eq!(*out, digest(Hash::Sha256, &[b"\0\0\0\x01zzDUPLICATE\0uv"]));
    }

    /// Computed with python-cryptography: KBKDFHMAC in counter mode and ConcatKDFHash are the same
    /// functions under their NIST names.
    #[test]
    fn known_answers() {
        let key: Vec<u8> = (0..32).collect();
        let (u, v) = ([0xaa; 32], [0xbb; 16]);
        let known = [
            (
                Hash::Sha256,
                "STORAGE",
                128,
                "e4da326f28c56d535401e27035cd3d0f",
            ),
            (
                Hash::Sha256,
                "ATH",
                256,
                "ee3e2094530c3664d14c49fbbd4834a194be38f2e3935e6bd8198a66e911dfd3",
            ),
            (
                Hash::Sha1,
                "CFB",
                256,
                "8b8f70d9d24c6eb00ab1d0d66123b9db3c1bb22e1270fd91ec77618ce1975ef5",
            ),
            (
                Hash::Sha512,
                "XOR",
                1024,
                "8fb68bd84a7a2ea8a1190cea4cf04b4bb1131020fbd738ea16b7c9d2479bf72a25a3cae988c5cf8f\
                 9394f46a9d9e12ee191af9b816318c036544a443bafd8ed2f594d842d6168f14797171362fe9b4af\
                 9d0e747bfd26511cb451df96e3b5d334dc5ebcba987d67a134d76be79f0cb8758a1aec68a887eb82\
                 bbfc4f4a3cb69a86",
            ),
        ];
        for (hash, label, bits, expected) in known {
            assert_eq!(
                hex::encode(&*kdfa(hash, &key, label, &u, &v, bits)),
                expected
            );
        }
        assert_eq!(
            hex::encode(&*kdfa(Hash::Sha384, &key, "INTEGRITY", b"", b"", 384)),
            "ce5c1941c2411f7c12d0ad0dea97f8d18968b11c9fa9b006da60acc8fa7015ccffedc78fb26af4019b5958\
             3ab55d4698"
        );
        assert_eq!(
            hex::encode(&*kdfe(Hash::Sha256, &key, "DUPLICATE", &u, &v, 256)),
            "dbc36c01be3b08e3345a0a9d27856adaa60247ebffaa05704e066189df34a872"
        );
        assert_eq!(
            hex::encode(&*kdfe(Hash::Sha256, &key, "SECRET", &u, &v, 384)),
            "ad719dcf494af348ed922afb5cd58d65458c274ae86dff2393e347f1bfebcac4c20a614de34cfeb5d4aeb8\
             142b27677c"
        );
    }

    #[test]
    fn odd_bit_counts_mask_the_first_byte() {
        assert_eq!(kdfa(Hash::Sha256, b"k", "L", b"", b"", 0).len(), 0);
        for bits in 1..64 {
            let out = kdfa(Hash::Sha256, b"k", "L", b"", b"", bits);
            assert_eq!(out.len(), bits.div_ceil(8) as usize);
            if bits % 8 != 0 {
                assert!(u32::from(out[0]) < 1 << (bits % 8), "{bits}");
            }
        }
        assert_eq!(kdfe(Hash::Sha512, b"z", "L", b"", b"", 521).len(), 66);
    }
}
