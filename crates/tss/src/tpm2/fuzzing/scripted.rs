//! A TPM that says what the input makes it say, under the whole client.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use crypto::fuzzing::input::Input;
use crypto::{Secret, der};
use zeroize::Zeroizing;

use super::policies;
use crate::tpm2::client::{Client, Options, Sessions};
use crate::tpm2::constants::{AlgId, CommandCode, handle, tag};
use crate::tpm2::pins::ParentName;
use crate::tpm2::public::{Parms, Unique};
use crate::tpm2::transaction::exchange::{Connect, Exchange};
use crate::tpm2::wire::{Reader, Writer};
use crate::tpm2::{
    DecryptScheme, Name, Object, Parent, PrimaryTemplate, Public, ResponseCode, SignScheme,
    registry,
};
use crate::tpm2::{Duplicate, Incoming};
use crate::transport::{Continuity, Endpoint, Limits, Origin, Sharing, TransportError};

/// Where the scripted TPM is, for those who reach it by a setting.
pub const ADDRESS: &str = "swtpm:path=/nonexistent/scripted-tpm";

const EC: &[u8] = include_bytes!("../tests/data/e_ec.pem");
const RSA: &[u8] = include_bytes!("../tests/data/j_rsa.pem");

/// A point on P-256: its generator.
pub const POINT: ([u8; 32], [u8; 32]) = (
    [
        0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40,
        0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98,
        0xc2, 0x96,
    ],
    [
        0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e,
        0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf,
        0x51, 0xf5,
    ],
);

thread_local! {
    /// What the TPM of this thread is going to say.
    static SCRIPT: RefCell<Script> = RefCell::default();
}

/// At the script's end every command succeeds, so that whoever asks for ever is found.
const STUBBORN: u8 = 16;

#[derive(Default)]
struct Script {
    lines: VecDeque<u8>,
    record: Vec<u8>,
    sharing: u8,
    /// How often it may still say that it is busy: each time is waited for.
    patience: u8,
    /// Whether the key that was loaded last is an RSA key.
    rsa: bool,
}

impl Script {
    fn u8(&mut self) -> u8 {
        self.lines.pop_front().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = match self.u8() {
            255 => usize::from(self.u16()),
            length => usize::from(length),
        };
        self.lines.drain(..length.min(self.lines.len())).collect()
    }

    /// As [`Script::bytes`]; when the script has none, what a TPM would say.
    fn bytes_or(&mut self, usual: &[u8]) -> Vec<u8> {
        match self.bytes() {
            empty if empty.is_empty() => usual.to_vec(),
            bytes => bytes,
        }
    }
}

/// Puts the scripted TPM at [`ADDRESS`], in place of the last one, with `script` to say.
pub fn deceive(script: &[u8]) {
    tell(script);
    for sessions in [Sessions::Auto, Sessions::Always, Sessions::Never] {
        registry::begin_anew(client(sessions, None, Limits::default()));
    }
}

/// The same for a user with `limits` of its own and without sessions, whom no other thread's scripted TPM disturbs.
pub fn deceive_one(script: &[u8], limits: Limits) {
    tell(script);
    registry::begin_anew(client(Sessions::Never, None, limits));
}

/// What the scripted TPM of this thread says next; what it has loaded stays.
pub fn tell(script: &[u8]) {
    let mut input = Input::new(script);
    let script = Script {
        sharing: input.u8(),
        record: match input.flag() {
            true => input.bytes().to_vec(),
            false => Vec::new(),
        },
        lines: input.rest().iter().copied().collect(),
        patience: 2,
        rsa: false,
    };
    SCRIPT.set(script);
}

fn client(sessions: Sessions, parent_name: Option<Name>, limits: Limits) -> Client {
    let address = ADDRESS.parse().unwrap();
    let endpoint = Endpoint::new(address, Origin::CommandLine).unwrap();
    let options = Options {
        sessions,
        parent_name: parent_name.map_or(ParentName::Any, ParentName::Only),
        limits,
    };
    Client::with_connector(endpoint, options, || Box::new(ScriptedTpm))
}

struct ScriptedTpm;

impl Connect for ScriptedTpm {
    fn begin(&mut self, _: Option<Duration>) -> Result<Box<dyn Exchange + '_>, TransportError> {
        Ok(Box::new(ScriptedTpm))
    }

    fn release(&mut self) {}
}

