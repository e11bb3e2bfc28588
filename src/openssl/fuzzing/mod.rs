//! The dispatch tables as OpenSSL would use them, with a core made here: settings, decoders, and sequences of
//! calls with arbitrary parameters. All of it goes through `OSSL_provider_init` and the dispatch tables
//! that it hands out, so that under AddressSanitizer the whole boundary is checked.
//!
//! What the core is bound to by contract, this one keeps: pointers are valid for the sizes beside
//! them, arrays end, and contexts are used by one thread. Everything else is the input's choice.

mod dispatch;
mod fake;
mod host;
mod params;

use std::ffi::CString;
use std::net::IpAddr;
use std::ptr;

use crypto::fuzzing::input::Input;
use tss::tpm2::fuzzing::deceive;

use self::dispatch::Calls;
use self::fake::Bio;
use self::host::Provider;
use crate::openssl::abi::*;

pub(crate) use dispatch::dispatch;

/// A section of openssl.cnf: a line for each setting, `name = value`.
pub(crate) fn settings(data: &[u8]) {
    let mut section = Vec::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (name, value) = (line[..equals].trim_ascii(), line[equals + 1..].trim_ascii());
        if is_of_this_machine(name, value) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) {
            section.push((name, value));
        }
    }
    let provider = Provider::new(section);
    // Whatever is wrong with the settings is told by the first key, and by nothing before.
    let mut calls = Calls::new(&provider);
    calls.decode(KEY_FILE, 0);
    calls.end();
}

/// What an input must not touch: logging is for the whole process, files, directories and libtpms' state are
/// real, names of hosts would be asked of the network, and eager loading would talk to whoever listens.
fn is_of_this_machine(name: &[u8], value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let asks_network = text.split("host=").skip(1).any(|rest| {
        let host = rest.split(',').next().unwrap_or_default();
        host.trim_matches(['[', ']']).parse::<IpAddr>().is_err()
    });
    (name == b"log" && !text.starts_with('x'))
        || name == b"trust-dir"
        || (name == b"load" && text == "eager")
        || text.starts_with("file:")
        || text.starts_with("libtpms:")
        || asks_network
}

const KEY_FILE: &[u8] = include_bytes!("../../../crates/tss/src/tpm2/tests/data/e_ec.pem");

/// Bytes through a core BIO to every decoder; what becomes a key is asked everything.
pub(crate) fn decoders(data: &[u8]) {
    deceive(&[]);
    let mut input = Input::new(data);
    let selection = input.choose(&[0, 1, 2, 3, 0x87, -1]);
    let eager = input.flag();
    let provider = Provider::usual(false, eager);
    let mut calls = Calls::new(&provider);
    let bytes = input.rest();
    calls.decode(bytes, selection);
    for algorithm in provider.algorithms(OSSL_OP_DECODER) {
        let mut bio = Bio::new(bytes);
        algorithm.decode(&provider, &mut bio, selection, &mut |_, _| 0);
    }
    calls.look_at_keys();
    calls.end();
    assert!(provider.is_quiet() || provider.raised() > 0);
}

/// No callback argument.
const NOTHING: *mut std::ffi::c_void = ptr::null_mut();
