//! Everything against OpenSSL: its keys, points and signatures, and what it thinks of damaged ones.
#![forbid(unsafe_code)]

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcGroupRef, EcKey, EcPoint, PointConversionForm};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::Private;
use proptest::prelude::*;

use super::*;
use crate::Curve;
use crate::ecdsa::EcPublic;

const EXTRA: [(Curve, Nid); 5] = [
    (Curve::P192, Nid::X9_62_PRIME192V1),
    (Curve::P224, Nid::SECP224R1),
    (Curve::BrainpoolP256, Nid::BRAINPOOL_P256R1),
    (Curve::BrainpoolP384, Nid::BRAINPOOL_P384R1),
    (Curve::BrainpoolP512, Nid::BRAINPOOL_P512R1),
];

fn group(nid: Nid) -> EcGroup {
    EcGroup::from_curve_name(nid).unwrap()
}

fn bytes(
    group: &EcGroupRef,
    point: &openssl::ec::EcPointRef,
    form: PointConversionForm,
) -> Vec<u8> {
    let mut context = BigNumContext::new().unwrap();
    point.to_bytes(group, form, &mut context).unwrap()
}

fn uncompressed(key: &EcKey<Private>) -> Vec<u8> {
    bytes(
        key.group(),
        key.public_key(),
        PointConversionForm::UNCOMPRESSED,
    )
}

fn public(curve: Curve, key: &EcKey<Private>) -> EcPublic {
    EcPublic::from_point(curve, &uncompressed(key)).unwrap()
}

/// The key with a chosen private scalar.
fn key_of(nid: Nid, scalar: &BigNum) -> EcKey<Private> {
    let group = group(nid);
    let mut context = BigNumContext::new().unwrap();
    let mut point = EcPoint::new(&group).unwrap();
    point.mul_generator2(&group, scalar, &mut context).unwrap();
    EcKey::from_private_components(&group, scalar, &point).unwrap()
}

/// The constants are OpenSSL's.
#[test]
fn the_same_parameters() {
    fn check<const L: usize>(ours: &Group<L>, nid: Nid) {
        let group = group(nid);
        let mut context = BigNumContext::new().unwrap();
        let [mut p, mut a, mut b, mut n] = [(); 4].map(|()| BigNum::new().unwrap());
        group
            .components_gfp(&mut p, &mut a, &mut b, &mut context)
            .unwrap();
        group.order(&mut n, &mut context).unwrap();
        let same = |ours: &Uint<L>, theirs: &BigNum| {
            assert_eq!(number::<L>(&theirs.to_vec()).unwrap(), *ours);
        };
        same(ours.equation.field.modulus().as_ref(), &p);
        same(ours.scalars.modulus().as_ref(), &n);
        same(&ours.equation.a.retrieve(), &a);
        same(&ours.equation.b.retrieve(), &b);
        let generator = bytes(
            &group,
            group.generator_opt().unwrap(),
            PointConversionForm::UNCOMPRESSED,
        );
        let (x, y) = generator[1..].split_at(ours.size);
        assert_eq!(
            number::<L>(x).unwrap(),
            ours.generator.x.retrieve(),
            "{nid:?}"
        );
        assert_eq!(number::<L>(y).unwrap(), ours.generator.y.retrieve());
        // `check` and `digest_bytes` rely on whole bytes.
        assert_eq!(n.num_bits() as usize, ours.size * 8);
        assert_eq!(p.num_bits() as usize, ours.size * 8);
    }
    check(&P192, Nid::X9_62_PRIME192V1);
    check(&P224, Nid::SECP224R1);
    check(&BRAINPOOL_P256, Nid::BRAINPOOL_P256R1);
    check(&BRAINPOOL_P384, Nid::BRAINPOOL_P384R1);
    check(&BRAINPOOL_P512, Nid::BRAINPOOL_P512R1);
}

