//! The entries of signatures: provider-signature(7).

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;
use std::sync::Arc;

use keys::PublicKey;
use keys::operation::{Pending, Purpose, SignatureStream, Signer};

use super::Table;
use super::bytes::{self, Output};
use super::context::{
    self, Context, Names, context_names, dupctx, freectx, get_ctx_params, gettable_ctx_params,
    key_data, set_ctx_params, settable_ctx_params, with,
};
use super::keymgmt::KeyData;
use super::param::Params;
use crate::openssl::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::Error;

/// For the contexts of signature algorithms.
pub(crate) const NAMES: Names = context_names!("signature");

/// One signature algorithm.
pub(crate) trait Signature: Context {
    /// Sets the context up; no key means the one it has already.
    fn init(
        &mut self,
        purpose: Purpose,
        key: Option<&KeyData>,
        digest: Option<&str>,
        params: Params<'_>,
    ) -> Result<(), Error>;
    /// What is under way.
    fn stream(&mut self) -> &mut SignatureStream;
    /// Runs an operation in the key's TPM.
    fn run(&self, pending: Pending<Vec<u8>>) -> Result<Vec<u8>, Error>;

    /// Adds to the message.
    fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        Ok(self.stream().update(data)?)
    }
    /// An upper bound of the signature's length in bytes.
    fn size(&mut self) -> Result<usize, Error> {
        Ok(self.stream().size()?)
    }
    /// Signs what [`Signature::update`] collected.
    fn finish_sign(&mut self) -> Result<Vec<u8>, Error> {
        let pending = self.stream().finish_sign()?;
        self.run(pending)
    }
    /// Verifies what [`Signature::update`] collected.
    fn finish_verify(&mut self, signature: &[u8]) -> Result<bool, Error> {
        Ok(self.stream().finish_verify(signature)?)
    }
    /// Signs a digest.
    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let pending = self.stream().sign(digest)?;
        self.run(pending)
    }
    /// Verifies a signature over a digest.
    fn verify(&mut self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        Ok(self.stream().verify(signature, digest)?)
    }
    /// Recovers what was signed.
    fn verify_recover(&mut self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.stream().recover(signature)?)
    }
}

/// Whose signatures are made or verified with this.
pub(crate) fn signer(data: &KeyData) -> Result<Signer, Error> {
    Ok(match data {
        KeyData::Peer(peer) => Signer::Peer(Arc::new(PublicKey::Ec(peer.clone()))),
        data => Signer::Key(Arc::clone(data.key()?)),
    })
}

