//! OpenSSL's provider ABI: `repr(C)` types and identifiers, checked in.
//!
//! openssl-sys has `OSSL_PARAM` and the selection constants but no dispatch types, so those stand
//! here. Nothing in this module calls anything.

pub mod ids;
mod types;

pub use ids::*;
pub use openssl_sys::OSSL_PARAM;
pub use openssl_sys::{
    OSSL_KEYMGMT_SELECT_ALL_PARAMETERS, OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS,
    OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS, OSSL_KEYMGMT_SELECT_PRIVATE_KEY,
    OSSL_KEYMGMT_SELECT_PUBLIC_KEY,
};
pub use types::*;
