//! Short Weierstrass curves that aws-lc-rs does not know: points, decompression, ECDSA verification.
//!
//! One implementation, on crypto-bigint (which RSA uses as well), serves P-192, P-224 and Brainpool.
//! A crate for each curve would be four more dependencies, of different ages, and there is none for
//! brainpoolP512r1; what is needed of a curve here is one formula and its parameters.
//!
//! **Public data only.** Times depend on the values: nothing here may ever see a private key or a
//! nonce, and so there is neither signing nor key agreement. Those are the TPM's.
//!
//! Points are added with the complete formula for curves of prime order by Renes, Costello and Batina
//! (<https://eprint.iacr.org/2015/1060>, algorithm 1). It has no exceptional cases: doubling, the point
//! at infinity and opposite points need no branch that a test could miss.
#![forbid(unsafe_code)]

use crypto_bigint::modular::FixedMontyParams;
use crypto_bigint::{Odd, U256, U384, U512, Uint};

use super::equation::{Element, Equation};
use super::fixed_width;

/// What can be done on a curve. Coordinates and scalars are big-endian numbers of any width.
pub(super) trait Arithmetic: Sync {
    /// Whether the point is on the curve; the point at infinity has no coordinates, so it never is.
    /// With prime order and cofactor 1 every such point is a valid public key.
    fn contains(&self, x: &[u8], y: &[u8]) -> bool;

    /// The y coordinate that is odd or even, as asked, of the point with this x coordinate.
    fn decompress(&self, x: &[u8], odd: bool) -> Option<Vec<u8>>;

    /// ECDSA (SEC 1, 4.1.4): whether (`r`, `s`) sign `digest` with the key (`x`, `y`), which is
    /// on the curve. Of a long digest the leftmost bits count.
    fn verify(&self, x: &[u8], y: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> bool;
}

/// y^2 = x^3 + ax + b over the field of p, with a generator (x, y) of prime order n. In hexadecimal, as
/// wide as the numbers they become.
struct Parameters {
    /// Octets of p, and of n.
    size: usize,
    p: &'static str,
    a: &'static str,
    b: &'static str,
    x: &'static str,
    y: &'static str,
    n: &'static str,
}

/// A point in projective coordinates: (X/Z, Y/Z); with Z = 0 the point at infinity.
#[derive(Clone, Copy)]
struct Point<const L: usize> {
    x: Element<L>,
    y: Element<L>,
    z: Element<L>,
}

/// A curve in numbers of `L` limbs.
pub(super) struct Group<const L: usize> {
    size: usize,
    pub(super) equation: Equation<L>,
    scalars: FixedMontyParams<L>,
    generator: Point<L>,
}

impl<const L: usize> Group<L> {
    /// Evaluated by the compiler: a malformed constant does not compile.
    const fn new(parameters: &Parameters) -> Self {
        let equation = Equation::new(parameters.p, parameters.a, parameters.b);
        let generator = Point {
            x: Element::new(&Uint::from_be_hex(parameters.x), &equation.field),
            y: Element::new(&Uint::from_be_hex(parameters.y), &equation.field),
            z: Element::one(&equation.field),
        };
        Self {
            size: parameters.size,
            scalars: FixedMontyParams::new_vartime(Odd::from_be_hex(parameters.n)),
            equation,
            generator,
        }
    }

    /// A coordinate; `None` unless it is below p.
    fn coordinate(&self, bytes: &[u8]) -> Option<Element<L>> {
        let number = number(bytes)?;
        (number < *self.equation.field.modulus().as_ref())
            .then(|| Element::new(&number, &self.equation.field))
    }

    /// A scalar from 1 to n - 1.
    fn scalar(&self, bytes: &[u8]) -> Option<Uint<L>> {
        let number = number(bytes)?;
        (number != Uint::ZERO && number < *self.scalars.modulus().as_ref()).then_some(number)
    }

    fn point(&self, x: &[u8], y: &[u8]) -> Option<Point<L>> {
        let z = Element::one(&self.equation.field);
        let (x, y) = (self.coordinate(x)?, self.coordinate(y)?);
        Some(Point { x, y, z })
    }

