//! Branch-free selection, for code whose input is a decrypted block.
#![forbid(unsafe_code)]

use std::hint::black_box;

/// A truth value that is never branched on: all bits set, or none.
#[derive(Clone, Copy)]
pub(super) struct Mask(usize);

impl Mask {
    pub(super) const FALSE: Self = Self(0);

    /// Spreads the top bit of `x`. The barrier keeps the compiler from finding the boolean again
    /// and turning selections into jumps.
    fn from_top_bit(x: usize) -> Self {
        Self(black_box(0usize.wrapping_sub(x >> (usize::BITS - 1))))
    }

    /// `x == 0`
    pub(super) fn zero(x: usize) -> Self {
        Self::from_top_bit(!x & x.wrapping_sub(1))
    }

    /// `a == b`
    pub(super) fn eq(a: usize, b: usize) -> Self {
        Self::zero(a ^ b)
    }

    /// `a == b` for bytes
    pub(super) fn eq_u8(a: u8, b: u8) -> Self {
        Self::zero(usize::from(a ^ b))
    }

    /// `a < b`
    pub(super) fn lt(a: usize, b: usize) -> Self {
        Self::from_top_bit(a ^ ((a ^ b) | (a.wrapping_sub(b) ^ a)))
    }

    /// `a` where the mask is true, else `b`.
    pub(super) fn select(self, a: usize, b: usize) -> usize {
        (self.0 & a) | (!self.0 & b)
    }

    /// `a` where the mask is true, else `b`.
    pub(super) fn select_u8(self, a: u8, b: u8) -> u8 {
        let mask = self.0.to_ne_bytes()[0];
        (mask & a) | (!mask & b)
    }

    /// Ends the secrecy: the value as something to branch on.
    pub(super) fn reveal(self) -> bool {
        self.0 != 0
    }
}

impl std::ops::BitAnd for Mask {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl std::ops::BitOr for Mask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::Not for Mask {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_agree_with_operators() {
        let values = [
            0,
            1,
            2,
            0x7f,
            0x80,
            0xff,
            0x100,
            usize::MAX / 2,
            usize::MAX - 1,
            usize::MAX,
        ];
        for a in values {
            assert_eq!(Mask::zero(a).reveal(), a == 0);
            for b in values {
                assert_eq!(Mask::eq(a, b).reveal(), a == b);
                assert_eq!(Mask::lt(a, b).reveal(), a < b, "{a} < {b}");
                assert_eq!((!Mask::FALSE).select(a, b), a);
                assert_eq!(Mask::FALSE.select(a, b), b);
            }
        }
        for a in 0..=255u8 {
            assert_eq!(Mask::eq_u8(a, 7).reveal(), a == 7);
            assert_eq!(
                (!Mask::eq_u8(a, 7)).select_u8(a, 9),
                if a == 7 { 9 } else { a }
            );
        }
        assert!(
            ((!Mask::FALSE) | Mask::FALSE).reveal() && !((!Mask::FALSE) & Mask::FALSE).reveal()
        );
    }
}