/// The dispatch table of `S`.
pub(crate) const fn table<S: Signature>() -> Table<OSSL_DISPATCH, 22> {
    head::<S>().followed_by(dispatch![
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT: digest_sign_init::<S>
            => fn(*mut c_void, *const c_char, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL: digest_sign_final::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN: digest_sign::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT: digest_verify_init::<S>
            => fn(*mut c_void, *const c_char, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL: digest_verify_final::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY: digest_verify::<S>
            => fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
    ])
}

/// What every signature algorithm has: contexts and their parameters, and signatures over digests.
pub(super) const fn head<S: Signature>() -> Table<OSSL_DISPATCH, 14> {
    dispatch![
        OSSL_FUNC_SIGNATURE_NEWCTX: newctx::<S> => fn(*mut c_void, *const c_char) -> *mut c_void,
        OSSL_FUNC_SIGNATURE_FREECTX: freectx::<S> => fn(*mut c_void),
        OSSL_FUNC_SIGNATURE_DUPCTX: dupctx::<S> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_SIGNATURE_SIGN_INIT: sign_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN: sign::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_INIT: verify_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY: verify::<S>
            => fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT: verify_recover_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_RECOVER: verify_recover::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS: get_ctx_params::<S>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS: gettable_ctx_params::<S>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS: set_ctx_params::<S>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS: settable_ctx_params::<S>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `newctx` or `dupctx` here, one thread at a time, key data of our
// keymgmt, parameter arrays that end with a NULL key, and buffers of the length given beside them.

unsafe extern "C" fn newctx<S: Signature>(
    provctx: *mut c_void,
    _property_query: *const c_char,
) -> *mut c_void {
    // SAFETY: the argument is that of the table's function.
    unsafe { context::newctx::<S>(provctx) }
}

/// # Safety
///
/// As for the init functions of the table.
pub(super) unsafe fn init<S: Signature>(
    name: &'static std::ffi::CStr,
    purpose: Purpose,
    ctx: *mut c_void,
    digest: *const c_char,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `digest` is NULL or a C string; `provkey` is
    // NULL or key data of ours; `params` is NULL or an ended array.
    unsafe {
        with::<S, _>(name, ctx, |context| {
            context.init(
                purpose,
                key_data(provkey),
                bytes::text(digest)?,
                Params::new(params),
            )
        })
    }
}

/// Init functions: of which contexts, for what, and what they are called in errors.
macro_rules! init_functions {
    ($($function:ident<S: $context:ident>: $purpose:ident, $name:literal;)*) => {
        $(unsafe extern "C" fn $function<S: $context>(
            ctx: *mut c_void,
            provkey: *mut c_void,
            params: *const OSSL_PARAM,
        ) -> c_int {
            // SAFETY: the arguments are those of the table's function.
            unsafe { init::<S>($name, Purpose::$purpose, ctx, ptr::null(), provkey, params) }
        })*
    };
}
pub(super) use init_functions;

init_functions! {
    sign_init<S: Signature>: Sign, c"signature_sign_init";
    verify_init<S: Signature>: Verify, c"signature_verify_init";
    verify_recover_init<S: Signature>: VerifyRecover, c"signature_verify_recover_init";
}

/// Those that are given a digest's name as well.
macro_rules! digest_init_functions {
    ($($function:ident: $purpose:ident, $name:literal;)*) => {
        $(unsafe extern "C" fn $function<S: Signature>(
            ctx: *mut c_void,
            digest: *const c_char,
            provkey: *mut c_void,
            params: *const OSSL_PARAM,
        ) -> c_int {
            // SAFETY: the arguments are those of the table's function.
            unsafe { init::<S>($name, Purpose::$purpose, ctx, digest, provkey, params) }
        })*
    };
}

digest_init_functions! {
    digest_sign_init: DigestSign, c"signature_digest_sign_init";
    digest_verify_init: DigestVerify, c"signature_digest_verify_init";
}

/// Signs into `output`: a size query costs nothing, and no TPM command is spent on a buffer that
/// is too small.
fn sign_into<S: Signature>(
    context: &mut S,
    output: Output,
    sign: impl FnOnce(&mut S) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    let size = context.size()?;
    if output.is_query() {
        return output.answer_size(size);
    }
    output.require(size)?;
    output.write(&sign(context)?)
}

unsafe extern "C" fn sign<S: Signature>(
    ctx: *mut c_void,
    sig: *mut c_uchar,
    siglen: *mut usize,
    sigsize: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S, _>(c"signature_sign", ctx, |context| {
            let tbs = bytes::input(tbs, tbslen)?;
            sign_into(context, Output::new(sig, siglen, sigsize), |context| {
                context.sign(tbs)
            })
        })
    }
}

unsafe extern "C" fn verify<S: Signature>(
    ctx: *mut c_void,
    sig: *const c_uchar,
    siglen: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S, _>(c"signature_verify", ctx, |context| {
            let (sig, tbs) = (bytes::input(sig, siglen)?, bytes::input(tbs, tbslen)?);
            context.verify(sig, tbs)
        })
    }
}

unsafe extern "C" fn verify_recover<S: Signature>(
    ctx: *mut c_void,
    rout: *mut c_uchar,
    routlen: *mut usize,
    routsize: usize,
    sig: *const c_uchar,
    siglen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S, _>(c"signature_verify_recover", ctx, |context| {
            let output = Output::new(rout, routlen, routsize);
            if output.is_query() {
                return output.answer_size(context.size()?);
            }
            output.write(&context.verify_recover(bytes::input(sig, siglen)?)?)
        })
    }
}

pub(super) unsafe extern "C" fn digest_update<S: Signature>(
    ctx: *mut c_void,
    data: *const c_uchar,
    datalen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `data` has `datalen` bytes.
    unsafe {
        with::<S, _>(c"signature_digest_update", ctx, |context| {
            context.update(bytes::input(data, datalen)?)
        })
    }
}

pub(super) unsafe extern "C" fn digest_sign_final<S: Signature>(
    ctx: *mut c_void,
    sig: *mut c_uchar,
    siglen: *mut usize,
    sigsize: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffer has the length beside it.
    unsafe {
        with::<S, _>(c"signature_digest_sign_final", ctx, |context| {
            sign_into(context, Output::new(sig, siglen, sigsize), S::finish_sign)
        })
    }
}

unsafe extern "C" fn digest_sign<S: Signature>(
    ctx: *mut c_void,
    sig: *mut c_uchar,
    siglen: *mut usize,
    sigsize: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S, _>(c"signature_digest_sign", ctx, |context| {
            let tbs = bytes::input(tbs, tbslen)?;
            sign_into(context, Output::new(sig, siglen, sigsize), |context| {
                context.update(tbs)?;
                context.finish_sign()
            })
        })
    }
}

unsafe extern "C" fn digest_verify_final<S: Signature>(
    ctx: *mut c_void,
    sig: *const c_uchar,
    siglen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `sig` has `siglen` bytes.
    unsafe {
        with::<S, _>(c"signature_digest_verify_final", ctx, |context| {
            context.finish_verify(bytes::input(sig, siglen)?)
        })
    }
}

unsafe extern "C" fn digest_verify<S: Signature>(
    ctx: *mut c_void,
    sig: *const c_uchar,
    siglen: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S, _>(c"signature_digest_verify", ctx, |context| {
            context.update(bytes::input(tbs, tbslen)?)?;
            context.finish_verify(bytes::input(sig, siglen)?)
        })
    }
}
