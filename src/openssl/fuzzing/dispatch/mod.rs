//! Sequences of calls on everything that a provider hands out.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use ::keys::tss2::KeyFile;
use crypto::fuzzing::input::Input;
use tss::tpm2::Attributes;
use tss::tpm2::fuzzing::deceive;

use super::fake::Bio;
use super::host::{Algorithm, Provider, entry_point};
use crate::openssl::abi::*;

/// Calls the function of an identifier, if the table has it; the result, or the type's default.
macro_rules! call {
    ($algorithm:expr, $id:ident, fn($($arg:ty),* $(,)?) -> $ret:ty, $($value:expr),*) => {
        match entry_point!($algorithm.table, $id, fn($($arg),*) -> $ret) {
            // SAFETY: contexts and key data are those of this algorithm's functions, buffers and
            // arrays live across the call and have the sizes beside them.
            Some(function) => Some(unsafe { function($($value),*) }),
            None => None,
        }
    };
}

mod buffers;
mod contexts;
mod keys;
mod others;
mod signatures;
mod stand_ins;

const EC_KEY_FILE: &[u8] = include_bytes!("../../../../crates/tss/src/tpm2/tests/data/o_ec.pem");
const RSA_KEY_FILE: &[u8] = include_bytes!("../../../../crates/tss/src/tpm2/tests/data/j_rsa.pem");
/// What the keys may do.
const ABILITIES: [u32; 4] = [
    Attributes::SIGN.0 | Attributes::DECRYPT.0,
    Attributes::DECRYPT.0,
    Attributes::SIGN.0 | Attributes::RESTRICTED.0,
    Attributes::SIGN.0,
];
/// More calls than this say nothing new.
const MOST_CALLS: usize = 64;
/// More contexts or keys than this are given back first.
const MOST_HELD: usize = 4;

/// The input's calls, on a TPM that says what the input wants.
pub(crate) fn dispatch(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.u8();
    deceive(input.bytes());
    let provider = Provider::usual(settings & 1 == 1, settings & 2 == 2);
    let mut calls = Calls::new(&provider);
    if settings & 4 == 0 {
        let abilities = ABILITIES[usize::from(settings >> 4 & 3)];
        calls.decode(key_file(EC_KEY_FILE, abilities).as_bytes(), 0);
        calls.decode(key_file(RSA_KEY_FILE, abilities).as_bytes(), 0);
    }
    for _ in 0..MOST_CALLS {
        if input.is_empty() {
            break;
        }
        calls.call(&mut input);
    }
    if settings & 8 == 8 {
        calls.look_at_keys();
    }
    calls.end();
}

/// The key file with these abilities and no others; the TPM behind does not mind.
fn key_file(pem: &[u8], abilities: u32) -> String {
    let mut file = KeyFile::from_pem(pem).unwrap();
    // Behind size, type and name algorithm (Part 2, 12.2.4).
    let attributes = file.public[6..].first_chunk_mut().unwrap();
    let others = u32::from_be_bytes(*attributes) & !(ABILITIES[0] | ABILITIES[2]);
    *attributes = (others | abilities).to_be_bytes();
    file.to_pem()
}

/// Something that OpenSSL holds: which algorithm made it, and where it is.
#[derive(Clone, Copy)]
struct HandedOut {
    algorithm: Algorithm,
    raw: *mut c_void,
}

