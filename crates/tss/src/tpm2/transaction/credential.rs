//! Endorsement keys, and the credentials that are encrypted to them.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::parent::{ParentHandle, missing};
use super::{Authority, Tpm, named};
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::commands::context::EvictControl;
use crate::tpm2::commands::credential::ActivateCredential;
use crate::tpm2::commands::object::{PublicInfo, ReadPublic};
use crate::tpm2::commands::policy::PolicySecret;
use crate::tpm2::constants::{AlgId, handle};
use crate::tpm2::credential::{Credential, Endorsement};
use crate::tpm2::name::Entity;
use crate::tpm2::object::Parent;
use crate::tpm2::public::Public;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::session::cache::{SessionId, Stake};
use crate::tpm2::session::{Purpose, attribute};

/// An endorsement key that can be used now.
struct Key {
    entity: Entity,
    public: Public,
    /// Whether it is persistent, or made for this operation.
    persistent: bool,
}

/// The session that answers are authenticated by.
type Session<'a> = &'a dyn Fn(&mut Tpm<'_>) -> Result<SessionId>;

impl Tpm<'_> {
    /// See [`Client::endorsement_key`](crate::tpm2::Client::endorsement_key).
    pub(crate) fn endorsement_key(
        &mut self,
        kind: Endorsement,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<Public> {
        let session: Session<'_> = &|tpm| tpm.salted_to_owner(owner);
        let last = self.last_use();
        let key = self.endorsement(kind, None, (auth, last), session)?;
        self.release_endorsement(&key);
        if !key.persistent || !self.wants_session(&Secret::empty(), Stake::Trust) {
            return Ok(key.public);
        }
        let request = ReadPublic {
            object: key.entity.clone(),
        };
        let authority = Authority::Session {
            id: session(self)?,
            auth: &Secret::empty(),
            attributes: self.last_use() | attribute::ENCRYPT,
        };
        // Of any object that calls itself so; whose key it is, the certificate says, and what it decrypts.
        let info = self.run(&request, &[authority]).and_then(named)?;
        Ok(info.public)
    }

    /// See [`Client::make_endorsement_key`](crate::tpm2::Client::make_endorsement_key).
    pub(crate) fn make_endorsement_key(
        &mut self,
        kind: Endorsement,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<PublicInfo> {
        let session: Session<'_> = &|tpm| tpm.salted_to_owner(owner);
        let key = self.endorsement(kind, None, (auth, attribute::CONTINUE), session)?;
        if !key.persistent {
            let last = self.last_use();
            let kept = self.protected(owner, session, last).and_then(|authority| {
                let request = EvictControl {
                    hierarchy: handle::OWNER,
                    object: key.entity.clone(),
                    persistent_handle: kind.handle(),
                };
                self.run(&request, &[authority])
            });
            self.release_endorsement(&key);
            kept?;
        }
        let info = self.read_public(kind.handle())?;
        match info.name == key.entity.name {
            true => Ok(info),
            false => Err(ErrorKind::ObjectName {
                handle: kind.handle(),
                expected: key.entity.name,
                found: info.name,
            }
            .into()),
        }
    }

    /// See [`Client::activate_credential`](crate::tpm2::Client::activate_credential).
    pub(crate) fn activate_credential(
        &mut self,
        parent: &Parent,
        key: &Public,
        credential: &Credential,
        auth: &Secret,
    ) -> Result<Secret> {
        let kind = Endorsement::of(key).ok_or_else(|| {
            Error::unsupported("this is no endorsement key of a standard template")
        })?;
        self.make_room(2)?;
        let parent_handle = self
            .parent(parent, true)
            .map_err(|error| missing(parent, error))?;
        let session: Session<'_> = &|tpm| tpm.parent_session(&parent_handle, Purpose::Hmac);
        let activated = self
            .endorsement(kind, Some(key), (auth, attribute::CONTINUE), session)
            .and_then(|found| {
                let activated =
                    self.activate(&parent_handle, &found, key, credential, auth, session);
                self.release_endorsement(&found);
                activated
            });
        self.release_parent(&parent_handle);
        activated
    }

    fn activate(
        &mut self,
        parent_handle: &ParentHandle,
        found: &Key,
        wanted: &Public,
        credential: &Credential,
        auth: &Secret,
        session: Session<'_>,
    ) -> Result<Secret> {
        if found.public != *wanted {
            return Err(Error::unsupported(
                "this TPM has another endorsement key than the one that the credential was made for: it is another TPM, \
                 or its endorsement seed was changed",
            ));
        }
        let policy = SessionId::new(Purpose::Policy(AlgId::SHA256), None);
        // Nothing may have been asserted in it.
        self.end_session(&policy);
        self.session(Purpose::Policy(AlgId::SHA256), None)?;
        let handle = match self.cached(&policy) {
            Some(cached) => {
                cached.fresh = false;
                cached.session.handle()
            }
            None => return Err(Error::unsupported("a session ended before its policy")),
        };
        let request = PolicySecret {
            entity: Entity::permanent(handle::ENDORSEMENT),
            session: handle,
            policy_ref: &[],
        };
        let authority = self.protected(auth, session, attribute::CONTINUE)?;
        self.run(&request, &[authority])?;
        let request = ActivateCredential {
            object: parent_handle.entity.clone(),
            key: found.entity.clone(),
            blob: &credential.blob,
            encrypted_seed: &credential.encrypted_seed,
        };
        let last = self.last_use() | attribute::ENCRYPT;
        let object = match self.wants_session(&parent_handle.auth, Stake::Secret) {
            true => self.protected(&parent_handle.auth, session, last)?,
            false => Authority::Password(&parent_handle.auth),
        };
        let none = Secret::empty();
        let key = Authority::Session {
            id: policy,
            auth: &none,
            attributes: self.last_use(),
        };
        self.run(&request, &[object, key])
    }

    /// The endorsement key at its persistent handle, if one of this kind is there, and the one that is `wanted`; else it
    /// is made, authorized by the value and in a session with these attributes.
    fn endorsement(
        &mut self,
        kind: Endorsement,
        wanted: Option<&Public>,
        (auth, attributes): (&Secret, u8),
        session: Session<'_>,
    ) -> Result<Key> {
        match self.read_public(kind.handle()) {
            Ok(info) => {
                let fits = match wanted {
                    Some(wanted) => info.public == *wanted,
                    None => Endorsement::of(&info.public) == Some(kind),
                };
                if fits {
                    return Ok(Key {
                        entity: Entity::object(kind.handle(), info.name),
                        public: info.public,
                        persistent: true,
                    });
                }
            }
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => {}
            Err(error) => return Err(error),
        }
        self.make_room(1)?;
        let authority = self.protected(auth, session, attributes)?;
        let made = self
            .create_primary(handle::ENDORSEMENT, &kind.template()?, authority)
            .map_err(|error| match error.code() {
                Some(code) if code.is_auth_failure() => error.advise(
                    "the endorsement hierarchy has an authorization value: give it with --endorsement-auth file:PATH",
                ),
                _ => error,
            })?;
        Ok(Key {
            entity: Entity::object(made.handle, made.name),
            public: made.public,
            persistent: false,
        })
    }

    fn release_endorsement(&mut self, key: &Key) {
        if !key.persistent {
            let _ = self.drop_object(key.entity.handle);
        }
    }

    /// An authorization in the session, where there shall be one.
    fn protected<'a>(
        &mut self,
        auth: &'a Secret,
        session: Session<'_>,
        attributes: u8,
    ) -> Result<Authority<'a>> {
        match self.wants_session(auth, Stake::Trust) {
            true => Ok(Authority::Session {
                id: session(self)?,
                auth,
                attributes,
            }),
            false => Ok(Authority::Password(auth)),
        }
    }
}
