//! The TPM 2.0 client: what the other crates ask of a TPM.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crypto::Secret;
use zeroize::Zeroizing;

use super::commands::asymmetric::{EcdhZGen, RsaDecrypt, SecretPoint};
use super::commands::context::EvictControl;
use super::commands::hash::Ticket;
use super::commands::object::Unseal;
use super::commands::signing::Sign;
use super::constants::{AlgId, CommandCode, handle};
use super::duplicate::Incoming;
use super::name::{Entity, Name};
use super::object::{DecryptScheme, Object, Parent, SignScheme};
use super::pins::ParentName;
use super::policy::{PcrSelection, Policy, Registers};
use super::public::Public;
use super::session::cache::Stake;
use super::session::{Purpose, Salt};
use super::transaction::exchange::Connect;
use super::transaction::keys::Use;
use super::transaction::{Authority, State, Tpm};
use crate::client::connection::{self, Connection, EXIT_WAIT};
use crate::error::{Error, ErrorKind, Lockout, Result};
use crate::transport::{Endpoint, Limits, Sharing, Transport};

pub use super::commands::object::{Created, PublicInfo};
pub use super::commands::signing::Signature;

/// When authorizations go through HMAC sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sessions {
    /// When the authorization value is not empty, for every decryption and key agreement, and where the answer
    /// is believed: when objects are made, imported, loaded or made persistent.
    #[default]
    Auto,
    /// For every authorization.
    Always,
    /// Never: values and plaintexts cross the bus in clear.
    Never,
}

/// Settings of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// When to use sessions.
    pub sessions: Sessions,
    /// The acceptable parents, by name; others are refused.
    pub parent_name: ParentName,
    /// How long to wait.
    pub limits: Limits,
}

/// What a key's use is authorized by.
#[derive(Clone, Copy)]
pub struct KeyAuth<'a> {
    /// The key's authorization value, or that of the entity that its policy asks for; `None` if it is not known.
    pub value: Option<&'a Secret>,
    /// The policy by which it is used; then the value counts only if that asks for it. It costs StartAuthSession and its
    /// own commands for each use; where a resource manager keeps the session, its own commands only.
    pub policy: Option<&'a Policy>,
    /// Set, once a use has succeeded, to whether it has shown that the value is right: a policy may hold without it.
    pub shown_right: Option<&'a Cell<bool>>,
}

impl<'a> From<&'a Secret> for KeyAuth<'a> {
    fn from(value: &'a Secret) -> Self {
        Self {
            value: Some(value),
            policy: None,
            shown_right: None,
        }
    }
}

/// A client of one TPM, shared by all keys of a process that are in it.
pub struct Client {
    connection: Connection<dyn Connect, State>,
    options: Options,
}

type Inner = connection::Inner<dyn Connect, State>;

impl Client {
    /// A client of its own, with a connection of its own. Nothing is opened before the first use.
    /// Most callers want [`Client::shared`](super::registry).
    pub fn new(endpoint: Arc<Endpoint>, options: Options) -> Self {
        let (to, limits) = (endpoint.clone(), options.limits);
        let connect = move || Box::new(Transport::new(to.clone(), limits)) as Box<dyn Connect>;
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

    /// Makes a key under `parent` with authorization value `auth` (TPM2_Create, Part 3, 12.1). It is
    /// not loaded. Under a hierarchy: CreatePrimary, Create, FlushContext.
    pub fn create(&self, parent: &Parent, template: &Public, auth: &Secret) -> Result<Created> {
        self.with(|tpm| tpm.create(parent, template, auth, &Secret::empty()))
    }

    /// Seals `data` under `parent`: TPM2_Create of an object that has it in its sensitive part, which a session encrypts
    /// on the way. Costs what [`Client::create`] does.
    pub fn seal(
        &self,
        parent: &Parent,
        template: &Public,
        auth: &Secret,
        data: &Secret,
    ) -> Result<Created> {
        self.with(|tpm| tpm.create(parent, template, auth, data))
    }

    /// The data in a sealed object (TPM2_Unseal, Part 3, 12.7), which a session encrypts on the way.
    pub fn unseal<'a>(
        &self,
        object: &Object,
        auth: impl Into<KeyAuth<'a>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let (auth, used) = (auth.into(), Use::secret(CommandCode::UNSEAL));
        self.with(|tpm| {
            tpm.with_key(object, auth, used, |tpm, key, authority| {
                tpm.run(&Unseal { item: key.clone() }, authority)
            })
        })
    }

