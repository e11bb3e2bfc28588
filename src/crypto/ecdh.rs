//! The NIST curves, and key agreement with a fresh ephemeral key.
#![forbid(unsafe_code)]

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{CryptoError, fixed_width};

/// An elliptic curve of FIPS 186.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, also prime256v1 and secp256r1.
    P256,
    /// NIST P-384, also secp384r1.
    P384,
    /// NIST P-521, also secp521r1.
    P521,
}

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The length of one coordinate in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The order's length in bits.
    pub fn bits(self) -> usize {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// NIST's name.
    pub fn nist_name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// OpenSSL's group name.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "prime256v1",
            Self::P384 => "secp384r1",
            Self::P521 => "secp521r1",
        }
    }

    /// The curve of a name as OpenSSL takes it (`P-256`, `prime256v1`, `secp256r1`), in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let names: [(Self, &[&str]); 3] = [
            (
                Self::P256,
                &["P-256", "prime256v1", "secp256r1", "1.2.840.10045.3.1.7"],
            ),
            (Self::P384, &["P-384", "secp384r1", "1.3.132.0.34"]),
            (Self::P521, &["P-521", "secp521r1", "1.3.132.0.35"]),
        ];
        names
            .into_iter()
            .find(|(_, names)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
            .map(|(curve, _)| curve)
    }

    /// The object identifier's DER value bytes (RFC 5480, 2.1.1.1).
    pub fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Self::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
        }
    }

    /// The uncompressed point (SEC 1, 2.3.3), its coordinates padded to the curve's size.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for a coordinate that is too long. The point itself is not checked.
    pub fn point(self, x: &[u8], y: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let too_long = CryptoError::InvalidKey("a coordinate is longer than the curve's field");
        let (Some(x), Some(y)) = (fixed_width(x, self.size()), fixed_width(y, self.size())) else {
            return Err(too_long);
        };
        Ok([&[4][..], &x, &y].concat())
    }

    fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
            Self::P521 => &ECDH_P521,
        }
    }
}

/// What [`agree_ephemeral`] yields: the ephemeral public point's x and y, and the shared x
/// coordinate, each [`Curve::size`] bytes.
pub type Agreement = (Vec<u8>, Vec<u8>, Zeroizing<Vec<u8>>);

/// Makes an ephemeral key and agrees with the peer's (SP 800-56A, 5.7.1.2).
///
/// # Errors
/// [`CryptoError::InvalidKey`] when the peer's point is not on the curve.
pub fn agree_ephemeral(
    curve: Curve,
    peer_x: &[u8],
    peer_y: &[u8],
) -> Result<Agreement, CryptoError> {
    let algorithm = curve.agreement();
    let peer = UnparsedPublicKey::new(algorithm, curve.point(peer_x, peer_y)?);
    let ephemeral = PrivateKey::generate(algorithm).map_err(|_| CryptoError::Random)?;
    let public = ephemeral
        .compute_public_key()
        .map_err(|_| CryptoError::Failed)?;
    let (x, y) = public
        .as_ref()
        .split_first()
        .and_then(|(_, point)| point.split_at_checked(curve.size()))
        .ok_or(CryptoError::Failed)?;
    let off_curve = CryptoError::InvalidKey("the point is not on the curve");
    let z = agreement::agree(&ephemeral, peer, off_curve, |z| {
        Ok(Zeroizing::new(z.to_vec()))
    })?;
    Ok((x.to_vec(), y.to_vec(), z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        for curve in Curve::ALL {
            let peer = PrivateKey::generate(curve.agreement()).unwrap();
            let public = peer.compute_public_key().unwrap();
            let (x, y) = public.as_ref()[1..].split_at(curve.size());
            let (ex, ey, z) = agree_ephemeral(curve, x, y).unwrap();
            assert_eq!(
                (ex.len(), ey.len(), z.len()),
                (curve.size(), curve.size(), curve.size())
            );

            let point = curve.point(&ex, &ey).unwrap();
            let ours = UnparsedPublicKey::new(curve.agreement(), point);
            let theirs = agreement::agree(&peer, ours, (), |z| Ok::<_, ()>(z.to_vec())).unwrap();
            assert_eq!(*z, theirs);
        }
    }

    #[test]
    fn bad_points_are_refused() {
        for curve in Curve::ALL {
            for (x, y) in [
                (vec![], vec![]),
                (vec![1], vec![1]),
                (vec![0xff; 67], vec![1]),
            ] {
                assert!(matches!(
                    agree_ephemeral(curve, &x, &y),
                    Err(CryptoError::InvalidKey(_))
                ));
            }
        }
    }

    #[test]
    fn names() {
        for curve in Curve::ALL {
            assert_eq!(Curve::from_name(curve.name()), Some(curve));
        }
        assert_eq!(Curve::from_name("p-521"), Some(Curve::P521));
        assert_eq!(Curve::from_name("brainpoolP256r1"), None);
    }
}