impl Exchange for ScriptedTpm {
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        // At the end of the process the script may be gone.
        let answer = SCRIPT.try_with(|script| answer(&mut script.borrow_mut(), command));
        answer.unwrap_or_else(|_| Ok(failed(0x101)))
    }

    fn continuity(&self) -> Continuity {
        let sharing = SCRIPT
            .try_with(|script| script.borrow().sharing)
            .unwrap_or(0);
        match sharing >> 2 & 3 {
            0 => Continuity::Released,
            1 => Continuity::Kept,
            _ => Continuity::Reset,
        }
    }

    fn sharing(&self) -> Sharing {
        let sharing = SCRIPT
            .try_with(|script| script.borrow().sharing)
            .unwrap_or(0);
        match sharing & 3 {
            0 | 1 => Sharing::Bare,
            2 => Sharing::Managed,
            _ => Sharing::InProcess,
        }
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        SCRIPT
            .try_with(|script| script.borrow().record.clone())
            .ok()
    }

    fn set_record(&mut self, bytes: &[u8]) {
        let _ = SCRIPT.try_with(|script| script.borrow_mut().record = bytes.to_vec());
    }
}

fn answer(script: &mut Script, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    assert_eq!(command[2..6], (command.len() as u32).to_be_bytes());
    if script.lines.is_empty() {
        if script.sharing & STUBBORN == 0 {
            return Ok(failed(0x101));
        }
        let (handle, parameters) = likely(script, command);
        return Ok(framed(command, handle, &parameters));
    }
    match script.u8() & 7 {
        0 => Ok(Zeroizing::new(script.bytes())),
        1 => {
            let code = u32::from(script.u16());
            let busy = ResponseCode(code).is_retry();
            if busy && script.patience == 0 {
                return Ok(failed(0x101));
            }
            script.patience -= u8::from(busy);
            Ok(failed(code))
        }
        2 => {
            let parameters = script.bytes();
            let handle = u32::from(script.u16()) << 16 | u32::from(script.u8());
            Ok(framed(command, handle, &parameters))
        }
        3 => {
            let (handle, mut parameters) = likely(script, command);
            let at = usize::from(script.u16()) % parameters.len().max(1);
            let change = script.u8();
            if let Some(byte) = parameters.get_mut(at) {
                *byte ^= change;
            }
            Ok(framed(command, handle, &parameters))
        }
        4 => {
            let (handle, parameters) = likely(script, command);
            let mut whole = framed(command, handle, &parameters).to_vec();
            whole.truncate(usize::from(script.u16()));
            Ok(Zeroizing::new(whole))
        }
        _ => {
            let (handle, parameters) = likely(script, command);
            Ok(framed(command, handle, &parameters))
        }
    }
}

fn failed(code: u32) -> Zeroizing<Vec<u8>> {
    let mut whole = Writer::new();
    whole.u16(tag::NO_SESSIONS).u32(10).u32(code);
    whole.finish("response").unwrap()
}

/// A response with a right header and, to a password, the right end.
fn framed(command: &[u8], handle: u32, parameters: &[u8]) -> Zeroizing<Vec<u8>> {
    let sessions = command[..2] == tag::SESSIONS.to_be_bytes();
    let mut body = Writer::new();
    if answers_handle(code_of(command)) {
        body.u32(handle);
    }
    match sessions {
        true => body
            .u32(parameters.len() as u32)
            .bytes(parameters)
            .bytes(&[0, 0, 1, 0, 0]),
        false => body.bytes(parameters),
    };
    let body = body.finish("response").unwrap();
    let mut whole = Writer::new();
    whole
        .bytes(&command[..2])
        .u32(10 + body.len() as u32)
        .u32(0)
        .bytes(&body);
    whole.finish("response").unwrap()
}

fn code_of(command: &[u8]) -> CommandCode {
    CommandCode(u32::from_be_bytes(command[6..10].try_into().unwrap()))
}

fn answers_handle(code: CommandCode) -> bool {
    matches!(
        code,
        CommandCode::LOAD
            | CommandCode::LOAD_EXTERNAL
            | CommandCode::CREATE_PRIMARY
            | CommandCode::CONTEXT_LOAD
            | CommandCode::START_AUTH_SESSION
            | CommandCode::HASH_SEQUENCE_START
    )
}

