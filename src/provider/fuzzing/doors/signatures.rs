//! Signatures.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;

use super::super::host::door;
use super::super::params::Array;
use super::buffers::{Exact, Out, text};
use super::{House, hold};
use crate::fuzzing::input::Input;
use crate::provider::abi::*;

impl House<'_> {
    pub(super) fn signature_call(&mut self, input: &mut Input<'_>) {
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
            return hold(
                &mut self.signatures,
                algorithm,
                raw,
                OSSL_FUNC_SIGNATURE_FREECTX,
            );
        }
        let held = self.signatures[usize::from(input.u8()) % self.signatures.len()];
        let (table, raw) = (held.algorithm, held.raw);
        /// An initialisation without a digest's name.
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
        macro_rules! digest_init {
            ($id:ident) => {{
                let key = self.some_key(input);
                let digest = text(input);
                let params = Array::any(input);
                call!(
                    table,
                    $id,
                    fn(*mut c_void, *const c_char, *mut c_void, *const OSSL_PARAM) -> c_int,
                    raw,
                    digest
                        .as_ref()
                        .map_or(ptr::null(), |digest| digest.as_ptr()),
                    key,
                    params.as_ptr()
                );
            }};
        }
        macro_rules! one_shot {
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
        macro_rules! compare {
            ($id:ident) => {{
                let signature = Exact::any(input);
                let data = Exact::any(input);
                call!(
                    table,
                    $id,
                    fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
                    raw,
                    signature.data(),
                    signature.size(),
                    data.data(),
                    data.size()
                );
            }};
        }
        macro_rules! update {
            ($id:ident) => {{
                let data = Exact::any(input);
                call!(
                    table,
                    $id,
                    fn(*mut c_void, *const c_uchar, usize) -> c_int,
                    raw,
                    data.data(),
                    data.size()
                );
            }};
        }
        macro_rules! finish {
            ($id:ident) => {{
                let mut out = Out::any(input);
                let done = call!(
                    table,
                    $id,
                    fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
                    raw,
                    out.data(),
                    &mut out.len,
                    out.size()
                );
                out.check(done);
            }};
        }
        match step % 20 {
            1 => init!(OSSL_FUNC_SIGNATURE_SIGN_INIT),
            2 => init!(OSSL_FUNC_SIGNATURE_VERIFY_INIT),
            3 => init!(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT),
            4 if input.flag() => init!(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT),
            4 => init!(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT),
            5 => digest_init!(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT),
            6 => digest_init!(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT),
            7 => one_shot!(OSSL_FUNC_SIGNATURE_SIGN),
            8 => one_shot!(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER),
            9 => one_shot!(OSSL_FUNC_SIGNATURE_DIGEST_SIGN),
            10 => compare!(OSSL_FUNC_SIGNATURE_VERIFY),
            11 => compare!(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY),
            12 if input.flag() => update!(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE),
            12 => update!(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE),
            13 if input.flag() => update!(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE),
            13 => update!(OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE),
            14 => update!(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL),
            15 if input.flag() => finish!(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL),
            15 => finish!(OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL),
            16 => {
                let copy = call!(
                    table,
                    OSSL_FUNC_SIGNATURE_DUPCTX,
                    fn(*mut c_void) -> *mut c_void,
                    raw
                );
                hold(
                    &mut self.signatures,
                    table,
                    copy,
                    OSSL_FUNC_SIGNATURE_FREECTX,
                );
            }
            17 => {
                let mut params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS,
                    fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
                    raw,
                    params.as_mut_ptr()
                );
                params.check();
            }
            18 => {
                let params = Array::any(input);
                call!(
                    table,
                    OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS,
                    fn(*mut c_void, *const OSSL_PARAM) -> c_int,
                    raw,
                    params.as_ptr()
                );
            }
            _ => {
                call!(
                    table,
                    OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL,
                    fn(*mut c_void) -> c_int,
                    raw
                );
            }
        }
    }
}
