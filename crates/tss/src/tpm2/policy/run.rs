//! Using a key by its policy: the ways that may hold are tried until one does.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::way::{Registers, Step, Unfit, Way, approval, ways};
use super::{Operand, PcrSelection, Policy, PolicyCommand, Signer};
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::client::Sessions;
use crate::tpm2::commands::Request;
use crate::tpm2::commands::capability::{Capabilities, GetCapability};
use crate::tpm2::commands::hash::Ticket;
use crate::tpm2::commands::nv::NvReadPublic;
use crate::tpm2::commands::object::LoadExternal;
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
use crate::tpm2::transaction::{Authority, Tpm};
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
        if ways.is_empty() {
            // There may be some when the key is used.
            return Ok(());
        }
        fitting(&ways, |way| {
            way.examine(public.name_alg(), Some(public.auth_policy()), None)
        })
        .map(drop)
    }
}

/// The ways of which nothing says that they are not the one; an error with all that is said if there is none.
fn fitting<'a, 'b>(
    ways: &'b [Way<'a>],
    unfit: impl Fn(&Way<'a>) -> Result<(), Unfit>,
) -> Result<Vec<&'b Way<'a>>> {
    let mut said: Vec<String> = Vec::new();
    let mut fitting = Vec::new();
    let only = ways.len() == 1;
    for way in ways {
        match unfit(way) {
            Ok(()) => fitting.push(way),
            Err(unfit) => said.push(match only {
                true => format!("the policy {unfit}"),
                false => format!("{way} {unfit}"),
            }),
        }
    }
    if fitting.is_empty() {
        if said.is_empty() {
            return Err(ErrorKind::NoSignedPolicy.into());
        }
        return Err(Error::unsupported(abridged(&said)));
    }
    Ok(fitting)
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
        let ways = ways(policy);
        let usable = |way: &Way<'_>| match way.takes_value() && value.is_none() {
            true => Err(Unfit::NoValue),
            false => way.allows(used),
        };
        let examined = |way: &Way<'_>, values: Option<&Registers>| {
            way.examine(public.name_alg(), Some(public.auth_policy()), values)
                .and_then(|()| usable(way))
        };
        let mut fits = fitting(&ways, |way| examined(way, None))?;
        let open: Vec<PcrSelection> = fits
            .iter()
            .flat_map(|way| way.open_registers())
            .cloned()
            .collect();
        if !open.is_empty() {
            let values = self.registers(&open, &[])?;
            fits.retain(|way| examined(way, Some(&values)).is_ok());
            if fits.is_empty() {
                return Err(not_met(format!(
                    "the registers {} do not have the values that it was made for, or it was not made for them",
                    PcrSelection::list(&merged(open))
                )));
            }
        }
        let mut said = Vec::new();
        for way in fits {
            let mut outcome = operation(self, way);
            if has_changed(&outcome) {
                outcome = operation(self, way);
            }
            match outcome {
                Err(error) => match refusal(&error, used) {
                    Some(what) => said.push(what),
                    None => return Err(error),
                },
                done => return done,
            }
        }
        Err(not_met(abridged(&said)))
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
            asserted.map_err(|error| self.explain_refusal(command, error))?;
            if let PolicyCommand::Pcr {
                registers,
                digest: None,
            } = command
            {
                // Only where a signature behind it is over these values.
                let values = self.registers(registers, &[])?;
                if let Some(values) = super::way::digest_of_registers(algorithm, registers, &values)
                {
                    digest.pcr(registers, &values)?;
                }
            } else {
                digest.command(command)?;
            }
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
        let place = (name.clone(), digest.clone());
        if let Some(ticket) = self.state.tickets.get(&place).cloned() {
            let request = PolicyAuthorize {
                session,
                approved,
                policy_ref,
                key: &name,
                ticket: &ticket,
            };
            match self.assert_one(id, &request) {
                // The owner's hierarchy has another secret since: the TPM was cleared.
                Err(error) if error.code().is_some_and(|code| !code.is_lost_session()) => {
                    self.state.tickets.remove(&place);
                }
                done => return done,
            }
        }
        let ticket = self.verified(key, &digest, signature)?;
        let request = PolicyAuthorize {
            session,
            approved,
            policy_ref,
            key: &name,
            ticket: &ticket,
        };
        self.assert_one(id, &request)?;
        self.state.tickets.insert(place, ticket);
        Ok(())
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
        let name = match handle::kind(handle) {
            1 => self
                .run(&NvReadPublic::of(handle), &[])
                .map(|public| public.name),
            _ => self.read_public(handle).map(|info| info.name),
        };
        match name {
            Ok(name) => Ok(Some(name)),
            Err(error) if error.code().is_some() => Ok(None),
            Err(error) => Err(error),
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

    /// A TPM's refusal of a policy's command, in words; what is no refusal stays what it is.
    fn explain_refusal(&mut self, command: &PolicyCommand, error: Error) -> Error {
        let code = match error.kind() {
            ErrorKind::Tpm { code, .. } => *code,
            _ => return error,
        };
        if code.is_auth_failure()
            || code.is_lockout()
            || code.is_lost_session()
            || code.is_memory()
            || code.is_retry()
        {
            return error;
        }
        let PolicyCommand::Pcr { registers, .. } = command else {
            return not_met(format!("{command} is refused ({code})"));
        };
        match self.registers(registers, &[]) {
            Ok(values) => not_met(which_differ(registers, &values)),
            Err(error) => error,
        }
    }
}

/// What can be said of registers that are not what they were.
pub(super) fn which_differ(registers: &[PcrSelection], values: &Registers) -> String {
    let selected = merged(registers.to_vec());
    let all: Vec<(AlgId, u8)> = selected
        .iter()
        .flat_map(|selection| {
            selection
                .registers()
                .map(|number| (selection.bank(), number))
        })
        .collect();
    let lacking = all.iter().find(|register| !values.contains_key(register));
    let list = PcrSelection::list(&selected);
    match (lacking, &all[..]) {
        (Some((bank, _)), _) => format!(
            "it is about the registers {list}, and this TPM has no bank {}",
            bank.to_string().to_ascii_lowercase()
        ),
        (None, [_]) => {
            format!("the register {list} does not have the value that the key was made for")
        }
        (None, _) => format!(
            "at least one of the registers {list} does not have the value that the key was made for (which one, the \
             key's policy does not say)"
        ),
    }
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