/// Handle and parameters of an answer that a TPM could give; at the script's end, that it would.
fn likely(script: &mut Script, command: &[u8]) -> (u32, Vec<u8>) {
    let mut out = Writer::new();
    let mut handle = handle::TRANSIENT_FIRST + u32::from(script.u8() & 3);
    let public = match script.u8() & 3 {
        0 => made_by(command).unwrap_or_else(|| object(EC).public),
        1 => object(RSA).public,
        2 => Public::ecc_primary().unwrap(),
        _ => Public::rsa_primary().unwrap(),
    };
    let name = public.name().unwrap_or_default();
    match code_of(command) {
        CommandCode::LOAD => {
            let loaded = loaded_by(command).unwrap_or(public);
            script.rsa = loaded.object_type() == AlgId::RSA;
            out.tpm2b(loaded.name().unwrap_or_default().as_bytes());
        }
        CommandCode::LOAD_EXTERNAL => {
            out.tpm2b(name.as_bytes());
        }
        CommandCode::READ_PUBLIC => {
            out.bytes(&public.to_tpm2b())
                .tpm2b(name.as_bytes())
                .tpm2b(name.as_bytes());
        }
        CommandCode::CREATE_PRIMARY => {
            out.bytes(&public.to_tpm2b()).tpm2b(&[]).tpm2b(&[]);
            out.u16(0x8021)
                .u32(handle::OWNER)
                .tpm2b(&[])
                .tpm2b(name.as_bytes());
        }
        CommandCode::CREATE => {
            out.tpm2b(&script.bytes_or(&[4; 40]))
                .bytes(&public.to_tpm2b());
        }
        CommandCode::START_AUTH_SESSION => {
            handle = handle::HMAC_SESSION_FIRST;
            out.tpm2b(&[7; 32]);
        }
        CommandCode::SIGN => {
            let usual = match script.rsa {
                true => AlgId::RSASSA.0,
                false => AlgId::ECDSA.0,
            };
            let scheme = usual ^ u16::from(script.u8());
            out.u16(scheme).u16(AlgId::SHA256.0);
            out.tpm2b(&script.bytes_or(if script.rsa { &[1; 256] } else { &[1; 32] }));
            if scheme >= AlgId::ECDSA.0 {
                out.tpm2b(&script.bytes_or(&[2; 32]));
            }
        }
        CommandCode::RSA_DECRYPT => {
            // A well padded block, for whoever takes the padding off in software.
            let block = [&[0, 2][..], &[7; 248], &[0], b"hello"].concat();
            out.tpm2b(&script.bytes_or(&block));
        }
        CommandCode::ECDH_ZGEN => {
            let (x, y) = (script.bytes_or(&POINT.0), script.bytes_or(&POINT.1));
            out.sized(|point| {
                point.tpm2b(&x).tpm2b(&y);
            });
        }
        CommandCode::HASH | CommandCode::SEQUENCE_COMPLETE => {
            out.tpm2b(&script.bytes_or(&[3; 32])).u16(tag::HASHCHECK);
            out.u32(handle::OWNER).tpm2b(&[1; 32]);
        }
        CommandCode::NV_READ_PUBLIC => {
            let size = script.u16();
            out.sized(|area| {
                area.u32(handle::NV_FIRST)
                    .u16(AlgId::SHA256.0)
                    .u32(0x2006_0000);
                area.tpm2b(&[]).u16(size);
            });
            out.tpm2b(name.as_bytes());
        }
        CommandCode::GET_CAPABILITY => {
            // The list that was asked for, with as many entries as there are bytes for.
            let entries = script.bytes();
            let width = match command.get(10..14) {
                Some([0, 0, 0, 0]) => 6,
                Some([0, 0, 0, 6]) => 8,
                Some([0, 0, 0, 8]) => 2,
                _ => 4,
            };
            out.u8(script.u8() & 1).bytes(&command[10..14]);
            out.u32((entries.len() / width) as u32).bytes(&entries);
        }
        CommandCode::FLUSH_CONTEXT | CommandCode::EVICT_CONTROL => {}
        _ => {
            out.tpm2b(&script.bytes());
        }
    }
    (handle, out.finish("response").unwrap().to_vec())
}

/// What TPM2_Create or TPM2_CreatePrimary asks for, made.
fn made_by(command: &[u8]) -> Option<Public> {
    if !matches!(
        code_of(command),
        CommandCode::CREATE | CommandCode::CREATE_PRIMARY
    ) {
        return None;
    }
    let mut reader = Reader::new(command.get(14..)?, "command");
    let size = reader.u32().ok()?;
    reader.bytes(size.try_into().ok()?).ok()?;
    reader.tpm2b().ok()?;
    let asked = Public::from_tpmt(reader.tpm2b().ok()?).ok()?;
    let unique = match asked.parms() {
        Parms::Rsa { bits, .. } => Unique::Rsa(vec![0xff; usize::from(*bits) / 8]),
        _ => Unique::Ecc {
            x: POINT.0.to_vec(),
            y: POINT.1.to_vec(),
        },
    };
    Public::assemble(
        asked.name_alg(),
        asked.attributes(),
        asked.auth_policy(),
        asked.parms().clone(),
        unique,
    )
    .ok()
}

/// The public area in a TPM2_Load.
fn loaded_by(command: &[u8]) -> Option<Public> {
    let mut reader = Reader::new(command.get(14..)?, "command");
    let size = reader.u32().ok()?;
    reader.bytes(size.try_into().ok()?).ok()?;
    reader.tpm2b().ok()?;
    Public::from_tpm2b(reader.rest()).ok()
}

