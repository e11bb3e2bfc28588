//! Random bytes of a TPM.
#![forbid(unsafe_code)]

use tss::tpm2::ResponseCode;
use tss::transport::{Family, Sharing};
use zeroize::Zeroizing;

use super::credential::{LONGEST_IN_TPM2, check_length};
use super::{Error, Tpm};

impl Tpm {
    /// Fills `out` with random bytes to which the TPM and the system's generator have each given all they can: either
    /// alone would do, so that neither can do harm by what it knows or gives.
    ///
    /// The TPM's come through a session that encrypts them, unless `sessions` say never. A TPM in this process is not
    /// asked: it gets its own random numbers from the host's libcrypto, which may be asking for these.
    ///
    /// # Errors
    ///
    /// When either has none; `out` must then not be used.
    pub fn random(&self, out: &mut [u8]) -> Result<(), Error> {
        let theirs = match self.meant()?.sharing() {
            Sharing::InProcess => None,
            _ => Some(self.their_random(out.len())?),
        };
        // Behind the TPM's, which so cannot depend on them.
        crypto::random(out)?;
        for (byte, their) in out
            .iter_mut()
            .zip(theirs.iter().flat_map(|bytes| bytes.iter()))
        {
            *byte ^= their;
        }
        Ok(())
    }

    fn their_random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        if self.family() == Some(Family::Tpm12) {
            return Ok(self.client12()?.random(count)?);
        }
        let owner = &self.config().parent_auth;
        check_length(owner, LONGEST_IN_TPM2, "the owner (parent-auth)")?;
        let theirs = match self.client()?.secret_random(count, owner) {
            // The TPM that there is, which nobody knew to be one of these.
            Err(error)
                if self.endpoint()?.family() != Some(Family::Tpm2)
                    && error.code().is_some_and(ResponseCode::is_tpm12) =>
            {
                self.client12()?.random(count)?
            }
            result => result?,
        };
        match theirs.len() == count {
            true => Ok(theirs),
            false => Err(Error::Data("the TPM gave too few random bytes".into())),
        }
    }
}
