//! Decryption, key agreement and the store.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;

use super::super::NOTHING;
use super::super::host::{called, door, passphrase};
use super::super::params::Array;
use super::buffers::{Exact, Out, text};
use super::{House, hold, loaded};
use crate::fuzzing::input::Input;
use crate::provider::abi::*;

impl House<'_> {
    pub(super) fn cipher_call(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        if step.is_multiple_of(8) || self.ciphers.is_empty() {
            let algorithm = input.choose(&self.cipher);
            let raw = call!(
                algorithm,
                OSSL_FUNC_ASYM_CIPHER_NEWCTX,
                fn(*mut c_void) -> *mut c_void,
                self.provider.context
            );
            return hold(
                &mut self.ciphers,
                algorithm,
                raw,
                OSSL_FUNC_ASYM_CIPHER_FREECTX,
            );
        }
        let held = self.ciphers[usize::from(input.u8()) % self.ciphers.len()];
        let (table, raw) = (held.algorithm, held.raw);
        macro_rules! init {
            ($id:ident) => {{
                let key = self.some_key(input);
                let params = Array::any(input);
                call!(
                    table,
                    $id,
                    fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
                    raw,
                    key,
                    params.as_ptr()
                );
            }};
        }
        macro_rules! work {
            ($id:ident) => {{
                let mut out = Out::any(input);
                let data = Exact::any(input);
                let done = call!(
                    table,
                    $id,
                    fn(
                        *mut c_void,
                        *mut c_uchar,
                        *mut usize,
                        usize,
                        *const c_uchar,
                        usize,
                    ) -> c_int,
                    raw,
                    out.data(),
                    &mut out.len,
                    out.size(),
                    data.data(),
                    data.size()
                );
                out.check(done);
            }};
        }
        match step % 8 {
            1 => init!(OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT),
            2 => init!(OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT),
            3 => work!(OSSL_FUNC_ASYM_CIPHER_ENCRYPT),
            4 => work!(OSSL_FUNC_ASYM_CIPHER_DECRYPT),
            5 => {
                let copy = call!(
                    table,
                    OSSL_FUNC_ASYM_CIPHER_DUPCTX,
                    fn(*mut c_void) -> *mut c_void,
                    raw
                );
                hold(
                    &mut self.ciphers,
                    table,
                    copy,
                    OSSL_FUNC_ASYM_CIPHER_FREECTX,
                );
            }
            6 => {
                let mut params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS,
                    fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
                    raw,
                    params.as_mut_ptr()
                );
                params.check();
            }
            _ => {
                let params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS,
                    fn(*mut c_void, *const OSSL_PARAM) -> c_int,
                    raw,
                    params.as_ptr()
                );
            }
        }
    }

    pub(super) fn exchange_call(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        if step.is_multiple_of(8) || self.exchanges.is_empty() {
            let algorithm = input.choose(&self.exchange);
            let raw = call!(
                algorithm,
                OSSL_FUNC_KEYEXCH_NEWCTX,
                fn(*mut c_void) -> *mut c_void,
                self.provider.context
            );
            return hold(
                &mut self.exchanges,
                algorithm,
                raw,
                OSSL_FUNC_KEYEXCH_FREECTX,
            );
        }
        let held = self.exchanges[usize::from(input.u8()) % self.exchanges.len()];
        let (table, raw) = (held.algorithm, held.raw);
        match step % 8 {
            1 | 2 => {
                let key = self.some_key(input);
                let params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_KEYEXCH_INIT,
                    fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
                    raw,
                    key,
                    params.as_ptr()
                );
            }
            3 => {
                let key = self.some_key(input);
                call!(
                    table,
                    OSSL_FUNC_KEYEXCH_SET_PEER,
                    fn(*mut c_void, *mut c_void) -> c_int,
                    raw,
                    key
                );
            }
            4 => {
                let mut out = Out::any(input);
                let done = call!(
                    table,
                    OSSL_FUNC_KEYEXCH_DERIVE,
                    fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
                    raw,
                    out.data(),
                    &mut out.len,
                    out.size()
                );
                out.check(done);
            }
            5 => {
                let copy = call!(
                    table,
                    OSSL_FUNC_KEYEXCH_DUPCTX,
                    fn(*mut c_void) -> *mut c_void,
                    raw
                );
                hold(&mut self.exchanges, table, copy, OSSL_FUNC_KEYEXCH_FREECTX);
            }
            6 => {
                let mut params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS,
                    fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
                    raw,
                    params.as_mut_ptr()
                );
                params.check();
            }
            _ => {
                let params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS,
                    fn(*mut c_void, *const OSSL_PARAM) -> c_int,
                    raw,
                    params.as_ptr()
                );
            }
        }
    }

    /// A store from its URI to its end.
    pub(super) fn store_call(&mut self, input: &mut Input<'_>) {
        let store = input.choose(&self.provider.algorithms(OSSL_OP_STORE));
        let uri = match input.u8() & 3 {
            0 => text(input),
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
