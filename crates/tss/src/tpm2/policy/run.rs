//! Using a key by its policy: the ways that may hold are tried until one does.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use crypto::Secret;

use super::way::{Registers, Step, Unfit, Way, approval, ways};
use super::{Operand, PcrSelection, Policy, PolicyCommand, Signer};
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::client::Sessions;
use crate::tpm2::commands::Request;
use crate::tpm2::commands::capability::{Capabilities, GetCapability};
use crate::tpm2::commands::hash::Ticket;
use crate::tpm2::commands::nv::NvReadPublic;
use crate::tpm2::commands::object::{LoadExternal, ReadPublic};
use crate::tpm2::commands::policy::{
    PcrRead, PolicyAuthValue, PolicyAuthorize, PolicyCommandCode, PolicyCounterTimer,
    PolicyLocality, PolicyNv, PolicyOr, PolicyPassword, PolicyPcr, PolicySecret, PolicySigned,
};
use crate::tpm2::commands::session::PolicyRestart;
use crate::tpm2::commands::signing::{Signature, VerifySignature};
use crate::tpm2::constants::{AlgId, CommandCode, capability, handle};
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::public::Public;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::session::cache::{SessionId, Stake};
use crate::tpm2::session::{Showing, attribute};
use crate::tpm2::transaction::{Authority, Tpm, named};
use crate::tpm2::wire::Malformed;

use super::digest::PolicyDigest;

/// `TPM_RC_REFERENCE_S0`: what a session that is gone is answered with.
const SESSION_GONE: ResponseCode = ResponseCode(0x918);
/// Answers to a command that say that the policy of its key does not allow it: POLICY, POLICY_FAIL, POLICY_CC,
/// LOCALITY, EXPIRED, CPHASH, PCR_CHANGED.
const REFUSALS: [u32; 7] = [0x126, 0x09d, 0x0a4, 0x907, 0x0a3, 0x151, PCR_CHANGED];
/// `TPM_RC_PCR_CHANGED`: between TPM2_PolicyPCR and the use.
const PCR_CHANGED: u32 = 0x128;
/// Registers that one answer holds at least.
const REGISTERS_AT_ONCE: usize = 8;
/// Persistent objects and NV indices among which one is looked for by its name.
const MOST_LOOKED_AT: u32 = 128;

impl Policy {
    /// Refuses a policy that cannot be the object's, before the TPM does. What depends on the registers' values of the
    /// moment is not refused.
    ///
    /// # Errors
    ///
    /// That it is not, with what is wrong of each way to satisfy it.
    pub fn check(&self, public: &Public) -> Result<()> {
        let ways = ways(self);
        let mut unfit = Vec::new();
        for way in &ways {
            match way.examine(public.name_alg(), Some(public.auth_policy())) {
                Ok(()) => return Ok(()),
                Err(reason) => unfit.push((way, reason)),
            }
        }
        match ways.is_empty() {
            // There may be some when the key is used.
            true => Ok(()),
            false => Err(none_fits(&unfit)),
        }
    }
}

