//! The interposer's own keys, in software: what it puts in the place of keys in the TPM.

use super::area::{Area, ECC, KEYEDHASH, RSA, SHA256};
use super::crypto::{digest, kdfe};
use super::wire::{Bytes, sized};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::md::{Md, MdRef};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::sign::RsaPssSaltlen;
use std::sync::OnceLock;

/// What the interposer would have a client read as its plaintext.
pub const CHOSEN: &[u8] = b"chosen by the interposer";

const RSASSA: u16 = 0x0014;
const RSAPSS: u16 = 0x0016;
const ECDSA: u16 = 0x0018;

/// One of the interposer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    Rsa,
    Ec,
    /// A storage key: what it puts in the place of a parent.
    Parent,
}

struct Keys {
    rsa: Rsa<Private>,
    ec: EcKey<Private>,
    parent: EcKey<Private>,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let ec = || EcKey::generate(&group()).expect("an EC key");
        Keys {
            rsa: Rsa::generate(2048).expect("an RSA key"),
            ec: ec(),
            parent: ec(),
        }
    })
}

fn group() -> EcGroup {
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256")
}

impl Own {
    /// The one for keys like `area`.
    pub fn like(area: &Area) -> Self {
        if area.kind == RSA {
            Self::Rsa
        } else {
            Self::Ec
        }
    }

    fn ec(self) -> &'static EcKey<Private> {
        match self {
            Self::Parent => &keys().parent,
            _ => &keys().ec,
        }
    }

    /// Its public half, as it stands in a public area.
    pub fn unique(self) -> Vec<Vec<u8>> {
        match self {
            Self::Rsa => vec![keys().rsa.n().to_vec()],
            Self::Ec | Self::Parent => coordinates(self.ec().public_key()).to_vec(),
        }
    }

    /// `area` with this key in it.
    pub fn in_place_of(self, area: &Area) -> Area {
        Area {
            unique: match area.kind {
                // Nobody can check the digest of sealed data.
                KEYEDHASH => vec![vec![0x5a; 32]],
                _ => self.unique(),
            },
            ..area.clone()
        }
    }

    /// The salt of a session that was encrypted to this key.
    pub fn decrypt_salt(self, area: &Area, encrypted: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_secret(area, encrypted, "SECRET")
    }

    /// A secret that was encrypted to this key, for the purpose that the label says (Part 1, B.10 and C.6).
    pub fn decrypt_secret(self, area: &Area, encrypted: &[u8], label: &str) -> Option<Vec<u8>> {
        if area.name_alg != SHA256 {
            return None;
        }
        if self == Self::Rsa {
            let key = PKey::from_rsa(keys().rsa.clone()).ok()?;
            let mut context = PkeyCtx::new(&key).ok()?;
            context.decrypt_init().ok()?;
            context.set_rsa_padding(Padding::PKCS1_OAEP).ok()?;
            context.set_rsa_oaep_md(Md::sha256()).ok()?;
            context.set_rsa_mgf1_md(Md::sha256()).ok()?;
            context
                .set_rsa_oaep_label(format!("{label}\0").as_bytes())
                .ok()?;
            let mut salt = Vec::new();
            context.decrypt_to_vec(encrypted, &mut salt).ok()?;
            return Some(salt);
        }
        let mut bytes = Bytes(encrypted);
        let (x, y) = (bytes.sized()?, bytes.sized()?);
        let z = self.agree(x, y)?;
        Some(kdfe(&z, label, x, &self.unique()[0]))
    }

    /// The first coordinate of the shared point.
    pub fn agree(self, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
        self.multiply(x, y).map(|[x, _]| x)
    }

    /// The private scalar times a point.
    pub fn multiply(self, x: &[u8], y: &[u8]) -> Option<[Vec<u8>; 2]> {
        let group = group();
        let mut context = BigNumContext::new().ok()?;
        let (x, y) = (BigNum::from_slice(x).ok()?, BigNum::from_slice(y).ok()?);
        let peer = EcKey::from_public_key_affine_coordinates(&group, &x, &y).ok()?;
        let mut shared = EcPoint::new(&group).ok()?;
        shared
            .mul2(
                &group,
                peer.public_key(),
                self.ec().private_key(),
                &mut context,
            )
            .ok()?;
        Some(coordinates(&shared))
    }

    /// A signature as TPM2_Sign answers it, with the scheme of the command, or of the key where that is null.
    pub fn sign(self, scheme: &[u8], message_digest: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Bytes(scheme);
        let (algorithm, hash) = (bytes.u16()?, bytes.u16()?);
        let head = scheme.get(..4)?;
        match (algorithm, self) {
            (RSASSA | RSAPSS, Self::Rsa) => {
                let key = PKey::from_rsa(keys().rsa.clone()).ok()?;
                let mut context = PkeyCtx::new(&key).ok()?;
                context.sign_init().ok()?;
                context
                    .set_rsa_padding(if algorithm == RSASSA {
                        Padding::PKCS1
                    } else {
                        Padding::PKCS1_PSS
                    })
                    .ok()?;
                context.set_signature_md(md(hash)?).ok()?;
                if algorithm == RSAPSS {
                    context
                        .set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)
                        .ok()?;
                }
                let mut signature = Vec::new();
                context.sign_to_vec(message_digest, &mut signature).ok()?;
                Some([head, &sized(&signature)].concat())
            }
            (ECDSA, Self::Ec) => {
                let signature = EcdsaSig::sign(message_digest, self.ec()).ok()?;
                let (r, s) = (padded(signature.r()), padded(signature.s()));
                Some([head, &sized(&r), &sized(&s)].concat())
            }
            _ => None,
        }
    }

    /// The private half, as TPM2_LoadExternal takes it: a `TPM2B_SENSITIVE` without an authorization value.
    pub fn sensitive(self) -> Vec<u8> {
        let (kind, secret) = match self {
            Self::Rsa => (RSA, keys().rsa.p().expect("a prime").to_vec()),
            Self::Ec | Self::Parent => (ECC, padded(self.ec().private_key())),
        };
        sized(
            &[
                &kind.to_be_bytes()[..],
                &sized(&[]),
                &sized(&[]),
                &sized(&secret),
            ]
            .concat(),
        )
    }

    /// The raw private operation of RSA.
    pub fn raw(self, block: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 256];
        let size = keys()
            .rsa
            .private_decrypt(block, &mut out, Padding::NONE)
            .ok()?;
        out.truncate(size);
        Some(out)
    }

    /// What a raw decryption would give if [`CHOSEN`] had been encrypted with OAEP and SHA-1.
    pub fn chosen_block() -> Option<Vec<u8>> {
        let mut sealed = vec![0; 256];
        keys()
            .rsa
            .public_encrypt(CHOSEN, &mut sealed, Padding::PKCS1_OAEP)
            .ok()?;
        Self::Rsa.raw(&sealed)
    }
}

