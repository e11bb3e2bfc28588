//! Private keys in software, which a TPM shall have.
#![forbid(unsafe_code)]

use crypto::{Curve, Secret};

use crate::generate::Options;
use crate::{Error, KeyType};

pub use crate::backend::tpm2::import::{finish, import, importable, wrap, wrap_storage_key};

/// The parts of a private key that matter to a TPM. Whether they belong to each other is the reader's to look at.
pub enum Software {
    /// Of two primes.
    Rsa {
        /// The modulus, big-endian, without leading zeros.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: u32,
        /// One of the primes, big-endian, half as long as the modulus.
        prime: Secret,
    },
    /// On a curve that TPMs know.
    Ec {
        /// The curve.
        curve: Curve,
        /// The public point's x coordinate, as wide as the curve.
        x: Vec<u8>,
        /// Its y coordinate.
        y: Vec<u8>,
        /// The scalar, as wide as the curve.
        scalar: Secret,
    },
}

impl Software {
    /// The options with type, size, curve and exponent of this key.
    ///
    /// # Errors
    ///
    /// A key of a size that TPMs do not have, or that is weak; an EC key that shall be RSA-PSS.
    pub(crate) fn decide(&self, options: &Options) -> Result<Options, Error> {
        let mut options = options.clone();
        match self {
            Self::Rsa {
                modulus,
                exponent,
                prime,
            } => {
                let bits = modulus.len() * 8;
                let is_whole = modulus.first().is_some_and(|first| first & 0x80 != 0);
                if bits < 1024 {
                    return Err(Error::Setting(format!(
                        "an RSA key of {bits} bits is broken by anybody: have a new key made, of 2048 bits or more"
                    )));
                }
                if !is_whole || prime.len() * 2 != modulus.len() {
                    return Err(Error::Setting(
                        "the RSA key's size is none that a TPM has: 1024, 2048, 3072 or 4096 bits, of two primes of half \
                         that size"
                            .into(),
                    ));
                }
                if options.key_type == KeyType::Ec {
                    options.key_type = KeyType::Rsa;
                }
                options.bits = u32::try_from(bits).unwrap_or(u32::MAX);
                options.exponent = *exponent;
            }
            Self::Ec { curve, .. } => {
                if options.key_type == KeyType::RsaPss {
                    return Err(Error::Setting("an EC key is no RSA-PSS key".into()));
                }
                options.key_type = KeyType::Ec;
                options.curve = *curve;
            }
        }
        Ok(options)
    }
}
