//! The types and numbers of PKCS#11 3.2, as the crate `cryptoki-sys` has them from the standard's header. Nothing of that
//! crate is run: it is for programs that load a module.

pub(crate) use cryptoki_sys::*;

/// Why a function failed: what it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) CK_RV);

/// What comes of a call.
pub(crate) type Result<T = (), E = Fault> = std::result::Result<T, E>;
