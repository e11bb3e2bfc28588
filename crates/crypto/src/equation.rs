//! The equation of a curve, y^2 = x^3 + ax + b over a prime field, for points that nobody may know.
//!
//! The result of a TPM's key agreement is looked at here. The time depends on the curve and on the lengths
//! of the coordinates, which the TPM sends in clear; of the values only the answer is told, and they are
//! wiped.
#![forbid(unsafe_code)]

use crypto_bigint::ctutils::{CtEq, CtLt};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U384, U576, Uint};
use zeroize::Zeroizing;

use super::{Curve, weierstrass};

/// A number modulo p, or modulo n.
pub(super) type Element<const L: usize> = FixedMontyForm<L>;

/// What can be asked of an equation in numbers of any width.
pub(super) trait Holds: Sync {
    /// Whether the point with these big-endian coordinates, both below p, is on the curve. The point at
    /// infinity has none, so it never is.
    fn holds(&self, x: &[u8], y: &[u8]) -> bool;
}

/// An equation in numbers of `L` limbs.
pub(super) struct Equation<const L: usize> {
    pub(super) field: FixedMontyParams<L>,
    pub(super) a: Element<L>,
    pub(super) b: Element<L>,
}

impl<const L: usize> Equation<L> {
    /// From hexadecimal digits, as wide as the numbers they become. Evaluated by the compiler: a malformed
    /// constant does not compile.
    pub(super) const fn new(p: &str, a: &str, b: &str) -> Self {
        let field = FixedMontyParams::new_vartime(Odd::from_be_hex(p));
        Self {
            a: Element::new(&Uint::from_be_hex(a), &field),
            b: Element::new(&Uint::from_be_hex(b), &field),
            field,
        }
    }

    /// x^3 + ax + b.
    pub(super) fn square_of_y(&self, x: &Element<L>) -> Zeroizing<Element<L>> {
        let mut sum = Zeroizing::new(x.square());
        *sum += &self.a;
        *sum *= x;
        *sum += &self.b;
        sum
    }
}

impl<const L: usize> Holds for Equation<L> {
    fn holds(&self, x: &[u8], y: &[u8]) -> bool {
        let (Some(x), Some(y)) = (number::<L>(x), number::<L>(y)) else {
            return false;
        };
        let p = self.field.modulus().as_ref();
        let in_range = x.ct_lt(p) & y.ct_lt(p);
        let element = |number: &Uint<L>| Zeroizing::new(Element::new(number, &self.field));
        let left = Zeroizing::new(element(&y).square());
        let right = self.square_of_y(&element(&x));
        (in_range & left.ct_eq(&*right)).to_bool()
    }
}

/// A big-endian number, its zeros not looked for; `None` if it is too long.
fn number<const L: usize>(bytes: &[u8]) -> Option<Zeroizing<Uint<L>>> {
    let missing = Uint::<L>::BYTES.checked_sub(bytes.len())?;
    let mut whole = Zeroizing::new(vec![0; Uint::<L>::BYTES]);
    whole.get_mut(missing..)?.copy_from_slice(bytes);
    Some(Zeroizing::new(Uint::from_be_slice(&whole)))
}

/// The curve's equation.
pub(super) fn of(curve: Curve) -> &'static dyn Holds {
    match curve {
        Curve::P192 => &weierstrass::P192.equation,
        Curve::P224 => &weierstrass::P224.equation,
        Curve::P256 => &P256,
        Curve::P384 => &P384,
        Curve::P521 => &P521,
        Curve::BrainpoolP256 => &weierstrass::BRAINPOOL_P256.equation,
        Curve::BrainpoolP384 => &weierstrass::BRAINPOOL_P384.equation,
        Curve::BrainpoolP512 => &weierstrass::BRAINPOOL_P512.equation,
    }
}

/// NIST P-256 (FIPS 186-4, D.1.2).
static P256: Equation<{ U256::LIMBS }> = Equation::new(
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
    "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
);

/// NIST P-384 (FIPS 186-4, D.1.2).
static P384: Equation<{ U384::LIMBS }> = Equation::new(
    concat!(
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
        "ffffffff0000000000000000ffffffff"
    ),
    concat!(
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
        "ffffffff0000000000000000fffffffc"
    ),
    concat!(
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a",
        "c656398d8a2ed19d2a85c8edd3ec2aef"
    ),
);

/// NIST P-521 (FIPS 186-4, D.1.2).
static P521: Equation<{ U576::LIMBS }> = Equation::new(
    concat!(
        "00000000000001ffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffff"
    ),
    concat!(
        "00000000000001ffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "fffffffffffffffc"
    ),
    concat!(
        "0000000000000051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3",
        "b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1",
        "ef451fd46b503f00"
    ),
);

#[cfg(test)]
mod tests {
    use openssl::bn::{BigNum, BigNumContext};
    use openssl::ec::{EcGroup, EcKey};

    use super::super::curve::tests::nid;
    use super::*;

    /// OpenSSL's keys are on their curve, and what is made of them by one change is not.
    #[test]
    fn points_of_openssl_and_others() {
        for curve in Curve::ALL {
            let group = EcGroup::from_curve_name(nid(curve)).unwrap();
            let mut context = BigNumContext::new().unwrap();
            let [mut p, mut a, mut b] = [(); 3].map(|()| BigNum::new().unwrap());
            group
                .components_gfp(&mut p, &mut a, &mut b, &mut context)
                .unwrap();
            let equation = of(curve);
            for _ in 0..16 {
                let key = EcKey::generate(&group).unwrap();
                let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
                key.public_key()
                    .affine_coordinates(&group, &mut x, &mut y, &mut context)
                    .unwrap();
                let size = i32::try_from(curve.size()).unwrap();
                let padded = |number: &BigNum| number.to_vec_padded(size).unwrap();
                let holds = |x: &[u8], y: &[u8]| equation.holds(x, y);
                assert!(holds(&padded(&x), &padded(&y)), "{curve}");
                // As TPMs shorten them, and the other point with this x.
                assert!(holds(&x.to_vec(), &y.to_vec()), "{curve}");
                assert!(holds(&x.to_vec(), &(&p - &y).to_vec()), "{curve}");
                assert!(!holds(&padded(&y), &padded(&x)), "{curve}");
                for bit in 0..8 * curve.size() {
                    let mut other = padded(&x);
                    other[bit / 8] ^= 1 << (bit % 8);
                    assert!(!holds(&other, &padded(&y)), "{curve}: bit {bit} of x");
                    let mut other = padded(&y);
                    other[bit / 8] ^= 1 << (bit % 8);
                    assert!(!holds(&padded(&x), &other), "{curve}: bit {bit} of y");
                }
                // The same modulo p.
                assert!(!holds(&(&x + &p).to_vec(), &y.to_vec()), "{curve}");
                assert!(!holds(&x.to_vec(), &(&y + &p).to_vec()), "{curve}");
            }
        }
    }

    #[test]
    fn what_is_no_point() {
        for curve in Curve::ALL {
            let size = curve.size();
            for coordinate in [
                vec![],
                vec![0],
                vec![0; size],
                vec![0xff; size],
                vec![1; 80],
            ] {
                assert!(!of(curve).holds(&coordinate, &coordinate), "{curve}");
            }
        }
    }
}