    /// A square root modulo p (Tonelli and Shanks); `None` if there is none. P-224's p is 1 modulo a high
    /// power of two, so that no simple power does it.
    fn root(&self, of: &Element<L>) -> Option<Element<L>> {
        let one = Element::one(&self.equation.field);
        let p = self.equation.field.modulus().as_ref();
        let even = p.wrapping_sub(&Uint::ONE);
        let mut order = even.trailing_zeros_vartime();
        let odd = even.wrapping_shr_vartime(order);
        // Of the small numbers half have no root.
        let half = even.wrapping_shr_vartime(1);
        let mut rootless = one.double();
        while rootless.pow_vartime(&half) == one {
            rootless = rootless.add(&one);
        }
        let mut factor = rootless.pow_vartime(&odd);
        let mut root = of.pow_vartime(&odd.wrapping_shr_vartime(1)).mul(of);
        let mut rest = of.pow_vartime(&odd);
        while rest != one {
            let mut power = rest;
            let mut lower = 0;
            while power != one {
                power = power.square();
                lower += 1;
                if lower == order {
                    return None;
                }
            }
            factor = factor.square_repeat_vartime(order - lower - 1);
            root = root.mul(&factor);
            factor = factor.square();
            rest = rest.mul(&factor);
            order = lower;
        }
        Some(root)
    }

    /// The sum of two points, whichever they are.
    fn add(&self, one: &Point<L>, other: &Point<L>) -> Point<L> {
        let triple = |value: &Element<L>| value.double().add(value);
        let (a, b) = (&self.equation.a, &self.equation.b);
        let b3 = triple(b);
        let xx = one.x.mul(&other.x);
        let yy = one.y.mul(&other.y);
        let zz = one.z.mul(&other.z);
        // xy = x1 y2 + x2 y1 and so on.
        let xy = (one.x.add(&one.y).mul(&other.x.add(&other.y))).sub(&xx.add(&yy));
        let xz = (one.x.add(&one.z).mul(&other.x.add(&other.z))).sub(&xx.add(&zz));
        let yz = (one.y.add(&one.z).mul(&other.y.add(&other.z))).sub(&yy.add(&zz));
        let azz = a.mul(&zz);
        let linear = a.mul(&xz).add(&b3.mul(&zz));
        let (left, right) = (yy.sub(&linear), yy.add(&linear));
        let slope = triple(&xx).add(&azz);
        let rest = b3.mul(&xz).add(&a.mul(&xx.sub(&azz)));
        Point {
            x: xy.mul(&left).sub(&yz.mul(&rest)),
            y: left.mul(&right).add(&slope.mul(&rest)),
            z: yz.mul(&right).add(&xy.mul(&slope)),
        }
    }

    /// u times the generator plus v times the point, both at once.
    fn combine(&self, u: &Uint<L>, v: &Uint<L>, point: &Point<L>) -> Point<L> {
        let both = self.add(&self.generator, point);
        let mut sum = Point {
            x: Element::zero(&self.equation.field),
            y: Element::one(&self.equation.field),
            z: Element::zero(&self.equation.field),
        };
        for bit in (0..u.bits_vartime().max(v.bits_vartime())).rev() {
            sum = self.add(&sum, &sum);
            sum = match (u.bit_vartime(bit), v.bit_vartime(bit)) {
                (true, true) => self.add(&sum, &both),
                (true, false) => self.add(&sum, &self.generator),
                (false, true) => self.add(&sum, point),
                (false, false) => sum,
            };
        }
        sum
    }

    fn check(&self, point: &Point<L>, digest: &[u8], r: &[u8], s: &[u8]) -> Option<bool> {
        // The order is a whole number of bytes long on every curve here.
        let digest = number(digest.get(..self.size).unwrap_or(digest))?;
        let (r, s) = (self.scalar(r)?, self.scalar(s)?);
        let scalar = |number: &Uint<L>| Element::new(number, &self.scalars);
        let inverse = scalar(&s).invert_vartime().into_option()?;
        let u = scalar(&digest).mul(&inverse).retrieve();
        let v = scalar(&r).mul(&inverse).retrieve();
        let sum = self.combine(&u, &v, point);
        // No inverse: the point at infinity.
        let x = sum.x.mul(&sum.z.invert_vartime().into_option()?);
        Some(scalar(&x.retrieve()) == scalar(&r))
    }
}

impl<const L: usize> Arithmetic for Group<L> {
    fn contains(&self, x: &[u8], y: &[u8]) -> bool {
        self.point(x, y)
            .is_some_and(|point| point.y.square() == *self.equation.square_of_y(&point.x))
    }

