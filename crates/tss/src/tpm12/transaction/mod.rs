//! One critical section: keys brought into the TPM and used, room made, failures explained.
#![forbid(unsafe_code)]

pub(crate) mod exchange;
pub(crate) mod exec;
pub(crate) mod loaded;
mod recovery;
pub(crate) mod seal;
mod swapped;

use std::time::Duration;

use self::exchange::Exchange;
use self::exec::Authority;
use self::loaded::{Fingerprint, LoadedKeys, NOBODY};
use crate::backoff::{Backoff, Pace};
use crate::client::table::{Digest, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::os::poll::deadline_in;
use crate::os::process::Process;
use crate::tpm12::client::Key;
use crate::tpm12::commands::Request;
use crate::tpm12::commands::storage::{CreateWrapKey, EvictKey, FlushSpecific, GetPubKey, LoadKey};
use crate::tpm12::constants::{Ordinal, handle, resource};
use crate::tpm12::failure::{Failure, Whose, code_of};
use crate::tpm12::rc::Code;
use crate::tpm12::secret::AuthValue;
use crate::tpm12::{KeyBlob, PublicKey, Template};
use crate::transport::Sharing;

/// How long tcsd is asked again while other clients have all sessions of the TPM, or while it stumbles.
const PATIENCE: Duration = Duration::from_secs(20);
const PACE: Pace = Pace::doubling(Duration::from_millis(2), Duration::from_millis(100));
/// Failures of tcsd's own in one command before they are believed.
const STUMBLES: usize = 10;
/// Refused secrets that are remembered.
const REFUSALS: usize = 64;

/// What a client knows between transactions.
pub(crate) struct State {
    process: Process,
    pub(crate) loaded: LoadedKeys,
    /// Keys to be given up with the next transaction.
    pub(crate) forgotten: Vec<Fingerprint>,
    /// Whether the TPM is one of version 1.1, once that is known.
    old: Option<bool>,
    refused: Vec<Refused>,
}

struct Refused {
    whose: Whose,
    /// The digest of the key's blob; zeros for the SRK and the owner.
    which: Digest,
    secret: AuthValue,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            process: Process::current(),
            loaded: LoadedKeys::default(),
            forgotten: Vec::new(),
            old: None,
            refused: Vec::new(),
        }
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Forgets which secrets were refused.
    pub(crate) fn forgive(&mut self) {
        self.refused.clear();
    }

    fn is_refused(&self, whose: Whose, which: &Digest, secret: &AuthValue) -> bool {
        self.refused.iter().any(|refused| {
            refused.whose == whose && refused.which == *which && refused.secret == *secret
        })
    }

    fn refuse(&mut self, whose: Whose, which: &Digest, secret: &AuthValue) {
        if self.refused.len() >= REFUSALS {
            self.refused.remove(0);
        }
        self.refused.push(Refused {
            whose,
            which: *which,
            secret: secret.clone(),
        });
    }
}

/// The TPM for one critical section: who has it runs commands on what is loaded.
pub(crate) struct Tpm<'a> {
    pub(crate) exchange: Box<dyn Exchange + 'a>,
    pub(crate) state: &'a mut State,
    /// Whether the connection failed while an authorization was with the TPM, of which a wrong one may have been
    /// counted, or a command that must not run twice.
    pub(crate) at_stake: bool,
    /// The key in use, which no other may push out.
    in_use: Option<u32>,
    backoff: Backoff,
}

impl<'a> Tpm<'a> {
    pub(crate) fn begin(mut exchange: Box<dyn Exchange + 'a>, state: &'a mut State) -> Self {
        state.loaded = match exchange.record() {
            Some(record) => LoadedKeys::from_record(&record),
            None => LoadedKeys::default(),
        };
        let mut tpm = Self {
            exchange,
            state,
            at_stake: false,
            in_use: None,
            backoff: Backoff::at(PACE, deadline_in(PATIENCE)),
        };
        for fingerprint in std::mem::take(&mut tpm.state.forgotten) {
            if let Some(entry) = tpm.state.loaded.find(&fingerprint).cloned() {
                tpm.give_up(&entry);
            }
        }
        tpm
    }

    /// Whether the connection failed while an authorization was with the TPM.
    pub(crate) fn value_at_stake(&self) -> bool {
        self.at_stake
    }

