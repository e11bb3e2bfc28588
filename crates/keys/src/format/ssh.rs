//! Public keys as SSH has them (RFC 4253, 6.6; RFC 5656, 3.1), and the data types that they are made of (RFC 4251, 5).
#![forbid(unsafe_code)]

use crypto::Curve;

use super::pem;
use crate::PublicKey;

/// What SSH calls a curve; `None` for those on which it has no keys.
pub fn curve_name(curve: Curve) -> Option<&'static str> {
    match curve {
        Curve::P256 => Some("nistp256"),
        Curve::P384 => Some("nistp384"),
        Curve::P521 => Some("nistp521"),
        _ => None,
    }
}

impl PublicKey {
    /// The name of the type, and the key in SSH's form; `None` on curves of which SSH has no keys.
    pub fn ssh_blob(&self) -> Option<(String, Vec<u8>)> {
        Some(match self {
            Self::Ec(key) => {
                let curve = curve_name(key.curve())?;
                let name = format!("ecdsa-sha2-{curve}");
                let parts = [name.as_bytes(), curve.as_bytes(), key.point()];
                let blob = parts.map(string).concat();
                (name, blob)
            }
            Self::Rsa { key, .. } => {
                let name = "ssh-rsa";
                let (exponent, modulus) = (mpint(key.exponent()), mpint(key.modulus()));
                let blob = [string(name.as_bytes()), exponent, modulus].concat();
                (name.to_owned(), blob)
            }
        })
    }

    /// A line of authorized_keys without a comment; `None` on curves of which SSH has no keys.
    pub fn to_ssh(&self) -> Option<String> {
        let (name, blob) = self.ssh_blob()?;
        Some(format!("{name} {}", pem::to_base64(&blob)))
    }
}

/// A string of octets.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    // Nothing of ours comes near 4 GiB.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// A number that is not negative, from its octets.
pub fn mpint(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    match number.first() {
        Some(&first) if first >= 0x80 => string(&[&[0], number].concat()),
        _ => string(number),
    }
}
