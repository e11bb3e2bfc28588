//! The client against swtpm, libtpms and tcsd: every test has its own TPM, and sees the commands it costs.
#![forbid(unsafe_code)]

mod asked;
mod captured;
mod daemon;
mod many;
mod memory;
mod owner;
mod raw;
mod recovery;
mod seal;
mod secrets;
mod transports;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crypto::Secret;
use crypto::{Hash, rsa::RsaPublic};
use testkit::ports::free_port;
use testkit::scratch::Scratch;

use super::tcsd::Daemon;
use super::transaction::exchange::{Answer, Command, Connect, Exchange};
use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::{
    Endpoint, ErrorKind as TransportErrorKind, Limits, Origin, Sharing, Transport,
};

/// The password of the key in `tss-auth.pem`.
const PASSWORD: &[u8] = b"keypass";

/// How a simulated TPM listens.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    Unix,
    /// TCP with `disconnect`, as beside tcsd.
    Tcp,
}

/// A simulated TPM 1.2 of one test, and perhaps a tcsd in front of it.
struct Simulator {
    directory: Scratch,
    address: String,
    swtpm: Child,
    tcsd: Option<(Child, u16)>,
}

impl Simulator {
    /// The TPM that the key files in `tests/data/tpm12` belong to: owner and SRK have the well-known secret.
    fn of_the_key_files(server: Server) -> Self {
        let directory = Scratch::new();
        directory.write("tpm-00.permall", data("tpm-00.permall"));
        Self::start(directory, server)
    }

    /// The same, with tcsd.
    fn with_tcsd() -> Self {
        Self::behind_tcsd(Self::of_the_key_files(Server::Tcp), true)
    }

    /// A TPM fresh from the factory: without an owner.
    fn unowned(server: Server) -> Self {
        Self::start(Scratch::new(), server)
    }

    fn start(directory: Scratch, server: Server) -> Self {
        for _ in 0..5 {
            let (option, address, port) = match server {
                Server::Unix => {
                    let socket = directory.path().join("swtpm");
                    let path = socket.display();
                    (
                        format!("type=unixio,path={path}"),
                        format!("swtpm:path={path}"),
                        0,
                    )
                }
                Server::Tcp => {
                    let port = free_port();
                    (
                        format!("type=tcp,port={port},bindaddr=127.0.0.1,disconnect"),
                        format!("swtpm:host=127.0.0.1,port={port}"),
                        port,
                    )
                }
            };
            let mut swtpm = swtpm(&directory, &option, &[]);
            let socket = directory.path().join("swtpm");
            let listens = || match server {
                Server::Unix => UnixStream::connect(&socket).is_ok(),
                Server::Tcp => TcpStream::connect(("127.0.0.1", port)).is_ok(),
            };
            if came_up(&mut swtpm, listens) {
                return Self {
                    directory,
                    address,
                    swtpm,
                    tcsd: None,
                };
            }
        }
        panic!("swtpm did not start: apt-get install swtpm");
    }

