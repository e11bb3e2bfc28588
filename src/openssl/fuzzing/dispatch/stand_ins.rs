//! Digests and random numbers.

use std::ffi::{c_int, c_uchar, c_uint, c_void};
use std::ptr;

use crypto::fuzzing::input::Input;

use super::super::NOTHING;
use super::super::host::entry_point;
use super::super::params::Array;
use super::buffers::{Exact, Out};
use super::{Calls, HandedOut, hold};
use crate::openssl::abi::*;

impl Calls<'_> {
    pub(super) fn digest_call(&mut self, input: &mut Input<'_>) {
        const FREE: c_int = OSSL_FUNC_DIGEST_FREECTX;
        let step = input.u8();
        if step.is_multiple_of(8) || self.digests.is_empty() {
            let algorithm = input.choose(&self.digest);
            let raw = self.new_context(algorithm, OSSL_FUNC_DIGEST_NEWCTX);
            return hold(&mut self.digests, algorithm, raw, FREE);
        }
        let held = HandedOut::choose(&self.digests, input);
        match step % 8 {
            1 => held.set_params(OSSL_FUNC_DIGEST_INIT, input),
            2 => {
                let data = Exact::any(input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_DIGEST_UPDATE,
                    fn(*mut c_void, *const c_uchar, usize) -> c_int,
                    held.raw,
                    data.data(),
                    data.size()
                );
            }
            3 => held.finish(OSSL_FUNC_DIGEST_FINAL, input),
            4 => self.digest_at_once(held, input),
            5 => {
                let copy = held.copy(OSSL_FUNC_DIGEST_DUPCTX);
                hold(&mut self.digests, held.algorithm, copy, FREE);
            }
            6 => {
                let to = HandedOut::choose(&self.digests, input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_DIGEST_COPYCTX,
                    fn(*mut c_void, *mut c_void) -> (),
                    to.raw,
                    held.raw
                );
            }
            _ => {
                let mut params = Array::any(input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_DIGEST_GET_PARAMS,
                    fn(*mut OSSL_PARAM) -> c_int,
                    params.as_mut_ptr()
                );
                params.check();
            }
        }
    }

    fn digest_at_once(&self, held: HandedOut, input: &mut Input<'_>) {
        let mut out = Out::any(input);
        let data = Exact::any(input);
        let done = call!(
            held.algorithm,
            OSSL_FUNC_DIGEST_DIGEST,
            fn(*mut c_void, *const c_uchar, usize, *mut c_uchar, *mut usize, usize) -> c_int,
            self.provider.context,
            data.data(),
            data.size(),
            out.data(),
            &mut out.len,
            out.size()
        );
        out.check(done);
    }

    pub(super) fn random_call(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        if step.is_multiple_of(8) || self.randoms.is_empty() {
            let algorithm = input.choose(&self.random);
            let raw = call!(
                algorithm,
                OSSL_FUNC_RAND_NEWCTX,
                fn(*mut c_void, *mut c_void, *const OSSL_DISPATCH) -> *mut c_void,
                self.provider.context,
                NOTHING,
                ptr::null()
            );
            return hold(&mut self.randoms, algorithm, raw, OSSL_FUNC_RAND_FREECTX);
        }
        let held = HandedOut::choose(&self.randoms, input);
        let strength = c_uint::from(input.u8()) * 2;
        match step % 8 {
            1 | 2 => {
                let params = Array::any(input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_RAND_INSTANTIATE,
                    fn(
                        *mut c_void,
                        c_uint,
                        c_int,
                        *const c_uchar,
                        usize,
                        *const OSSL_PARAM,
                    ) -> c_int,
                    held.raw,
                    strength,
                    0,
                    ptr::null(),
                    0,
                    params.as_ptr()
                );
            }
            3 | 4 => {
                let mut out = Out::any(input);
                call!(
                    held.algorithm,
                    OSSL_FUNC_RAND_GENERATE,
                    fn(
                        *mut c_void,
                        *mut c_uchar,
                        usize,
                        c_uint,
                        c_int,
                        *const c_uchar,
                        usize,
                    ) -> c_int,
                    held.raw,
                    out.data(),
                    out.size(),
                    strength,
                    0,
                    ptr::null(),
                    0
                );
            }
            5 => self.seed(held, input),
            6 => held.get_params(OSSL_FUNC_RAND_GET_CTX_PARAMS, input),
            _ => {
                call!(
                    held.algorithm,
                    OSSL_FUNC_RAND_UNINSTANTIATE,
                    fn(*mut c_void) -> c_int,
                    held.raw
                );
            }
        }
    }

    /// A seed, given back in whatever context.
    fn seed(&self, held: HandedOut, input: &mut Input<'_>) {
        let mut seed = ptr::null_mut();
        let size = call!(
            held.algorithm,
            OSSL_FUNC_RAND_GET_SEED,
            fn(
                *mut c_void,
                *mut *mut c_uchar,
                c_int,
                usize,
                usize,
                c_int,
                *const c_uchar,
                usize,
            ) -> usize,
            held.raw,
            &mut seed,
            c_int::from(input.u8()) * 4 - 100,
            usize::from(input.u8()),
            usize::from(input.u8()),
            0,
            ptr::null(),
            0
        );
        let size = size.unwrap_or(0);
        assert_eq!(size == 0, seed.is_null());
        if size != 0 {
            // SAFETY: the seed has the size that was returned.
            let seed = unsafe { std::slice::from_raw_parts(seed, size) };
            assert!(size < 8 || seed.iter().any(|byte| *byte != seed[0]));
        }
        call!(
            held.algorithm,
            OSSL_FUNC_RAND_CLEAR_SEED,
            fn(*mut c_void, *mut c_uchar, usize) -> (),
            NOTHING,
            seed,
            size
        );
    }
}
