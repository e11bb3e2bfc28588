//! Key management and encoders.

use openssl_sys::OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;
use std::ffi::{c_int, c_void};
use std::ptr;

use crypto::fuzzing::input::Input;

use super::super::NOTHING;
use super::super::fake::Bio;
use super::super::host::{Algorithm, called, entry_point, passphrase};
use super::super::params::Array;
use super::{Calls, HandedOut, free_key, hold, octets};
use crate::openssl::abi::*;

impl Calls<'_> {
    /// Everything that can be asked about every key.
    pub(in super::super) fn look_at_keys(&mut self) {
        for key in self.keys.clone() {
            // Numbers, texts, octets: a name asked for as another type is an error, not an answer.
            for data_type in [1, 2, 4, 5] {
                let mut all = Array::of_all(data_type);
                call!(
                    key.algorithm,
                    OSSL_FUNC_KEYMGMT_GET_PARAMS,
                    fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
                    key.raw,
                    all.as_mut_ptr()
                );
                all.check();
            }
            for selection in [1, 2, 3, 4, 0x84, 0x86, 0x87, -1] {
                self.export(key, selection);
                self.has(key, selection);
            }
            for encoder in self.provider.algorithms(OSSL_OP_ENCODER) {
                self.encode(encoder, key, 0x87, ptr::null());
            }
        }
    }

    fn has(&self, key: HandedOut, selection: c_int) {
        for other in &self.keys {
            call!(
                key.algorithm,
                OSSL_FUNC_KEYMGMT_MATCH,
                fn(*const c_void, *const c_void, c_int) -> c_int,
                key.raw,
                other.raw,
                selection
            );
        }
        call!(
            key.algorithm,
            OSSL_FUNC_KEYMGMT_HAS,
            fn(*const c_void, c_int) -> c_int,
            key.raw,
            selection
        );
        call!(
            key.algorithm,
            OSSL_FUNC_KEYMGMT_VALIDATE,
            fn(*const c_void, c_int, c_int) -> c_int,
            key.raw,
            selection,
            0
        );
    }

    /// What is exported must be taken by an import, or refused by it in an orderly way; private parts
    /// are never among it.
    fn export(&self, key: HandedOut, selection: c_int) {
        let Some(&empty) = self
            .keymgmt
            .iter()
            .find(|algorithm| algorithm.names == key.algorithm.names)
        else {
            return;
        };
        let mut callback = |params: *const OSSL_PARAM| {
            // SAFETY: an exported array ends.
            assert!(unsafe { octets(params, c"priv") }.is_none());
            let copy = self.new_key(empty);
            call!(
                empty,
                OSSL_FUNC_KEYMGMT_IMPORT,
                fn(*mut c_void, c_int, *const OSSL_PARAM) -> c_int,
                copy.raw,
                selection,
                params
            );
            free_key(copy);
            1
        };
        let mut callback: &mut dyn FnMut(*const OSSL_PARAM) -> c_int = &mut callback;
        call!(
            key.algorithm,
            OSSL_FUNC_KEYMGMT_EXPORT,
            fn(*mut c_void, c_int, Option<OSSL_CALLBACK>, *mut c_void) -> c_int,
            key.raw,
            selection,
            Some(called),
            (&raw mut callback).cast()
        );
    }

    fn encode(
        &self,
        encoder: Algorithm,
        key: HandedOut,
        selection: c_int,
        params: *const OSSL_PARAM,
    ) {
        let Some(context) = self.new_context(encoder, OSSL_FUNC_ENCODER_NEWCTX) else {
            return;
        };
        call!(
            encoder,
            OSSL_FUNC_ENCODER_SET_CTX_PARAMS,
            fn(*mut c_void, *const OSSL_PARAM) -> c_int,
            context,
            params
        );
        let mut bio = Bio::new(&[]);
        let done = call!(
            encoder,
            OSSL_FUNC_ENCODER_ENCODE,
            fn(
                *mut c_void,
                *mut OSSL_CORE_BIO,
                *const c_void,
                *const OSSL_PARAM,
                c_int,
                Option<OSSL_PASSPHRASE_CALLBACK>,
                *mut c_void,
            ) -> c_int,
            context,
            bio.as_core(),
            key.raw,
            ptr::null(),
            selection,
            Some(passphrase),
            NOTHING
        );
        // An RSA key has no text of parameters alone.
        let parameters = selection != 0 && selection & !OSSL_KEYMGMT_SELECT_ALL_PARAMETERS == 0;
        if done == Some(1) && !parameters {
            assert!(!bio.into_output().is_empty());
        }
        call!(
            encoder,
            OSSL_FUNC_ENCODER_FREECTX,
            fn(*mut c_void) -> (),
            context
        );
    }

    pub(super) fn key_call(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        let algorithm = input.choose(&self.keymgmt);
        let selection = input.choose(&[1, 2, 4, 0x80, 0x84, 0x86, 0x87, 3, 0, -1]);
        if step.is_multiple_of(10) {
            let key = self.new_key(algorithm);
            return self.hold_key(key);
        }
        if step % 10 == 1 {
            return self.decode(input.bytes(), selection);
        }
        let Some(&key) = self
            .keys
            .get(usize::from(input.u8()) % self.keys.len().max(1))
        else {
            return;
        };
        let mut params = Array::any(input);
        match step % 10 {
            2 | 3 => {
                // Import fills what is new and nobody else's.
                let new = self.new_key(algorithm);
                call!(
                    algorithm,
                    OSSL_FUNC_KEYMGMT_IMPORT,
                    fn(*mut c_void, c_int, *const OSSL_PARAM) -> c_int,
                    new.raw,
                    selection,
                    params.as_ptr()
                );
                self.hold_key(new);
            }
            4 | 5 => {
                call!(
                    key.algorithm,
                    OSSL_FUNC_KEYMGMT_GET_PARAMS,
                    fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
                    key.raw,
                    params.as_mut_ptr()
                );
                params.check();
            }
            6 => {
                call!(
                    key.algorithm,
                    OSSL_FUNC_KEYMGMT_SET_PARAMS,
                    fn(*mut c_void, *const OSSL_PARAM) -> c_int,
                    key.raw,
                    params.as_ptr()
                );
            }
            7 => {
                let copy = call!(
                    key.algorithm,
                    OSSL_FUNC_KEYMGMT_DUP,
                    fn(*const c_void, c_int) -> *mut c_void,
                    key.raw,
                    selection
                );
                let raw = copy.unwrap_or(ptr::null_mut());
                self.hold_key(HandedOut { raw, ..key });
            }
            8 => {
                self.export(key, selection);
                self.has(key, selection);
            }
            _ => {
                let encoders = self.provider.algorithms(OSSL_OP_ENCODER);
                self.encode(input.choose(&encoders), key, selection, params.as_ptr());
            }
        }
    }

    pub(super) fn generation_call(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        if step.is_multiple_of(4) || self.generations.is_empty() {
            let algorithm = input.choose(&self.keymgmt);
            let selection = input.choose(&[0x87, 0x84, 4, 3, 0]);
            let params = Array::any(input);
            let raw = call!(
                algorithm,
                OSSL_FUNC_KEYMGMT_GEN_INIT,
                fn(*mut c_void, c_int, *const OSSL_PARAM) -> *mut c_void,
                self.provider.context,
                selection,
                params.as_ptr()
            );
            return hold(
                &mut self.generations,
                algorithm,
                raw,
                OSSL_FUNC_KEYMGMT_GEN_CLEANUP,
            );
        }
        let held = self.generations[usize::from(step >> 2) % self.generations.len()];
        match step % 4 {
            1 => held.set_params(OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, input),
            2 => {
                let template = self.some_key(input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE,
                    fn(*mut c_void, *mut c_void) -> c_int,
                    held.raw,
                    template
                );
            }
            _ => {
                let go_on = c_int::from(!input.flag());
                let mut callback = |_: *const OSSL_PARAM| go_on;
                let mut callback: &mut dyn FnMut(*const OSSL_PARAM) -> c_int = &mut callback;
                let raw = call!(
                    held.algorithm,
                    OSSL_FUNC_KEYMGMT_GEN,
                    fn(*mut c_void, Option<OSSL_CALLBACK>, *mut c_void) -> *mut c_void,
                    held.raw,
                    Some(called),
                    (&raw mut callback).cast()
                );
                let raw = raw.unwrap_or(ptr::null_mut());
                self.hold_key(HandedOut { raw, ..held });
            }
        }
    }
}