    /// Puts a tcsd in front, which knows the SRK if it shall.
    fn behind_tcsd(mut self, knows_srk: bool) -> Self {
        let storage = self.path().join("ps");
        fs::create_dir_all(&storage).unwrap();
        if knows_srk {
            fs::write(storage.join("system.data"), data("system.data")).unwrap();
        }
        let configuration = self.path().join("tcsd.conf");
        for _ in 0..5 {
            let port = free_port();
            let text = format!(
                "port = {port}\nnum_threads = 10\nsystem_ps_file = {}/system.data\ndisable_ipv6 = 1\n",
                storage.display()
            );
            fs::write(&configuration, text).unwrap();
            // tcsd insists on both, and on this mode.
            run("chown", &["root:tss", &configuration.display().to_string()]);
            run("chown", &["-R", "tss:tss", &storage.display().to_string()]);
            fs::set_permissions(&configuration, fs::Permissions::from_mode(0o640)).unwrap();
            fs::set_permissions(&storage, fs::Permissions::from_mode(0o700)).unwrap();
            let tpm_port = self.address.rsplit('=').next().unwrap().to_owned();
            let mut tcsd = Program::new("setpriv")
                .args(["--reuid", "tss", "--regid", "tss", "--clear-groups"])
                .args(["--pdeathsig", "KILL", "/usr/sbin/tcsd", "-e", "-f", "-c"])
                .arg(&configuration)
                .env("TCSD_TCP_DEVICE_HOSTNAME", "127.0.0.1")
                .env("TCSD_TCP_DEVICE_PORT", tpm_port)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("setpriv: apt-get install util-linux");
            if came_up(&mut tcsd, || {
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            }) {
                self.tcsd = Some((tcsd, port));
                return self;
            }
        }
        panic!("tcsd did not start (as root: apt-get install trousers)");
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The address for clients: tcsd's, if there is one.
    fn address(&self) -> String {
        match &self.tcsd {
            Some((_, port)) => format!("tcsd:host=127.0.0.1,port={port}"),
            None => self.address.clone(),
        }
    }

    fn client(&self) -> (Client, Log) {
        client_of(&self.address(), limits())
    }

    /// A client that goes past tcsd.
    fn raw_client(&self) -> (Client, Log) {
        client_of(&self.address, limits())
    }

    /// No key is loaded and no session is open, as the TPM itself counts.
    #[track_caller]
    fn assert_empty(&self) {
        let (client, _) = self.raw_client();
        assert_eq!(client.loaded_keys().unwrap(), Vec::<u32>::new());
        let properties = client.properties().unwrap();
        assert_eq!(properties.free_key_slots, properties.key_slots);
        assert_eq!(properties.free_sessions, properties.sessions);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some((tcsd, _)) = &mut self.tcsd {
            let _ = tcsd.kill();
            let _ = tcsd.wait();
        }
        let _ = self.swtpm.kill();
        let _ = self.swtpm.wait();
    }
}

/// Starts a simulator with its state in `directory`; it ends with the test's thread, even if that is killed.
fn swtpm(directory: &Scratch, server: &str, more: &[&str]) -> Child {
    Program::new("setpriv")
        .args(["--pdeathsig", "KILL", "swtpm", "socket", "--tpmstate"])
        .arg(format!("dir={}", directory.path().display()))
        .args(["--server", server])
        .args(["--flags", "not-need-init,startup-clear"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setpriv and swtpm: apt-get install util-linux swtpm")
}

fn run(program: &str, arguments: &[&str]) {
    let status = Program::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn came_up(child: &mut Child, mut listens: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if listens() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn data_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/tpm12")
        .join(name)
}

fn data(name: &str) -> Vec<u8> {
    fs::read(data_path(name)).unwrap()
}

fn limits() -> Limits {
    Limits {
        lock_wait: Duration::from_secs(60),
        command_wait: Duration::from_secs(60),
    }
}

fn endpoint(address: &str) -> Arc<Endpoint> {
    Endpoint::new(address.parse().unwrap(), Origin::Environment("TPM12_TCTI")).unwrap()
}

fn client_of(address: &str, limits: Limits) -> (Client, Log) {
    let endpoint = endpoint(address);
    let log = Log::default();
    let (to, seen) = (endpoint.clone(), log.clone());
    let connect = move || -> Box<dyn Connect> {
        let inner: Box<dyn Connect> = match to.sharing() {
            Sharing::Daemon => Box::new(Daemon::new(to.clone(), limits)),
            _ => Box::new(Transport::new(to.clone(), limits)),
        };
        let log = seen.clone();
        Box::new(Seen { inner, log })
    };
    let client = Client::with_connector(endpoint, Options { limits }, connect);
    (client, log)
}

/// What goes to a TPM, command by command.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Traffic>>);

#[derive(Default)]
struct Traffic {
    commands: Vec<String>,
    faults: Vec<(&'static str, Fault)>,
    /// What TPM_OIAP and TPM_OSAP with the well-known secret have as their key.
    session_key: Vec<u8>,
}

/// What happens with the next command of a name.
enum Fault {
    /// The TPM does not see it and answers this code.
    Code(u32),
    /// The TPM does it, and one bit of the answer's parameters, this far from their end, is changed.
    FlipParameter(usize),
    /// The same with the authorization's HMAC.
    FlipHmac,
    /// These are the answer's parameters, with an authorization by who knows that the secret is the well-known one.
    Forge(Vec<u8>),
    /// The answer has no authorization.
    NoAuth,
    /// This is done before.
    Before(Box<dyn FnMut() + Send>),
}

impl Log {
    /// Asserts which commands went out since the last call; refused ones end with their code.
    #[track_caller]
    fn expect(&self, names: &str) {
        assert_eq!(self.take().join(" "), names);
    }

    /// Which commands went out since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().commands)
    }

    fn clear(&self) {
        self.0.lock().unwrap().commands.clear();
    }

    fn inject(&self, command: &'static str, fault: Fault) {
        self.0.lock().unwrap().faults.push((command, fault));
    }
}

struct Seen {
    inner: Box<dyn Connect>,
    log: Log,
}

struct SeenExchange<'a> {
    inner: Box<dyn Exchange + 'a>,
    log: Log,
}

impl Connect for Seen {
    fn begin(&mut self, wait: Option<Duration>) -> Result<Box<dyn Exchange + '_>> {
        Ok(Box::new(SeenExchange {
            inner: self.inner.begin(wait)?,
            log: self.log.clone(),
        }))
    }
}

impl Exchange for SeenExchange<'_> {
    fn exchange(&mut self, command: &Command) -> Result<Answer> {
        let name = command.ordinal.name().trim_start_matches("TPM_").to_owned();
        let fault = {
            let mut traffic = self.log.0.lock().unwrap();
            let next = traffic
                .faults
                .iter()
                .position(|(wanted, _)| *wanted == name);
            next.map(|index| traffic.faults.remove(index).1)
        };
        let answer = match fault {
            Some(Fault::Code(code)) => Ok(Answer::refusal(Code(code))),
            Some(Fault::Before(mut act)) => {
                act();
                self.inner.exchange(command)
            }
            fault => self.inner.exchange(command).map(|mut answer| {
                self.overhear(command, &answer);
                match fault {
                    Some(Fault::Forge(parameters)) => self.forge(command, &mut answer, parameters),
                    Some(Fault::FlipParameter(from_end)) => {
                        let index = answer.parameters.len() - from_end;
                        answer.parameters[index] ^= 1;
                    }
                    Some(Fault::FlipHmac) => answer.auths[0].hmac[7] ^= 0x10,
                    Some(Fault::NoAuth) => answer.auths.clear(),
                    _ => {}
                }
                answer
            }),
        };
        let shown = match &answer {
            Ok(answer) if answer.code == Code::SUCCESS => name,
            Ok(answer) => format!("{name}!{:x}", answer.code.0),
            Err(_) => format!("{name}!cut"),
        };
        self.log.0.lock().unwrap().commands.push(shown);
        answer
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    fn is_old(&self) -> Option<bool> {
        self.inner.is_old()
    }

    fn attach_srk(&mut self) -> Result<()> {
        self.inner.attach_srk()
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        self.inner.record()
    }

    fn set_record(&mut self, bytes: &[u8]) {
        self.inner.set_record(bytes);
    }
}

impl SeenExchange<'_> {
    /// What the key of the session is that was opened.
    fn overhear(&self, command: &Command, answer: &Answer) {
        let key = match command.ordinal.name() {
            _ if answer.code != Code::SUCCESS => return,
            "TPM_OIAP" => vec![0; 20],
            "TPM_OSAP" => {
                let (even, odd) = (&answer.parameters[24..44], &command.parameters[6..26]);
                crypto::hmac(Hash::Sha1, &[0; 20], &[even, odd]).to_vec()
            }
            _ => return,
        };
        self.log.0.lock().unwrap().session_key = key;
    }

    fn forge(&self, command: &Command, answer: &mut Answer, parameters: Vec<u8>) {
        let key = self.log.0.lock().unwrap().session_key.clone();
        let ordinal = command.ordinal.0.to_be_bytes();
        let digest = crypto::hash(Hash::Sha1, &[&[0; 4], &ordinal, &parameters]);
        let auth = &mut answer.auths[0];
        let (odd, continues) = (command.auths[0].odd, [auth.continues]);
        let hmac = crypto::hmac(Hash::Sha1, &key, &[&digest, &auth.even, &odd, &continues]);
        auth.hmac.copy_from_slice(&hmac);
        *answer.parameters = parameters;
    }
}

fn zeros() -> AuthValue {
    AuthValue::well_known()
}

/// The key in a file of another tool.
fn key_file(name: &str) -> Key {
    Key::new(KeyBlob::parse(&blob_of(name)).unwrap(), zeros())
}

fn blob_of(name: &str) -> Vec<u8> {
    let bytes = data(name);
    if let Some(line) = bytes
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"blob "))
    {
        return hex::decode(line).unwrap();
    }
    let (label, der) = pem_rfc7468::decode_vec(&bytes).unwrap();
    assert_eq!(label, "TSS KEY BLOB");
    assert_eq!(der[..2], [0x04, 0x82]);
    assert_eq!(
        usize::from(u16::from_be_bytes([der[2], der[3]])),
        der.len() - 4
    );
    der[4..].to_vec()
}

