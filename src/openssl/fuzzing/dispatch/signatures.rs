//! Signatures.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;

use crypto::fuzzing::input::Input;

use super::super::host::entry_point;
use super::super::params::Array;
use super::buffers::{Exact, text};
use super::{Calls, HandedOut, hold};
use crate::openssl::abi::*;

impl Calls<'_> {
    pub(super) fn signature_call(&mut self, input: &mut Input<'_>) {
        const FREE: c_int = OSSL_FUNC_SIGNATURE_FREECTX;
        let step = input.u8();
        if step.is_multiple_of(20) || self.signatures.is_empty() {
            let algorithm = input.choose(&self.signature);
            let raw = call!(
                algorithm,
                OSSL_FUNC_SIGNATURE_NEWCTX,
                fn(*mut c_void, *const c_char) -> *mut c_void,
                self.provider.context,
                ptr::null()
            );
            return hold(&mut self.signatures, algorithm, raw, FREE);
        }
        let held = HandedOut::choose(&self.signatures, input);
        match step % 20 {
            1 => self.init(held, OSSL_FUNC_SIGNATURE_SIGN_INIT, input),
            2 => self.init(held, OSSL_FUNC_SIGNATURE_VERIFY_INIT, input),
            3 => self.init(held, OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, input),
            4 if input.flag() => self.init(held, OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT, input),
            4 => self.init(held, OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT, input),
            5 => self.digest_init(held, OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, input),
            6 => self.digest_init(held, OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, input),
            7 => held.one_shot(OSSL_FUNC_SIGNATURE_SIGN, input),
            8 => held.one_shot(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, input),
            9 => held.one_shot(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, input),
            10 => held.compare(OSSL_FUNC_SIGNATURE_VERIFY, input),
            11 => held.compare(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, input),
            12 if input.flag() => held.update(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, input),
            12 => held.update(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE, input),
            13 if input.flag() => held.update(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, input),
            13 => held.update(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE, input),
            14 => held.update(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, input),
            15 if input.flag() => held.finish(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, input),
            15 => held.finish(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL, input),
            16 => {
                let copy = held.copy(OSSL_FUNC_SIGNATURE_DUPCTX);
                hold(&mut self.signatures, held.algorithm, copy, FREE);
            }
            17 => held.get_params(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, input),
            18 => held.set_params(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, input),
            _ => {
                call!(
                    held.algorithm,
                    OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL,
                    fn(*mut c_void) -> c_int,
                    held.raw
                );
            }
        }
    }

    /// An initialisation that takes a digest's name, too.
    fn digest_init(&self, held: HandedOut, id: c_int, input: &mut Input<'_>) {
        let key = self.some_key(input);
        let digest = text(input);
        let params = Array::any(input);
        call!(
            held.algorithm,
            id,
            fn(*mut c_void, *const c_char, *mut c_void, *const OSSL_PARAM) -> c_int,
            held.raw,
            digest
                .as_ref()
                .map_or(ptr::null(), |digest| digest.as_ptr()),
            key,
            params.as_ptr()
        );
    }
}

impl HandedOut {
    /// A signature and what it is to be a signature of.
    fn compare(self, id: c_int, input: &mut Input<'_>) {
        let signature = Exact::any(input);
        let data = Exact::any(input);
        call!(
            self.algorithm,
            id,
            fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
            self.raw,
            signature.data(),
            signature.size(),
            data.data(),
            data.size()
        );
    }

    fn update(self, id: c_int, input: &mut Input<'_>) {
        let data = Exact::any(input);
        call!(
            self.algorithm,
            id,
            fn(*mut c_void, *const c_uchar, usize) -> c_int,
            self.raw,
            data.data(),
            data.size()
        );
    }
}
