//! Key agreement: with a fresh ephemeral key, and the end of one whose private key is elsewhere.
#![forbid(unsafe_code)]

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{CryptoError, Curve, equation, random};
use crate::fork_gate;

/// The library's algorithm; `None` for curves it does not have. Those have no software key agreement: the
/// arithmetic for them is not constant in time and must not see a private key.
fn algorithm(curve: Curve) -> Option<&'static agreement::Algorithm> {
    match curve {
        Curve::P256 => Some(&ECDH_P256),
        Curve::P384 => Some(&ECDH_P384),
        Curve::P521 => Some(&ECDH_P521),
        _ => None,
    }
}

/// Whether [`agree_ephemeral`] is possible on this curve.
pub fn has_agreement(curve: Curve) -> bool {
    algorithm(curve).is_some()
}

/// What [`agree_ephemeral`] yields: the ephemeral public point's x and y, and the shared x
/// coordinate, each [`Curve::size`] bytes.
pub type Agreement = (Vec<u8>, Vec<u8>, Zeroizing<Vec<u8>>);

/// Makes an ephemeral key and agrees with the peer's (SP 800-56A, 5.7.1.2).
///
/// # Errors
/// [`CryptoError::InvalidKey`] when the peer's point is not on the curve, or there is no software key
/// agreement on it (see [`has_agreement`]); [`CryptoError::Random`].
pub fn agree_ephemeral(
    curve: Curve,
    peer_x: &[u8],
    peer_y: &[u8],
) -> Result<Agreement, CryptoError> {
    let algorithm = algorithm(curve).ok_or(CryptoError::InvalidKey(
        "there is no key agreement in software on this curve",
    ))?;
    let peer = UnparsedPublicKey::new(algorithm, curve.point(peer_x, peer_y)?);
    let ephemeral = ephemeral(curve, algorithm)?;
    fork_gate::none_during(|| {
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
    })
}

/// A fresh private key. The library would make one from random bytes of its own, and ends the process where it gets
/// none.
fn ephemeral(
    curve: Curve,
    algorithm: &'static agreement::Algorithm,
) -> Result<PrivateKey, CryptoError> {
    let mut scalar = Zeroizing::new(vec![0; curve.size()]);
    // The library refuses zero and what is not below the order, which of these curves' numbers fewer than one in
    // 2^32 are: another one is tried then (FIPS 186-5, A.2.2).
    for _ in 0..TRIES {
        random(&mut scalar)?;
        if let (Some(first), surplus @ 1..) = (scalar.first_mut(), curve.bits() % 8) {
            *first &= (1 << surplus) - 1;
        }
        let key = fork_gate::none_during(|| PrivateKey::from_private_key(algorithm, &scalar));
        if let Ok(key) = key {
            return Ok(key);
        }
    }
    Err(CryptoError::Failed)
}

/// So many numbers in a row are out of range in no lifetime.
const TRIES: usize = 8;

/// The shared secret of a key agreement whose result, somebody else's, is the point (`x`, `y`), which may lack
/// leading zeros: its x coordinate, [`Curve::size`] bytes. `None` unless that is a point of the curve; the one
/// at infinity counts as none (SP 800-56A, 5.7.1.2).
pub fn shared_secret(curve: Curve, x: &[u8], y: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let missing = curve.size().checked_sub(x.len())?;
    if y.len() > curve.size() {
        return None;
    }
    // With room for all of it: what grows leaves a copy behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(curve.size()));
    secret.resize(missing, 0);
    secret.extend_from_slice(x);
    equation::of(curve).holds(&secret, y).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::super::ecdsa::EcPublic;
    use super::*;

    #[test]
    fn both_sides_agree() {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let algorithm = algorithm(curve).unwrap();
            let peer = PrivateKey::generate(algorithm).unwrap();
            let public = peer.compute_public_key().unwrap();
            let (x, y) = public.as_ref()[1..].split_at(curve.size());
            let (ex, ey, z) = agree_ephemeral(curve, x, y).unwrap();
            assert_eq!(
                (ex.len(), ey.len(), z.len()),
                (curve.size(), curve.size(), curve.size())
            );

            let point = curve.point(&ex, &ey).unwrap();
            let ours = UnparsedPublicKey::new(algorithm, point);
            let theirs = agreement::agree(&peer, ours, (), |z| Ok::<_, ()>(z.to_vec())).unwrap();
            assert_eq!(*z, theirs);
        }
    }

    /// P-521 has a byte of which one bit counts.
    #[test]
    fn ephemeral_keys_are_below_the_order_and_never_the_same() {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let algorithm = algorithm(curve).unwrap();
            let point = || {
                let key = ephemeral(curve, algorithm).unwrap();
                key.compute_public_key().unwrap().as_ref().to_vec()
            };
            let points: std::collections::HashSet<_> = (0..64).map(|_| point()).collect();
            assert_eq!(points.len(), 64);
            for scalar in [vec![0; curve.size()], vec![0xff; curve.size()]] {
                assert!(PrivateKey::from_private_key(algorithm, &scalar).is_err());
            }
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
    fn results_of_others() {
        let peer = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = peer.compute_public_key().unwrap();
        let (x, y) = public.as_ref()[1..].split_at(32);
        assert_eq!(**shared_secret(Curve::P256, x, y).unwrap(), *x);
        let long = [&[0], x].concat();
        for (x, y) in [(y, x), (&long[..], y), (x, &x[1..]), (&[], &[])] {
            assert_eq!(shared_secret(Curve::P256, x, y), None);
        }
        assert_eq!(shared_secret(Curve::BrainpoolP256, x, y), None);
        // A small x, as a TPM that drops leading zeros sends it.
        let compressed = [&[2][..], &[0; 31], &[2]].concat();
        let point = EcPublic::from_point(Curve::BrainpoolP256, &compressed).unwrap();
        let secret = shared_secret(Curve::BrainpoolP256, &[2], point.y()).unwrap();
        assert_eq!(**secret, *point.x());
    }

    /// No private key for arithmetic whose time depends on it.
    #[test]
    fn other_curves_have_no_agreement() {
        let generator = hex::decode(
            "188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012\
             07192b95ffc8da78631011ed6b24cdd573f977a11e794811",
        )
        .unwrap();
        let (x, y) = generator.split_at(24);
        assert!(EcPublic::new(Curve::P192, x, y).is_ok());
        assert!(agree_ephemeral(Curve::P192, x, y).is_err());
        let possible = Curve::ALL.into_iter().filter(|curve| has_agreement(*curve));
        assert!(possible.eq([Curve::P256, Curve::P384, Curve::P521]));
    }
}