/// Whether the interposer has the private half of the key in `area`.
pub fn is_own(area: &Area) -> bool {
    [Own::Rsa, Own::Ec, Own::Parent]
        .iter()
        .any(|own| own.unique() == area.unique)
}

/// The same for a key of a TPM 1.2, whose file holds the modulus as it is.
pub fn is_own_inside(der: &[u8]) -> bool {
    let modulus = &Own::Rsa.unique()[0];
    der.windows(modulus.len()).any(|part| part == modulus)
}

/// A digest by its number, for hashes that the TPM makes.
pub fn hash(algorithm: u16, message: &[u8]) -> Option<Vec<u8>> {
    let md = match algorithm {
        0x0004 => MessageDigest::sha1(),
        0x000B => MessageDigest::sha256(),
        0x000C => MessageDigest::sha384(),
        0x000D => MessageDigest::sha512(),
        _ => return None,
    };
    Some(digest(md, &[message]))
}

fn md(algorithm: u16) -> Option<&'static MdRef> {
    Some(match algorithm {
        0x0004 => Md::sha1(),
        0x000B => Md::sha256(),
        0x000C => Md::sha384(),
        0x000D => Md::sha512(),
        _ => return None,
    })
}

fn coordinates(point: &openssl::ec::EcPointRef) -> [Vec<u8>; 2] {
    let mut context = BigNumContext::new().expect("memory");
    let (mut x, mut y) = (
        BigNum::new().expect("memory"),
        BigNum::new().expect("memory"),
    );
    point
        .affine_coordinates(&group(), &mut x, &mut y, &mut context)
        .expect("a point that is not at infinity");
    [x, y].map(|n| padded(&n))
}

/// A number of P-256 as it stands in a TPM's structures.
fn padded(n: &BigNumRef) -> Vec<u8> {
    n.to_vec_padded(32).expect("32 bytes hold it")
}

/// An area must be one that we have a key for: RSA-2048 or P-256.
pub fn can_pose_as(area: &Area) -> bool {
    const P256: u16 = 0x0003;
    match area.kind {
        RSA => area.size == 2048,
        ECC => area.size == P256,
        KEYEDHASH => true,
        _ => false,
    }
}
