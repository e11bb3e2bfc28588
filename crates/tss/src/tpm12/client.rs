//! The TPM 1.2 client: what the other crates ask of such a TPM.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::asked;
use super::blob::{KeyBlob, PublicKey, Template};
use super::commands::admin::{GetTestResult, ResetLockValue, SelfTestFull};
use super::commands::capability::{
    self, DaState, GetCapability, PermanentFlags, Properties, VersionInfo, VolatileFlags, area,
    property,
};
use super::commands::crypto::{GetRandom, Sign, StirRandom, UnBind};
use super::commands::storage::{FlushSpecific, OwnerReadInternalPub};
use super::constants::{Ordinal, entity, handle, resource};
use super::failure::{Failure, Whose, code_of};
use super::rc::Code;
use super::secret::AuthValue;
use super::stored::{Registers, StoredData};
use super::tcsd::Daemon;
use super::transaction::exchange::Connect;
use super::transaction::exec::Authority;
use super::transaction::loaded::Fingerprint;
use super::transaction::seal::SealedUnder;
use super::transaction::{State, Tpm};
use crate::client::connection::{self, Connection, EXIT_WAIT};
use crate::error::{Error, Result};
use crate::transport::{Endpoint, Family, Limits, Sharing, Transport};

/// The most TPM_StirRandom takes at once: less than 256 bytes.
const STIR_MOST: usize = 255;

/// Settings of a client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How long to wait. Through tcsd `lock_wait` is for a free connection of its ten.
    pub limits: Limits,
}

/// A key to be used: its blob, and its parent's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub(super) blob: KeyBlob,
    pub(super) srk: AuthValue,
    pub(super) fingerprint: Fingerprint,
}

impl Key {
    /// The key in `blob`, whose parent is the SRK with the secret `srk`
    /// ([`AuthValue::well_known`] where nothing else is configured).
    pub fn new(blob: KeyBlob, srk: AuthValue) -> Self {
        Self {
            fingerprint: Fingerprint::new(&blob),
            blob,
            srk,
        }
    }

    /// What the key is.
    pub fn blob(&self) -> &KeyBlob {
        &self.blob
    }
}

/// A client of one TPM 1.2, shared by all keys of a process that are in it.
///
/// Errors of all operations: the TPM or tcsd cannot be reached
/// ([`ErrorKind::Transport`](crate::ErrorKind)), refuses ([`Failure`]), answers what was not made by
/// somebody who knows the secret (`SessionIntegrity`) or what is no answer (`Malformed`). A secret that was
/// refused once is not sent to the TPM again by this client: [`Failure::WrongSecret`] comes at once.
pub struct Client {
    connection: Connection<dyn Connect, State>,
    options: Options,
}

type Inner = connection::Inner<dyn Connect, State>;

impl Client {
    /// A client of its own. Nothing is opened before the first use. Most callers want
    /// [`Client::shared`](super::registry).
    pub fn new(endpoint: Arc<Endpoint>, options: Options) -> Self {
        let (to, limits) = (endpoint.clone(), options.limits);
        let connect = move || -> Box<dyn Connect> {
            match to.sharing() {
                Sharing::Daemon => Box::new(Daemon::new(to.clone(), limits)),
                _ => Box::new(Transport::new(to.clone(), limits)),
            }
        };
        Self::with_connector(endpoint, options, connect)
    }

    /// A client whose commands go through the connector that `connect` makes for each process.
    pub(super) fn with_connector(
        endpoint: Arc<Endpoint>,
        options: Options,
        connect: impl Fn() -> Box<dyn Connect> + Send + Sync + 'static,
    ) -> Self {
        Self {
            connection: Connection::new(endpoint, connect, State::new),
            options,
        }
    }

