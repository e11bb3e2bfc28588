//! Digests and HMAC.
#![forbid(unsafe_code)]

use std::fmt;

use aws_lc_rs::{digest, hmac as lc_hmac};
use zeroize::{Zeroize, Zeroizing};

/// A digest algorithm (FIPS 180-4, FIPS 202).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// SHA-1, for what still asks for it.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/256.
    Sha512_256,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

/// What is known about one algorithm. The names are OpenSSL's, its canonical one first, then the
/// dotted object identifier, then spellings seen elsewhere (TPM tools, JOSE libraries).
struct Facts {
    hash: Hash,
    names: &'static [&'static str],
    /// A whole DigestInfo (RFC 8017, A.2.4) up to the digest itself.
    digest_info: &'static [u8],
}

/// The object identifier's value lies at this place in every DigestInfo.
const OID_START: usize = 6;

/// DigestInfo for the NIST arc 2.16.840.1.101.3.4.2: `last` is its last component.
const fn nist(last: u8, size: u8) -> [u8; 19] {
    [
        0x30,
        17 + size,
        0x30,
        0x0d,
        0x06,
        0x09,
        0x60,
        0x86,
        0x48,
        0x01,
        0x65,
        0x03,
        0x04,
        0x02,
        last,
        0x05,
        0x00,
        0x04,
        size,
    ]
}

const FACTS: [Facts; 9] = [
    Facts {
        hash: Hash::Sha1,
        names: &["SHA1", "SHA-1", "SSL3-SHA1", "1.3.14.3.2.26"],
        digest_info: &[
            0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04,
            0x14,
        ],
    },
    Facts {
        hash: Hash::Sha224,
        names: &["SHA2-224", "SHA-224", "SHA224", "2.16.840.1.101.3.4.2.4"],
        digest_info: &nist(4, 28),
    },
    Facts {
        hash: Hash::Sha256,
        names: &["SHA2-256", "SHA-256", "SHA256", "2.16.840.1.101.3.4.2.1"],
        digest_info: &nist(1, 32),
    },
    Facts {
        hash: Hash::Sha384,
        names: &["SHA2-384", "SHA-384", "SHA384", "2.16.840.1.101.3.4.2.2"],
        digest_info: &nist(2, 48),
    },
    Facts {
        hash: Hash::Sha512,
        names: &["SHA2-512", "SHA-512", "SHA512", "2.16.840.1.101.3.4.2.3"],
        digest_info: &nist(3, 64),
    },
    Facts {
        hash: Hash::Sha512_256,
        names: &[
            "SHA2-512/256",
            "SHA-512/256",
            "SHA512-256",
            "2.16.840.1.101.3.4.2.6",
        ],
        digest_info: &nist(6, 32),
    },
    Facts {
        hash: Hash::Sha3_256,
        names: &["SHA3-256", "2.16.840.1.101.3.4.2.8", "SHA3_256"],
        digest_info: &nist(8, 32),
    },
    Facts {
        hash: Hash::Sha3_384,
        names: &["SHA3-384", "2.16.840.1.101.3.4.2.9", "SHA3_384"],
        digest_info: &nist(9, 48),
    },
    Facts {
        hash: Hash::Sha3_512,
        names: &["SHA3-512", "2.16.840.1.101.3.4.2.10", "SHA3_512"],
        digest_info: &nist(10, 64),
    },
];