/// What is said where none of the ways can be the one.
fn none_fits(unfit: &[(&Way<'_>, Unfit)]) -> Error {
    let said: Vec<String> = match unfit {
        [] => return ErrorKind::NoSignedPolicy.into(),
        [(_, reason)] => vec![format!("the policy {reason}")],
        several => several
            .iter()
            .map(|(way, reason)| format!("{way} {reason}"))
            .collect(),
    };
    Error::unsupported(abridged(&said))
}

/// What is said of many ways, of which the first few count.
fn abridged(said: &[String]) -> String {
    const MOST: usize = 4;
    let mut text = said
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if let Some(more) = said.len().checked_sub(MOST).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

impl Tpm<'_> {
    /// Runs `operation` for each way to satisfy a policy, until one does.
    pub(crate) fn by_policy<T>(
        &mut self,
        public: &Public,
        policy: &Policy,
        value: Option<&Secret>,
        used: CommandCode,
        mut operation: impl FnMut(&mut Self, &Way<'_>) -> Result<T>,
    ) -> Result<T> {
        let (algorithm, made_for) = (public.name_alg(), Some(public.auth_policy()));
        let open = policy.open_registers();
        let (policy, values) = match open.is_empty() {
            true => (Cow::Borrowed(policy), Registers::new()),
            false => {
                let values = self.registers(&open, &[])?;
                (Cow::Owned(policy.fixed(algorithm, &values)), values)
            }
        };
        let usable = |way: &Way<'_>| match way.takes_value() && value.is_none() {
            true => Err(Unfit::NoValue),
            false => way.allows(used),
        };
        let ways = ways(&policy);
        let (mut unfit, mut refused, mut tried) = (Vec::new(), Vec::new(), Vec::new());
        for way in &ways {
            if let Some(lacking) = lacking(&way.open_registers(), &values) {
                refused.push(lacking);
                continue;
            }
            let examined = way.examine(algorithm, made_for);
            if let Err(reason) = examined.and_then(|()| usable(way)) {
                unfit.push((way, reason));
                continue;
            }
            let mut outcome = operation(self, way);
            if has_changed(&outcome) {
                outcome = operation(self, way);
            }
            match outcome {
                Err(error) => refused.push(refusal(&error, used).ok_or(error)?),
                done => return done,
            }
            tried.extend(way.registers());
        }
        if refused.is_empty() {
            return Err(
                match !open.is_empty() && unfit.iter().all(is_about_values) {
                    true => not_met(format!(
                        "the registers {} do not have the values that it was made for, or it was not made for them",
                        PcrSelection::list(&merged(open))
                    )),
                    false => none_fits(&unfit),
                },
            );
        }
        // Asked only now: most often another way holds.
        let lacking = match tried.is_empty() {
            true => None,
            false => lacking(&tried, &self.registers(&tried, &[])?),
        };
        Err(not_met(lacking.unwrap_or_else(|| abridged(&refused))))
    }

    /// Runs a way's commands in a session, for one command to come. `secret` is a session for a value that goes to
    /// the TPM beside.
    pub(crate) fn satisfy(
        &mut self,
        id: &SessionId,
        way: &Way<'_>,
        algorithm: AlgId,
        value: &Secret,
        secret: &mut dyn FnMut(&mut Self) -> Result<SessionId>,
    ) -> Result<()> {
        let Some(cached) = self.cached(id) else {
            return Err(Error::unsupported("a session ended before its policy"));
        };
        let session = cached.session.handle();
        if !std::mem::replace(&mut cached.fresh, false) {
            self.assert_one(id, &PolicyRestart { session })?;
        }
        let in_clear = self.options.sessions == Sessions::Never;
        let mut showing = Showing::Nothing;
        let mut digest = PolicyDigest::new(algorithm)?;
        for step in &way.steps {
            let command = match step {
                Step::Or(digests) => {
                    self.assert_one(id, &PolicyOr { session, digests })?;
                    digest.or(digests);
                    continue;
                }
                Step::Command(command) => *command,
            };
            match command {
                PolicyCommand::Password if in_clear => showing = Showing::Value,
                PolicyCommand::AuthValue | PolicyCommand::Password => showing = Showing::Hmac,
                _ => {}
            }
            let approved = digest.as_bytes().to_vec();
            let asserted = self.assert(id, session, command, &approved, value, &mut *secret);
            asserted.map_err(|error| explained(command, error))?;
            digest.command(command)?;
        }
        if let Some(cached) = self.cached(id) {
            cached.session.show(showing);
        }
        Ok(())
    }

    /// Runs one command of a policy. One that finds no session says so as if it had used it.
    fn assert_one<R: Request>(&mut self, id: &SessionId, request: &R) -> Result<R::Response> {
        self.run(request, &[]).map_err(|error| self.lost(id, error))
    }

    fn lost(&mut self, id: &SessionId, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Tpm { code, .. } if code.is_bad_handle() => {
                self.end_session(id);
                Error::tpm(CommandCode::POLICY_RESTART, SESSION_GONE)
            }
            _ => error,
        }
    }

    fn assert(
        &mut self,
        id: &SessionId,
        session: u32,
        command: &PolicyCommand,
        approved: &[u8],
        value: &Secret,
        secret: &mut dyn FnMut(&mut Self) -> Result<SessionId>,
    ) -> Result<()> {
        match command {
            PolicyCommand::Pcr { registers, digest } => {
                let digest = digest.as_deref().unwrap_or_default();
                let request = PolicyPcr {
                    session,
                    digest,
                    registers,
                };
                self.assert_one(id, &request)
            }
            PolicyCommand::Password if self.options.sessions == Sessions::Never => {
                self.assert_one(id, &PolicyPassword { session })
            }
            PolicyCommand::AuthValue | PolicyCommand::Password => {
                self.assert_one(id, &PolicyAuthValue { session })
            }
            PolicyCommand::Locality(locality) => {
                let locality = *locality;
                self.assert_one(id, &PolicyLocality { session, locality })
            }
            PolicyCommand::CommandCode(code) => {
                let code = *code;
                self.assert_one(id, &PolicyCommandCode { session, code })
            }
            PolicyCommand::CounterTimer(Operand {
                value,
                offset,
                comparison,
            }) => {
                let request = PolicyCounterTimer {
                    session,
                    operand: value,
                    offset: *offset,
                    comparison: *comparison,
                };
                self.assert_one(id, &request)
            }
            PolicyCommand::Nv {
                authority,
                index,
                operand,
            } => {
                let index = self.found(index)?;
                let authority = match authority {
                    Some(authority) => self.found(authority)?,
                    None => index.clone(),
                };
                let request = PolicyNv {
                    authority,
                    index,
                    session,
                    operand: &operand.value,
                    offset: operand.offset,
                    comparison: operand.comparison,
                };
                // What is read is compared and not told.
                self.run(&request, &[Authority::Password(&Secret::empty())])
            }
            PolicyCommand::Secret { entity, policy_ref } => {
                let request = PolicySecret {
                    entity: self.found(entity)?,
                    session,
                    policy_ref,
                };
                let authority = match self.wants_session(value, Stake::Nothing) {
                    false => Authority::Password(value),
                    true => Authority::Session {
                        id: secret(self)?,
                        auth: value,
                        // It may have more to do for the same command.
                        attributes: attribute::CONTINUE,
                    },
                };
                self.run(&request, &[authority]).map_err(|error| {
                    error.advise(format!(
                        "the key's policy asks for the authorization value of {entity}"
                    ))
                })
            }
            PolicyCommand::Signed {
                key,
                cp_hash,
                policy_ref,
                expiration,
                signature,
            } => {
                let (key, loaded) = match key {
                    Signer::Handle(entity) => (self.found(entity)?, false),
                    Signer::Public(public) => (self.load_signer(public)?, true),
                };
                let request = PolicySigned {
                    key: key.clone(),
                    session,
                    cp_hash,
                    policy_ref,
                    expiration: *expiration,
                    signature,
                };
                let signed = self.assert_one(id, &request);
                if loaded {
                    self.drop_object(key.handle)?;
                }
                signed
            }
            PolicyCommand::Authorize {
                key,
                policy_ref,
                signature,
            } => {
                let signature = signature.as_ref().ok_or(Malformed {
                    what: "policy: PolicyAuthorize without a signature",
                })?;
                self.authorize(id, session, approved, (key, policy_ref, signature))
            }
            // Its alternatives are ways of their own.
            PolicyCommand::Or { digests, .. } => {
                self.assert_one(id, &PolicyOr { session, digests })
            }
        }
    }

    /// TPM2_PolicyAuthorize, with the ticket of an earlier verification if there is one.
    fn authorize(
        &mut self,
        id: &SessionId,
        session: u32,
        approved: &[u8],
        (key, policy_ref, signature): (&Public, &[u8], &Signature),
    ) -> Result<()> {
        let name = key.name()?;
        let digest = approval(key, approved, policy_ref)?;
        let place = (name.clone(), digest);
        let mut known = self.state.tickets.remove(&place);
        loop {
            let is_old = known.is_some();
            let ticket = match known.take() {
                Some(ticket) => ticket,
                None => self.verified(key, &place.1, signature)?,
            };
            let request = PolicyAuthorize {
                session,
                approved,
                policy_ref,
                key: &name,
                ticket: &ticket,
            };
            match self.assert_one(id, &request) {
                // The owner's hierarchy has another secret since: the TPM was cleared.
                Err(error)
                    if is_old && error.code().is_some_and(|code| !code.is_lost_session()) => {}
                asserted => {
                    if is_old || asserted.is_ok() {
                        self.state.tickets.insert(place, ticket);
                    }
                    return asserted;
                }
            }
        }
    }

    /// The TPM's word that a signature is good (TPM2_VerifySignature).
    fn verified(&mut self, key: &Public, digest: &[u8], signature: &Signature) -> Result<Ticket> {
        let entity = self.load_signer(key)?;
        let request = VerifySignature {
            key: entity.clone(),
            digest,
            signature,
        };
        let ticket = self.run(&request, &[]);
        self.drop_object(entity.handle)?;
        ticket
    }

    /// Loads somebody's public key. In the owner's hierarchy: a ticket of the null hierarchy is worth nothing.
    fn load_signer(&mut self, public: &Public) -> Result<Entity> {
        self.make_room(1)?;
        let loaded = self.run(
            &LoadExternal {
                public,
                hierarchy: handle::OWNER,
            },
            &[],
        )?;
        let name = public.name()?;
        self.note_loaded_for_now(loaded.handle, name.clone());
        if loaded.name != name {
            return Err(Malformed {
                what: "answer to TPM2_LoadExternal: the name is not the key's",
            }
            .into());
        }
        self.pinned.push(loaded.handle);
        Ok(Entity::object(loaded.handle, name))
    }

    /// An entity with its handle: the one that it is said to have if the name there is right, since a value that goes
    /// to another entity counts as a wrong one; else whatever has the name.
    fn found(&mut self, wanted: &Entity) -> Result<Entity> {
        let name = wanted.name.as_bytes();
        if let Ok(bytes) = <[u8; 4]>::try_from(name) {
            return Ok(Entity::permanent(u32::from_be_bytes(bytes)));
        }
        if let Some(&handle) = self.state.entities.get(&wanted.name) {
            return Ok(Entity::object(handle, wanted.name.clone()));
        }
        if wanted.handle != 0 && self.name_at(wanted.handle)?.as_ref() == Some(&wanted.name) {
            return Ok(self.note_entity(wanted.handle, &wanted.name));
        }
        for first in [handle::NV_FIRST, handle::PERSISTENT_FIRST] {
            for handle in self.handles_from(first)? {
                if self.name_at(handle)?.as_ref() == Some(&wanted.name) {
                    return Ok(self.note_entity(handle, &wanted.name));
                }
            }
        }
        Err(not_met(format!(
            "this TPM has nothing with the name {} that it asks for (it was at 0x{:08x})",
            wanted.name, wanted.handle
        )))
    }

    fn note_entity(&mut self, handle: u32, name: &Name) -> Entity {
        self.state.entities.insert(name.clone(), handle);
        Entity::object(handle, name.clone())
    }

    /// The name of what is at a handle; none if nothing is.
    pub(super) fn name_at(&mut self, handle: u32) -> Result<Option<Name>> {
        match self.name_in(&Entity::object(handle, Name::default()), &[]) {
            Ok(name) => Ok(Some(name)),
            Err(error) if error.code().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name of what is at an entity's handle, with these authorities, for which the entity's own name counts.
    pub(super) fn name_in(
        &mut self,
        entity: &Entity,
        authorities: &[Authority<'_>],
    ) -> Result<Name> {
        match handle::kind(entity.handle) {
            1 => {
                let index = entity.clone();
                let public = self.run(&NvReadPublic { index }, authorities)?;
                Ok(public.name)
            }
            _ => {
                let object = entity.clone();
                let info = self.run(&ReadPublic { object }, authorities)?;
                Ok(named(info)?.name)
            }
        }
    }

    fn handles_from(&mut self, first: u32) -> Result<Vec<u32>> {
        let request = GetCapability {
            capability: capability::HANDLES,
            property: first,
            count: MOST_LOOKED_AT,
        };
        match self.run(&request, &[])?.data {
            Capabilities::Handles(handles) => Ok(handles),
            _ => Ok(Vec::new()),
        }
    }

    /// The values of registers, those that the TPM has. Without a session nobody vouches for them.
    pub(crate) fn registers(
        &mut self,
        selected: &[PcrSelection],
        authorities: &[Authority<'_>],
    ) -> Result<Registers> {
        let mut values = Registers::new();
        for selection in merged(selected.to_vec()) {
            let numbers: Vec<u8> = selection.registers().collect();
            for some in numbers.chunks(REGISTERS_AT_ONCE) {
                let Some(some) = PcrSelection::new(selection.bank(), some) else {
                    continue;
                };
                let read = match self.run(&PcrRead { registers: &[some] }, authorities) {
                    // TPM_RC_HASH: a bank of an algorithm that it does not know.
                    Err(error) if error.code().is_some_and(|code| code.base() == 0x083) => break,
                    read => read?,
                };
                let numbers = read.registers.iter().flat_map(|selection| {
                    selection
                        .registers()
                        .map(|number| (selection.bank(), number))
                });
                values.extend(numbers.zip(read.values));
            }
        }
        Ok(values)
    }
}

/// A TPM's refusal of a policy's command, in words; what is no refusal stays what it is.
fn explained(command: &PolicyCommand, error: Error) -> Error {
    let ErrorKind::Tpm { code, .. } = error.kind() else {
        return error;
    };
    if code.is_auth_failure()
        || code.is_lockout()
        || code.is_lost_session()
        || code.is_memory()
        || code.is_retry()
    {
        return error;
    }
    not_met(match command {
        PolicyCommand::Pcr { registers, .. } => differ(registers),
        command => format!("{command} is refused ({code})"),
    })
}

/// What can be said of registers that are not what they were.
pub(super) fn differ(registers: &[PcrSelection]) -> String {
    let selected = merged(registers.to_vec());
    let list = PcrSelection::list(&selected);
    match selected.iter().flat_map(PcrSelection::registers).count() {
        1 => format!("the register {list} does not have the value that the key was made for"),
        _ => format!(
            "at least one of the registers {list} does not have the value that the key was made for (which one, the \
             key's policy does not say)"
        ),
    }
}

/// What is said of registers of which the TPM has none, if there is one.
pub(super) fn lacking(registers: &[PcrSelection], values: &Registers) -> Option<String> {
    let bank = registers.iter().find_map(|selection| {
        let bank = selection.bank();
        let mut numbers = selection.registers();
        let lacks = numbers.any(|number| !values.contains_key(&(bank, number)));
        lacks.then(|| bank.to_string().to_ascii_lowercase())
    })?;
    let list = PcrSelection::list(&merged(registers.to_vec()));
    Some(format!(
        "it is about the registers {list}, and this TPM has no bank {bank}"
    ))
}

/// Whether other values of registers could make the way fit.
fn is_about_values((_, reason): &(&Way<'_>, Unfit)) -> bool {
    matches!(
        reason,
        Unfit::OtherPolicy | Unfit::NoAlternative | Unfit::Signature
    )
}

/// One selection for each bank.
fn merged(selected: Vec<PcrSelection>) -> Vec<PcrSelection> {
    let mut merged: Vec<PcrSelection> = Vec::new();
    for selection in selected {
        match merged
            .iter_mut()
            .find(|known| known.bank() == selection.bank())
        {
            Some(known) => known.add(&selection),
            None => merged.push(selection),
        }
    }
    merged
}

fn has_changed<T>(outcome: &Result<T>) -> bool {
    let code = outcome.as_ref().err().and_then(Error::code);
    code.is_some_and(|code| code.base() == PCR_CHANGED)
}

/// What an error says of a policy, if it says that the policy does not hold.
fn refusal(error: &Error, used: CommandCode) -> Option<String> {
    match error.kind() {
        ErrorKind::PolicyNotMet { what } => Some(what.clone()),
        ErrorKind::Tpm { command, code, .. }
            if used.name() == Some(command) && REFUSALS.contains(&code.base()) =>
        {
            Some(format!("{command} is refused ({code})"))
        }
        _ => None,
    }
}

fn not_met(what: String) -> Error {
    ErrorKind::PolicyNotMet { what }.into()
}
