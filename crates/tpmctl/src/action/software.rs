//! Private keys in files of other programs.

use std::path::Path;

use crypto::{Curve, Secret};
use keys::import::Software;
use keys::{printable, tss2};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::EcKey;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;

use super::open_ssh::{self, Fault};
use crate::error::Error;

/// Reads the private key in a file: PKCS#8, PKCS#1 and SEC 1 in PEM or DER, OpenSSH's form, PKCS#12. `passphrase` is called
/// once if the file is encrypted.
///
/// # Errors
///
/// No private key, or several; a wrong passphrase; a key whose halves do not belong to each other, or of a kind that
/// no TPM has.
pub(crate) fn read(
    content: &[u8],
    path: &Path,
    passphrase: impl FnOnce() -> Result<Secret, Error>,
) -> Result<Software, Error> {
    let found = match Form::of(content) {
        Form::Tpm => Err("this is a key of a TPM, which has it already".to_owned()),
        Form::OpenSsh => open_ssh(content, passphrase)?,
        Form::Plain => PKey::private_key_from_pem_callback(content, |_| Ok(0))
            .or_else(|_| PKey::private_key_from_der(content))
            .map_err(|_| NO_KEY.to_owned()),
        Form::Encrypted => encrypted(content, &passphrase()?),
        Form::Pkcs12 => pkcs12(content, &passphrase()?),
        Form::Several(count) => Err(format!(
            "there are {count} private keys in it: put the one that is meant into a file of its own"
        )),
    };
    found
        .and_then(|key| numbers(&key))
        .map_err(|what| Error::new(format!("{}: {what}", printable::path(path))))
}

const NO_KEY: &str = "this is no private key: expected PKCS#8, PKCS#1, SEC 1 (PEM or DER), OpenSSH's form or PKCS#12, or it \
                      is damaged";
const WRONG: &str = "the passphrase is wrong, or the file is damaged (--passin VALUE, file:PATH, or `-` to be asked)";

/// How a file is to be read.
enum Form {
    Plain,
    Encrypted,
    OpenSsh,
    Pkcs12,
    /// A key file for a TPM.
    Tpm,
    /// Several private keys.
    Several(usize),
}

impl Form {
    fn of(content: &[u8]) -> Self {
        if tss2::KeyFile::from_bytes(content).is_ok() {
            return Self::Tpm;
        }
        // In the octets: a text of them would be a copy that nobody wipes.
        let count = |label: &str| {
            let places = content.windows(label.len());
            places.filter(|place| *place == label.as_bytes()).count()
        };
        let keys = count("PRIVATE KEY-----") / 2;
        if count("-----BEGIN TSS") > 0 {
            return Self::Tpm;
        }
        if keys > 1 {
            return Self::Several(keys);
        }
        if count("-----BEGIN OPENSSH PRIVATE KEY-----") > 0 {
            return Self::OpenSsh;
        }
        if count("-----BEGIN ENCRYPTED PRIVATE KEY-----") > 0 || count("4,ENCRYPTED") > 0 {
            return Self::Encrypted;
        }
        if keys == 1 {
            return Self::Plain;
        }
        match Self::version(content) {
            // PFX (RFC 7292, 4).
            Some(3) => match bags(content) {
                count @ 2.. => Self::Several(count),
                _ => Self::Pkcs12,
            },
            Some(_) => Self::Plain,
            // EncryptedPrivateKeyInfo (RFC 5958, 3) begins with an algorithm.
            None if content.first() == Some(&0x30) => Self::Encrypted,
            None => Self::Plain,
        }
    }

    /// The number with which a structure in DER begins, if it does.
    fn version(content: &[u8]) -> Option<u8> {
        let whole = crypto::der::Reader::new(content).element().ok()?;
        let first = whole.reader().element().ok()?;
        match first.content {
            [version] if first.tag == crypto::der::tag::INTEGER => Some(*version),
            _ => None,
        }
    }
}

/// Private keys in PKCS#12: the types keyBag and pkcs8ShroudedKeyBag (RFC 7292, 4.2), which are not encrypted themselves in
/// what OpenSSL, NSS, Java and Windows write.
fn bags(content: &[u8]) -> usize {
    const TYPE: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01";
    content
        .windows(TYPE.len() + 1)
        .filter(|window| matches!(window.split_last(), Some((1 | 2, TYPE))))
        .count()
}

type Found = Result<PKey<Private>, String>;

