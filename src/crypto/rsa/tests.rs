//! Tests of RSA against keys and signatures that aws-lc-rs makes, and against OpenSSL's.

use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use proptest::prelude::*;

use super::*;
use crate::crypto::hash;

fn pair() -> (KeyPair, RsaPublic) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let key = RsaPublic::new(
        public.modulus().big_endian_without_leading_zero(),
        public.exponent().big_endian_without_leading_zero(),
    )
    .unwrap();
    (pair, key)
}
