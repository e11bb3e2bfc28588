//! Keys behind tcsd, which may be gone by the time that they are used.
//!
//! tcsd swaps keys out when slots are short and loads them again without their parent's authorization, which fails with
//! the very code of a wrong secret. And whenever a client leaves, it drops every key that nobody refers to, among them
//! the one that it has just loaded for another: the reference to that comes last, after the cache's lock is open again
//! (trousers 0.3.15, `mc_add_entry` and `key_mgr_ref_count`). So each client that leaves may cost one of the others its
//! key, and where many come and go a key is lost several times in a row.
#![forbid(unsafe_code)]

use super::exec::Authority;
use super::{Tpm, command_of};
use crate::error::{Error, Result, crypto_error};
use crate::tpm12::client::Key;
use crate::tpm12::commands::Request;
use crate::tpm12::commands::session::Osap;
use crate::tpm12::constants::{Ordinal, entity};
use crate::tpm12::failure::{Whose, code_of};
use crate::tpm12::rc::Code;
use crate::tpm12::secret::AuthValue;
use crate::tpm12::session;

/// tcsd may swap a key out again before it was used; each time costs no try. Where it says no more than that the secret
/// is wrong, it is believed after so many; where it says that the key is gone, the key is loaded until patience ends.
const RELOADS: usize = 4;

impl Tpm<'_> {
    /// Uses a key without a password, which is loaded again where it is gone.
    pub(super) fn use_swappable<R: Request>(
        &mut self,
        key: &Key,
        mut handle: u32,
        request: &impl Fn(u32) -> R,
    ) -> Result<R::Response> {
        for reloads in 0.. {
            match self.run(&request(handle), Authority::None) {
                Err(error)
                    if is_swapped_out(&error)
                        && self.reloads(reloads, code_of(&error) != Some(Code::AUTHFAIL)) =>
                {
                    handle = self.load(key, false)?;
                }
                result => return result,
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Whether a key that was swapped out so many times is loaded once more; not at once, from the second time on.
    /// `gone`: what failed was not a secret for certain.
    pub(super) fn reloads(&mut self, times: usize, gone: bool) -> bool {
        match times {
            0 => true,
            RELOADS.. if !gone => false,
            // Those that were in each other's way come back apart.
            _ => self.backoff.again_apart(),
        }
    }

    /// The same with a password, of which only one try may be spent. The session is bound to the key by
    /// TPM_OSAP, which takes no secret: if that fails the key was swapped out. Should the command itself
    /// be refused, another TPM_OSAP tells whether the key was there.
    pub(super) fn use_swappable_with_password<R: Request>(
        &mut self,
        key: &Key,
        mut handle: u32,
        secret: &AuthValue,
        request: &impl Fn(u32) -> R,
    ) -> Result<R::Response> {
        for reloads in 0.. {
            let command = request(handle);
            let authority = Authority::Osap {
                key: handle,
                secret,
            };
            let error = match self.run(&command, authority) {
                Err(error) if is_swapped_out(&error) => error,
                result => return result,
            };
            if command_of(&error) != Some(Ordinal::OSAP.name()) && self.is_present(handle)? {
                return Err(if code_of(&error) == Some(Code::AUTHFAIL) {
                    let which = &key.fingerprint.blob;
                    self.refused(command.ordinal(), Whose::Key, which, secret)
                } else {
                    error
                });
            }
            if !self.reloads(reloads, true) {
                return Err(error);
            }
            handle = self.load(key, false)?;
        }
        unreachable!("the loop ends by returning")
    }

    /// Whether a key of tcsd's is in the TPM.
    pub(super) fn is_present(&mut self, handle: u32) -> Result<bool> {
        let odd = session::nonce().map_err(crypto_error)?;
        let request = Osap {
            entity: entity::KEY_HANDLE,
            handle,
            odd,
        };
        match self.run(&request, Authority::None) {
            Ok(session) => {
                self.end_session(session.handle);
                Ok(true)
            }
            Err(error) if is_swapped_out(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether tcsd's answer may mean that a key is not in the TPM any more.
pub(super) fn is_swapped_out(error: &Error) -> bool {
    matches!(
        code_of(error),
        Some(
            Code::AUTHFAIL
                | Code::INVALID_KEYHANDLE
                | Code::TCS_INVALID_KEYHANDLE
                | Code::TCS_KM_LOADFAILED
        )
    ) || (code_of(error) == Some(Code::TCS_FAIL) && command_of(error) == Some(Ordinal::OSAP.name()))
}