/// Keys of 1024 bits made in software and wrapped: quick to come by.
fn wrapped_keys(client: &Client, count: usize, password: Option<&[u8]>) -> Vec<Key> {
    let srk = client.srk_public_for_owner(&zeros()).unwrap();
    let usage = password.map_or_else(zeros, AuthValue::from_password);
    let template = Template::legacy(0, password.is_some());
    (0..count)
        .map(|_| {
            let key = openssl::rsa::Rsa::generate(1024).unwrap();
            let prime = Secret::new(key.p().unwrap().to_vec());
            let blob = wrap(&srk, &template, &key.n().to_vec(), &prime, &usage, &zeros()).unwrap();
            Key::new(blob, zeros())
        })
        .collect()
}

fn digest() -> Vec<u8> {
    crypto::hash(Hash::Sha256, &[b"message"])
}

fn digest_info() -> Vec<u8> {
    [Hash::Sha256.digest_info_prefix(), &digest()].concat()
}

fn public(key: &Key) -> RsaPublic {
    RsaPublic::with_exponent(key.blob().modulus(), key.blob().exponent()).unwrap()
}

fn encrypt(key: &Key, plaintext: &[u8]) -> Vec<u8> {
    use openssl::bn::BigNum;
    let modulus = BigNum::from_slice(key.blob().modulus()).unwrap();
    let exponent = BigNum::from_u32(key.blob().exponent()).unwrap();
    let public = openssl::rsa::Rsa::from_public_components(modulus, exponent).unwrap();
    let mut ciphertext = vec![0; public.size() as usize];
    public
        .public_encrypt(plaintext, &mut ciphertext, openssl::rsa::Padding::PKCS1)
        .unwrap();
    ciphertext
}

