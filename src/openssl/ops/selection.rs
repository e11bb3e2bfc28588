//! OpenSSL's selections: which parts of a key are meant.
#![forbid(unsafe_code)]

use std::ffi::c_int;

use crate::openssl::abi::{OSSL_KEYMGMT_SELECT_PRIVATE_KEY, OSSL_KEYMGMT_SELECT_PUBLIC_KEY};

/// Whether the private half is meant.
pub(super) fn private(selection: c_int) -> bool {
    selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY != 0
}

/// Whether the public half is meant.
pub(super) fn public(selection: c_int) -> bool {
    selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY != 0
}
