//! Commands that go straight to the TPM's socket: what the transport and the TPM can do at best.

use crate::evp::Operation;
use crate::turns::{Took, repeat};
use std::time::Duration;
use testkit::net::Endpoint;
use testkit::swtpm::SRK;
use testkit::tpm::{self, Raw, cc};

/// What is asked of the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// TPM2_Sign with RSASSA and SHA-256.
    SignRsa,
    /// TPM2_Sign with ECDSA and SHA-256.
    SignEc,
    /// TPM2_RSA_Decrypt without a scheme.
    Decrypt,
}

impl Command {
    /// The command that serves this operation; a key that may sign and decrypt makes PSS by RSA_Decrypt.
    pub fn of(operation: Operation) -> Self {
        match operation {
            Operation::Pkcs1 => Self::SignRsa,
            Operation::Ecdsa => Self::SignEc,
            Operation::Pss | Operation::Decrypt => Self::Decrypt,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::SignRsa | Self::SignEc => "TPM2_Sign",
            Self::Decrypt => "TPM2_RSA_Decrypt",
        }
    }
}

/// A key as its file has it: whole TPM2B_PRIVATE and TPM2B_PUBLIC.
pub struct Blob {
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Blob {
    /// The last two OCTET STRINGs of a key file: the public area, then the private one.
    pub fn read(pem: &[u8]) -> Self {
        let (_, der) = pem_rfc7468::decode_vec(pem).expect("a PEM file");
        let (_, mut fields) = element(&der);
        let mut strings = Vec::new();
        while !fields.is_empty() {
            let (used, content) = element(fields);
            if fields[0] == 4 {
                strings.push(content.to_vec());
            }
            fields = &fields[used..];
        }
        let [public, private] = strings.try_into().expect("two octet strings");
        Self { private, public }
    }

    /// As often as it can for so long, on one connection that stays, which no client can better.
    pub fn on_one_connection(&self, at: &Endpoint, command: Command, time: Duration) -> Took {
        let mut raw = connect(at);
        let loaded = self.load(&mut raw);
        let frame = loaded.warm(&mut raw, command);
        let took = repeat(time, || transmit(&mut raw, &frame));
        raw.flush(loaded.0);
        took
    }

    /// The same, each on a connection of its own.
    pub fn on_many_connections(&self, at: &Endpoint, command: Command, time: Duration) -> Took {
        let loaded = self.load(&mut connect(at));
        let frame = loaded.warm(&mut connect(at), command);
        let took = repeat(time, || transmit(&mut connect(at), &frame));
        connect(at).flush(loaded.0);
        took
    }

    /// One Load and one operation, as a process does that signs once; `done` is called before the key is
    /// flushed.
    pub fn once(&self, at: &Endpoint, command: Command, done: impl FnOnce()) {
        let mut raw = connect(at);
        let loaded = self.load(&mut raw);
        loaded.warm(&mut raw, command);
        done();
        raw.flush(loaded.0);
    }

    /// Makes the key persistent.
    pub fn persist(&self, at: &Endpoint, handle: u32) {
        let mut raw = connect(at);
        let loaded = self.load(&mut raw);
        raw.persist(loaded.0, handle);
        raw.flush(loaded.0);
    }

    /// TPM2_Load under the storage root key.
    pub fn load(&self, raw: &mut Raw) -> Loaded {
        let parameters = [&self.private[..], &self.public].concat();
        let (rc, answer) = raw.authorized(cc::LOAD, &[SRK], &parameters);
        assert_eq!(rc, 0, "TPM2_Load");
        Loaded(handle(&answer))
    }
}

/// The handle of a key that is loaded.
pub struct Loaded(pub u32);

impl Loaded {
    /// A whole command with an empty authorization value.
    pub fn command(&self, command: Command) -> Vec<u8> {
        let mut body = self.0.to_be_bytes().to_vec();
        body.extend(9u32.to_be_bytes());
        body.extend(0x4000_0009u32.to_be_bytes());
        body.extend([0; 5]);
        if command == Command::Decrypt {
            body.extend(256u16.to_be_bytes());
            body.extend([0x5a; 256]);
            body.extend([0x00, 0x10, 0, 0]); // no scheme, no label
            return tpm::command(0x8002, cc::RSA_DECRYPT, &body);
        }
        body.extend(32u16.to_be_bytes());
        body.extend([0x5a; 32]);
        let scheme = if command == Command::SignEc {
            0x18
        } else {
            0x14
        };
        body.extend([0x00, scheme, 0x00, 0x0b]); // ECDSA or RSASSA, SHA-256
        body.extend([0x80, 0x24, 0x40, 0, 0, 7, 0, 0]); // no ticket
        tpm::command(0x8002, cc::SIGN, &body)
    }

