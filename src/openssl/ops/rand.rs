//! Random numbers: the system's under the name that OpenSSL asks for where nobody says another, and the TPM's by its own.
#![forbid(unsafe_code)]

use crate::openssl::Instance;
use crate::openssl::core::Error;
use crate::openssl::entry::rand::Random;

/// `CTR-DRBG`, where no other provider has one: the kernel's generator, each byte of it. No TPM is asked, so that a
/// TPM that is slow or gone does not matter to who wants a serial number.
pub(super) struct System;

impl Random for System {
    const MOST: usize = 1 << 16;

    fn fill(_instance: &Instance, out: &mut [u8]) -> Result<(), Error> {
        Ok(crypto::random(out).map_err(keys::Error::from)?)
    }
}

/// `TPM-RNG`: the TPM's, each byte combined with one of the system's. Without the TPM there are none.
pub(super) struct TpmRandom;

impl Random for TpmRandom {
    // So many commands as that takes come one behind the other; who has the TPM's turn has it for so long.
    const MOST: usize = 1024;

    fn fill(instance: &Instance, out: &mut [u8]) -> Result<(), Error> {
        Ok(instance.tpm()?.random(out)?)
    }
}