    /// Signs a digest (TPM2_Sign, Part 3, 20.2). The caller verifies the signature; if it is wrong,
    /// it calls [`Client::forget`] and tries again, since on a bare TPM a handle may have changed
    /// hands.
    pub fn sign<'a>(
        &self,
        object: &Object,
        auth: impl Into<KeyAuth<'a>>,
        scheme: SignScheme,
        digest: &[u8],
    ) -> Result<Signature> {
        let auth = auth.into();
        self.with(|tpm| sign(tpm, object, auth, scheme, digest, &Ticket::null()))
    }

    /// Signs a message with a restricted key: the TPM makes the digest and vouches for it
    /// (TPM2_Hash or a hash sequence, then TPM2_Sign).
    pub fn sign_restricted<'a>(
        &self,
        object: &Object,
        auth: impl Into<KeyAuth<'a>>,
        scheme: SignScheme,
        hash: AlgId,
        message: &[u8],
    ) -> Result<Signature> {
        let auth = auth.into();
        self.with(|tpm| {
            // Before the key is loaded: a sequence needs a slot of its own.
            let hashed = tpm.hash(hash, message)?;
            if hashed.ticket.is_null() {
                return Err(ErrorKind::TicketRefused.into());
            }
            sign(tpm, object, auth, scheme, &hashed.digest, &hashed.ticket)
        })
    }

    /// Decrypts (TPM2_RSA_Decrypt, Part 3, 14.3) and returns what the TPM sent: the plaintext, or with
    /// a null scheme the block as long as the modulus. `label` is OAEP's with its closing NUL, which the
    /// TPM takes into the padding; empty for none.
    pub fn rsa_decrypt<'a>(
        &self,
        object: &Object,
        auth: impl Into<KeyAuth<'a>>,
        scheme: DecryptScheme,
        ciphertext: &[u8],
        label: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let (auth, used) = (auth.into(), Use::secret(CommandCode::RSA_DECRYPT));
        self.with(|tpm| rsa_decrypt(tpm, object, auth, used, (scheme, ciphertext, label)))
    }

    /// Applies the raw private operation to a block that was padded for a signature. The same command
    /// as [`Client::rsa_decrypt`] without a scheme, but what comes back is public: it needs a session
    /// only for the key's authorization value.
    pub fn rsa_sign_block<'a>(
        &self,
        object: &Object,
        auth: impl Into<KeyAuth<'a>>,
        block: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let (auth, used) = (auth.into(), Use::open(CommandCode::RSA_DECRYPT));
        let input = (DecryptScheme::Null, block, &b""[..]);
        self.with(|tpm| rsa_decrypt(tpm, object, auth, used, input))
    }

    /// The shared point of a key agreement with the peer's point (TPM2_ECDH_ZGen, Part 3, 14.5).
    /// Coordinates may be shorter than the curve.
    pub fn ecdh_z<'a>(
        &self,
        object: &Object,
        auth: impl Into<KeyAuth<'a>>,
        x: &[u8],
        y: &[u8],
    ) -> Result<SecretPoint> {
        let auth = auth.into();
        self.with(|tpm| {
            tpm.with_key(
                object,
                auth,
                Use::secret(CommandCode::ECDH_ZGEN),
                |tpm, key, authority| {
                    tpm.run(
                        &EcdhZGen {
                            key: key.clone(),
                            x,
                            y,
                        },
                        authority,
                    )
                },
            )
        })
    }

    /// The public area at a handle (TPM2_ReadPublic, Part 3, 12.4), as the TPM says, or who poses as it. The
    /// name is that of the area; use [`Client::read_key`] for what shall be believed.
    pub fn read_public(&self, handle: u32) -> Result<PublicInfo> {
        self.with(|tpm| tpm.read_public(handle))
            .map_err(|error| no_key_at(handle, error))
    }

    /// The public area of the persistent key at `handle`, to be believed where something vouches for it: its
    /// `name`, or else a session salted to the parent that `parent-name` demands (then four commands instead of
    /// one). With neither it is what [`Client::read_public`] says.
    pub fn read_key(&self, handle: u32, name: Option<&Name>) -> Result<PublicInfo> {
        self.with(|tpm| tpm.read_key(handle, name))
            .map_err(|error| no_key_at(handle, error))
    }

    /// The values of registers (TPM2_PCR_Read), those that the TPM has: a bank may be missing. Nobody vouches for them.
    pub fn registers(&self, selected: &[PcrSelection]) -> Result<Registers> {
        self.with(|tpm| tpm.registers(selected, &[]))
    }

    /// The same to be believed, for a policy that is made of them: read in a session that is salted to the storage root key
    /// or to the owner's primary, for which `owner` is the owner's value.
    pub fn believed_registers(
        &self,
        selected: &[PcrSelection],
        owner: &Secret,
    ) -> Result<Registers> {
        self.with(|tpm| tpm.believed_registers(selected, owner))
    }

    /// The name of the persistent object or NV index at a handle, to be believed likewise.
    pub fn believed_entity(&self, handle: u32, owner: &Secret) -> Result<Entity> {
        self.with(|tpm| tpm.believed_entity(handle, owner))
    }

    /// Brings an object under a parent (TPM2_Import, Part 3, 13.3): a duplicate that was made for it, or a key in clear.
    /// Returns the whole `TPM2B_PRIVATE` that can be loaded under the parent.
    pub fn import(
        &self,
        parent: &Parent,
        public: &Public,
        incoming: Incoming<'_>,
    ) -> Result<Vec<u8>> {
        self.with(|tpm| tpm.import(parent, public, incoming))
    }

    /// Loads an object and does nothing with it: whether its two halves belong together, and below its parent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ForeignKey`] where they do not.
    pub fn try_load(&self, object: &Object) -> Result<()> {
        let empty = Secret::empty();
        let used = Use::open(CommandCode::LOAD);
        self.with(|tpm| tpm.with_key(object, KeyAuth::from(&empty), used, |_, _, _| Ok(())))
    }

    /// Makes a key persistent, or removes the persistent key at its own handle (TPM2_EvictControl,
    /// Part 3, 28.5). `owner_auth` is the platform's for handles from 0x81800000.
    pub fn evict_control(
        &self,
        object: &Object,
        persistent_handle: u32,
        owner_auth: &Secret,
    ) -> Result<()> {
        let hierarchy = handle::guardian(persistent_handle);
        self.with(|tpm| {
            let empty = Secret::empty();
            let nothing = KeyAuth::from(&empty);
            tpm.with_key(
                object,
                nothing,
                Use::open(CommandCode::EVICT_CONTROL),
                |tpm, key, _| {
                    let authority = if tpm.wants_session(owner_auth, Stake::Trust) {
                        let id = if Salt::fits(&object.public) {
                            tpm.session(Purpose::Hmac, Some((key.clone(), &object.public)))?
                        } else {
                            tpm.salted_to_parent(object, Purpose::Hmac)?
                        };
                        Authority::Session {
                            id,
                            auth: owner_auth,
                            attributes: tpm.last_use(),
                        }
                    } else {
                        Authority::Password(owner_auth)
                    };
                    tpm.run(
                        &EvictControl {
                            hierarchy,
                            object: key.clone(),
                            persistent_handle,
                        },
                        &[authority],
                    )
                },
            )
        })
    }

    /// Releases what this process has in the TPM, and the connection to it. Keys are loaded again when
    /// they are next used.
    pub fn release(&self) {
        self.release_at_exit();
        self.disconnect();
    }

    /// Gives up a loaded key, with the next transaction and not now: what is there gave a wrong signature.
    /// The next use loads the key again.
    pub fn forget(&self, object: &Object) {
        self.with_lock(|inner| inner.state.forgotten.extend(object.fingerprint()));
    }

    /// State of the TPM's dictionary attack protection, in one command.
    pub fn lockout(&self) -> Result<Lockout> {
        self.with(|tpm| tpm.lockout())
    }

    /// Flushes what this process left in a bare TPM, and what ended processes did; nothing on a TPM
    /// whose connection owns its objects. Waits 300 ms at most for other users of the TPM. In a process
    /// that only inherited the client nothing happens.
    pub fn release_at_exit(&self) {
        self.connection
            .with_lock_at_exit(|Inner { connector, state }| {
                if state.loaded.has_any_to_release(state.process())
                    && let Ok(exchange) = connector.begin(Some(EXIT_WAIT))
                {
                    let mut tpm = Tpm::begin(exchange, state, &self.options);
                    tpm.release();
                    tpm.close();
                }
            });
    }

    /// Runs an operation in a critical section, a second time if the connection was cut before an
    /// authorization value was with the TPM.
    pub(super) fn with<T>(&self, operation: impl Fn(&mut Tpm<'_>) -> Result<T>) -> Result<T> {
        self.connection.run(|inner| self.once(inner, &operation))
    }

    /// The operation's result, and [`Tpm::value_at_stake`].
    fn once<T>(
        &self,
        inner: &mut Inner,
        operation: &impl Fn(&mut Tpm<'_>) -> Result<T>,
    ) -> (Result<T>, bool) {
        let Inner { connector, state } = inner;
        let exchange = match connector.begin(None) {
            Ok(exchange) => exchange,
            Err(error) => return (Err(error.into()), false),
        };
        let mut tpm = Tpm::begin(exchange, state, &self.options);
        tpm.discard_forgotten();
        let result = tpm.recover().and_then(|()| operation(&mut tpm));
        let result = result.map_err(|error| tpm.explain(error));
        let value_at_stake = tpm.value_at_stake();
        tpm.close();
        (result, value_at_stake)
    }

    /// Closes the connection to a TPM that drops what belonged to it then.
    fn disconnect(&self) {
        if self.endpoint().sharing() == Sharing::Managed {
            self.with_lock(|inner| {
                inner.connector.release();
                inner.state.lose();
            });
        }
    }

    /// Forgets everything about the TPM.
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(super) fn begin_anew(&self) {
        self.with_lock(|inner| inner.state = State::new());
    }

    /// Waits for this process's turn on the TPM and lends connection and state.
    pub(super) fn with_lock<T>(&self, tpm: impl FnOnce(&mut Inner) -> T) -> T {
        self.connection.with_lock(tpm)
    }
}

fn no_key_at(handle: u32, error: Error) -> Error {
    match error.code() {
        Some(code) if code.is_bad_handle() => error.advise(format!(
            "is there a key at 0x{handle:08x}? `tpmctl info` lists what there is"
        )),
        _ => error,
    }
}

fn sign(
    tpm: &mut Tpm<'_>,
    object: &Object,
    auth: KeyAuth<'_>,
    scheme: SignScheme,
    digest: &[u8],
    ticket: &Ticket,
) -> Result<Signature> {
    tpm.with_key(
        object,
        auth,
        Use::open(CommandCode::SIGN),
        |tpm, key: &Entity, authority| {
            let request = Sign {
                key: key.clone(),
                digest,
                scheme: scheme.into(),
                ticket: ticket.clone(),
            };
            tpm.run(&request, authority)
        },
    )
}

fn rsa_decrypt(
    tpm: &mut Tpm<'_>,
    object: &Object,
    auth: KeyAuth<'_>,
    used: Use,
    (scheme, ciphertext, label): (DecryptScheme, &[u8], &[u8]),
) -> Result<Zeroizing<Vec<u8>>> {
    tpm.with_key(object, auth, used, |tpm, key, authority| {
        let request = RsaDecrypt {
            key: key.clone(),
            ciphertext,
            scheme: scheme.into(),
            label,
        };
        tpm.run(&request, authority)
    })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("tpm", &self.connection.shown())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
