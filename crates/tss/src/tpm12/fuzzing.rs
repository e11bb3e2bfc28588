//! What a TPM 1.2 and tcsd say: keys, packets, and a whole client under whom either says anything.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "not a public interface")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use crypto::Hash;
use crypto::fuzzing::input::Input;
use zeroize::Zeroizing;

use super::area::Area;
use super::blob::{KeyBlob, PublicKey, Template};
use super::client::{Client, Key, Options};
use super::commands::capability::{DaState, PermanentFlags, VersionInfo, VolatileFlags};
use super::constants::Ordinal;
use super::raw;
use super::rc::Code;
use super::secret::AuthValue;
use super::session::{RequestAuth, ResponseAuth};
use super::stored::{Registers, StoredData};
use super::tcsd::fuzzing as tcsd;
use super::transaction::exchange::{Answer, Command, Connect, Exchange};
use super::transaction::loaded::LoadedKeys;
use crate::error::Result;
use crate::transport::{Endpoint, Limits, Origin, Sharing};

/// The commands that are sent.
const ORDINALS: [Ordinal; 42] = [
    Ordinal::OIAP,
    Ordinal::OSAP,
    Ordinal::UNBIND,
    Ordinal::CREATE_WRAP_KEY,
    Ordinal::LOAD_KEY,
    Ordinal::GET_PUB_KEY,
    Ordinal::EVICT_KEY,
    Ordinal::SIGN,
    Ordinal::LOAD_KEY2,
    Ordinal::GET_RANDOM,
    Ordinal::STIR_RANDOM,
    Ordinal::SELF_TEST_FULL,
    Ordinal::GET_TEST_RESULT,
    Ordinal::GET_CAPABILITY,
    Ordinal::OWNER_READ_INTERNAL_PUB,
    Ordinal::TERMINATE_HANDLE,
    Ordinal::FLUSH_SPECIFIC,
    Ordinal::PCR_READ,
    Ordinal::SEAL,
    Ordinal::UNSEAL,
    Ordinal::TAKE_OWNERSHIP,
    Ordinal::CHANGE_AUTH_OWNER,
    Ordinal::EXTEND,
    Ordinal::SET_CAPABILITY,
    Ordinal::RESET_LOCK_VALUE,
    Ordinal::OWNER_CLEAR,
    Ordinal::OWNER_SET_DISABLE,
    Ordinal::PHYSICAL_PRESENCE,
    Ordinal::SET_OPERATOR_AUTH,
    Ordinal::CREATE_ENDORSEMENT_KEY_PAIR,
    Ordinal::READ_PUBEK,
    Ordinal::CREATE_REVOCABLE_EK,
    Ordinal::REVOKE_TRUST,
    Ordinal::PCR_RESET,
    Ordinal::NV_DEFINE_SPACE,
    Ordinal::NV_WRITE_VALUE,
    Ordinal::NV_READ_VALUE,
    Ordinal::NV_READ_VALUE_AUTH,
    Ordinal::CREATE_COUNTER,
    Ordinal::INCREMENT_COUNTER,
    Ordinal::READ_COUNTER,
    Ordinal::RELEASE_COUNTER,
];

/// Sealed data without registers.
const STORED: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 7, 7, 7, 7];

/// A key of openssl_tpm_engine's: a SIGNING or LEGACY `TPM_KEY`, as it is behind the DER's header.
fn blob() -> KeyBlob {
    Template::legacy(2048, false).blob(vec![0xc5; 256], vec![7; 256])
}

/// Structures by themselves: whatever is read is written again as it was.
pub fn tpm12_structures(data: &[u8]) {
    if let Ok(blob) = KeyBlob::parse(data) {
        assert_eq!(blob.as_bytes(), data);
        assert!(blob.public_bytes().len() < data.len());
        let _ = (
            blob.exponent(),
            blob.is_bound_to_pcrs(),
            blob.usage().name(),
        );
    }
    if let Ok(public) = PublicKey::parse(data) {
        assert_eq!(public.to_bytes(), data);
        let _ = public.exponent();
    }
    if let Ok(stored) = StoredData::parse(data) {
        assert_eq!(stored.as_bytes(), data);
        let _ = stored.binding();
    }
    if let Ok(area) = Area::parse(data) {
        let _ = (area.permissions.names(), area.read.is_limited());
    }
    let _ = PublicKey::of_key(data);
    let _ = VersionInfo::parse(data);
    let _ = PermanentFlags::parse(data);
    let _ = VolatileFlags::parse(data);
    let _ = DaState::parse(data);
    let table = LoadedKeys::from_record(data);
    assert_eq!(LoadedKeys::from_record(&table.to_record()), table);
}