impl Hash {
    /// Every algorithm, in a fixed order.
    pub const ALL: [Self; 9] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha512_256,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The algorithm of a name as OpenSSL writes it: `SHA256`, `SHA-256`, `SHA2-256` or
    /// `2.16.840.1.101.3.4.2.1`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        FACTS
            .iter()
            .find(|facts| {
                facts
                    .names
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
            })
            .map(|facts| facts.hash)
    }

    /// The algorithm of an object identifier, given as its DER value bytes.
    pub fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.oid() == oid)
    }

    /// OpenSSL's canonical name: `SHA1`, `SHA2-256`, `SHA3-256`.
    pub fn name(self) -> &'static str {
        self.facts().names[0]
    }

    /// The digest's length in bytes.
    pub fn size(self) -> usize {
        self.algorithm().output_len()
    }

    /// The length in bytes of the blocks that the algorithm works on, which HMAC needs.
    pub fn block_size(self) -> usize {
        self.algorithm().block_len()
    }

    /// The object identifier's DER value bytes, without tag and length.
    pub fn oid(self) -> &'static [u8] {
        let info = self.facts().digest_info;
        let length = usize::from(info[OID_START - 1]);
        &info[OID_START..OID_START + length]
    }

    /// DER of a DigestInfo up to the digest, which follows (RFC 8017, 9.2 note 1).
    pub fn digest_info_prefix(self) -> &'static [u8] {
        self.facts().digest_info
    }

    fn facts(self) -> &'static Facts {
        // The table is in the order of the enum; a test holds it to that.
        &FACTS[self as usize]
    }

    /// The algorithm under aws-lc-rs.
    pub(super) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
            Self::Sha512_256 => &digest::SHA512_256,
            Self::Sha3_256 => &digest::SHA3_256,
            Self::Sha3_384 => &digest::SHA3_384,
            Self::Sha3_512 => &digest::SHA3_512,
        }
    }

    fn hmac_algorithm(self) -> Option<lc_hmac::Algorithm> {
        Some(match self {
            Self::Sha1 => lc_hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => lc_hmac::HMAC_SHA224,
            Self::Sha256 => lc_hmac::HMAC_SHA256,
            Self::Sha384 => lc_hmac::HMAC_SHA384,
            Self::Sha512 => lc_hmac::HMAC_SHA512,
            _ => return None,
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest in progress. A clone continues on its own.
#[derive(Clone)]
pub struct Digest {
    hash: Hash,
    context: digest::Context,
}

impl Digest {
    /// Starts an empty digest.
    pub fn new(hash: Hash) -> Self {
        Self {
            hash,
            context: digest::Context::new(hash.algorithm()),
        }
    }

    /// The algorithm.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.context.update(data);
    }

    /// The digest, [`Hash::size`] bytes.
    pub fn finish(self) -> Vec<u8> {
        self.context.finish().as_ref().to_vec()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.hash)
    }
}

/// The digest of the concatenation of `parts`.
pub fn hash(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = Digest::new(hash);
    for part in parts {
        digest.update(part);
    }
    digest.finish()
}

/// HMAC (FIPS 198-1) of the concatenation of `parts`, [`Hash::size`] bytes.
pub fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    match hash.hmac_algorithm() {
        Some(algorithm) => {
            let mut context = lc_hmac::Context::with_key(&lc_hmac::Key::new(algorithm, key));
            for part in parts {
                context.update(part);
            }
            Zeroizing::new(context.sign().as_ref().to_vec())
        }
        None => hmac_by_hand(hash, key, parts),
    }
}

