//! The client against swtpm: every test has its own TPM, and counts the commands it costs.
#![forbid(unsafe_code)]

mod brainpool;
mod change_auth;
mod changes;
mod counts;
mod decryption;
mod faults;
mod foreign;
mod lockout;
mod oracle;
mod policy;
mod policy_kinds;
mod sealed;
mod secrets;
mod services;
mod sessions;
mod sharing;
mod trust;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crypto::Secret;
use crypto::{Hash, ecdh, ecdsa, rsa};
use testkit::scratch::Scratch;
use zeroize::Zeroizing;

use super::commands::startup::Shutdown;
use super::constants::{CommandCode, handle};
use super::public::Unique;
use super::transaction::Authority;
use super::transaction::exchange::{Connect, Exchange};
use super::*;
use crate::transport::{Continuity, Endpoint, Limits, Origin, Sharing, Transport, TransportError};

/// The simulator's socket in the test's directory.
const SOCKET: &str = "client-test";

/// A simulated TPM of one test.
struct Simulator {
    directory: Scratch,
    child: Child,
}

impl Simulator {
    /// A TPM fresh from the factory.
    fn new() -> Self {
        Self::start(Scratch::new())
    }

    /// The TPM that the key files in `data` belong to: the standard primary is at 0x81000001.
    fn of_the_key_files() -> Self {
        let directory = Scratch::new();
        directory.write("tpm2-00.permall", data("tpm2-00.permall"));
        Self::start(directory)
    }

