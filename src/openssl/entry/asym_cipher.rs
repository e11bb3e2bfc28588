//! The entries of encryption and decryption: provider-asym_cipher(7).

use std::ffi::{CStr, c_int, c_uchar, c_void};
use std::sync::Arc;

use keys::Key;
use keys::operation::Direction;
use zeroize::Zeroizing;

use super::Table;
use super::bytes::{self, Output};
use super::context::{
    Context, Names, context_names, dupctx, freectx, get_ctx_params, gettable_ctx_params, key,
    newctx, set_ctx_params, settable_ctx_params, with,
};
use super::param::Params;
use crate::openssl::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::Error;

/// For the contexts of encryption algorithms.
pub(crate) const NAMES: Names = context_names!("asym_cipher");

/// One encryption algorithm.
pub(crate) trait AsymCipher: Context {
    /// Sets the context up; no key means the one it has already.
    fn init(
        &mut self,
        direction: Direction,
        key: Option<&Arc<Key>>,
        params: Params<'_>,
    ) -> Result<(), Error>;
    /// An upper bound of the result's length in bytes.
    fn size(&self) -> Result<usize, Error>;
    /// The length that the caller's buffer must have for what is set up, in bytes.
    fn required(&self, direction: Direction) -> Result<usize, Error>;
    /// Encrypts one message.
    fn encrypt(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Error>;
    /// Decrypts one message.
    fn decrypt(&mut self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;
}

/// The dispatch table of `C`.
pub(crate) const fn table<C: AsymCipher>() -> Table<OSSL_DISPATCH, 12> {
    dispatch![
        OSSL_FUNC_ASYM_CIPHER_NEWCTX: newctx::<C> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_ASYM_CIPHER_FREECTX: freectx::<C> => fn(*mut c_void),
        OSSL_FUNC_ASYM_CIPHER_DUPCTX: dupctx::<C> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT: encrypt_init::<C>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_ASYM_CIPHER_ENCRYPT: encrypt::<C>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT: decrypt_init::<C>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_ASYM_CIPHER_DECRYPT: decrypt::<C>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS: get_ctx_params::<C>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS: gettable_ctx_params::<C>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS: set_ctx_params::<C>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS: settable_ctx_params::<C>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `newctx` or `dupctx` here, one thread at a time, key data of our
// keymgmt, parameter arrays that end with a NULL key, and buffers of the length given beside them.

/// # Safety
///
/// As for the init functions of the table.
unsafe fn init<C: AsymCipher>(
    name: &'static CStr,
    direction: Direction,
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `provkey` is NULL or key data of ours; `params`
    // is NULL or an ended array.
    unsafe {
        with::<C, _>(name, ctx, |context| {
            context.init(direction, key(provkey)?, Params::new(params))
        })
    }
}

unsafe extern "C" fn encrypt_init<C: AsymCipher>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<C>(
            c"asym_cipher_encrypt_init",
            Direction::Encrypt,
            ctx,
            provkey,
            params,
        )
    }
}

unsafe extern "C" fn decrypt_init<C: AsymCipher>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<C>(
            c"asym_cipher_decrypt_init",
            Direction::Decrypt,
            ctx,
            provkey,
            params,
        )
    }
}

/// Answers a size query, or has `work` done if the caller's buffer is long enough.
fn work_into<C: AsymCipher, R: AsRef<[u8]>>(
    context: &mut C,
    direction: Direction,
    output: Output,
    work: impl FnOnce(&mut C) -> Result<R, Error>,
) -> Result<(), Error> {
    if output.is_query() {
        return output.answer_size(context.size()?);
    }
    output.require(context.required(direction)?)?;
    output.write(work(context)?.as_ref())
}

unsafe extern "C" fn encrypt<C: AsymCipher>(
    ctx: *mut c_void,
    out: *mut c_uchar,
    outlen: *mut usize,
    outsize: usize,
    input: *const c_uchar,
    inlen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<C, _>(c"asym_cipher_encrypt", ctx, |context| {
            let output = Output::new(out, outlen, outsize);
            work_into(context, Direction::Encrypt, output, |context| {
                context.encrypt(bytes::input(input, inlen)?)
            })
        })
    }
}

unsafe extern "C" fn decrypt<C: AsymCipher>(
    ctx: *mut c_void,
    out: *mut c_uchar,
    outlen: *mut usize,
    outsize: usize,
    input: *const c_uchar,
    inlen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<C, _>(c"asym_cipher_decrypt", ctx, |context| {
            let output = Output::new(out, outlen, outsize);
            work_into(context, Direction::Decrypt, output, |context| {
                context.decrypt(bytes::input(input, inlen)?)
            })
        })
    }
}