/// HMAC from its definition, for the digests for which aws-lc-rs has none.
fn hmac_by_hand(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut block = if key.len() > hash.block_size() {
        Zeroizing::new(self::hash(hash, &[key]))
    } else {
        // Room for the whole block at once: growing would leave a copy of the key behind.
        let mut block = Zeroizing::new(Vec::with_capacity(hash.block_size()));
        block.extend_from_slice(key);
        block
    };
    if block.capacity() < hash.block_size() {
        let mut larger = Zeroizing::new(Vec::with_capacity(hash.block_size()));
        larger.extend_from_slice(&block);
        block = larger;
    }
    block.resize(hash.block_size(), 0);

    block.iter_mut().for_each(|b| *b ^= 0x36);
    let mut inner = Digest::new(hash);
    inner.update(&block);
    for part in parts {
        inner.update(part);
    }
    let mut inner = inner.finish();

    block.iter_mut().for_each(|b| *b ^= 0x36 ^ 0x5c);
    let outer = self::hash(hash, &[&block, &inner]);
    inner.zeroize();
    Zeroizing::new(outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, hash) in Hash::ALL.into_iter().enumerate() {
            assert_eq!(hash as usize, index);
            assert_eq!(FACTS[index].hash, hash);
            let info = hash.digest_info_prefix();
            assert_eq!(usize::from(info[info.len() - 1]), hash.size());
            assert_eq!(usize::from(info[1]), info.len() - 2 + hash.size());
            assert_eq!(Hash::from_oid(hash.oid()), Some(hash));
        }
    }

    #[test]
    fn names() {
        for name in ["SHA256", "sha-256", "SHA2-256", "2.16.840.1.101.3.4.2.1"] {
            assert_eq!(Hash::from_name(name), Some(Hash::Sha256), "{name}");
        }
        assert_eq!(Hash::from_name("SSL3-SHA1"), Some(Hash::Sha1));
        assert_eq!(Hash::from_name("sha512-256"), Some(Hash::Sha512_256));
        for hash in Hash::ALL {
            assert_eq!(Hash::from_name(hash.name()), Some(hash));
        }
        for name in ["", "MD5", "SHA", "SHA256 ", "SHAKE256"] {
            assert_eq!(Hash::from_name(name), None, "{name}");
        }
        assert_eq!(Hash::Sha1.name(), "SHA1");
        assert_eq!(Hash::from_oid(&[]), None);
    }

    /// FIPS 180-4 and FIPS 202 examples: the digest of "abc".
    #[test]
    fn known_digests() {
        let known = [
            (Hash::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Hash::Sha224,
                "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
            ),
            (
                Hash::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Hash::Sha512_256,
                "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
            ),
            (
                Hash::Sha3_256,
                "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
            ),
        ];
        for (algorithm, expected) in known {
            assert_eq!(hex::encode(hash(algorithm, &[b"a", b"", b"bc"])), expected);
        }
        for algorithm in Hash::ALL {
            assert_eq!(hash(algorithm, &[b"x"]).len(), algorithm.size());
        }
    }

    #[test]
    fn a_clone_continues_on_its_own() {
        let mut first = Digest::new(Hash::Sha256);
        first.update(b"ab");
        let mut second = first.clone();
        first.update(b"c");
        second.update(b"d");
        assert_eq!(first.finish(), hash(Hash::Sha256, &[b"abc"]));
        assert_eq!(second.finish(), hash(Hash::Sha256, &[b"abd"]));
    }

    /// RFC 4231, test cases 2 and 6 (a key longer than the block); RFC 2202 for SHA-1.
    #[test]
    fn known_hmacs() {
        let data = b"what do ya want for nothing?";
        assert_eq!(
            hex::encode(hmac(Hash::Sha256, b"Jefe", &[&data[..5], &data[5..]])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac(Hash::Sha1, b"Jefe", &[data])),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex::encode(hmac(
                Hash::Sha256,
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    /// The definition agrees with the library wherever both exist, and so is right for the others.
    #[test]
    fn hmac_by_hand_agrees() {
        for algorithm in Hash::ALL
            .into_iter()
            .filter(|h| h.hmac_algorithm().is_some())
        {
            for length in [0, 1, 20, 63, 64, 65, 127, 128, 129, 200] {
                let key = vec![0x5a; length];
                assert_eq!(
                    hmac_by_hand(algorithm, &key, &[b"da", b"ta"]),
                    hmac(algorithm, &key, &[b"data"]),
                    "{algorithm} {length}"
                );
            }
        }
        // NIST's HMAC example for SHA3-256: a 32-byte key counting up from zero.
        let key: Vec<u8> = (0..32).collect();
        assert_eq!(
            hex::encode(hmac(
                Hash::Sha3_256,
                &key,
                &[b"Sample message for keylen<blocklen"]
            )),
            "4fe8e202c4f058e8dddc23d8c34e467343e23555e24fc2f025d598f558f67205"
        );
    }
}