    fn start(directory: Scratch) -> Self {
        let child = spawn(directory.path());
        Self { directory, child }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    fn address(&self) -> String {
        format!("swtpm:path={}", self.socket().display())
    }

    /// A client of its own with its own connection, as another process would have it.
    fn client(&self, sessions: Sessions) -> (Client, Log) {
        self.client_with(options(sessions), false)
    }

    /// The same behind a resource manager: the connection is kept, and with it what is loaded.
    fn managed_client(&self, sessions: Sessions) -> (Client, Log) {
        self.client_with(options(sessions), true)
    }

    fn client_with(&self, options: Options, managed: bool) -> (Client, Log) {
        client_of(&self.address(), options, managed)
    }

    /// Puts the standard primary at 0x81000001.
    fn provision(&self) {
        let (client, _) = self.client(Sessions::Never);
        client
            .with(|tpm| {
                let parent = Parent::new(handle::OWNER);
                let parent_handle = tpm.parent(&parent, false)?;
                let request = commands::context::EvictControl {
                    hierarchy: handle::OWNER,
                    object: parent_handle.entity.clone(),
                    persistent_handle: handle::SRK,
                };
                tpm.run(&request, &[Authority::Password(&Secret::empty())])
            })
            .unwrap();
    }

    /// Flushes everything, as a resource manager does when its client goes.
    fn clear_away(&self) {
        let (client, _) = self.client(Sessions::Never);
        let objects = client.loaded_objects().unwrap();
        for handle in objects.into_iter().chain(client.loaded_sessions().unwrap()) {
            client.flush(handle).unwrap();
        }
    }

    /// Nothing is loaded, no session is open.
    fn assert_empty(&self) {
        let (client, _) = self.client(Sessions::Never);
        assert_eq!(client.loaded_objects().unwrap(), Vec::<u32>::new());
        assert_eq!(client.loaded_sessions().unwrap(), Vec::<u32>::new());
    }

    /// Ends the simulator in an orderly way and starts it again on the same state and socket.
    fn restart(&mut self) {
        let (client, _) = self.client(Sessions::Never);
        client.with(|tpm| tpm.run(&Shutdown, &[])).unwrap();
        let _ = self.child.kill();
        let _ = self.child.wait();
        fs::remove_file(self.socket()).unwrap();
        self.child = spawn(self.directory.path());
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path) -> Child {
    let path = directory.display();
    // The simulator ends with the test's thread, even if that is killed.
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "swtpm", "socket", "--tpm2"])
        .args(["--tpmstate", &format!("dir={path}")])
        .args(["--server", &format!("type=unixio,path={path}/{SOCKET}")])
        // tpm2-tools' transport insists on a control socket.
        .args(["--ctrl", &format!("type=unixio,path={path}/{SOCKET}.ctrl")])
        .args(["--flags", "not-need-init,startup-clear"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setpriv and swtpm: apt-get install util-linux swtpm");
    let started = Instant::now();
    while UnixStream::connect(directory.join(SOCKET)).is_err() {
        let waited = started.elapsed();
        assert!(
            waited < Duration::from_secs(20),
            "no swtpm: apt-get install swtpm"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

fn client_of(address: &str, options: Options, managed: bool) -> (Client, Log) {
    let address = address.parse().unwrap();
    let endpoint = Endpoint::new(address, Origin::Environment("TPM_TCTI")).unwrap();
    let log = Log::default();
    let (to, limits, shared) = (endpoint.clone(), options.limits, log.clone());
    let connect = move || {
        Box::new(Counted {
            inner: Transport::new(to.clone(), limits),
            log: shared.clone(),
            managed: managed.then_some(false),
        }) as Box<dyn Connect>
    };
    (Client::with_connector(endpoint, options, connect), log)
}

fn options(sessions: Sessions) -> Options {
    let limits = Limits {
        lock_wait: Duration::from_secs(60),
        command_wait: Duration::from_secs(60),
    };
    Options {
        sessions,
        parent_name: ParentName::Any,
        limits,
    }
}

fn data(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tpm2/tests/data");
    fs::read(directory.join(name)).unwrap()
}

/// What goes to a TPM, command by command.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Traffic>>);

#[derive(Default)]
struct Traffic {
    commands: Vec<(String, u32)>,
    bytes: Vec<u8>,
    /// Answers given in the TPM's place, the next one first: a command's name and what to answer.
    faults: Vec<(&'static str, Fault)>,
}

/// What happens to a command in a test.
#[derive(Clone)]
enum Fault {
    /// The TPM does not see it and answers this code.
    Code(u32),
    /// The TPM does it, and one bit of the response's byte from the end is changed.
    Flip(usize),
    /// The TPM does it, and the first number of this value in the response becomes another one.
    Replace(u32, u32),
    /// None: the next fault is that of a later command of this name.
    Later,
}

impl Log {
    /// The commands since the last call, without repetitions; failed ones end with their code.
    fn take(&self) -> Vec<String> {
        let commands = std::mem::take(&mut self.0.lock().unwrap().commands);
        let repeated = |code: u32| ResponseCode(code).is_retry();
        commands
            .into_iter()
            .filter(|(_, code)| !repeated(*code))
            .map(|(name, code)| {
                if code == 0 {
                    name
                } else {
                    format!("{name}!{code:x}")
                }
            })
            .collect()
    }

    /// Asserts which commands went out since the last call.
    #[track_caller]
    fn expect(&self, names: &str) {
        assert_eq!(self.take().join(" "), names);
    }

    /// Whether these bytes went over the wire since the last call.
    fn carried(&self, needle: &[u8]) -> bool {
        let bytes = std::mem::take(&mut self.0.lock().unwrap().bytes);
        bytes.windows(needle.len()).any(|window| window == needle)
    }

    fn inject(&self, command: &'static str, fault: Fault) {
        self.0.lock().unwrap().faults.push((command, fault));
    }
}

struct Counted {
    inner: Transport,
    log: Log,
    /// `Some`: pretend to be a resource manager; whether a transaction has been before.
    managed: Option<bool>,
}

struct CountedExchange<'a> {
    inner: Box<dyn Exchange + 'a>,
    log: Log,
    managed: Option<Continuity>,
}

impl Connect for Counted {
    fn begin(&mut self, wait: Option<Duration>) -> Result<Box<dyn Exchange + '_>, TransportError> {
        let managed = self.managed.map(|before| {
            if before {
                Continuity::Kept
            } else {
                Continuity::Reset
            }
        });
        self.managed = self.managed.map(|_| true);
        let inner = self.inner.begin(wait)?;
        Ok(Box::new(CountedExchange {
            inner,
            log: self.log.clone(),
            managed,
        }))
    }

    fn release(&mut self) {
        self.inner.release();
    }
}

impl Exchange for CountedExchange<'_> {
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        let code = CommandCode(u32::from_be_bytes(command[6..10].try_into().unwrap()));
        let name = code.to_string().trim_start_matches("TPM2_").to_owned();
        let fault = {
            let mut traffic = self.log.0.lock().unwrap();
            let next = traffic
                .faults
                .iter()
                .position(|(wanted, _)| *wanted == name);
            next.map(|index| traffic.faults.remove(index).1)
        };
        let response = match fault {
            Some(Fault::Code(code)) => {
                let mut response = vec![0x80, 1, 0, 0, 0, 10];
                response.extend_from_slice(&code.to_be_bytes());
                Zeroizing::new(response)
            }
            Some(Fault::Flip(from_end)) => {
                let mut response = self.inner.transact(command)?;
                let index = response.len() - from_end;
                response[index] ^= 1;
                response
            }
            Some(Fault::Replace(old, new)) => {
                let mut response = self.inner.transact(command)?;
                let place = response
                    .windows(4)
                    .position(|window| window == old.to_be_bytes())
                    .expect("the number is in the response");
                response[place..place + 4].copy_from_slice(&new.to_be_bytes());
                response
            }
            Some(Fault::Later) | None => {
                let response = self.inner.transact(command)?;
                oracle::second_opinion(command, &response);
                response
            }
        };
        let code = u32::from_be_bytes(response[6..10].try_into().unwrap());
        let mut traffic = self.log.0.lock().unwrap();
        traffic.commands.push((name, code));
        traffic.bytes.extend_from_slice(command);
        traffic.bytes.extend_from_slice(&response);
        Ok(response)
    }

    fn continuity(&self) -> Continuity {
        self.managed.unwrap_or_else(|| self.inner.continuity())
    }

    fn sharing(&self) -> Sharing {
        if self.managed.is_some() {
            Sharing::Managed
        } else {
            self.inner.sharing()
        }
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        if self.managed.is_some() {
            None
        } else {
            self.inner.record()
        }
    }

    fn set_record(&mut self, bytes: &[u8]) {
        if self.managed.is_none() {
            self.inner.set_record(bytes);
        }
    }
}

const PIN: &[u8] = b"correct horse battery staple";
const ECDSA: SignScheme = SignScheme::Ecdsa(AlgId::SHA256);

fn sign_only() -> Public {
    let attributes = Public::key_attributes(Attributes::SIGN);
    Public::ecc_template(Curve::NIST_P256, attributes, Scheme::Null).unwrap()
}

fn sign_and_decrypt() -> Public {
    let attributes = Public::key_attributes(Attributes::SIGN.with(Attributes::DECRYPT));
    Public::ecc_template(Curve::NIST_P256, attributes, Scheme::Null).unwrap()
}

fn rsa_decrypt() -> Public {
    let attributes = Public::key_attributes(Attributes::SIGN.with(Attributes::DECRYPT));
    Public::rsa_template(2048, 0, attributes, Scheme::Null, AlgId::SHA256).unwrap()
}

fn make(client: &Client, parent: &Parent, template: &Public, auth: &[u8]) -> Object {
    let created = client.create(parent, template, &auth.into()).unwrap();
    Object::from_blob(created.public, created.private, parent.clone()).unwrap()
}

fn owner() -> Parent {
    Parent::new(handle::OWNER)
}

fn digest() -> Vec<u8> {
    crypto::hash(Hash::Sha256, &[b"message"])
}

/// Signs and checks the signature, as the callers of the client do.
#[track_caller]
fn sign(client: &Client, object: &Object, auth: &[u8]) {
    let signature = client
        .sign(object, &Secret::from(auth), ECDSA, &digest())
        .unwrap();
    assert!(is_good(object, &digest(), &signature));
}

fn is_good(object: &Object, digest: &[u8], signature: &Signature) -> bool {
    match (object.public.unique(), signature) {
        (Unique::Ecc { x, y }, Signature::Ecc { r, s, .. }) => {
            ecdsa::EcPublic::new(crypto::Curve::P256, x, y)
                .unwrap()
                .verify(digest, r, s)
        }
        (Unique::Rsa(modulus), Signature::Rsa { bytes, .. }) => {
            rsa::RsaPublic::with_exponent(modulus, 0)
                .unwrap()
                .verify_pkcs1(Hash::Sha256, digest, bytes)
        }
        _ => false,
    }
}