    /// Runs a command, making room for it if the TPM is full.
    pub(crate) fn run<R: Request>(
        &mut self,
        request: &R,
        authority: Authority<'_>,
    ) -> Result<R::Response> {
        let mut failures = 0;
        loop {
            match self.execute(request, authority) {
                Err(error) if code_of(&error) == Some(Code::RESOURCES) => {
                    if !self.make_room() {
                        return Err(error);
                    }
                }
                // With many clients tcsd now and then stumbles over its own swapping. That was not the TPM's
                // word about a secret.
                Err(error) if is_stumble(&error) && request.repeatable() && failures < STUMBLES => {
                    failures += 1;
                    // A stumble is tried again also where the time is over.
                    self.backoff.again();
                }
                result => return result,
            }
        }
    }

    /// A command authorized by the SRK's or the owner's secret.
    pub(crate) fn run_as<R: Request>(
        &mut self,
        whose: Whose,
        request: &R,
        authority: Authority<'_>,
    ) -> Result<R::Response> {
        self.run_as_one_of(whose, &NOBODY, request, authority)
    }

    /// The same where there are several such secrets: `which` tells whose it is.
    pub(crate) fn run_as_one_of<R: Request>(
        &mut self,
        whose: Whose,
        which: &Digest,
        request: &R,
        authority: Authority<'_>,
    ) -> Result<R::Response> {
        let (Authority::Oiap(secret)
        | Authority::OwnerOsap(secret)
        | Authority::Osap { secret, .. }) = authority
        else {
            return self.run(request, authority);
        };
        self.check_refusal(request.ordinal(), whose, which, secret)?;
        self.run(request, authority).map_err(|error| {
            if code_of(&error) == Some(Code::AUTHFAIL) {
                return self.refused(request.ordinal(), whose, which, secret);
            }
            error
        })
    }

    /// Brings a key into the TPM, uses it once, and leaves nothing behind but what is safe to leave.
    ///
    /// A key without a password stays in a bare TPM for the next time: should its handle lead to
    /// another key meanwhile, no secret is lost with it, and what comes back shows it. With `certain`
    /// it is made sure of before, for results that do not show it. A key with a password is loaded
    /// each time: its password must not be tried on another key.
    pub(crate) fn with_key<R: Request>(
        &mut self,
        key: &Key,
        secret: &AuthValue,
        certain: bool,
        request: impl Fn(u32) -> R,
    ) -> Result<R::Response> {
        if key.blob.needs_auth() {
            let ordinal = request(0).ordinal();
            self.check_refusal(ordinal, Whose::Key, &key.fingerprint.blob, secret)?;
        }
        let keep = !key.blob.needs_auth() && self.exchange.sharing() == Sharing::Bare;
        if keep && let Some(response) = self.with_loaded(key, certain, &request)? {
            return Ok(response);
        }
        let handle = self.load(key, keep)?;
        self.in_use = Some(handle);
        let result = match (self.exchange.sharing(), key.blob.needs_auth()) {
            (Sharing::Daemon, true) => {
                self.use_swappable_with_password(key, handle, secret, &request)
            }
            (Sharing::Daemon, false) => self.use_swappable(key, handle, &request),
            (_, true) => {
                self.use_with_password(key, secret, Authority::Oiap(secret), &request(handle))
            }
            (_, false) => self.run(&request(handle), Authority::None),
        };
        self.in_use = None;
        // tcsd gives up the key with the connection.
        if self.exchange.sharing() != Sharing::Daemon && !(keep && result.is_ok()) {
            self.flush_key(handle);
        }
        result
    }

    /// Uses the key that is loaded, if it still is: `None` if it is not.
    fn with_loaded<R: Request>(
        &mut self,
        key: &Key,
        certain: bool,
        request: &impl Fn(u32) -> R,
    ) -> Result<Option<R::Response>> {
        let Some(entry) = self.state.loaded.find(&key.fingerprint) else {
            return Ok(None);
        };
        let (handle, confirmed) = (entry.handle, entry.confirmed);
        if certain && !confirmed && !self.is_still(handle, key)? {
            self.drop_entry(handle);
            return Ok(None);
        }
        self.in_use = Some(handle);
        let result = self.run(&request(handle), Authority::None);
        self.in_use = None;
        match result {
            Ok(response) => {
                self.state.loaded.touch(handle);
                self.save();
                return Ok(Some(response));
            }
            Err(error) => match code_of(&error) {
                Some(Code::INVALID_KEYHANDLE) => {}
                // The answer of this key, or perhaps of another one that has its handle now.
                Some(code) if code != Code::DEFEND_LOCK_RUNNING && !certain && !confirmed => {
                    if self.is_still(handle, key)? {
                        return Err(error);
                    }
                }
                _ => return Err(error),
            },
        }
        self.drop_entry(handle);
        Ok(None)
    }

