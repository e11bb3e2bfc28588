//! Private keys in OpenSSH's own form (its PROTOCOL.key).
//!
//! The crate ssh-key derives and decrypts. What is inside is read here: the crate wants private numbers of full length, and
//! OpenSSH writes them without leading zeros, so that it refuses one EC key in 256.

use crypto::Secret;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::RsaPrivateKeyBuilder;
use ssh_key::{Cipher, Kdf};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::ssh::wire::Reader;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// How OpenSSH breaks its lines, in characters.
const WIDTH: usize = 70;
/// An encryption that authenticates has its tag behind the private part.
const TAG: usize = 16;

/// What is wrong with a file.
pub(super) enum Fault {
    /// It is no such file, or a damaged one.
    Damaged,
    /// The passphrase, or the file.
    WrongPassphrase,
    /// A key of a kind that no TPM has.
    Kind(String),
}

/// Reads the file's key. `passphrase` is called once if it is encrypted.
pub(super) fn read(
    content: &[u8],
    passphrase: impl FnOnce() -> Result<Secret, Error>,
) -> Result<Result<PKey<Private>, Fault>, Error> {
    let Some(file) = decoded(content) else {
        return Ok(Err(Fault::Damaged));
    };
    let Some(container) = Container::of(&file) else {
        return Ok(Err(Fault::Damaged));
    };
    if container.cipher.is_none() {
        let private = private_part(container.private);
        return Ok(private.map_or(Err(Fault::Damaged), key));
    }
    let opened = container.opened(&passphrase()?);
    let private = opened.as_deref().and_then(|opened| private_part(opened));
    Ok(private.map_or(Err(Fault::WrongPassphrase), key))
}

/// The octets between the file's first and last line.
fn decoded(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut decoder = pem_rfc7468::Decoder::new_wrapped(content, WIDTH).ok()?;
    if decoder.type_label() != "OPENSSH PRIVATE KEY" {
        return None;
    }
    // At once in its full length: growing would leave copies behind.
    let mut octets = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut octets).ok()?;
    Some(octets)
}

struct Container<'a> {
    cipher: Cipher,
    kdf: Kdf,
    private: &'a [u8],
    tag: Option<[u8; TAG]>,
}

impl<'a> Container<'a> {
    fn of(file: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(file.strip_prefix(MAGIC)?);
        let cipher = match reader.text()? {
            "none" => Cipher::None,
            name => Cipher::new(name).ok()?,
        };
        let kdf = match (reader.text()?, reader.string()?) {
            ("none", _) => Kdf::None,
            ("bcrypt", options) => {
                let mut options = Reader::new(options);
                Kdf::Bcrypt {
                    salt: options.string()?.to_vec(),
                    rounds: options.u32()?,
                }
            }
            _ => return None,
        };
        // One key: nothing has ever written more.
        if reader.u32()? != 1 || cipher.is_none() != kdf.is_none() {
            return None;
        }
        let _public = reader.string()?;
        let private = reader.string()?;
        let mut tag = [0; TAG];
        if cipher.has_tag() {
            for octet in &mut tag {
                *octet = reader.octet()?;
            }
        }
        reader.is_at_end().then_some(Self {
            cipher,
            kdf,
            private,
            tag: cipher.has_tag().then_some(tag),
        })
    }

    /// The private part, with whatever comes of a wrong passphrase.
    fn opened(&self, passphrase: &Secret) -> Option<Zeroizing<Vec<u8>>> {
        let (key, iv) = self
            .kdf
            .derive_key_and_iv(self.cipher, &**passphrase)
            .ok()?;
        let mut private = Zeroizing::new(self.private.to_vec());
        self.cipher
            .decrypt(&key, &iv, &mut private, self.tag)
            .ok()?;
        Some(private)
    }
}

/// What stands behind the two numbers that are the same where the passphrase was right.
fn private_part(private: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(private);
    (reader.u32()? == reader.u32()?).then_some(reader)
}

fn key(mut reader: Reader<'_>) -> Result<PKey<Private>, Fault> {
    let kind = reader.text().ok_or(Fault::Damaged)?;
    let curve = match kind {
        "ecdsa-sha2-nistp256" => Some(Nid::X9_62_PRIME256V1),
        "ecdsa-sha2-nistp384" => Some(Nid::SECP384R1),
        "ecdsa-sha2-nistp521" => Some(Nid::SECP521R1),
        "ssh-rsa" => None,
        other => return Err(Fault::Kind(other.to_owned())),
    };
    let found = match curve {
        Some(curve) => ec(reader, curve),
        None => rsa(reader),
    };
    found.and_then(Result::ok).ok_or(Fault::Damaged)
}

type Found = Option<Result<PKey<Private>, ErrorStack>>;