/// Sums without a special case: with the neutral point, of a point with itself and its opposite.
#[test]
fn the_addition_is_complete() {
    fn check<const L: usize>(group: &Group<L>) {
        let zero = Point {
            x: Element::zero(&group.equation.field),
            y: Element::one(&group.equation.field),
            z: Element::zero(&group.equation.field),
        };
        let is_zero = |point: &Point<L>| point.z == Element::zero(&group.equation.field);
        let same = |one: &Point<L>, other: &Point<L>| {
            one.x.mul(&other.z) == other.x.mul(&one.z) && one.y.mul(&other.z) == other.y.mul(&one.z)
        };
        let one = group.generator;
        let opposite = Point {
            y: one.y.neg(),
            ..one
        };
        assert!(is_zero(&group.add(&zero, &zero)));
        assert!(is_zero(&group.add(&one, &opposite)));
        assert!(same(&group.add(&one, &zero), &one));
        assert!(same(&group.add(&zero, &one), &one));
        let two = group.add(&one, &one);
        assert!(!is_zero(&two) && !same(&two, &one));
        assert!(same(&group.add(&two, &opposite), &one));
        // n times the generator, in two ways.
        let order = group.scalars.modulus().as_ref();
        assert!(is_zero(&group.combine(order, &Uint::ZERO, &one)));
        let less = order.wrapping_sub(&Uint::ONE);
        assert!(is_zero(&group.combine(&less, &Uint::ONE, &one)));
        assert!(same(&group.combine(&less, &Uint::ZERO, &one), &opposite));
    }
    check(&P192);
    check(&P224);
    check(&BRAINPOOL_P256);
    check(&BRAINPOOL_P384);
    check(&BRAINPOOL_P512);
}

/// RFC 6979, A.2.3 (P-192) and A.2.4 (P-224), message "sample" with SHA-256: longer than both orders.
#[test]
fn known_signatures() {
    let cases = [
        (
            Curve::P192,
            "AC2C77F529F91689FEA0EA5EFEC7F210D8EEA0B9E047ED56",
            "3BC723E57670BD4887EBC732C523063D0A7C957BC97C1C43",
            "4B0B8CE98A92866A2820E20AA6B75B56382E0F9BFD5ECB55",
            "CCDB006926EA9565CBADC840829D8C384E06DE1F1E381B85",
        ),
        (
            Curve::P224,
            "00CF08DA5AD719E42707FA431292DEA11244D64FC51610D94B130D6C",
            "EEAB6F3DEBE455E3DBF85416F7030CBD94F34F2D6F232C69F3C1385A",
            "61AA3DA010E8E8406C656BC477A7A7189895E7E840CDFE8FF42307BA",
            "BC814050DAB5D23770879494F9E0A680DC1AF7161991BDE692B10101",
        ),
    ];
    let digest = crate::hash(crate::Hash::Sha256, &[b"sample"]);
    for (curve, x, y, r, s) in cases {
        let [x, y, r, s] = [x, y, r, s].map(|text| hex::decode(text).unwrap());
        let key = EcPublic::new(curve, &x, &y).unwrap();
        assert!(key.verify(&digest, &r, &s), "{curve}");
        assert!(!key.verify(&digest, &s, &r), "{curve}");
    }
}

/// Scalars at the edges: their signatures, their points, compressed and not.
#[test]
fn keys_with_the_smallest_and_largest_scalars() {
    for (curve, nid) in EXTRA {
        let mut context = BigNumContext::new().unwrap();
        let mut order = BigNum::new().unwrap();
        group(nid).order(&mut order, &mut context).unwrap();
        let small = [1, 2, 3].map(|value| BigNum::from_u32(value).unwrap());
        let large = small.each_ref().map(|value| &order - value);
        for scalar in small.iter().chain(&large) {
            let key = key_of(nid, scalar);
            let ours = public(curve, &key);
            let compressed = bytes(
                key.group(),
                key.public_key(),
                PointConversionForm::COMPRESSED,
            );
            assert_eq!(EcPublic::from_point(curve, &compressed).unwrap(), ours);
            let signature = EcdsaSig::sign(&[0x5a; 32], &key).unwrap();
            let (r, s) = (signature.r().to_vec(), signature.s().to_vec());
            assert!(ours.verify(&[0x5a; 32], &r, &s), "{curve}");
            // The same modulo n is not the same signature.
            let again = (signature.r() + &order).to_vec();
            assert!(!ours.verify(&[0x5a; 32], &again, &s));
        }
    }
}

