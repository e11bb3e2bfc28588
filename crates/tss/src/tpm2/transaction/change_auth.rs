//! Another authorization value for a key that is in a file.
#![forbid(unsafe_code)]

use std::cell::Cell;

use crypto::Secret;

use super::keys::{is_not_the_parent, made_elsewhere};
use super::parent::{ParentHandle, ParentKind};
use super::{Authority, Tpm};
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::client::Client;
use crate::tpm2::commands::object::ObjectChangeAuth;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::name::Entity;
use crate::tpm2::object::{Object, Parent, Source};
use crate::tpm2::session::{Purpose, attribute};

impl Client {
    /// Gives a key that is in a file another authorization value (TPM2_ObjectChangeAuth, Part 3, 12.8) and returns its new
    /// private part, a whole `TPM2B_PRIVATE`, after the TPM has loaded that as the same key. `old` is the value that
    /// the key has; it must not be one whose administration needs its policy (`adminWithPolicy`). The private part
    /// that there was keeps the old value: no TPM can revoke it.
    ///
    /// Whatever [`Sessions`](crate::tpm2::Sessions) say, the new value is encrypted, and the answer authenticated, by
    /// a session salted to the parent.
    ///
    /// Costs ReadPublic, Load, StartAuthSession, the command and Load; under a hierarchy's primary CreatePrimary and
    /// FlushContext, too; and FlushContext for both keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongAuth`] for a wrong `old`, which is tried once; [`ErrorKind::SessionIntegrity`],
    /// [`ErrorKind::Malformed`] and [`ErrorKind::NotAsAsked`] for an answer that is not to be believed.
    pub fn change_object_auth(
        &self,
        object: &Object,
        old: &Secret,
        new: &Secret,
    ) -> Result<Vec<u8>> {
        let Source::Blob { parent, private } = &object.source else {
            return Err(Error::unsupported(
                "a persistent key keeps its authorization value: change it in the key's file and make that persistent",
            ));
        };
        self.with(|tpm| tpm.change_object_auth(object, parent, private, old, new))
    }
}

impl Tpm<'_> {
    fn change_object_auth(
        &mut self,
        object: &Object,
        parent: &Parent,
        private: &[u8],
        old: &Secret,
        new: &Secret,
    ) -> Result<Vec<u8>> {
        // Whether the parent has proved to be the key's.
        let is_the_parent = Cell::new(false);
        let under = |tpm: &mut Self, stand_in| {
            // The key and its parent, which takes a slot also where it is persistent.
            tpm.make_room(2)?;
            let mut parent_handle = tpm
                .parent(parent, stand_in)
                .map_err(|error| made_elsewhere(parent, error))?;
            // Only loading is repeated with another value of the parent's: the key's would be tried twice.
            let changed = tpm
                .under(&mut parent_handle, |tpm, parent_handle| {
                    tpm.load_to_change(parent_handle, object, parent, private)
                })
                .and_then(|key| {
                    is_the_parent.set(true);
                    let changed = tpm.change_under(&parent_handle, key, object, old, new);
                    // The key with the old value, which nobody wants any more.
                    let flushed = tpm.drop_object(key);
                    let private = changed?;
                    flushed?;
                    tpm.check_changed(&parent_handle, object, parent, &private)?;
                    Ok(private)
                });
            tpm.release_parent(&parent_handle);
            Ok::<_, Error>((parent_handle.kind, changed))
        };
        let changed = match under(self, true)? {
            (ParentKind::StandIn, Err(error))
                if !is_the_parent.get() && is_not_the_parent(&error) =>
            {
                let (_, changed) = under(self, false)?;
                if changed.is_ok() {
                    self.state.srk.insert(parent.template, None);
                }
                changed
            }
            (_, changed) => changed,
        };
        changed.map_err(|error| match error.code() {
            Some(code) if code.is_integrity() => ErrorKind::ForeignKey {
                parent: parent.to_string(),
                code,
            }
            .into(),
            _ => made_elsewhere(parent, error),
        })
    }

    /// The key's handle; the parent's session goes on.
    fn load_to_change(
        &mut self,
        parent_handle: &ParentHandle,
        object: &Object,
        parent: &Parent,
        private: &[u8],
    ) -> Result<u32> {
        if parent_handle.salt_key().is_none() {
            return Err(Error::unsupported(format!(
                "no session can be salted to {parent}, whose algorithm is not supported: the new authorization value would \
                 cross the bus in clear, and is not set"
            )));
        }
        self.load_under(parent_handle, object, parent, private, Some(Purpose::Hmac))
            .map(|key| key.handle)
    }

    fn change_under(
        &mut self,
        parent_handle: &ParentHandle,
        key: u32,
        object: &Object,
        old: &Secret,
        new: &Secret,
    ) -> Result<Vec<u8>> {
        let request = ObjectChangeAuth {
            object: Entity::object(key, object.name.clone()),
            parent: parent_handle.entity.clone(),
            new,
        };
        let authority = Authority::Session {
            id: self.parent_session(parent_handle, Purpose::Hmac)?,
            auth: old,
            attributes: attribute::CONTINUE | attribute::DECRYPT,
        };
        self.run_beside(parent_handle.slots(), &request, &[authority])
    }

    /// Loads what the TPM gave: a file is not replaced by one that does not load, or loads as something else.
    fn check_changed(
        &mut self,
        parent_handle: &ParentHandle,
        object: &Object,
        parent: &Parent,
        private: &[u8],
    ) -> Result<()> {
        let loaded = self
            .load_under(parent_handle, object, parent, private, None)
            .map_err(|error| match error.code() {
                Some(_) => ErrorKind::NotAsAsked {
                    command: CommandCode::OBJECT_CHANGE_AUTH.name().unwrap_or("command"),
                    what: format!("it does not load ({error})"),
                }
                .into(),
                None => error,
            })?;
        self.drop_object(loaded.handle)
    }
}
