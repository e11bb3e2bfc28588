//! Public keys as SSH has them: a line of authorized_keys (RFC 4253, 6.6; RFC 5656, 3.1).
#![forbid(unsafe_code)]

use crypto::Curve;

use super::pem;
use crate::PublicKey;

impl PublicKey {
    /// The type and the key, without a comment; `None` on curves of which SSH has no keys.
    pub fn to_ssh(&self) -> Option<String> {
        let (name, blob) = match self {
            Self::Ec(key) => {
                let curve = match key.curve() {
                    Curve::P256 => "nistp256",
                    Curve::P384 => "nistp384",
                    Curve::P521 => "nistp521",
                    _ => return None,
                };
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
        };
        Some(format!("{name} {}", pem::to_base64(&blob)))
    }
}

/// RFC 4251, 5.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

fn mpint(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    match number.first() {
        Some(&first) if first >= 0x80 => string(&[&[0], number].concat()),
        _ => string(number),
    }
}
