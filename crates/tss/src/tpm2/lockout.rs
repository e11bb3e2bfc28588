//! The dictionary attack protection, changed by whoever has the lockout authorization.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::client::Client;
use super::commands::Request;
use super::commands::lockout::{DictionaryAttackLockReset, DictionaryAttackParameters};
use super::constants::CommandCode;
use super::rc::ResponseCode;
use super::session::cache::Stake;
use super::transaction::{Authority, Tpm};
use crate::error::{Error, ErrorKind, Lockout, Result};

/// What the administrator sets (Part 1, 19.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutParameters {
    /// Wrong tries at which the TPM locks; 0 has it refuse every authorization value that is protected.
    pub max_tries: u32,
    /// Seconds until one try is forgotten; 0 has it count none.
    pub interval: u32,
    /// Seconds until the lockout authorization may be tried again after a wrong one; 0: until the TPM is reset.
    pub recovery: u32,
}

impl From<&Lockout> for LockoutParameters {
    fn from(state: &Lockout) -> Self {
        Self {
            max_tries: state.max_tries,
            interval: state.interval,
            recovery: state.recovery,
        }
    }
}

impl Client {
    /// Has the TPM forget all wrong tries (TPM2_DictionaryAttackLockReset, Part 3, 25.2), which ends a lockout. `auth` is
    /// the lockout authorization. Unless that is empty it is used in a session salted to the storage root key, or to
    /// the owner's primary, for which `owner` is the owner's value; whatever [`Sessions`](super::client::Sessions)
    /// say.
    ///
    /// Costs the command, with a value ReadPublic and StartAuthSession, too; without a storage root key CreatePrimary
    /// and FlushContext, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LockoutAuth`] for a wrong `auth`, after which the TPM takes none for its recovery time.
    pub fn reset_lockout(&self, auth: &Secret, owner: &Secret) -> Result<()> {
        self.with(|tpm| tpm.as_lockout(&DictionaryAttackLockReset, auth, owner))
    }

    /// Sets the protection's numbers (TPM2_DictionaryAttackParameters, Part 3, 25.3). Authorization, costs and errors
    /// are those of [`Client::reset_lockout`].
    pub fn set_lockout(
        &self,
        parameters: LockoutParameters,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<()> {
        let request = DictionaryAttackParameters {
            max_tries: parameters.max_tries,
            interval: parameters.interval,
            recovery: parameters.recovery,
        };
        self.with(|tpm| tpm.as_lockout(&request, auth, owner))
    }
}

impl Tpm<'_> {
    fn as_lockout<R: Request>(
        &mut self,
        request: &R,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<R::Response> {
        if auth.is_empty() && !self.wants_session(auth, Stake::Nothing) {
            return self.run(request, &[Authority::Password(auth)]);
        }
        let authority = Authority::Session {
            id: self.salted_to_owner(owner)?,
            auth,
            attributes: self.last_use(),
        };
        self.run(request, &[authority])
    }

    /// What a refusal says of the lockout authorization, if it is that which `command` needed.
    pub(super) fn explain_lockout_auth(
        &mut self,
        command: &'static str,
        code: ResponseCode,
    ) -> Option<Error> {
        let is_among =
            |commands: &[CommandCode]| commands.iter().any(|needs| needs.name() == Some(command));
        let shut = code.is_lockout();
        let refused = match is_among(&[
            CommandCode::DICTIONARY_ATTACK_LOCK_RESET,
            CommandCode::DICTIONARY_ATTACK_PARAMETERS,
        ]) {
            true => shut || code.is_auth_failure(),
            // On the word of a hierarchy; of the lockout's alone tries are counted.
            false => {
                is_among(&[
                    CommandCode::CLEAR,
                    CommandCode::CLEAR_CONTROL,
                    CommandCode::SET_PRIMARY_POLICY,
                ]) && (shut || code.counts_as_try())
            }
        };
        if !refused {
            return None;
        }
        Some(
            ErrorKind::LockoutAuth {
                command,
                code,
                shut,
                recovery: self.lockout().ok().map(|state| state.recovery),
            }
            .into(),
        )
    }
}