fn object(pem: &[u8]) -> Object {
    let (_, der) = pem_rfc7468::decode_vec(pem).unwrap();
    let mut fields = der::Reader::new(&der).element().unwrap().reader();
    let mut next = |tag| loop {
        let field = fields.element().unwrap();
        if field.tag == tag {
            return field.content;
        }
    };
    let parent = next(der::tag::INTEGER);
    let parent = parent
        .iter()
        .fold(0, |parent, &octet| parent << 8 | u32::from(octet));
    let public = Public::from_tpm2b(next(der::tag::OCTET_STRING)).unwrap();
    let private = next(der::tag::OCTET_STRING).to_vec();
    Object::from_blob(public, private, Parent::new(parent)).unwrap()
}

/// Operations of a client, in the order that the input gives, on that TPM.
pub fn scripted_tpm(data: &[u8]) {
    let mut input = Input::new(data);
    let operations = input.bytes();
    let sessions = input.choose(&[Sessions::Auto, Sessions::Always, Sessions::Never]);
    let parent_name = input.flag().then(|| Name::from_bytes(&[0, 11, 1, 2, 3]));
    tell(input.rest());
    let client = client(sessions, parent_name, Limits::default());
    let mut parent = Parent::new(handle::OWNER);
    parent.template = PrimaryTemplate::Rsa;
    let mut object = [object(EC), object(RSA)];
    let mut steps = Input::new(operations);
    while !steps.is_empty() {
        let (step, detail) = (steps.u8(), steps.u8());
        let auth = match detail & 2 {
            0 => Secret::empty(),
            _ => Secret::from(&b"pin"[..]),
        };
        if detail & 4 == 4 {
            object[0].source = crate::tpm2::Source::Persistent(handle::SRK);
        }
        let key = &object[usize::from(detail & 1)];
        match step % 24 {
            22.. => policies::operate(&client, detail, key, &auth),
            step => operate(&client, step, key, &parent, &auth),
        }
    }
    client.release_at_exit();
}

fn operate(client: &Client, step: u8, key: &Object, parent: &Parent, auth: &Secret) {
    let result = match step {
        0 => client
            .sign(key, auth, SignScheme::Ecdsa(AlgId::SHA256), &[1; 32])
            .map(drop),
        1 => client
            .sign(key, auth, SignScheme::Rsapss(AlgId::SHA256), &[1; 32])
            .map(drop),
        2 => client
            .sign_restricted(key, auth, SignScheme::Null, AlgId::SHA256, &[1; 40])
            .map(drop),
        3 => client
            .sign_restricted(key, auth, SignScheme::Null, AlgId::SHA256, &[1; 3000])
            .map(drop),
        4 => client
            .rsa_decrypt(key, auth, DecryptScheme::Rsaes, &[1; 256], &[])
            .map(drop),
        5 => client.rsa_sign_block(key, auth, &[1; 256]).map(drop),
        6 => client.ecdh_z(key, auth, &[1; 32], &[2; 32]).map(drop),
        7 => client
            .create(parent, &Public::ecc_primary().unwrap(), auth)
            .map(drop),
        8 => client.read_public(handle::SRK).map(drop),
        9 => client
            .import(
                parent,
                &key.public,
                Incoming::Duplicate(&Duplicate {
                    private: vec![0, 1, 1],
                    encrypted_seed: vec![0, 1, 1],
                }),
            )
            .map(drop),
        10 => client.evict_control(key, handle::SRK + 1, auth),
        11 => client
            .sign(key, auth, SignScheme::Null, &[1; 32])
            .map(|_| client.release()),
        12 => {
            client.release();
            Ok(())
        }
        13 => {
            client.forget(key);
            Ok(())
        }
        14 => client
            .lockout()
            .map(|lockout| assert!(lockout.tries_left() <= lockout.max_tries)),
        15 => client.capability_properties(0x100, 0x300).map(drop),
        16 => client
            .loaded_objects()
            .and_then(|_| client.loaded_sessions())
            .map(drop),
        17 => client
            .algorithms()
            .and_then(|_| client.commands())
            .map(drop),
        18 => client
            .curves()
            .and_then(|_| client.rsa_sizes(&[2048, 3072]))
            .map(drop),
        19 => client.random(100).map(|bytes| assert_eq!(bytes.len(), 100)),
        20 => client.nv_read(handle::NV_FIRST).map(drop),
        _ => client
            .test_result()
            .and_then(|_| client.flush(handle::TRANSIENT_FIRST)),
    };
    if let Err(error) = result {
        let _ = (
            error.to_string(),
            error.code(),
            error.is_authorization_failure(),
        );
    }
}
