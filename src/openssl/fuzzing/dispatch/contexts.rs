//! Calls that the operations' contexts have in common. The identifier says whose function it is, and with it
//! the function's type: each here stands for the identifiers whose functions have its type.

use std::ffi::{c_int, c_uchar, c_void};

use crypto::fuzzing::input::Input;

use super::super::host::{Algorithm, entry_point};
use super::super::params::Array;
use super::buffers::{Exact, Out};
use super::{Calls, HandedOut};
use crate::openssl::abi::*;

impl Calls<'_> {
    /// A new context, or a new key.
    pub(super) fn new_context(&self, algorithm: Algorithm, id: c_int) -> Option<*mut c_void> {
        call!(
            algorithm,
            id,
            fn(*mut c_void) -> *mut c_void,
            self.provider.context
        )
    }

    /// An initialisation with a key and parameters.
    pub(super) fn init(&self, held: HandedOut, id: c_int, input: &mut Input<'_>) {
        let key = self.some_key(input);
        let params = Array::any(input);
        call!(
            held.algorithm,
            id,
            fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
            held.raw,
            key,
            params.as_ptr()
        );
    }
}

impl HandedOut {
    /// One of them; there must be one.
    pub(super) fn choose(among: &[Self], input: &mut Input<'_>) -> Self {
        among[usize::from(input.u8()) % among.len()]
    }

    /// A copy.
    pub(super) fn copy(self, id: c_int) -> Option<*mut c_void> {
        call!(self.algorithm, id, fn(*mut c_void) -> *mut c_void, self.raw)
    }

    pub(super) fn get_params(self, id: c_int, input: &mut Input<'_>) {
        let mut params = Array::any(input);
        call!(
            self.algorithm,
            id,
            fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
            self.raw,
            params.as_mut_ptr()
        );
        params.check();
    }

    pub(super) fn set_params(self, id: c_int, input: &mut Input<'_>) {
        let params = Array::any(input);
        call!(
            self.algorithm,
            id,
            fn(*mut c_void, *const OSSL_PARAM) -> c_int,
            self.raw,
            params.as_ptr()
        );
    }

    /// Data in, a result out.
    pub(super) fn one_shot(self, id: c_int, input: &mut Input<'_>) {
        let mut out = Out::any(input);
        let data = Exact::any(input);
        let done = call!(
            self.algorithm,
            id,
            fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
            self.raw,
            out.data(),
            &mut out.len,
            out.size(),
            data.data(),
            data.size()
        );
        out.check(done);
    }

    /// A result of what was given before.
    pub(super) fn finish(self, id: c_int, input: &mut Input<'_>) {
        let mut out = Out::any(input);
        let done = call!(
            self.algorithm,
            id,
            fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
            self.raw,
            out.data(),
            &mut out.len,
            out.size()
        );
        out.check(done);
    }
}
