//! Data that a TPM seals.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::exec::Authority;
use super::loaded::{NOBODY, digest};
use super::swapped::is_swapped_out;
use super::{Tpm, command_of, explain_load};
use crate::error::{Error, Result};
use crate::tpm12::client::Key;
use crate::tpm12::commands::seal::{PcrRead, Seal, Unseal};
use crate::tpm12::constants::{Ordinal, handle};
use crate::tpm12::failure::{Failure, Whose, code_of};
use crate::tpm12::rc::Code;
use crate::tpm12::secret::AuthValue;
use crate::tpm12::stored::{Binding, Registers, StoredData};
use crate::transport::Sharing;

/// What data are sealed under.
#[derive(Clone, Copy)]
pub(crate) enum SealedUnder<'a> {
    /// The storage root key, with this secret.
    Srk(&'a AuthValue),
    /// A storage key below it, with this secret.
    Key(&'a Key, &'a AuthValue),
}

impl Tpm<'_> {
    /// A binding to the values that registers have now.
    pub(crate) fn binding(&mut self, registers: &Registers) -> Result<Binding> {
        let values = registers
            .numbers()
            .iter()
            .map(|&register| self.run(&PcrRead { register }, Authority::None))
            .collect::<Result<Vec<_>>>()?;
        Ok(Binding::new(registers.clone(), &values)?)
    }

    /// Seals under the SRK.
    pub(crate) fn seal(
        &mut self,
        srk: &AuthValue,
        data: &[u8],
        auth: &AuthValue,
        binding: Option<&Binding>,
    ) -> Result<StoredData> {
        let info = binding.map(Binding::to_long).transpose()?;
        self.exchange.attach_srk()?;
        let request = Seal {
            key: handle::SRK,
            auth,
            info: info.as_deref().unwrap_or_default(),
            data,
        };
        let authority = Authority::Osap {
            key: handle::SRK,
            secret: srk,
        };
        self.run_as(Whose::Srk, &request, authority)
            .map_err(|error| explain_load(error, Ordinal::SEAL))
    }

    /// Unseals. Either secret is tried once.
    pub(crate) fn unseal(
        &mut self,
        data: &StoredData,
        under: SealedUnder<'_>,
        own: &AuthValue,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let which = digest(data.as_bytes());
        self.check_refusal(Ordinal::UNSEAL, Whose::Data, &which, own)?;
        self.exchange.attach_srk()?;
        let (whose, parent, secret) = match under {
            SealedUnder::Srk(secret) => (Whose::Srk, NOBODY, secret),
            SealedUnder::Key(key, secret) => (Whose::Key, key.fingerprint.blob, secret),
        };
        self.check_refusal(Ordinal::UNSEAL, whose, &parent, secret)?;
        let both = Authority::Both { key: secret, own };
        let unsealed = match under {
            SealedUnder::Srk(_) => {
                let key = handle::SRK;
                self.run(&Unseal { key, data }, both)
            }
            SealedUnder::Key(key, _) => self.unseal_under(key, data, both),
        };
        unsealed.map_err(|error| match code_of(&error) {
            // What was refused before is explained already.
            _ if command_of(&error) != Some(Ordinal::UNSEAL.name()) => error,
            Some(Code::AUTHFAIL) => self.refused(Ordinal::UNSEAL, whose, &parent, secret),
            Some(Code::AUTH2FAIL) => self.refused(Ordinal::UNSEAL, Whose::Data, &which, own),
            _ => explain(error),
        })
    }

    fn unseal_under(
        &mut self,
        key: &Key,
        data: &StoredData,
        both: Authority<'_>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let daemon = self.exchange.sharing() == Sharing::Daemon;
        let mut handle = self.load(key, false)?;
        for reloads in 0.. {
            self.in_use = Some(handle);
            let unsealed = self.run(&Unseal { key: handle, data }, both);
            self.in_use = None;
            match unsealed {
                // tcsd may have swapped it out, which it says in the words of a wrong secret.
                Err(error)
                    if daemon
                        && is_swapped_out(&error)
                        && !self.is_present(handle)?
                        && self.reloads(reloads, true) =>
                {
                    handle = self.load(key, false)?;
                }
                unsealed => {
                    // tcsd gives it up with the connection.
                    if !daemon {
                        self.flush_key(handle);
                    }
                    return unsealed;
                }
            }
        }
        unreachable!("the loop ends by returning")
    }
}

/// What it means that data are not unsealed.
fn explain(error: Error) -> Error {
    let command = Ordinal::UNSEAL.name();
    match code_of(&error) {
        Some(code @ (Code::NOTSEALED_BLOB | Code::DECRYPT_ERROR | Code::BAD_VERSION)) => {
            Failure::ForeignData { command, code }.into()
        }
        _ => explain_load(error, Ordinal::UNSEAL),
    }
}