    /// The TPM.
    pub fn endpoint(&self) -> &Endpoint {
        self.connection.endpoint()
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Signs (TPM_Sign, part 3, 13.5): a key of scheme DER pads `data` as it is (a DigestInfo; up to 11
    /// bytes less than the modulus has), one of scheme SHA1 takes a digest of 20 bytes and adds SHA-1's
    /// DigestInfo. `secret` is the key's password; not used if the key needs none.
    ///
    /// The caller verifies the signature; if it is wrong, it calls [`Client::forget`] and tries once more:
    /// on a bare TPM a handle may have changed hands.
    ///
    /// Costs OIAP, LoadKey2 and Sign; with a password OIAP or OSAP in addition; without one, on a bare
    /// TPM, Sign alone from the second time on.
    pub fn sign(&self, key: &Key, secret: &AuthValue, data: &[u8]) -> Result<Vec<u8>> {
        self.with(|tpm| tpm.with_key(key, secret, false, |key| Sign { key, data }))
    }

    /// Decrypts (TPM_UnBind, part 3, 10.3), with the padding that the key was made for. PKCS#1 v1.5: the
    /// plaintext. OAEP: only ciphertexts with label "TCPA" and a `TPM_BOUND_DATA`, whose data comes back.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_padding`](crate::Error::is_bad_padding) tells wrong padding from everything else:
    /// callers that decrypt for TLS must not let anybody see it.
    pub fn unbind(
        &self,
        key: &Key,
        secret: &AuthValue,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| {
            tpm.with_key(key, secret, true, |key| UnBind {
                key,
                data: ciphertext,
            })
        })
    }

    /// Makes a key under the SRK (TPM_CreateWrapKey, part 3, 10.4): OSAP and the command, which takes up to
    /// minutes on a real chip. `usage` is the key's authorization value ([`AuthValue::well_known`] if the
    /// template says it needs none), `migration` the one for moving it. It is not loaded.
    ///
    /// # Errors
    ///
    /// [`NotAsAsked`](crate::ErrorKind) for a key that is not what the template says; [`Failure::Refused`] with
    /// `TPM_BAD_KEY_PROPERTY` or `TPM_BAD_SCHEME` for a template that the TPM does
    /// not support.
    pub fn create(
        &self,
        srk: &AuthValue,
        template: &Template,
        usage: &AuthValue,
        migration: &AuthValue,
    ) -> Result<KeyBlob> {
        self.with(|tpm| {
            let made = tpm.create(srk, template, usage, migration)?;
            asked::new_key(made, template)
        })
    }

    /// Seals data (TPM_Seal, part 3, 10.1) under the SRK, for who knows `auth`, while `registers` have the values that
    /// they have now: OSAP and the command, and TPM_PCRRead for each register. On their way to the TPM the data are not
    /// encrypted.
    ///
    /// # Errors
    ///
    /// [`NotAsAsked`](crate::ErrorKind) for data that are not bound as they should be.
    pub fn seal(
        &self,
        srk: &AuthValue,
        data: &[u8],
        auth: &AuthValue,
        registers: Option<&Registers>,
    ) -> Result<StoredData> {
        self.with(|tpm| {
            let binding = registers
                .map(|registers| tpm.binding(registers))
                .transpose()?;
            let sealed = tpm.seal(srk, data, auth, binding.as_ref())?;
            asked::sealed(sealed, binding.as_ref())
        })
    }

    /// Unseals what was sealed under the SRK (TPM_Unseal, part 3, 10.2): twice OIAP, and the command.
    pub fn unseal(
        &self,
        srk: &AuthValue,
        data: &StoredData,
        auth: &AuthValue,
    ) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| tpm.unseal(data, SealedUnder::Srk(srk), auth))
    }

    /// The same of what was sealed under a storage key below the SRK, which is loaded first: OIAP and LoadKey2 in
    /// addition.
    pub fn unseal_under(
        &self,
        key: &Key,
        secret: &AuthValue,
        data: &StoredData,
        auth: &AuthValue,
    ) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| tpm.unseal(data, SealedUnder::Key(key, secret), auth))
    }

    /// The SRK's public part (TPM_GetPubKey), which [`wrap`](super::wrap()) needs.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] with `TPM_INVALID_KEYHANDLE` unless the owner has allowed it
    /// (`tpm_restrictsrk -a`).
    pub fn srk_public(&self, srk: &AuthValue) -> Result<PublicKey> {
        self.with(|tpm| asked::storage_root_key(Ordinal::GET_PUB_KEY, tpm.srk_public(srk)?))
    }

    /// The same for the TPM's owner, always (TPM_OwnerReadInternalPub).
    pub fn srk_public_for_owner(&self, owner: &AuthValue) -> Result<PublicKey> {
        let request = OwnerReadInternalPub { key: handle::SRK };
        self.with(|tpm| {
            let public = tpm.run_as(Whose::Owner, &request, Authority::Oiap(owner))?;
            asked::storage_root_key(Ordinal::OWNER_READ_INTERNAL_PUB, public)
        })
    }

    /// Version and manufacturer: what `tpm_version` prints. `None` for a TPM of version 1.1, which does not
    /// tell.
    pub fn version(&self) -> Result<Option<VersionInfo>> {
        let request = GetCapability::area(area::VERSION_VAL);
        match self.with(|tpm| tpm.run(&request, Authority::None)) {
            Ok(bytes) => Ok(Some(VersionInfo::parse(&bytes).map_err(|e| self.place(e))?)),
            // TPM_BAD_MODE: the area is unknown.
            Err(error) if code_of(&error) == Some(Code(0x2c)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The version of the structures: 1.1.0.0 on every TPM 1.2, the TPM's own on 1.1. Costs one command
    /// that every TPM before 2.0 answers, in whatever state.
    pub fn structure_version(&self) -> Result<[u8; 4]> {
        let request = GetCapability::area(area::VERSION);
        let bytes = self.with(|tpm| tpm.run(&request, Authority::None))?;
        let malformed = crate::tpm2::wire::Malformed {
            what: "TPM_STRUCT_VER",
        };
        bytes.try_into().map_err(|_| self.place(malformed))
    }

    /// Slots, sessions, flags, whether there is an owner: eight commands. What a TPM does not tell is `None`.
    pub fn properties(&self) -> Result<Properties> {
        self.with(|tpm| {
            let manufacturer = ask(tpm, area::PROPERTY, property::MANUFACTURER)?;
            let manufacturer = manufacturer.try_into().unwrap_or_default();
            let owned = capability::truth(&ask(tpm, area::PROPERTY, property::OWNER)?)?;
            let mut number = |part| {
                optional(ask(tpm, area::PROPERTY, part))
                    .and_then(|bytes| Ok(bytes.map(|b| capability::number(&b)).transpose()?))
            };
            Ok(Properties {
                manufacturer,
                owned,
                key_slots: number(property::MAX_KEYS)?,
                free_key_slots: number(property::KEYS)?,
                sessions: number(property::MAX_AUTH_SESSIONS)?,
                free_sessions: number(property::AUTH_SESSIONS)?,
                permanent: optional(ask(tpm, area::FLAG, property::PERMANENT_FLAGS))?
                    .map(|bytes| PermanentFlags::parse(&bytes))
                    .transpose()?,
                volatile: optional(ask(tpm, area::FLAG, property::VOLATILE_FLAGS))?
                    .map(|bytes| VolatileFlags::parse(&bytes))
                    .transpose()?,
            })
        })
    }

    /// The state of the dictionary attack logic for keys; `None` where the TPM does not tell.
    pub fn lockout(&self) -> Result<Option<DaState>> {
        let request = GetCapability::short_part(area::DA_LOGIC, entity::KEY_HANDLE);
        let answer = self.with(|tpm| tpm.run(&request, Authority::None));
        optional(answer)?
            .map(|bytes| DaState::parse(&bytes).map_err(|e| self.place(e)))
            .transpose()
    }

    /// Has the TPM forget all wrong secrets, for its owner (TPM_ResetLockValue). After one wrong `owner`
    /// the TPM takes none for this, until it is restarted or a day has passed.
    pub fn reset_lockout(&self, owner: &AuthValue) -> Result<()> {
        self.with(|tpm| tpm.run_as(Whose::Owner, &ResetLockValue, Authority::Oiap(owner)))
    }

    /// Handles of the keys that are loaded in the TPM, whoever loaded them.
    pub fn loaded_keys(&self) -> Result<Vec<u32>> {
        let request = GetCapability::area(area::KEY_HANDLE);
        let bytes = self.with(|tpm| tpm.run(&request, Authority::None))?;
        capability::handles(&bytes).map_err(|e| self.place(e))
    }

    /// Handles of the authorization sessions in the TPM, whoever began them.
    pub fn open_sessions(&self) -> Result<Vec<u32>> {
        let request = GetCapability::part(area::HANDLE, resource::AUTH);
        let bytes = self.with(|work| work.run(&request, Authority::None))?;
        capability::handles(&bytes).map_err(|e| self.place(e))
    }

    /// Removes a key from the TPM, also another program's.
    pub fn flush_key(&self, handle: u32) -> Result<()> {
        self.with(|work| work.flush_any(handle))
    }

    /// Ends a session (TPM_FlushSpecific), also another program's.
    pub fn flush_session(&self, handle: u32) -> Result<()> {
        let kind = resource::AUTH;
        self.with(|work| work.run(&FlushSpecific { handle, kind }, Authority::None))
    }

    /// Tests the whole TPM (TPM_SelfTestFull), which takes seconds on a real chip.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] with `TPM_FAILEDSELFTEST` if the TPM found a fault.
    pub fn self_test(&self) -> Result<()> {
        self.with(|tpm| tpm.run(&SelfTestFull, Authority::None))
    }

    /// What the manufacturer says about the last self-test; its meaning is the manufacturer's.
    pub fn test_result(&self) -> Result<Vec<u8>> {
        self.with(|tpm| tpm.run(&GetTestResult, Authority::None))
    }

    /// So many random bytes of the TPM, in as many commands as that takes.
    pub fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| {
            let mut bytes = Zeroizing::new(Vec::with_capacity(count));
            while bytes.len() < count {
                let missing = u32::try_from(count - bytes.len()).unwrap_or(u32::MAX);
                let request = GetRandom {
                    count: missing.min(1024),
                };
                let more = tpm.run(&request, Authority::None)?;
                if more.is_empty() {
                    return Err(Failure::Refused {
                        command: "TPM_GetRandom",
                        code: Code(0x16),
                    }
                    .into());
                }
                bytes.extend_from_slice(&more);
            }
            Ok(bytes)
        })
    }

    /// Adds to the state of the TPM's generator of random numbers.
    pub fn stir_random(&self, bytes: &[u8]) -> Result<()> {
        self.with(|tpm| {
            bytes
                .chunks(STIR_MOST)
                .try_for_each(|data| tpm.run(&StirRandom { data }, Authority::None))
        })
    }

    /// Signs once and leaves nothing behind: checks at load time that a key can be used later, before a
    /// host forks.
    pub fn check(&self, key: &Key, secret: &AuthValue, data: &[u8]) -> Result<Vec<u8>> {
        let signature = self.sign(key, secret, data);
        self.release();
        signature
    }

    /// Whether a key is one of this TPM: it is loaded and flushed again.
    ///
    /// # Errors
    ///
    /// [`Failure::ForeignKey`] for one that is not.
    pub fn try_load(&self, key: &Key) -> Result<()> {
        self.with(|tpm| tpm.try_load(key))
    }

    /// Gives up a loaded key, with the next transaction and not now: what is there gave a wrong signature. The
    /// next use loads the key again.
    pub fn forget(&self, key: &Key) {
        self.connection
            .with_lock(|inner| inner.state.forgotten.push(key.fingerprint));
    }

    /// Lets secrets that were refused be tried again: somebody has changed the SRK's, or asks for it.
    pub fn forgive(&self) {
        self.connection.with_lock(|inner| inner.state.forgive());
    }

    /// Releases what this process has in the TPM. Keys are loaded again when they are next used.
    pub fn release(&self) {
        self.release_at_exit();
    }

    /// Flushes what this process left in a bare TPM, and what ended processes did; through tcsd and in
    /// process nothing is ever left. Waits 300 ms at most for other users of the TPM. In a process that only
    /// inherited the client nothing happens.
    pub fn release_at_exit(&self) {
        self.connection
            .with_lock_at_exit(|Inner { connector, state }| {
                if state.loaded.has_any_to_release(state.process())
                    && let Ok(exchange) = connector.begin(Some(EXIT_WAIT))
                {
                    Tpm::begin(exchange, state).release();
                }
            });
    }

    /// Runs an operation in a critical section, a second time if the connection was cut before an
    /// authorization was with the TPM.
    pub(super) fn with<T>(&self, operation: impl Fn(&mut Tpm<'_>) -> Result<T>) -> Result<T> {
        if self.endpoint().family() == Some(Family::Tpm2) {
            // libtpms would switch on a TPM 2.0 first, or make a new one.
            return Err(self.place(Failure::NotTpm12 {
                command: "opening it",
                code: Code::BADTAG,
            }));
        }
        self.connection.run(|inner| once(inner, &operation))
    }

    pub(super) fn place(&self, error: impl Into<Error>) -> Error {
        self.connection.place(error)
    }
}

/// The operation's result, and [`Tpm::value_at_stake`].
fn once<T>(inner: &mut Inner, operation: &impl Fn(&mut Tpm<'_>) -> Result<T>) -> (Result<T>, bool) {
    let Inner { connector, state } = inner;
    let exchange = match connector.begin(None) {
        Ok(exchange) => exchange,
        Err(error) => return (Err(error), false),
    };
    let mut tpm = Tpm::begin(exchange, state);
    let result = tpm.recover().and_then(|()| operation(&mut tpm));
    (result, tpm.value_at_stake())
}

pub(super) fn ask(tpm: &mut Tpm<'_>, area: u32, part: u32) -> Result<Vec<u8>> {
    tpm.run(&GetCapability::part(area, part), Authority::None)
}

/// What a TPM does not tell is not an error.
pub(super) fn optional<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // TPM_BAD_MODE, TPM_BAD_PARAMETER
        Err(error) if matches!(code_of(&error), Some(Code(0x2c | 0x03))) => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("tpm", &self.connection.shown())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
