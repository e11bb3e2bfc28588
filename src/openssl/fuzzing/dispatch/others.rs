//! Decryption, key agreement and the store.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use crypto::fuzzing::input::Input;

use super::super::NOTHING;
use super::super::host::{called, entry_point, passphrase};
use super::super::params::Array;
use super::buffers::text;
use super::{Calls, HandedOut, hold, loaded};
use crate::openssl::abi::*;

impl Calls<'_> {
    pub(super) fn cipher_call(&mut self, input: &mut Input<'_>) {
        const FREE: c_int = OSSL_FUNC_ASYM_CIPHER_FREECTX;
        let step = input.u8();
        if step.is_multiple_of(8) || self.ciphers.is_empty() {
            let algorithm = input.choose(&self.cipher);
            let raw = self.new_context(algorithm, OSSL_FUNC_ASYM_CIPHER_NEWCTX);
            return hold(&mut self.ciphers, algorithm, raw, FREE);
        }
        let held = HandedOut::choose(&self.ciphers, input);
        match step % 8 {
            1 => self.init(held, OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, input),
            2 => self.init(held, OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, input),
            3 => held.one_shot(OSSL_FUNC_ASYM_CIPHER_ENCRYPT, input),
            4 => held.one_shot(OSSL_FUNC_ASYM_CIPHER_DECRYPT, input),
            5 => {
                let copy = held.copy(OSSL_FUNC_ASYM_CIPHER_DUPCTX);
                hold(&mut self.ciphers, held.algorithm, copy, FREE);
            }
            6 => held.get_params(OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS, input),
            _ => held.set_params(OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, input),
        }
    }

    pub(super) fn exchange_call(&mut self, input: &mut Input<'_>) {
        const FREE: c_int = OSSL_FUNC_KEYEXCH_FREECTX;
        let step = input.u8();
        if step.is_multiple_of(8) || self.exchanges.is_empty() {
            let algorithm = input.choose(&self.exchange);
            let raw = self.new_context(algorithm, OSSL_FUNC_KEYEXCH_NEWCTX);
            return hold(&mut self.exchanges, algorithm, raw, FREE);
        }
        let held = HandedOut::choose(&self.exchanges, input);
        match step % 8 {
            1 | 2 => self.init(held, OSSL_FUNC_KEYEXCH_INIT, input),
            3 => {
                let key = self.some_key(input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_KEYEXCH_SET_PEER,
                    fn(*mut c_void, *mut c_void) -> c_int,
                    held.raw,
                    key
                );
            }
            4 => held.finish(OSSL_FUNC_KEYEXCH_DERIVE, input),
            5 => {
                let copy = held.copy(OSSL_FUNC_KEYEXCH_DUPCTX);
                hold(&mut self.exchanges, held.algorithm, copy, FREE);
            }
            6 => held.get_params(OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, input),
            _ => held.set_params(OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, input),
        }
    }

    /// A store from its URI to its end.
    pub(super) fn store_call(&mut self, input: &mut Input<'_>) {
        let store = input.choose(&self.provider.algorithms(OSSL_OP_STORE));
        // Files are of this machine.
        let is_file = |uri: &CString| uri.to_bytes().starts_with(b"object:");
        let uri = match input.u8() & 7 {
            0 | 4 => text(input).filter(|uri| !is_file(uri)),
            5 => Some(c"object:/nonexistent/fuzz".to_owned()),
            1 => Some(c"handle:0x81000001".to_owned()),
            2 => Some(c"handle:0x01c00002".to_owned()),
            _ => Some(c"handle:0x81000002?pass".to_owned()),
        };
        let context = call!(
            store,
            OSSL_FUNC_STORE_OPEN,
            fn(*mut c_void, *const c_char) -> *mut c_void,
            self.provider.context,
            uri.as_ref().map_or(ptr::null(), |uri| uri.as_ptr())
        );
        let Some(context) = context.filter(|context| !context.is_null()) else {
            return;
        };
        let params = Array::any(input);
        call!(
            store,
            OSSL_FUNC_STORE_SET_CTX_PARAMS,
            fn(*mut c_void, *const OSSL_PARAM) -> c_int,
            context,
            params.as_ptr()
        );
        let keymgmt = self.keymgmt.clone();
        let mut keys = Vec::new();
        let mut callback = |params: *const OSSL_PARAM| {
            // SAFETY: a store's parameters are an ended array.
            keys.extend(unsafe { loaded(params, &keymgmt) });
            1
        };
        let mut callback: &mut dyn FnMut(*const OSSL_PARAM) -> c_int = &mut callback;
        call!(
            store,
            OSSL_FUNC_STORE_LOAD,
            fn(
                *mut c_void,
                Option<OSSL_CALLBACK>,
                *mut c_void,
                Option<OSSL_PASSPHRASE_CALLBACK>,
                *mut c_void,
            ) -> c_int,
            context,
            Some(called),
            (&raw mut callback).cast(),
            Some(passphrase),
            NOTHING
        );
        call!(
            store,
            OSSL_FUNC_STORE_EOF,
            fn(*mut c_void) -> c_int,
            context
        );
        call!(
            store,
            OSSL_FUNC_STORE_CLOSE,
            fn(*mut c_void) -> c_int,
            context
        );
        keys.into_iter().for_each(|key| self.hold_key(key));
    }
}