    fn decompress(&self, x: &[u8], odd: bool) -> Option<Vec<u8>> {
        let x = self.coordinate(x)?;
        let root = self.root(&self.equation.square_of_y(&x))?;
        let y = if root.retrieve().bit_vartime(0) == odd {
            root
        } else {
            root.neg()
        };
        fixed_width(y.retrieve().to_be_bytes().as_ref(), self.size)
    }

    fn verify(&self, x: &[u8], y: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> bool {
        self.point(x, y)
            .and_then(|point| self.check(&point, digest, r, s))
            .unwrap_or(false)
    }
}

/// A big-endian number; `None` if it does not fit.
fn number<const L: usize>(bytes: &[u8]) -> Option<Uint<L>> {
    fixed_width(bytes, Uint::<L>::BYTES).map(|bytes| Uint::from_be_slice(&bytes))
}

/// NIST P-192 (FIPS 186-4, D.1.2).
pub(super) static P192: Group<{ U256::LIMBS }> = Group::new(&Parameters {
    size: 24,
    p: "0000000000000000fffffffffffffffffffffffffffffffeffffffffffffffff",
    a: "0000000000000000fffffffffffffffffffffffffffffffefffffffffffffffc",
    b: "000000000000000064210519e59c80e70fa7e9ab72243049feb8deecc146b9b1",
    x: "0000000000000000188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012",
    y: "000000000000000007192b95ffc8da78631011ed6b24cdd573f977a11e794811",
    n: "0000000000000000ffffffffffffffffffffffff99def836146bc9b1b4d22831",
});

/// NIST P-224 (FIPS 186-4, D.1.2).
pub(super) static P224: Group<{ U256::LIMBS }> = Group::new(&Parameters {
    size: 28,
    p: "00000000ffffffffffffffffffffffffffffffff000000000000000000000001",
    a: "00000000fffffffffffffffffffffffffffffffefffffffffffffffffffffffe",
    b: "00000000b4050a850c04b3abf54132565044b0b7d7bfd8ba270b39432355ffb4",
    x: "00000000b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21",
    y: "00000000bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34",
    n: "00000000ffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3d",
});

/// brainpoolP256r1 (RFC 5639, 3).
pub(super) static BRAINPOOL_P256: Group<{ U256::LIMBS }> = Group::new(&Parameters {
    size: 32,
    p: "a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377",
    a: "7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9",
    b: "26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6",
    x: "8bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262",
    y: "547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997",
    n: "a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7",
});

/// brainpoolP384r1 (RFC 5639, 3).
pub(super) static BRAINPOOL_P384: Group<{ U384::LIMBS }> = Group::new(&Parameters {
    size: 48,
    p: concat!(
        "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123",
        "acd3a729901d1a71874700133107ec53"
    ),
    a: concat!(
        "7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f",
        "8aa5814a503ad4eb04a8c7dd22ce2826"
    ),
    b: concat!(
        "04a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d5",
        "7cb4390295dbc9943ab78696fa504c11"
    ),
    x: concat!(
        "1d1c64f068cf45ffa2a63a81b7c13f6b8847a3e77ef14fe3db7fcafe0cbd10e8",
        "e826e03436d646aaef87b2e247d4af1e"
    ),
    y: concat!(
        "8abe1d7520f9c2a45cb1eb8e95cfd55262b70b29feec5864e19c054ff9912928",
        "0e4646217791811142820341263c5315"
    ),
    n: concat!(
        "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b31f166e6cac0425a7",
        "cf3ab6af6b7fc3103b883202e9046565"
    ),
});

/// brainpoolP512r1 (RFC 5639, 3).
pub(super) static BRAINPOOL_P512: Group<{ U512::LIMBS }> = Group::new(&Parameters {
    size: 64,
    p: concat!(
        "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330871",
        "7d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3"
    ),
    a: concat!(
        "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc",
        "2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca"
    ),
    b: concat!(
        "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a7",
        "2bf2c7b9e7c1ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723"
    ),
    x: concat!(
        "81aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098e",
        "ff3b1f78e2d0d48d50d1687b93b97d5f7c6d5047406a5e688b352209bcb9f822"
    ),
    y: concat!(
        "7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111",
        "b2dcde494a5f485e5bca4bd88a2763aed1ca2b2fa8f0540678cd1e0f3ad80892"
    ),
    n: concat!(
        "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870",
        "553e5c414ca92619418661197fac10471db1d381085ddaddb58796829ca90069"
    ),
});

#[cfg(test)]
#[path = "weierstrass/tests.rs"]
mod tests;
