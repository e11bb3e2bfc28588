//! Hierarchies: whose they are, whether they can be used, and how everything in them is removed.
#![forbid(unsafe_code)]

use std::cell::Cell;

use crypto::Secret;

use super::client::Client;
use super::commands::Request;
use super::commands::hierarchy::{Clear, ClearControl, HierarchyControl, SetPrimaryPolicy};
use super::constants::AlgId;
use super::session::attribute;
use super::session::cache::Stake;
use super::transaction::{Authority, Tpm};
use crate::error::{Error, Result};

impl Client {
    /// Removes everything that is the owner's (TPM2_Clear, Part 3, 24.6): the objects of the owner and the endorsement
    /// hierarchy, NV indices that the platform has not defined, the values and policies of owner, endorsement and lockout.
    /// `authority` is [`handle::LOCKOUT`](super::constants::handle::LOCKOUT) or `PLATFORM`, `auth` its value, `owner` the
    /// owner's.
    ///
    /// Unless [`Sessions`](super::client::Sessions) say never and `auth` is empty, the command and its answer are
    /// authenticated by a session salted to the storage root key, or to the owner's primary. Costs the command,
    /// StartAuthSession and ReadPublic; without a storage root key CreatePrimary and FlushContext, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LockoutAuth`](crate::ErrorKind::LockoutAuth) for a wrong value of the lockout hierarchy's; a refusal where
    /// clearing is disabled.
    pub fn clear(&self, authority: u32, auth: &Secret, owner: &Secret) -> Result<()> {
        let request = Clear {
            authority,
            none: Secret::empty(),
        };
        self.once_only(|tpm, sent| {
            tpm.on_the_word_of(&request, auth, owner, sent)?;
            // What was known of keys, parents and handles is not so any more.
            tpm.state.begin_anew();
            Ok(())
        })
    }

    /// Whether [`Client::clear`] works (TPM2_ClearControl, Part 3, 24.7). The lockout hierarchy can only have it not work.
    /// Authorization, costs and errors are those of [`Client::clear`].
    pub fn set_clear(
        &self,
        enabled: bool,
        authority: u32,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<()> {
        let request = ClearControl {
            authority,
            disable: !enabled,
        };
        self.once_only(|tpm, sent| tpm.on_the_word_of(&request, auth, owner, sent))
    }

    /// Whether a hierarchy can be used (TPM2_HierarchyControl, Part 3, 24.2) until the TPM is restarted. `authority` is the
    /// hierarchy itself, which can only switch itself off, or the platform. Authorization and costs are those of
    /// [`Client::clear`].
    pub fn set_hierarchy(
        &self,
        hierarchy: u32,
        enabled: bool,
        authority: u32,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<()> {
        let request = HierarchyControl {
            authority,
            hierarchy,
            enabled,
        };
        self.once_only(|tpm, sent| {
            tpm.on_the_word_of(&request, auth, owner, sent)?;
            tpm.state.begin_anew();
            Ok(())
        })
    }

    /// By which policy a hierarchy may be used besides its value (TPM2_SetPrimaryPolicy, Part 3, 24.3); `None` for none.
    /// Authorization and costs are those of [`Client::clear`].
    pub fn set_hierarchy_policy(
        &self,
        hierarchy: u32,
        policy: Option<(AlgId, &[u8])>,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<()> {
        let (algorithm, policy) = policy.unwrap_or((AlgId::NULL, &[]));
        let request = SetPrimaryPolicy {
            hierarchy,
            policy,
            algorithm,
        };
        self.once_only(|tpm, sent| tpm.on_the_word_of(&request, auth, owner, sent))
    }

    /// Runs what must not be done twice: if the connection ends while its command is on its way, nobody knows whether it was
    /// done.
    pub(super) fn once_only<T>(
        &self,
        operation: impl Fn(&mut Tpm<'_>, &Cell<bool>) -> Result<T>,
    ) -> Result<T> {
        let sent = Cell::new(false);
        self.with(|tpm| match sent.get() {
            true => Err(Error::unsupported(
                "the connection ended while the command was on its way: it may have been done, or not; look before you repeat \
                 it",
            )),
            false => operation(tpm, &sent),
        })
    }
}

impl Tpm<'_> {
    /// Runs a command that changes the TPM on the word of the entity of its first handle, whose value `auth` is. `sent` is
    /// set before it goes out.
    pub(super) fn on_the_word_of<R: Request>(
        &mut self,
        request: &R,
        auth: &Secret,
        owner: &Secret,
        sent: &Cell<bool>,
    ) -> Result<R::Response> {
        let last = self.last_use();
        let authority = self.word(auth, owner, last)?;
        sent.set(true);
        self.run(request, &[authority])
    }

    /// A session in which a value is shown, with these attributes; a password where there is neither a value nor a wish for
    /// sessions.
    pub(super) fn word<'a>(
        &mut self,
        auth: &'a Secret,
        owner: &Secret,
        attributes: u8,
    ) -> Result<Authority<'a>> {
        if auth.is_empty() && !self.wants_session(auth, Stake::Trust) {
            return Ok(Authority::Password(auth));
        }
        Ok(Authority::Session {
            id: self.salted_to_owner(owner)?,
            auth,
            attributes,
        })
    }

    /// The same where the command's first parameter is nobody else's to read.
    pub(super) fn secret_word<'a>(
        &mut self,
        auth: &'a Secret,
        owner: &Secret,
        attributes: u8,
    ) -> Result<Authority<'a>> {
        self.word(auth, owner, attributes | attribute::DECRYPT)
    }
}