    /// Whether a handle leads to this key, which has no password.
    fn is_still(&mut self, handle: u32, key: &Key) -> Result<bool> {
        match self.run(&GetPubKey { key: handle }, Authority::None) {
            Ok(public) => {
                let same = public.modulus() == key.blob.modulus();
                if same {
                    self.state.loaded.confirm(handle);
                }
                Ok(same)
            }
            Err(error) if code_of(&error).is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn use_with_password<R: Request>(
        &mut self,
        key: &Key,
        secret: &AuthValue,
        authority: Authority<'_>,
        request: &R,
    ) -> Result<R::Response> {
        self.run(request, authority).map_err(|error| {
            if code_of(&error) == Some(Code::AUTHFAIL) {
                let which = &key.fingerprint.blob;
                return self.refused(request.ordinal(), Whose::Key, which, secret);
            }
            error
        })
    }

    /// Loads a key under the SRK. It is noted in the shared table at once, so that others can flush it
    /// should this process end before it does; others may use it if `shared`.
    pub(crate) fn load(&mut self, key: &Key, shared: bool) -> Result<u32> {
        let srk = &key.srk;
        loop {
            let old = self.exchange.is_old().or(self.state.old) == Some(true);
            let request = LoadKey {
                parent: handle::SRK,
                blob: &key.blob,
                old,
            };
            match self.run_as(Whose::Srk, &request, Authority::Oiap(srk)) {
                Ok(handle) => {
                    if self.exchange.sharing() == Sharing::Bare {
                        let fingerprint = match shared {
                            true => key.fingerprint,
                            false => key.fingerprint.of_nobody(),
                        };
                        self.state
                            .loaded
                            .add(handle, fingerprint, self.state.process);
                        self.arrived();
                    }
                    return Ok(handle);
                }
                Err(error) if code_of(&error) == Some(Code::BAD_ORDINAL) && !old => {
                    self.state.old = Some(true);
                }
                Err(error) => return Err(explain_load(error, request.ordinal())),
            }
        }
    }

    /// Loads a key under the SRK, and flushes it.
    pub(crate) fn try_load(&mut self, key: &Key) -> Result<()> {
        let handle = self.load(key, false)?;
        // tcsd gives it up with the connection.
        if self.exchange.sharing() != Sharing::Daemon {
            self.flush_key(handle);
        }
        Ok(())
    }

    /// Makes a key under the SRK.
    pub(crate) fn create(
        &mut self,
        srk: &AuthValue,
        template: &Template,
        usage: &AuthValue,
        migration: &AuthValue,
    ) -> Result<KeyBlob> {
        self.exchange.attach_srk()?;
        let request = CreateWrapKey {
            parent: handle::SRK,
            template,
            usage,
            migration,
        };
        let authority = Authority::Osap {
            key: handle::SRK,
            secret: srk,
        };
        self.run_as(Whose::Srk, &request, authority)
            .map_err(|error| explain_load(error, request.ordinal()))
    }

    /// The SRK's public part, for who knows its secret.
    pub(crate) fn srk_public(&mut self, srk: &AuthValue) -> Result<PublicKey> {
        self.exchange.attach_srk()?;
        let request = GetPubKey { key: handle::SRK };
        self.run_as(Whose::Srk, &request, Authority::Oiap(srk))
    }

    /// Gives up what this process and ended ones have in the TPM.
    pub(crate) fn release(&mut self) {
        let own = self.state.process;
        for entry in self.state.loaded.entries().to_vec() {
            if entry.is_to_be_released_by(own) {
                self.give_up(&entry);
            }
        }
    }

    /// Flushes a key of the table, unless somebody who ignores the table may have put another one there: that is
    /// not ours to flush, and only forgotten. Whether it was flushed.
    fn give_up(&mut self, entry: &Entry<Fingerprint>) -> bool {
        let handle = entry.handle;
        let ours = self.is_ours(entry);
        match &ours {
            Ok(true) => self.flush_key(handle),
            Ok(false) => {
                log::debug!("{handle:08x} is not known to be our key any more: left alone");
                self.drop_entry(handle);
            }
            // Without an answer it may still be there: the entry stays, for whoever needs the slot.
            Err(error) => log::debug!("whose key is at {handle:08x}: {error}"),
        }
        matches!(ours, Ok(true))
    }

    /// Whether a handle in the table still leads to the key of the table, as far as the TPM tells without an
    /// authorization: a key that needs no password by its modulus. Of one that needs a password, which is in the
    /// table only where a process was killed that used it, the TPM says no more than that it needs one.
    fn is_ours(&mut self, entry: &Entry<Fingerprint>) -> Result<bool> {
        match &entry.identity {
            _ if entry.confirmed => Ok(true),
            Fingerprint {
                blob,
                modulus: Some(modulus),
            } => self.may_be(entry.handle, modulus, *blob == NOBODY),
            Fingerprint { modulus: None, .. } => Ok(false),
        }
    }

    /// Flushes a key that was loaded in this transaction, or of which it was made sure.
    pub(crate) fn flush_key(&mut self, key: u32) {
        match self.flush(key) {
            // Without an answer it may still be there: the entry stays, for whoever needs the slot.
            Err(error) if code_of(&error).is_none() => log::debug!("flushing {key:08x}: {error}"),
            _ => self.drop_entry(key),
        }
    }

    /// Forgets a key: TPM_FlushSpecific, or what there is in its place.
    pub(crate) fn flush(&mut self, key: u32) -> Result<()> {
        let daemon = self.exchange.sharing() == Sharing::Daemon;
        if daemon || self.exchange.is_old().or(self.state.old) == Some(true) {
            return self.execute(&EvictKey { key }, Authority::None);
        }
        let request = FlushSpecific {
            handle: key,
            kind: resource::KEY,
        };
        self.execute(&request, Authority::None)
    }

    /// The same of a key that may be another program's.
    pub(super) fn flush_any(&mut self, key: u32) -> Result<()> {
        self.flush(key)?;
        self.drop_entry(key);
        Ok(())
    }

    fn drop_entry(&mut self, handle: u32) {
        self.state.loaded.remove(handle);
        self.save();
    }

    pub(crate) fn save(&mut self) {
        if self.exchange.sharing() == Sharing::Bare {
            self.exchange.set_record(&self.state.loaded.to_record());
        }
    }

    /// Frees a slot, or waits for one. Whether the command is worth another try.
    fn make_room(&mut self) -> bool {
        match self.exchange.sharing() {
            Sharing::Daemon => self.backoff.again(),
            Sharing::Bare => {
                let (own, in_use) = (self.state.process, self.in_use);
                while let Some(victim) = self.state.loaded.victim(own, in_use).cloned() {
                    log::debug!("the TPM is full; giving up {:08x}", victim.handle);
                    let flushed = self.give_up(&victim);
                    // An entry that could not be flushed must not be chosen for ever.
                    self.drop_entry(victim.handle);
                    if flushed {
                        return true;
                    }
                }
                false
            }
            _ => false,
        }
    }

    fn check_refusal(
        &self,
        ordinal: Ordinal,
        whose: Whose,
        which: &Digest,
        secret: &AuthValue,
    ) -> Result<()> {
        if self.state.is_refused(whose, which, secret) {
            return Err(Failure::WrongSecret {
                command: ordinal.name(),
                whose,
                again: true,
            }
            .into());
        }
        Ok(())
    }

    fn refused(
        &mut self,
        ordinal: Ordinal,
        whose: Whose,
        which: &Digest,
        secret: &AuthValue,
    ) -> Error {
        self.state.refuse(whose, which, secret);
        Failure::WrongSecret {
            command: ordinal.name(),
            whose,
            again: false,
        }
        .into()
    }
}

/// Whether tcsd failed for no reason of the TPM's. Not with TPM_OSAP, where it means a key swapped out.
fn is_stumble(error: &Error) -> bool {
    code_of(error) == Some(Code::TCS_FAIL) && command_of(error) != Some(Ordinal::OSAP.name())
}

fn command_of(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::Tpm12(Failure::Refused { command, .. }) => Some(command),
        _ => None,
    }
}

/// What it means that a key cannot be loaded or made.
fn explain_load(error: Error, ordinal: Ordinal) -> Error {
    let command = ordinal.name();
    match code_of(&error) {
        Some(code @ (Code::KEYNOTFOUND | Code::INVALID_KEYHANDLE)) => {
            Failure::Unowned { command, code }.into()
        }
        Some(code @ Code::TCS_KM_LOADFAILED) => Failure::NoSrkInStorage { code }.into(),
        Some(code @ (Code::DECRYPT_ERROR | Code::BAD_VERSION))
            if ordinal != Ordinal::CREATE_WRAP_KEY =>
        {
            Failure::ForeignKey { command, code }.into()
        }
        _ => error,
    }
}