/// Signs and checks the signature, as the callers of the client do.
#[track_caller]
fn sign(client: &Client, key: &Key, password: Option<&[u8]>) {
    let secret = password.map_or_else(zeros, AuthValue::from_password);
    let signature = client.sign(key, &secret, &digest_info()).unwrap();
    assert!(public(key).verify_pkcs1(Hash::Sha256, &digest(), &signature));
}

#[track_caller]
fn failure(error: &Error) -> &Failure {
    match error.kind() {
        ErrorKind::Tpm12(failure) => failure,
        _ => panic!("{error}"),
    }
}

#[track_caller]
fn transport(error: &Error) -> TransportErrorKind {
    match error.kind() {
        ErrorKind::Transport(error) => error.kind(),
        _ => panic!("{error}"),
    }
}

/// What tells a test that it runs in a process of its own.
const ALONE: &str = "TPM_PROVIDER_TEST12_ALONE";

fn alone() -> Option<String> {
    std::env::var(ALONE).ok()
}

/// Starts the test of this name (below `tests`) again, in a process of its own, with `argument` for it.
fn start_alone(name: &str, argument: &str) -> Child {
    Program::new(std::env::current_exe().unwrap())
        .args([&format!("tpm12::tests::{name}"), "--exact"])
        .args(["--nocapture", "--test-threads=1"])
        .env(ALONE, argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for such a process, which must have run its test and succeeded.
#[track_caller]
fn finish_alone(child: Child) {
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{shown}\n{errors}"
    );
}