/// Everything of a provider that is held at a time.
pub(super) struct Calls<'a> {
    provider: &'a Provider,
    keymgmt: Vec<Algorithm>,
    signature: Vec<Algorithm>,
    cipher: Vec<Algorithm>,
    exchange: Vec<Algorithm>,
    digest: Vec<Algorithm>,
    random: Vec<Algorithm>,
    keys: Vec<HandedOut>,
    signatures: Vec<HandedOut>,
    ciphers: Vec<HandedOut>,
    exchanges: Vec<HandedOut>,
    generations: Vec<HandedOut>,
    digests: Vec<HandedOut>,
    randoms: Vec<HandedOut>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(provider: &'a Provider) -> Self {
        Self {
            provider,
            keymgmt: provider.algorithms(OSSL_OP_KEYMGMT),
            signature: provider.algorithms(OSSL_OP_SIGNATURE),
            cipher: provider.algorithms(OSSL_OP_ASYM_CIPHER),
            exchange: provider.algorithms(OSSL_OP_KEYEXCH),
            digest: provider.stand_ins(OSSL_OP_DIGEST),
            random: provider.stand_ins(OSSL_OP_RAND),
            keys: Vec::new(),
            signatures: Vec::new(),
            ciphers: Vec::new(),
            exchanges: Vec::new(),
            generations: Vec::new(),
            digests: Vec::new(),
            randoms: Vec::new(),
        }
    }

    /// PEM to DER to a key, as OpenSSL chains decoders: each has its turn until one delivers.
    pub(super) fn decode(&mut self, pem: &[u8], selection: c_int) {
        let decoders = self.provider.algorithms(OSSL_OP_DECODER);
        let mut der = Vec::new();
        for decoder in &decoders {
            der = decoder.decode(
                self.provider,
                &mut Bio::new(pem),
                selection,
                &mut |params, out| {
                    // SAFETY: a decoder's parameters are an ended array, and its buffers have the sizes
                    // that they say.
                    unsafe {
                        if let Some((data, size)) = octets(params, c"data") {
                            out.extend_from_slice(std::slice::from_raw_parts(data.cast(), size));
                        }
                    }
                    1
                },
            );
            if !der.is_empty() {
                break;
            }
        }
        let input = if der.is_empty() { pem } else { &der };
        for decoder in &decoders {
            let keymgmt = &self.keymgmt;
            let mut key = None;
            decoder.decode(
                self.provider,
                &mut Bio::new(input),
                selection,
                &mut |params, _| {
                    // SAFETY: as above.
                    key = unsafe { loaded(params, keymgmt) };
                    1
                },
            );
            if let Some(key) = key {
                return self.hold_key(key);
            }
        }
    }

    fn hold_key(&mut self, key: HandedOut) {
        if key.raw.is_null() {
            return;
        }
        if self.keys.len() == MOST_HELD {
            let oldest = self.keys.remove(0);
            free_key(oldest);
        }
        self.keys.push(key);
    }

    fn new_key(&self, algorithm: Algorithm) -> HandedOut {
        let raw = self.new_context(algorithm, OSSL_FUNC_KEYMGMT_NEW);
        HandedOut {
            algorithm,
            raw: raw.unwrap_or(ptr::null_mut()),
        }
    }

    /// One call.
    fn call(&mut self, input: &mut Input<'_>) {
        match input.u8() % 10 {
            0 => self.key_call(input),
            1 => self.generation_call(input),
            2..=4 => self.signature_call(input),
            5 => self.cipher_call(input),
            6 => self.exchange_call(input),
            7 => self.store_call(input),
            8 => self.digest_call(input),
            _ => self.random_call(input),
        }
    }

    /// One of the keys, or sometimes none.
    fn some_key(&self, input: &mut Input<'_>) -> *mut c_void {
        let choice = usize::from(input.u8());
        match self.keys.len() {
            0 => ptr::null_mut(),
            count if choice % 8 != 7 => self.keys[choice % count].raw,
            _ => ptr::null_mut(),
        }
    }

    /// Gives everything back.
    pub(super) fn end(&mut self) {
        self.keys.drain(..).for_each(free_key);
        for (held, id) in [
            (&mut self.signatures, OSSL_FUNC_SIGNATURE_FREECTX),
            (&mut self.ciphers, OSSL_FUNC_ASYM_CIPHER_FREECTX),
            (&mut self.exchanges, OSSL_FUNC_KEYEXCH_FREECTX),
            (&mut self.generations, OSSL_FUNC_KEYMGMT_GEN_CLEANUP),
            (&mut self.digests, OSSL_FUNC_DIGEST_FREECTX),
            (&mut self.randoms, OSSL_FUNC_RAND_FREECTX),
        ] {
            held.drain(..).for_each(|held| free(held, id));
        }
    }
}

fn hold(
    place: &mut Vec<HandedOut>,
    algorithm: Algorithm,
    raw: Option<*mut c_void>,
    freed_by: c_int,
) {
    let Some(raw) = raw.filter(|raw| !raw.is_null()) else {
        return;
    };
    if place.len() == MOST_HELD {
        free(place.remove(0), freed_by);
    }
    place.push(HandedOut { algorithm, raw });
}

fn free(held: HandedOut, id: c_int) {
    let free = entry_point!(held.algorithm.table, id, fn(*mut c_void) -> ());
    // SAFETY: the context is of this algorithm, and nobody has it any more.
    unsafe { free.unwrap()(held.raw) };
}

fn free_key(key: HandedOut) {
    free(key, OSSL_FUNC_KEYMGMT_FREE);
}

/// The parameter of this name: its buffer and size.
///
/// # Safety
///
/// `params` must be an ended array.
unsafe fn octets(params: *const OSSL_PARAM, name: &CStr) -> Option<(*const c_void, usize)> {
    // SAFETY: the caller vouches for the array.
    unsafe {
        let mut next = params;
        while !(*next).key.is_null() {
            if CStr::from_ptr((*next).key) == name {
                return Some(((*next).data.cast_const(), (*next).data_size));
            }
            next = next.add(1);
        }
    }
    None
}

/// The key that is lent by reference, loaded by its type's keymgmt.
///
/// # Safety
///
/// `params` must be what a decoder or a store hands to its callback.
unsafe fn loaded(params: *const OSSL_PARAM, keymgmt: &[Algorithm]) -> Option<HandedOut> {
    // SAFETY: the caller vouches for the array and what is in it.
    let ((reference, size), name) = unsafe {
        let (name, length) = octets(params, c"data-type")?;
        let name = std::slice::from_raw_parts(name.cast::<u8>(), length);
        (octets(params, c"reference")?, name)
    };
    let name = std::str::from_utf8(name).unwrap();
    let algorithm = *keymgmt.iter().find(|algorithm| algorithm.is(name)).unwrap();
    let load = entry_point!(
        algorithm.table,
        OSSL_FUNC_KEYMGMT_LOAD,
        fn(*const c_void, usize) -> *mut c_void
    );
    // SAFETY: as above; the reference is lent for the time of this call.
    let raw = unsafe { load.unwrap()(reference, size) };
    Some(HandedOut { algorithm, raw })
}