/// One answer of a bare TPM to a command.
pub fn tpm12_replies(data: &[u8]) {
    let mut input = Input::new(data);
    let ordinal = input.choose(&ORDINALS);
    if let Ok(answer) = raw::read(ordinal, input.rest()) {
        assert!(answer.code == Code::SUCCESS || answer.parameters.is_empty());
    }
}

/// One packet of tcsd's in answer to a call, and the packet for the call.
pub fn tcsd_packets(data: &[u8]) {
    let mut input = Input::new(data);
    let ordinal = input.choose(&ORDINALS);
    let auth = input.flag().then_some(RequestAuth {
        handle: 7,
        odd: [1; 20],
        hmac: [2; 20],
    });
    let key = input.flag().then_some(0x2233_0000);
    let parameters = Zeroizing::new(input.bytes().to_vec());
    let command = Command {
        ordinal,
        key,
        parameters,
        auths: auth.into_iter().collect(),
    };
    tcsd::packets(&command, input.rest());
}

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::default();
}

#[derive(Default)]
struct Script {
    lines: VecDeque<u8>,
    record: Vec<u8>,
    daemon: bool,
    old: bool,
    /// How often it may still say that it is busy: each time is waited for.
    patience: u8,
}

impl Script {
    fn u8(&mut self) -> u8 {
        self.lines.pop_front().unwrap_or(0)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = match self.u8() {
            255 => usize::from(u16::from_be_bytes([self.u8(), self.u8()])),
            length => usize::from(length),
        };
        self.lines.drain(..length.min(self.lines.len())).collect()
    }
}

/// Everything that is asked of a client, on a TPM that says what the input makes it say, in a packet of its
/// own or with the right authorization around it.
pub fn scripted_tpm12(data: &[u8]) {
    let mut input = Input::new(data);
    let choices = input.u8();
    let operation = input.u8();
    let script = Script {
        daemon: choices & 1 != 0,
        old: choices & 2 != 0,
        record: match choices & 4 {
            0 => Vec::new(),
            _ => input.bytes().to_vec(),
        },
        lines: input.rest().iter().copied().collect(),
        patience: 2,
    };
    SCRIPT.set(script);
    let address = "swtpm:path=/nonexistent/scripted-tpm12".parse().unwrap();
    let endpoint = Endpoint::new(address, Origin::CommandLine).unwrap();
    let options = Options {
        limits: Limits::default(),
    };
    let client = Client::with_connector(endpoint, options, || Box::new(ScriptedTpm));
    let zeros = AuthValue::well_known();
    let key = Key::new(blob(), AuthValue::well_known());
    // Twice: the second time on what the first has left.
    for _ in 0..2 {
        match operation % 14 {
            0 => drop(client.sign(&key, &zeros, &[1; 51])),
            1 => drop(client.unbind(&key, &zeros, &[2; 256])),
            2 => {
                let template = Template::signing(2048, true);
                drop(client.create(&zeros, &template, &zeros, &zeros));
            }
            3 => drop(client.srk_public(&zeros)),
            4 => drop(client.srk_public_for_owner(&zeros)),
            5 => drop(client.version()),
            6 => drop(client.properties()),
            7 => drop(client.lockout()),
            8 => drop(client.loaded_keys()),
            9 => drop((client.self_test(), client.test_result())),
            10 => {
                if let Ok(bytes) = client.random(40) {
                    assert_eq!(bytes.len(), 40);
                }
            }
            11 => drop(client.stir_random(&[3; 300])),
            12 => {
                let registers = Registers::new(&[0, 16]);
                drop(client.seal(&zeros, &[4; 48], &zeros, registers.as_ref()));
            }
            _ => {
                if let Ok(data) = StoredData::parse(STORED) {
                    drop(client.unseal(&zeros, &data, &zeros));
                    drop(client.unseal_under(&key, &zeros, &data, &zeros));
                }
            }
        }
    }
    client.release();
}

struct ScriptedTpm;

impl Connect for ScriptedTpm {
    fn begin(&mut self, _: Option<Duration>) -> Result<Box<dyn Exchange + '_>> {
        Ok(Box::new(ScriptedTpm))
    }
}