fn ec(mut reader: Reader<'_>, curve: Nid) -> Found {
    let (_name, point, scalar) = (reader.string()?, reader.string()?, reader.string()?);
    let found = || {
        let group = EcGroup::from_curve_name(curve)?;
        let mut context = BigNumContext::new()?;
        let point = EcPoint::from_bytes(&group, point, &mut context)?;
        let scalar = BigNum::from_slice(scalar)?;
        PKey::from_ec_key(EcKey::from_private_components(&group, &scalar, &point)?)
    };
    Some(found())
}

fn rsa(mut reader: Reader<'_>) -> Found {
    let mut number = || reader.string().map(BigNum::from_slice);
    let (n, e, d) = (number()?, number()?, number()?);
    let _coefficient = number()?;
    let (p, q) = (number()?, number()?);
    let found = || {
        let key = RsaPrivateKeyBuilder::new(n?, e?, d?)?.set_factors(p?, q?)?;
        PKey::from_rsa(key.build())
    };
    Some(found())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::wire::{mpint, string};

    const CURVE: Nid = Nid::X9_62_PRIME256V1;

    /// A key whose private number has this many octets.
    fn ec_of(octets: i32) -> EcKey<Private> {
        let group = EcGroup::from_curve_name(CURVE).unwrap();
        loop {
            let key = EcKey::generate(&group).unwrap();
            let mut scalar = key.private_key().to_owned().unwrap();
            scalar.mask_bits(octets * 8 - 1).unwrap();
            scalar.set_bit(octets * 8 - 2).unwrap();
            let mut context = BigNumContext::new().unwrap();
            let mut point = EcPoint::new(&group).unwrap();
            point.mul_generator2(&group, &scalar, &mut context).unwrap();
            if let Ok(key) = EcKey::from_private_components(&group, &scalar, &point) {
                return key;
            }
        }
    }

    fn private(key: &EcKey<Private>) -> Vec<u8> {
        let group = EcGroup::from_curve_name(CURVE).unwrap();
        let mut context = BigNumContext::new().unwrap();
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        let point = key
            .public_key()
            .to_bytes(&group, form, &mut context)
            .unwrap();
        let mut private = [
            vec![1, 2, 3, 4, 1, 2, 3, 4],
            string(b"ecdsa-sha2-nistp256"),
            string(b"nistp256"),
            string(&point),
            mpint(&key.private_key().to_vec()),
            string(b"a comment"),
        ]
        .concat();
        for octet in 1.. {
            if private.len() % 16 == 0 {
                break;
            }
            private.push(octet);
        }
        private
    }

    fn file(cipher: &str, kdf: &str, options: &[u8], private: &[u8]) -> Vec<u8> {
        let octets = [
            MAGIC.to_vec(),
            string(cipher.as_bytes()),
            string(kdf.as_bytes()),
            string(options),
            vec![0, 0, 0, 1],
            string(b"the public half"),
            string(private),
        ]
        .concat();
        let body = openssl::base64::encode_block(&octets);
        let lines: Vec<&str> = (0..body.len())
            .step_by(WIDTH)
            .map(|at| &body[at..body.len().min(at + WIDTH)])
            .collect();
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        )
        .into_bytes()
    }

    fn read_with(content: &[u8], passphrase: &[u8]) -> Result<PKey<Private>, Fault> {
        let given = Secret::new(passphrase.to_vec());
        read(content, || Ok(given)).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn private_numbers_of_every_length() {
        for octets in [32, 31, 30, 20] {
            let key = ec_of(octets);
            let wanted = key.private_key().to_vec();
            assert_eq!(wanted.len(), usize::try_from(octets).unwrap());
            let content = file("none", "none", b"", &private(&key));
            let found = read_with(&content, b"").ok().expect("a key");
            assert_eq!(found.ec_key().unwrap().private_key().to_vec(), wanted);
            // And encrypted.
            let options = [string(&[7; 16]), vec![0, 0, 0, 2]].concat();
            let kdf = Kdf::Bcrypt {
                salt: vec![7; 16],
                rounds: 2,
            };
            let cipher = Cipher::Aes256Ctr;
            let (secret, iv) = kdf.derive_key_and_iv(cipher, b"right").unwrap();
            let mut sealed = private(&key);
            cipher.encrypt(&secret, &iv, &mut sealed).unwrap();
            let content = file("aes256-ctr", "bcrypt", &options, &sealed);
            let found = read_with(&content, b"right").ok().expect("a key");
            assert_eq!(found.ec_key().unwrap().private_key().to_vec(), wanted);
            let wrong = read_with(&content, b"wrong");
            assert!(matches!(wrong, Err(Fault::WrongPassphrase)));
        }
    }

    #[test]
    fn what_is_cut_is_damaged() {
        let key = private(&ec_of(32));
        for length in 0..key.len() - 32 {
            let content = file("none", "none", b"", &key[..length]);
            let found = read_with(&content, b"");
            assert!(matches!(found, Err(Fault::Damaged)), "{length}");
        }
        let content = file("none", "none", b"", &key);
        for length in 0..content.len() - 40 {
            assert!(read_with(&content[..length], b"").is_err(), "{length}");
        }
    }
}