#[test]
fn what_is_no_point_is_refused() {
    for (curve, nid) in EXTRA {
        let key = EcKey::generate(&group(nid)).unwrap();
        let point = uncompressed(&key);
        let (x, y) = point[1..].split_at(curve.size());
        let one = |last: u8| [&vec![0; curve.size() - 1][..], &[last]].concat();
        for (x, y) in [(y, x), (x, &one(0)[..]), (&one(0), &one(0)), (x, x)] {
            assert!(EcPublic::new(curve, x, y).is_err(), "{curve}");
        }
        // A coordinate that is p too large, where it still has room.
        let mut context = BigNumContext::new().unwrap();
        let [mut p, mut a, mut b] = [(); 3].map(|()| BigNum::new().unwrap());
        group(nid)
            .components_gfp(&mut p, &mut a, &mut b, &mut context)
            .unwrap();
        assert!(EcPublic::new(curve, x, y).is_ok());
        let larger = (&BigNum::from_slice(x).unwrap() + &p).to_vec();
        assert!(EcPublic::new(curve, &larger, y).is_err(), "{curve}");
        assert!(EcPublic::from_point(curve, &point[..point.len() - 1]).is_err());
        assert!(EcPublic::from_point(curve, &[&[6], &point[1..]].concat()).is_err());
        assert!(EcPublic::from_point(curve, &[0]).is_err());
        let inf = vec![0; 2 * curve.size() + 1];
        assert!(EcPublic::from_point(curve, &inf).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Signatures of OpenSSL's verify, over digests of every length, and no others.
    #[test]
    fn signatures_of_openssl(
        which in 0..EXTRA.len(),
        digest in proptest::collection::vec(any::<u8>(), 1..=64),
        bit in any::<prop::sample::Index>(),
    ) {
        let (curve, nid) = EXTRA[which];
        let key = EcKey::generate(&group(nid)).unwrap();
        let ours = public(curve, &key);
        let signature = EcdsaSig::sign(&digest, &key).unwrap();
        let (r, s) = (signature.r().to_vec(), signature.s().to_vec());
        prop_assert!(ours.verify(&digest, &r, &s));
        // One bit of what is signed, then one of the signature.
        let covered = digest.len().min(curve.size()) * 8;
        let at = bit.index(covered);
        let mut other = digest.clone();
        other[at / 8] ^= 1 << (at % 8);
        prop_assert!(!ours.verify(&other, &r, &s));
        let at = bit.index(s.len() * 8);
        let mut other = s.clone();
        other[at / 8] ^= 1 << (at % 8);
        prop_assert!(!ours.verify(&digest, &r, &other));
        prop_assert!(!ours.verify(&digest, &r, &[]));
    }

    /// Any x: OpenSSL and we agree on whether there is a point, and which.
    #[test]
    fn decompression_is_openssls(
        which in 0..EXTRA.len(),
        seed in proptest::collection::vec(any::<u8>(), 64),
        odd in any::<bool>(),
    ) {
        let (curve, nid) = EXTRA[which];
        let group = group(nid);
        let compressed = [&[2 + u8::from(odd)], &seed[..curve.size()]].concat();
        let mut context = BigNumContext::new().unwrap();
        let theirs = EcPoint::from_bytes(&group, &compressed, &mut context)
            .ok()
            .map(|point| bytes(&group, &point, PointConversionForm::UNCOMPRESSED));
        let ours = EcPublic::from_point(curve, &compressed).ok();
        prop_assert_eq!(ours.map(|key| key.point().to_vec()), theirs);
    }
}