    /// The command, which has been done once: the first may have to wait for a self-test.
    fn warm(&self, raw: &mut Raw, command: Command) -> Vec<u8> {
        let frame = self.command(command);
        while transmit_any(raw, &frame) == tpm::rc::TESTING {}
        frame
    }
}

/// Many keys used in turn by somebody who knows the TPM's slots: as long as they suffice the keys stay
/// loaded, otherwise each signature costs ContextLoad, Sign and FlushContext.
pub struct RoundRobin {
    raw: Raw,
    command: Command,
    saved: Vec<Vec<u8>>,
    /// All of them, or none.
    loaded: Vec<Loaded>,
    next: usize,
}

impl RoundRobin {
    pub fn new(at: &Endpoint, keys: &[Blob], slots: usize, command: Command) -> Self {
        let mut raw = connect(at);
        let save = |key: &Blob| {
            let key = key.load(&mut raw);
            key.warm(&mut raw, command);
            let (rc, context) = raw.plain(cc::CONTEXT_SAVE, &key.0.to_be_bytes());
            assert_eq!(rc, 0, "ContextSave");
            raw.flush(key.0);
            context
        };
        let mut this = Self {
            saved: keys.iter().map(save).collect(),
            raw,
            command,
            loaded: Vec::new(),
            next: 0,
        };
        if keys.len() <= slots {
            // By their contexts: to be loaded as a file a key needs a slot for its parent, too.
            this.loaded = (0..keys.len()).map(|n| this.restore(n)).collect();
        }
        this
    }

    fn restore(&mut self, n: usize) -> Loaded {
        let (rc, answer) = self.raw.plain(cc::CONTEXT_LOAD, &self.saved[n]);
        assert_eq!(rc, 0, "ContextLoad");
        Loaded(handle(&answer))
    }

    /// A signature with the next key.
    pub fn sign(&mut self) {
        let n = self.next % self.saved.len();
        self.next += 1;
        if let Some(key) = self.loaded.get(n) {
            return transmit(&mut self.raw, &key.command(self.command));
        }
        let key = self.restore(n);
        transmit(&mut self.raw, &key.command(self.command));
        self.raw.flush(key.0);
    }
}

/// Flushes what is loaded, for the next benchmark.
impl Drop for RoundRobin {
    fn drop(&mut self) {
        for key in &self.loaded {
            self.raw.flush(key.0);
        }
    }
}

fn connect(at: &Endpoint) -> Raw {
    Raw::connect(at).expect("the TPM is there")
}

fn handle(answer: &[u8]) -> u32 {
    u32::from_be_bytes(answer[..4].try_into().expect("four bytes"))
}

/// Has the TPM do all its self-tests now.
pub fn self_test(at: &Endpoint) {
    const SELF_TEST: u32 = 0x143;
    let mut raw = Raw::connect(at).expect("the TPM is there");
    let (rc, _) = raw.plain(SELF_TEST, &[1]);
    assert_eq!(rc, 0, "TPM2_SelfTest");
}

fn transmit(raw: &mut Raw, command: &[u8]) {
    let rc = transmit_any(raw, command);
    let name = tpm::name(tpm::code(command));
    assert!(
        rc == 0,
        "TPM2_{name} is answered with {rc:#x}; the command: {}",
        hex::encode(command)
    );
}

fn transmit_any(raw: &mut Raw, command: &[u8]) -> u32 {
    tpm::code(&raw.transmit(command).expect("the TPM answers"))
}

/// The first DER element: its whole length, and its content.
fn element(der: &[u8]) -> (usize, &[u8]) {
    let (header, length) = match der[1] {
        short @ ..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        other => panic!("a length of {other:#x}"),
    };
    (header + length, &der[header..header + length])
}