impl Exchange for ScriptedTpm {
    fn exchange(&mut self, command: &Command) -> Result<Answer> {
        SCRIPT.with_borrow_mut(|script| answer(script, command))
    }

    fn sharing(&self) -> Sharing {
        match SCRIPT.with_borrow(|script| script.daemon) {
            true => Sharing::Daemon,
            false => Sharing::Bare,
        }
    }

    fn is_old(&self) -> Option<bool> {
        SCRIPT.with_borrow(|script| script.daemon.then_some(script.old))
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        Some(SCRIPT.with_borrow(|script| script.record.clone()))
    }

    fn set_record(&mut self, bytes: &[u8]) {
        SCRIPT.with_borrow_mut(|script| script.record = bytes.to_vec());
    }
}

fn answer(script: &mut Script, command: &Command) -> Result<Answer> {
    if script.lines.is_empty() {
        return Ok(Answer::refusal(Code(9)));
    }
    let mut given = match script.u8() & 7 {
        // A whole packet.
        0 => {
            let packet = script.bytes();
            match script.daemon {
                true => tcsd::answer(command, &packet)?,
                false => raw::read(command.ordinal, &packet)?,
            }
        }
        1 => Answer::refusal(Code(u32::from(script.u8()))),
        2 => Answer::refusal(Code(0x800 + u32::from(script.u8() & 7))),
        3 => Answer::refusal(Code(0x2000 + u32::from(script.u8()))),
        // Parameters, with an authorization that is right where the secret is the well-known one.
        choice => {
            let parameters = match choice {
                4 => script.bytes(),
                _ => likely(script, command),
            };
            Answer {
                code: Code::SUCCESS,
                handle: u32::from(script.u8()),
                auths: command
                    .auths
                    .iter()
                    .map(|auth| authorization(command.ordinal, &parameters, auth))
                    .collect(),
                parameters: Zeroizing::new(parameters),
            }
        }
    };
    let waited_for = given.code.is_busy() || given.code == Code::INVALID_AUTHHANDLE;
    if waited_for && script.patience == 0 {
        given = Answer::refusal(Code(9));
    }
    script.patience -= u8::from(waited_for && script.patience > 0);
    Ok(given)
}

fn authorization(ordinal: Ordinal, parameters: &[u8], request: &RequestAuth) -> ResponseAuth {
    let digest = crypto::hash(Hash::Sha1, &[&[0; 4], &ordinal.0.to_be_bytes(), parameters]);
    let even = [5; 20];
    let mac = crypto::hmac(Hash::Sha1, &[0; 20], &[&digest, &even, &request.odd, &[0]]);
    let mut hmac = [0; 20];
    hmac.copy_from_slice(&mac);
    ResponseAuth {
        even,
        continues: 0,
        hmac,
    }
}

/// What a TPM would say, of sizes that the script tells.
fn likely(script: &mut Script, command: &Command) -> Vec<u8> {
    let sized = |bytes: Vec<u8>| {
        let size = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
        [&size[..], &bytes].concat()
    };
    match command.ordinal {
        Ordinal::OIAP => vec![1; 24],
        Ordinal::OSAP => vec![1; 44],
        Ordinal::SIGN | Ordinal::UNBIND if script.u8() & 1 == 0 => sized(vec![3; 256]),
        Ordinal::CREATE_WRAP_KEY => blob().as_bytes().to_vec(),
        Ordinal::GET_PUB_KEY | Ordinal::OWNER_READ_INTERNAL_PUB => {
            PublicKey::from_modulus(&[0xc5; 256]).to_bytes()
        }
        Ordinal::LOAD_KEY => vec![0, 0, 0, script.u8()],
        Ordinal::PCR_READ => vec![script.u8(); 20],
        Ordinal::SEAL => STORED.to_vec(),
        Ordinal::LOAD_KEY2
        | Ordinal::EVICT_KEY
        | Ordinal::FLUSH_SPECIFIC
        | Ordinal::TERMINATE_HANDLE
        | Ordinal::STIR_RANDOM
        | Ordinal::SELF_TEST_FULL => Vec::new(),
        Ordinal::GET_RANDOM => {
            let size = usize::from(script.u8());
            sized(vec![9; size])
        }
        _ => sized(script.bytes()),
    }
}
