//! Commands that go straight to the TPM's socket: what the transport and the TPM can do at best.

use crate::common::net::Endpoint;
use crate::common::swtpm::SRK;
use crate::common::tpm::{self, Raw, cc};
use std::time::{Duration, Instant};

/// What is asked of the key.
#[derive(Clone, Copy)]
pub enum Operation {
    /// TPM2_Sign with RSASSA and SHA-256.
    Sign,
    /// TPM2_RSA_Decrypt without a scheme.
    Decrypt,
}

/// A key as its file has it: whole TPM2B_PRIVATE and TPM2B_PUBLIC.
pub struct Blob {
    private: Vec<u8>,
    public: Vec<u8>,
}

/// Where the handle stands in a command.
const HANDLE: std::ops::Range<usize> = 10..14;

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

    /// A whole command; the handle is filled in when the key is loaded.
    pub fn command(&self, operation: Operation) -> Vec<u8> {
        // The handle's place, an authorization by the empty password.
        let mut body = vec![0; 4];
        body.extend(9u32.to_be_bytes());
        body.extend(0x4000_0009u32.to_be_bytes());
        body.extend([0; 5]);
        match operation {
            Operation::Sign => {
                body.extend(32u16.to_be_bytes());
                body.extend([0x5a; 32]);
                body.extend([0x00, 0x14, 0x00, 0x0b]); // RSASSA, SHA-256
                body.extend([0x80, 0x24, 0x40, 0, 0, 7, 0, 0]); // no ticket
                tpm::command(0x8002, cc::SIGN, &body)
            }
            Operation::Decrypt => {
                body.extend(256u16.to_be_bytes());
                body.extend([0x5a; 256]);
                body.extend([0x00, 0x10, 0, 0]); // no scheme, no label
                tpm::command(0x8002, cc::RSA_DECRYPT, &body)
            }
        }
    }

    /// `count` times the command on a connection that stays.
    pub fn on_one_connection(&self, at: &Endpoint, command: &[u8], count: usize) -> Duration {
        let mut raw = Raw::connect(at).expect("the TPM is there");
        let (handle, command) = self.load(&mut raw, command);
        let start = Instant::now();
        for _ in 0..count {
            transmit(&mut raw, &command);
        }
        let took = start.elapsed();
        raw.flush(handle);
        took
    }

    /// `count` times the command, each on a connection of its own.
    pub fn on_many_connections(&self, at: &Endpoint, command: &[u8], count: usize) -> Duration {
        let connect = || Raw::connect(at).expect("the TPM is there");
        let (handle, command) = self.load(&mut connect(), command);
        let start = Instant::now();
        for _ in 0..count {
            transmit(&mut connect(), &command);
        }
        let took = start.elapsed();
        connect().flush(handle);
        took
    }

    /// Loads the key; its handle, and the command with it.
    fn load(&self, raw: &mut Raw, command: &[u8]) -> (u32, Vec<u8>) {
        let parameters = [&self.private[..], &self.public].concat();
        let (rc, answer) = raw.authorized(cc::LOAD, &[SRK], &parameters);
        assert_eq!(rc, 0, "TPM2_Load");
        let mut command = command.to_vec();
        command[HANDLE].copy_from_slice(&answer[..4]);
        let handle = u32::from_be_bytes(answer[..4].try_into().expect("four bytes"));
        // The first use may have to wait for a self-test.
        while transmit_any(raw, &command) == tpm::rc::TESTING {}
        (handle, command)
    }
}

/// Has the TPM do all its self-tests now.
pub fn self_test(at: &Endpoint) {
    const SELF_TEST: u32 = 0x143;
    let mut raw = Raw::connect(at).expect("the TPM is there");
    let (rc, _) = raw.plain(SELF_TEST, &[1]);
    assert_eq!(rc, 0, "TPM2_SelfTest");
}

fn transmit(raw: &mut Raw, command: &[u8]) {
    assert_eq!(transmit_any(raw, command), 0, "the TPM's answer");
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