fn encrypted(content: &[u8], passphrase: &Secret) -> Found {
    PKey::private_key_from_pem_passphrase(content, passphrase)
        .or_else(|_| PKey::private_key_from_pkcs8_passphrase(content, passphrase))
        .map_err(|_| WRONG.to_owned())
}

fn pkcs12(content: &[u8], passphrase: &Secret) -> Found {
    let passphrase = std::str::from_utf8(passphrase)
        .map_err(|_| "a passphrase of PKCS#12 is a text in UTF-8".to_owned())?;
    let parsed = Pkcs12::from_der(content)
        .and_then(|container| container.parse2(passphrase))
        .map_err(|_| {
            format!("{WRONG}; or it is encrypted with what OpenSSL has in its legacy provider only")
        })?;
    parsed
        .pkey
        .ok_or_else(|| "there is no private key in it".to_owned())
}

fn open_ssh(
    content: &[u8],
    passphrase: impl FnOnce() -> Result<Secret, Error>,
) -> Result<Found, Error> {
    let found = open_ssh::read(content, passphrase)?;
    Ok(found.map_err(|fault| match fault {
        Fault::Damaged => NO_KEY.to_owned(),
        Fault::WrongPassphrase => WRONG.to_owned(),
        Fault::Kind(kind) => no_such(&kind),
    }))
}

fn no_such(kind: &str) -> String {
    format!("a key that is {kind} can be in no TPM: TPMs have RSA and EC keys")
}

/// The numbers of a key whose halves belong to each other.
fn numbers(key: &PKey<Private>) -> Result<Software, String> {
    match key.id() {
        Id::RSA | Id::RSA_PSS => rsa(&key.rsa().map_err(|_| NO_KEY.to_owned())?),
        Id::EC => ec(&key.ec_key().map_err(|_| NO_KEY.to_owned())?),
        Id::ED25519 => Err(no_such("Ed25519")),
        Id::ED448 => Err(no_such("Ed448")),
        Id::DSA => Err(no_such("DSA")),
        _ => Err(no_such("neither RSA nor EC")),
    }
}

const INCONSISTENT: &str = "the private half is not that of the public one: the file is damaged, or was put together wrongly";

fn rsa(key: &Rsa<Private>) -> Result<Software, String> {
    let (Some(p), Some(q)) = (key.p(), key.q()) else {
        return Err("the RSA key comes without its primes, from which a TPM makes it".to_owned());
    };
    if !key.check_key().unwrap_or(false) {
        return Err(INCONSISTENT.to_owned());
    }
    let product = || {
        let mut product = BigNum::new_secure()?;
        product.checked_mul(p, q, &mut *BigNumContext::new_secure()?)?;
        Ok::<_, openssl::error::ErrorStack>(product)
    };
    if product().is_ok_and(|product| product != *key.n()) {
        return Err("the RSA key has more than two primes, as no TPM's has".to_owned());
    }
    let exponent = key.e().to_vec();
    if exponent.len() > 4 {
        return Err("the public exponent of a TPM's RSA key has at most 32 bits".to_owned());
    }
    Ok(Software::Rsa {
        modulus: key.n().to_vec(),
        exponent: exponent
            .iter()
            .fold(0, |sum, &octet| sum << 8 | u32::from(octet)),
        prime: Secret::new(p.to_vec()),
    })
}

fn ec(key: &EcKey<Private>) -> Result<Software, String> {
    let name = key
        .group()
        .curve_name()
        .and_then(|nid| nid.short_name().ok());
    let Some(curve) = name.and_then(Curve::from_name) else {
        let name = name.unwrap_or("explicit parameters");
        return Err(format!(
            "no TPM has keys on this curve ({name}): `tpmctl info -a` lists what this one has"
        ));
    };
    if key.check_key().is_err() {
        return Err(INCONSISTENT.to_owned());
    }
    let wide = |number: &BigNumRef| {
        let width = i32::try_from(curve.size()).unwrap_or(i32::MAX);
        number.to_vec_padded(width)
    };
    let parts = || {
        let mut context = BigNumContext::new()?;
        let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
        key.public_key()
            .affine_coordinates(key.group(), &mut x, &mut y, &mut context)?;
        Ok::<_, openssl::error::ErrorStack>(Software::Ec {
            curve,
            x: wide(&x)?,
            y: wide(&y)?,
            scalar: Secret::new(wide(key.private_key())?),
        })
    };
    parts().map_err(|_| NO_KEY.to_owned())
}
